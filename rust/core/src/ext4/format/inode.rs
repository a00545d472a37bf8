//! An inode on disk, 256 bytes. Source: kernel, Documentation/filesystems/ext4/inodes.rst.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, FromZeros, Immutable, IntoBytes, KnownLayout};

use crate::ext4::format::checksum::InodeId;
use crate::ext4::format::extent::I_BLOCK_LEN;
use crate::ext4::format::timestamp::Timestamp;
use crate::ext4::format::xattr::{INODE_REGION_LEN, MAGIC, Region};
use crate::ext4::layout::{BlockUnit, Layout};
use crate::units::BlockNumber;

pub const LEN: usize = 256;
/// Inodes below this number are reserved and never free.
pub const RESERVED: u32 = 10;
/// Most links of an inode. Source: kernel, EXT4_LINK_MAX.
pub const MAX_LINKS: u32 = 65000;

pub const FLAG_HUGE_FILE: u32 = 0x4_0000;
pub const FLAG_EXTENTS: u32 = 0x8_0000;
pub const FLAG_INLINE_DATA: u32 = 0x1000_0000;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Inode {
    pub i_mode: U16,
    pub i_uid: U16,
    pub i_size_lo: U32,
    pub i_atime: U32,
    pub i_ctime: U32,
    pub i_mtime: U32,
    pub i_dtime: U32,
    pub i_gid: U16,
    pub i_links_count: U16,
    pub i_blocks_lo: U32,
    pub i_flags: U32,
    pub i_version: U32,
    pub i_block: [u8; I_BLOCK_LEN],
    pub i_generation: U32,
    pub i_file_acl_lo: U32,
    pub i_size_high: U32,
    pub i_obso_faddr: U32,
    pub i_blocks_high: U16,
    pub i_file_acl_high: U16,
    pub i_uid_high: U16,
    pub i_gid_high: U16,
    pub i_checksum_lo: U16,
    pub i_reserved: U16,
    pub i_extra_isize: U16,
    pub i_checksum_hi: U16,
    pub i_ctime_extra: U32,
    pub i_mtime_extra: U32,
    pub i_atime_extra: U32,
    pub i_crtime: U32,
    pub i_crtime_extra: U32,
    /// Zero where there are no xattrs.
    pub xattr_magic: U32,
    pub xattrs: Region<INODE_REGION_LEN>,
}

/// Where the fields end that i_extra_isize counts from, and where those end that are in use here.
const ORIGINAL_LEN: usize = 128;
pub const EXTRA_ISIZE: u16 = (offset_of!(Inode, xattr_magic) - ORIGINAL_LEN) as u16;

const _: () = {
    assert!(size_of::<Inode>() == LEN && EXTRA_ISIZE == 24);
    assert!(offset_of!(Inode, i_flags) == 32 && offset_of!(Inode, i_block) == 40);
    assert!(offset_of!(Inode, i_file_acl_lo) == 104 && offset_of!(Inode, i_uid_high) == 120);
    assert!(offset_of!(Inode, i_extra_isize) == ORIGINAL_LEN && offset_of!(Inode, i_crtime) == 144);
    assert!(offset_of!(Inode, xattrs) == 156);
};

/// What an inode holds, in one piece each.
pub struct InodeFields<'f> {
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub size: u64,
    /// At most `MAX_LINKS`, or more where hcsshim cuts them.
    pub links: u32,
    /// Of the file system: data, extent blocks and xattr block.
    pub blocks: u32,
    /// Except for the flag that the unit of i_blocks needs.
    pub flags: u32,
    pub i_block: [u8; I_BLOCK_LEN],
    pub xattr_block: Option<BlockNumber>,
    pub atime: Timestamp,
    pub ctime: Timestamp,
    /// Also the creation time.
    pub mtime: Timestamp,
    pub xattrs: Option<&'f Region<INODE_REGION_LEN>>,
}

impl Inode {
    pub fn new(fields: &InodeFields<'_>, id: InodeId, layout: &Layout) -> Self {
        let unit_flag = match layout.block_unit {
            BlockUnit::Blocks => FLAG_HUGE_FILE,
        };
        let mut inode = Self {
            i_mode: U16::new(fields.mode),
            i_uid: U16::new(fields.uid as u16),
            i_size_lo: U32::new(fields.size as u32),
            i_atime: U32::new(fields.atime.low),
            i_ctime: U32::new(fields.ctime.low),
            i_mtime: U32::new(fields.mtime.low),
            i_dtime: U32::ZERO,
            i_gid: U16::new(fields.gid as u16),
            i_links_count: U16::new(fields.links as u16),
            i_blocks_lo: U32::new(fields.blocks),
            i_flags: U32::new(unit_flag | fields.flags),
            i_version: U32::ZERO,
            i_block: fields.i_block,
            i_generation: U32::new(id.generation),
            i_file_acl_lo: U32::new(fields.xattr_block.map_or(0, BlockNumber::get)),
            i_size_high: U32::new((fields.size >> 32) as u32),
            i_obso_faddr: U32::ZERO,
            i_blocks_high: U16::ZERO,
            i_file_acl_high: U16::ZERO,
            i_uid_high: U16::new((fields.uid >> 16) as u16),
            i_gid_high: U16::new((fields.gid >> 16) as u16),
            i_checksum_lo: U16::ZERO,
            i_reserved: U16::ZERO,
            i_extra_isize: U16::new(layout.extra_isize),
            i_checksum_hi: U16::ZERO,
            i_ctime_extra: U32::new(fields.ctime.high),
            i_mtime_extra: U32::new(fields.mtime.high),
            i_atime_extra: U32::new(fields.atime.high),
            i_crtime: U32::new(fields.mtime.low),
            i_crtime_extra: U32::new(fields.mtime.high),
            xattr_magic: U32::new(if fields.xattrs.is_some() { MAGIC } else { 0 }),
            xattrs: fields.xattrs.copied().unwrap_or([0; INODE_REGION_LEN]),
        };
        inode.seal(id, layout);
        inode
    }

    fn seal(&mut self, id: InodeId, layout: &Layout) {
        if let Some(checksum) = layout.checksums.of_inode(id, self.as_bytes()) {
            self.i_checksum_lo = U16::new(checksum as u16);
            self.i_checksum_hi = U16::new((checksum >> 16) as u16);
        }
    }
}

/// Largest device numbers that `device_block` holds.
pub const MAX_MAJOR: i64 = 4095;
pub const MAX_MINOR: i64 = 0xF_FFFF;

/// i_block of a device, in which the new encoding has the second word.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct DeviceBlock {
    old_encoding: U32,
    new_encoding: U32,
    unused: [u8; I_BLOCK_LEN - 8],
}

const _: () = assert!(size_of::<DeviceBlock>() == I_BLOCK_LEN && offset_of!(DeviceBlock, new_encoding) == 4);

/// i_block of a device. A major above 4095 runs into the minor (N5).
pub fn device_block(major: u32, minor: u32) -> [u8; I_BLOCK_LEN] {
    let mut block = DeviceBlock::new_zeroed();
    block.new_encoding = U32::new((minor & 0xFF) | major.wrapping_shl(8) | ((minor & 0xFFFF_FF00) << 12));
    zerocopy::transmute!(block)
}
