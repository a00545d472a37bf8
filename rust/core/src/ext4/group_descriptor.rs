//! A block group's descriptor, 32 bytes. Source: kernel, Documentation/filesystems/ext4/group_descr.rst.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes};

use crate::units::BLOCK_SIZE;

pub const LEN: usize = 32;
pub const PER_BLOCK: u32 = (BLOCK_SIZE / LEN as u64) as u32;

#[derive(IntoBytes, Immutable, Default)]
#[repr(C)]
pub struct GroupDescriptor {
    pub bg_block_bitmap_lo: U32,      // 0
    pub bg_inode_bitmap_lo: U32,      // 4
    pub bg_inode_table_lo: U32,       // 8
    pub bg_free_blocks_count_lo: U16, // 12
    pub bg_free_inodes_count_lo: U16, // 14
    pub bg_used_dirs_count_lo: U16,   // 16
    pub unused: [u8; 14],             // 18: flags, checksums, itable_unused: all zero
}

const _: () = assert!(size_of::<GroupDescriptor>() == LEN);
