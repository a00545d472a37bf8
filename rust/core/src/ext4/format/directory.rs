//! Directory data: linear blocks of entries. Source: kernel, Documentation/filesystems/ext4/directory.rst.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::ext4::format::checksum::{Checksums, InodeId};
use crate::ext4::layout::{DirectoryForm, Layout};
use crate::units::{BLOCK_LEN, InodeNumber};

/// What an entry starts with; the name and its padding follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EntryHeader {
    pub inode: U32,
    pub rec_len: U16,
    pub name_len: u8,
    pub file_type: u8,
}

/// What takes the place of the last entry of a block with a checksum.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct Tail {
    det_reserved_zero1: U32,
    det_rec_len: U16,
    det_reserved_zero2: u8,
    det_reserved_ft: u8,
    det_checksum: U32,
}

/// det_reserved_ft of a tail.
const TAIL_FILE_TYPE: u8 = 0xDE;
const HEADER_LEN: usize = size_of::<EntryHeader>();
const TAIL_LEN: usize = size_of::<Tail>();
/// An entry with a name of 1 to 4 bytes, and the room that an empty entry needs.
const MIN_ENTRY_LEN: usize = 12;

const _: () = {
    assert!(HEADER_LEN == 8 && TAIL_LEN == MIN_ENTRY_LEN);
    assert!(offset_of!(EntryHeader, rec_len) == 4 && offset_of!(EntryHeader, file_type) == 7);
    assert!(offset_of!(Tail, det_checksum) == 8);
};

/// ext4_dir_entry_2.file_type
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum FileType {
    Regular = 1,
    Directory = 2,
    CharacterDevice = 3,
    BlockDevice = 4,
    Fifo = 5,
    Symlink = 7,
}

/// Writes entries one after the other into a buffer of whole blocks.
pub struct Encoder {
    data: Vec<u8>,
    own: InodeId,
    form: DirectoryForm,
    checksums: Checksums,
    tail_len: usize,
}

impl Encoder {
    pub fn new(layout: &Layout) -> Self {
        let tail_len = match layout.checksums {
            Checksums::None => 0,
            Checksums::Crc32c { .. } => TAIL_LEN,
        };
        let own = InodeId::new(InodeNumber::NONE);
        Self { data: Vec::new(), own, form: layout.directories, checksums: layout.checksums, tail_len }
    }

    pub fn start(&mut self, own: InodeId, parent: InodeNumber) {
        self.data.clear();
        self.own = own;
        self.push(own.number, FileType::Directory, b".");
        self.push(parent, FileType::Directory, b"..");
    }

    /// Adds an entry with a name of 1 to 255 bytes.
    pub fn push(&mut self, inode: InodeNumber, file_type: FileType, name: &[u8]) {
        let length = (HEADER_LEN + name.len()).next_multiple_of(4);
        let closing_len = match self.form {
            DirectoryForm::ClosedByEmptyEntries => MIN_ENTRY_LEN,
        };
        if self.left() < length + closing_len + self.tail_len {
            self.close_block();
        }
        self.header(inode, length, name.len() as u8, file_type as u8);
        self.data.extend_from_slice(name);
        self.data.resize(self.data.len().next_multiple_of(4), 0);
    }

    pub fn finish(&mut self) -> &[u8] {
        self.close_block();
        &self.data
    }

    fn left(&self) -> usize {
        BLOCK_LEN - self.data.len() % BLOCK_LEN
    }

    fn close_block(&mut self) {
        let start = self.data.len() - self.data.len() % BLOCK_LEN;
        match self.form {
            DirectoryForm::ClosedByEmptyEntries => {
                self.header(InodeNumber::NONE, self.left() - self.tail_len, 0, 0);
            }
        }
        self.data.resize(start + BLOCK_LEN - self.tail_len, 0);
        let block = self.data.get(start..).unwrap_or_default();
        if let Some(checksum) = self.checksums.of_inode(self.own, block) {
            let tail = Tail {
                det_reserved_zero1: U32::ZERO,
                det_rec_len: U16::new(TAIL_LEN as u16),
                det_reserved_zero2: 0,
                det_reserved_ft: TAIL_FILE_TYPE,
                det_checksum: U32::new(checksum),
            };
            self.data.extend_from_slice(tail.as_bytes());
        }
    }

    fn header(&mut self, inode: InodeNumber, length: usize, name_len: u8, file_type: u8) {
        let header = EntryHeader {
            inode: U32::new(inode.get()),
            rec_len: U16::new(length as u16),
            name_len,
            file_type,
        };
        self.data.extend_from_slice(header.as_bytes());
    }
}
