//! A block group's descriptor, 32 bytes, or 64 with the feature 64bit.
//! Source: kernel, Documentation/filesystems/ext4/group_descr.rst.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ext4::format::checksum::Checksums;

/// Without 64bit.
pub const LEN: usize = 32;

#[derive(Clone, FromBytes, IntoBytes, Immutable, KnownLayout, Default)]
#[repr(C)]
pub struct GroupDescriptor {
    pub bg_block_bitmap_lo: U32,
    pub bg_inode_bitmap_lo: U32,
    pub bg_inode_table_lo: U32,
    pub bg_free_blocks_count_lo: U16,
    pub bg_free_inodes_count_lo: U16,
    pub bg_used_dirs_count_lo: U16,
    pub bg_flags: U16,
    pub bg_exclude_bitmap_lo: U32,
    pub bg_block_bitmap_csum_lo: U16,
    pub bg_inode_bitmap_csum_lo: U16,
    pub bg_itable_unused_lo: U16,
    pub bg_checksum: U16,
}

const _: () = {
    assert!(size_of::<GroupDescriptor>() == LEN);
    assert!(offset_of!(GroupDescriptor, bg_free_blocks_count_lo) == 12);
    assert!(offset_of!(GroupDescriptor, bg_flags) == 18);
    assert!(offset_of!(GroupDescriptor, bg_itable_unused_lo) == 28);
    assert!(offset_of!(GroupDescriptor, bg_checksum) == 30);
};

impl GroupDescriptor {
    /// Sets the checksum, which comes last.
    pub fn seal(&mut self, checksums: Checksums, group: u32) {
        if let Some(checksum) = checksums.of_group(group, self.as_bytes()) {
            self.bg_checksum = U16::new(checksum as u16); // its lower half
        }
    }
}
