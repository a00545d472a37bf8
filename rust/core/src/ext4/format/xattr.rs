//! Extended attributes: names split into index and rest, and their entries in an inode or in a block of their own.
//! Source: kernel, Documentation/filesystems/ext4/attributes.rst.

use std::borrow::Cow;
use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::error::{Error, Result, quote};
use crate::ext4::format::checksum::Checksums;
use crate::faults::Fault;
use crate::units::{BLOCK_LEN, BlockNumber};

pub const MAGIC: u32 = 0xEA02_0000;

/// What an xattr block starts with.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
struct BlockHeader {
    h_magic: U32,
    h_refcount: U32,
    h_blocks: U32,
    h_hash: U32,
    h_checksum: U32,
    h_reserved: [U32; 3],
}

/// What an entry starts with; the stored name and its padding follow.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout, Unaligned)]
#[repr(C)]
pub struct EntryHeader {
    pub e_name_len: u8,
    pub e_name_index: u8,
    pub e_value_offs: U16,
    pub e_value_inum: U32,
    pub e_value_size: U32,
    pub e_hash: U32,
}

pub const BLOCK_HEADER_LEN: usize = size_of::<BlockHeader>();
const ENTRY_HEADER_LEN: usize = size_of::<EntryHeader>();

const _: () = {
    assert!(BLOCK_HEADER_LEN == 32 && offset_of!(BlockHeader, h_checksum) == 16);
    assert!(ENTRY_HEADER_LEN == 16 && offset_of!(EntryHeader, e_value_offs) == 2);
    assert!(offset_of!(EntryHeader, e_hash) == 12);
};

/// Bytes for entries and values after the magic number in an inode of 256 bytes, and after the header of a block.
pub const INODE_REGION_LEN: usize = 100;
pub const BLOCK_REGION_LEN: usize = BLOCK_LEN - BLOCK_HEADER_LEN;
/// Each region ends with this many zero bytes.
pub const END_LEN: usize = 4;
/// Longest stored name: e_name_len is one byte.
const MAX_NAME_LEN: usize = 255;

pub type Region<const LEN: usize> = [u8; LEN];

/// The attribute that holds the tail of a small file's data.
pub const SYSTEM_DATA: &[u8] = b"system.data";
const SYSTEM_INDEX: u8 = 7;

/// Prefix -> e_name_index; the first that fits counts.
pub const PREFIXES: [(&[u8], u8); 7] = [
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"system.richacl", 8),
    (b"system.", SYSTEM_INDEX),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
];

/// How many of `PREFIXES` are whole names, which take no suffix.
const WHOLE_NAMES: usize = 3;

/// An attribute as it is stored.
#[derive(Clone, Debug)]
pub struct XattrEntry<'a> {
    pub index: u8,
    pub name: &'a [u8],
    pub value: Cow<'a, [u8]>,
}

impl<'a> XattrEntry<'a> {
    /// The attribute with the tail of a small file's data.
    pub fn system_data(value: &'a [u8]) -> Self {
        Self { index: SYSTEM_INDEX, name: b"data", value: Cow::Borrowed(value) }
    }

    /// Bytes of a region that it takes.
    pub fn cost(&self) -> usize {
        ENTRY_HEADER_LEN + rounded(self.name.len()) + rounded(self.value.len())
    }
}

/// e_name_index and stored name; index 0 and the whole name where Linux knows no such prefix.
pub fn split_name(full: &[u8]) -> (u8, &[u8]) {
    for (position, (prefix, index)) in PREFIXES.iter().enumerate() {
        if let Some(rest) = full.strip_prefix(*prefix)
            && (position >= WHOLE_NAMES || rest.is_empty())
        {
            return (*index, rest);
        }
    }
    (0, full)
}

/// The opposite of `split_name`.
pub fn full_name(index: u8, name: &[u8]) -> Vec<u8> {
    let prefix = PREFIXES.iter().find(|(_, i)| *i == index).map_or(&[] as &[u8], |(prefix, _)| prefix);
    [prefix, name].concat()
}

/// Refuses a stored name that e_name_len cannot hold (B14).
pub fn check_name(full: &[u8]) -> Result<()> {
    let (_, name) = split_name(full);
    if name.len() <= MAX_NAME_LEN {
        return Ok(());
    }
    let message = format!(
        "the name of xattr {} has {} bytes after its prefix, at most {MAX_NAME_LEN} are allowed",
        quote(full),
        name.len()
    );
    Err(Error::invalid_entry(message).fault(Fault::B14))
}

/// The region of an inode; together the entries cost at most its length less `END_LEN`.
pub fn inode_region(entries: &[XattrEntry<'_>]) -> Region<INODE_REGION_LEN> {
    let mut region = [0; INODE_REGION_LEN];
    fill(&mut region, entries, 0);
    region
}

/// A whole xattr block, which is to get that number; together the entries cost at most its region less `END_LEN`.
pub fn block(entries: &[XattrEntry<'_>], checksums: Checksums, number: BlockNumber) -> Box<[u8]> {
    let mut header = BlockHeader {
        h_magic: U32::new(MAGIC),
        h_refcount: U32::new(1),
        h_blocks: U32::new(1),
        h_hash: U32::ZERO,
        h_checksum: U32::ZERO,
        h_reserved: [U32::ZERO; 3],
    };
    let mut region = [0; BLOCK_REGION_LEN];
    fill(&mut region, entries, BLOCK_HEADER_LEN);
    let mut block = [header.as_bytes(), &region].concat();
    if let Some(checksum) = checksums.of_block(number, &block) {
        header.h_checksum = U32::new(checksum);
        block = [header.as_bytes(), &region].concat();
    }
    block.into_boxed_slice()
}

/// Entries upwards from the start of the region, values downwards from its end.
fn fill(region: &mut [u8], entries: &[XattrEntry<'_>], value_base: usize) {
    let mut start = 0;
    let mut value_start = region.len();
    for entry in entries {
        value_start -= rounded(entry.value.len());
        let header = EntryHeader {
            e_name_len: entry.name.len() as u8,
            e_name_index: entry.index,
            e_value_offs: U16::new((value_start + value_base) as u16),
            e_value_inum: U32::ZERO,
            e_value_size: U32::new(entry.value.len() as u32),
            e_hash: U32::new(hash(entry.name, &entry.value)),
        };
        put(region, start, header.as_bytes());
        put(region, start + ENTRY_HEADER_LEN, entry.name);
        put(region, value_start, &entry.value);
        start += ENTRY_HEADER_LEN + rounded(entry.name.len());
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "what the entries cost was held against the length of the region"
)]
fn put(region: &mut [u8], start: usize, bytes: &[u8]) {
    region[start..start + bytes.len()].copy_from_slice(bytes);
}

/// The entry at a place in a region, and where the next one starts; `None` where it leads out of the region.
/// Value offsets count from `value_base` bytes before the region.
pub fn entry_at(region: &[u8], start: usize, value_base: usize) -> Option<(XattrEntry<'_>, usize)> {
    let (header, rest) = EntryHeader::ref_from_prefix(region.get(start..)?).ok()?;
    let name = rest.get(..header.e_name_len.into())?;
    let value_start = u32::from(header.e_value_offs.get().wrapping_sub(value_base as u16));
    let value_end = value_start.wrapping_add(header.e_value_size.get());
    let value = region.get(value_start as usize..value_end as usize)?;
    let entry = XattrEntry { index: header.e_name_index, name, value: Cow::Borrowed(value) };
    Some((entry, start + ENTRY_HEADER_LEN + rounded(name.len())))
}

/// e_hash. Source: kernel, fs/ext4/xattr.c, ext4_xattr_hash_entry.
fn hash(name: &[u8], value: &[u8]) -> u32 {
    let named = name.iter().fold(0u32, |h, &c| h.rotate_left(5) ^ u32::from(c));
    value.chunks(4).fold(named, |h, chunk| {
        let word = chunk.iter().rev().fold(0u32, |w, &b| w << 8 | u32::from(b));
        h.rotate_left(16) ^ word
    })
}

fn rounded(length: usize) -> usize {
    length.next_multiple_of(4)
}

#[cfg(test)]
mod tests {
    use super::{full_name, split_name};

    #[test]
    fn names_are_split_at_their_prefixes() {
        for (full, index, name) in [
            ("user.a", 1, "a"),
            ("trusted.overlay.opaque", 4, "overlay.opaque"),
            ("security.capability", 6, "capability"),
            ("system.posix_acl_access", 2, ""),
            ("system.posix_acl_default", 3, ""),
            ("system.posix_acl_accessX", 7, "posix_acl_accessX"),
            ("system.richacl", 8, ""),
            ("com.apple.x", 0, "com.apple.x"),
            ("user.", 1, ""),
        ] {
            assert_eq!(split_name(full.as_bytes()), (index, name.as_bytes()), "{full}");
            assert_eq!(full_name(index, name.as_bytes()), full.as_bytes());
        }
    }
}
