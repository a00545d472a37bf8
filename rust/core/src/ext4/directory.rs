//! Directory data: linear blocks, each closed by an empty entry of at least 12 bytes.
//! Source: kernel, Documentation/filesystems/ext4/directory.rst; the closing entry as hcsshim has it.

use crate::units::{BLOCK_LEN, InodeNumber};

/// Longest name of an entry in bytes.
pub const MAX_NAME_LEN: usize = 255;
const HEADER_LEN: usize = 8;
/// An entry with a name of 1 to 4 bytes, and the room that the closing entry needs.
const MIN_ENTRY_LEN: usize = 12;

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
#[derive(Default)]
pub struct Encoder {
    data: Vec<u8>,
}

impl Encoder {
    pub fn start(&mut self, own: InodeNumber, parent: InodeNumber) {
        self.data.clear();
        self.push(own, FileType::Directory, b".");
        self.push(parent, FileType::Directory, b"..");
    }

    pub fn push(&mut self, inode: InodeNumber, file_type: FileType, name: &[u8]) {
        let length = (HEADER_LEN + name.len()).next_multiple_of(4);
        if self.left() < length + MIN_ENTRY_LEN {
            self.close_block();
        }
        let name_len = name.len() as u8; // 255 at most: the writer refuses longer names
        self.entry(inode, length, name_len, file_type as u8);
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
        self.entry(InodeNumber(0), self.left(), 0, 0);
        self.data.resize(self.data.len().next_multiple_of(BLOCK_LEN), 0);
    }

    /// inode u32, rec_len u16, name_len u8, file_type u8
    fn entry(&mut self, inode: InodeNumber, length: usize, name_len: u8, file_type: u8) {
        self.data.extend_from_slice(&inode.0.to_le_bytes());
        self.data.extend_from_slice(&(length as u16).to_le_bytes());
        self.data.extend_from_slice(&[name_len, file_type]);
    }
}
