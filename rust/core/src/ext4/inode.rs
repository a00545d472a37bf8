//! An inode on disk, 256 bytes. Source: kernel, Documentation/filesystems/ext4/inodes.rst.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes};

use crate::ext4::extent::I_BLOCK_LEN;
use crate::ext4::xattr::INLINE_LEN;

pub const LEN: usize = 256;
/// Bytes of i_extra_isize: the fields from there up to i_crtime_extra.
pub const EXTRA_ISIZE: u16 = 24;

pub const FLAG_HUGE_FILE: u32 = 0x4_0000;
pub const FLAG_EXTENTS: u32 = 0x8_0000;
pub const FLAG_INLINE_DATA: u32 = 0x1000_0000;

pub const TYPE_MASK: u16 = 0xF000;
pub const TYPE_FIFO: u16 = 0x1000;
pub const TYPE_CHARACTER: u16 = 0x2000;
pub const TYPE_DIRECTORY: u16 = 0x4000;
pub const TYPE_BLOCK: u16 = 0x6000;
pub const TYPE_REGULAR: u16 = 0x8000;
pub const TYPE_SYMLINK: u16 = 0xA000;

#[derive(IntoBytes, Immutable)]
#[repr(C)]
pub struct Inode {
    pub i_mode: U16,                // 0
    pub i_uid: U16,                 // 2
    pub i_size_lo: U32,             // 4
    pub i_atime: U32,               // 8
    pub i_ctime: U32,               // 12
    pub i_mtime: U32,               // 16
    pub i_dtime: U32,               // 20
    pub i_gid: U16,                 // 24
    pub i_links_count: U16,         // 26
    pub i_blocks_lo: U32,           // 28, in file system blocks: FLAG_HUGE_FILE
    pub i_flags: U32,               // 32
    pub i_version: U32,             // 36
    pub i_block: [u8; I_BLOCK_LEN], // 40
    pub i_generation: U32,          // 100
    pub i_file_acl_lo: U32,         // 104
    pub i_size_high: U32,           // 108
    pub i_obso_faddr: U32,          // 112
    pub i_blocks_high: U16,         // 116
    pub i_file_acl_high: U16,       // 118
    pub i_uid_high: U16,            // 120
    pub i_gid_high: U16,            // 122
    pub i_checksum_lo: U16,         // 124
    pub i_reserved: U16,            // 126
    pub i_extra_isize: U16,         // 128
    pub i_checksum_hi: U16,         // 130
    pub i_ctime_extra: U32,         // 132
    pub i_mtime_extra: U32,         // 136
    pub i_atime_extra: U32,         // 140
    pub i_crtime: U32,              // 144
    pub i_crtime_extra: U32,        // 148
    pub xattr_magic: U32,           // 152, zero where there are none
    pub xattrs: [u8; INLINE_LEN],   // 156
}

const _: () = assert!(size_of::<Inode>() == LEN);

/// The new encoding of a device number, bytes 4 to 7 of i_block. A major above 4095 runs into the minor (N5).
pub fn device_number(major: u32, minor: u32) -> u32 {
    (minor & 0xFF) | major.wrapping_shl(8) | ((minor & 0xFFFF_FF00) << 12)
}

/// Largest device numbers that the encoding holds.
pub const MAX_MAJOR: i64 = 4095;
pub const MAX_MINOR: i64 = 0xF_FFFF;

/// i_block of a device.
pub fn device_block(number: u32) -> [u8; I_BLOCK_LEN] {
    let mut block = [0; I_BLOCK_LEN];
    if let Some(place) = block.get_mut(4..8) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    block
}
