//! The superblock, 1024 bytes at byte 1024. Source: kernel, Documentation/filesystems/ext4/super.rst.

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{Error, Result};
use crate::units::{BLOCKS_PER_GROUP, InodeNumber};

pub const OFFSET: usize = 1024;
pub const LEN: usize = 1024;
const MAGIC: u16 = 0xEF53;

const COMPAT_EXT_ATTR: u32 = 0x8;
const COMPAT_SPARSE_SUPER2: u32 = 0x200;
const INCOMPAT_FILETYPE: u32 = 0x2;
const INCOMPAT_EXTENTS: u32 = 0x40;
const INCOMPAT_FLEX_BG: u32 = 0x200;
const INCOMPAT_INLINE_DATA: u32 = 0x8000;
const RO_COMPAT_LARGE_FILE: u32 = 0x2;
const RO_COMPAT_HUGE_FILE: u32 = 0x8;
const RO_COMPAT_DIR_NLINK: u32 = 0x20;
const RO_COMPAT_EXTRA_ISIZE: u32 = 0x40;
const RO_COMPAT_READONLY: u32 = 0x1000;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Superblock {
    pub s_inodes_count: U32,         // 0x00
    pub s_blocks_count_lo: U32,      // 0x04
    pub s_r_blocks_count_lo: U32,    // 0x08
    pub s_free_blocks_count_lo: U32, // 0x0C
    pub s_free_inodes_count: U32,    // 0x10
    pub s_first_data_block: U32,     // 0x14
    pub s_log_block_size: U32,       // 0x18
    pub s_log_cluster_size: U32,     // 0x1C
    pub s_blocks_per_group: U32,     // 0x20
    pub s_clusters_per_group: U32,   // 0x24
    pub s_inodes_per_group: U32,     // 0x28
    pub s_mtime: U32,                // 0x2C
    pub s_wtime: U32,                // 0x30
    pub s_mnt_count: U16,            // 0x34
    pub s_max_mnt_count: U16,        // 0x36
    pub s_magic: U16,                // 0x38
    pub s_state: U16,                // 0x3A
    pub s_errors: U16,               // 0x3C
    pub s_minor_rev_level: U16,      // 0x3E
    pub s_lastcheck: U32,            // 0x40
    pub s_checkinterval: U32,        // 0x44
    pub s_creator_os: U32,           // 0x48
    pub s_rev_level: U32,            // 0x4C
    pub s_def_resuid: U16,           // 0x50
    pub s_def_resgid: U16,           // 0x52
    pub s_first_ino: U32,            // 0x54
    pub s_inode_size: U16,           // 0x58
    pub s_block_group_nr: U16,       // 0x5A
    pub s_feature_compat: U32,       // 0x5C
    pub s_feature_incompat: U32,     // 0x60
    pub s_feature_ro_compat: U32,    // 0x64
    pub s_uuid: [u8; 16],            // 0x68
    pub s_volume_name: [u8; 16],     // 0x78
    unused_88: [u8; 0x15C - 0x88],   // 0x88
    pub s_min_extra_isize: U16,      // 0x15C
    pub s_want_extra_isize: U16,     // 0x15E
    unused_160: [u8; 0x174 - 0x160], // 0x160
    pub s_log_groups_per_flex: u8,   // 0x174
    unused_175: [u8; 0x268 - 0x175], // 0x175
    pub s_lpf_ino: U32,              // 0x268
    unused_26c: [u8; LEN - 0x26C],   // 0x26C
}

const _: () = assert!(size_of::<Superblock>() == LEN);

/// What differs from image to image.
pub struct Counts {
    pub inodes: u32,
    pub blocks: u32,
    pub free_blocks: u32,
    pub free_inodes: u32,
    pub inodes_per_group: u32,
    pub inline_data: bool,
    /// B23: some directory has more links than its field can hold.
    pub dir_nlink: bool,
}

impl Superblock {
    pub fn new(counts: &Counts) -> Self {
        let inline_data = if counts.inline_data { INCOMPAT_INLINE_DATA } else { 0 };
        let dir_nlink = if counts.dir_nlink { RO_COMPAT_DIR_NLINK } else { 0 };
        let mut sb: Self = zerocopy::FromZeros::new_zeroed();
        sb.s_inodes_count = U32::new(counts.inodes);
        sb.s_blocks_count_lo = U32::new(counts.blocks);
        sb.s_free_blocks_count_lo = U32::new(counts.free_blocks);
        sb.s_free_inodes_count = U32::new(counts.free_inodes);
        sb.s_log_block_size = U32::new(2);
        sb.s_log_cluster_size = U32::new(2);
        sb.s_blocks_per_group = U32::new(BLOCKS_PER_GROUP);
        sb.s_clusters_per_group = U32::new(BLOCKS_PER_GROUP);
        sb.s_inodes_per_group = U32::new(counts.inodes_per_group);
        sb.s_magic = U16::new(MAGIC);
        sb.s_state = U16::new(1); // cleanly unmounted
        sb.s_errors = U16::new(1); // continue
        sb.s_rev_level = U32::new(1); // dynamic inode sizes
        sb.s_first_ino = U32::new(InodeNumber::LOST_AND_FOUND.0);
        sb.s_inode_size = U16::new(super::inode::LEN as u16);
        sb.s_feature_compat = U32::new(COMPAT_SPARSE_SUPER2 | COMPAT_EXT_ATTR);
        sb.s_feature_incompat =
            U32::new(INCOMPAT_FILETYPE | INCOMPAT_EXTENTS | INCOMPAT_FLEX_BG | inline_data);
        sb.s_feature_ro_compat = U32::new(
            RO_COMPAT_LARGE_FILE
                | RO_COMPAT_HUGE_FILE
                | RO_COMPAT_EXTRA_ISIZE
                | RO_COMPAT_READONLY
                | dir_nlink,
        );
        sb.s_min_extra_isize = U16::new(super::inode::EXTRA_ISIZE);
        sb.s_want_extra_isize = U16::new(super::inode::EXTRA_ISIZE);
        sb.s_log_groups_per_flex = 31; // all groups are one flexible group
        sb.s_lpf_ino = U32::new(InodeNumber::LOST_AND_FOUND.0);
        sb
    }

    /// Reads the superblock of an image of which at least the first 2048 bytes are given.
    pub fn read(start: &[u8]) -> Result<Self> {
        let bytes = start.get(OFFSET..OFFSET + LEN).ok_or_else(|| {
            Error::invalid_argument(format!(
                "not an ext4 file system: it has {} bytes, the superblock ends at byte {}",
                start.len(),
                OFFSET + LEN
            ))
        })?;
        match Self::read_from_bytes(bytes) {
            Ok(sb) if sb.s_magic.get() == MAGIC => Ok(sb),
            Ok(sb) => Err(Error::invalid_argument(format!(
                "not an ext4 file system: s_magic at byte 1080 is {:#06x}, not {MAGIC:#06x}",
                sb.s_magic.get()
            ))),
            Err(_) => Err(Error::invalid_argument("not an ext4 file system")),
        }
    }
}

/// The value of a field.
pub enum Field {
    Number(u32),
    Bytes([u8; 16]),
}

impl Superblock {
    /// The fields that say something, in the order on disk.
    pub fn fields(&self) -> Vec<(&'static str, Field)> {
        macro_rules! fields {
            ($($number:ident)* ; $($bytes:ident)* ; $($rest:ident)*) => {
                vec![
                    $((stringify!($number), Field::Number(u32::from(self.$number))),)*
                    $((stringify!($bytes), Field::Bytes(self.$bytes)),)*
                    $((stringify!($rest), Field::Number(u32::from(self.$rest))),)*
                ]
            };
        }
        fields! {
            s_inodes_count s_blocks_count_lo s_r_blocks_count_lo s_free_blocks_count_lo s_free_inodes_count
            s_first_data_block s_log_block_size s_log_cluster_size s_blocks_per_group s_clusters_per_group
            s_inodes_per_group s_mtime s_wtime s_mnt_count s_max_mnt_count s_magic s_state s_errors s_minor_rev_level
            s_lastcheck s_checkinterval s_creator_os s_rev_level s_def_resuid s_def_resgid s_first_ino s_inode_size
            s_block_group_nr s_feature_compat s_feature_incompat s_feature_ro_compat
            ; s_uuid s_volume_name
            ; s_min_extra_isize s_want_extra_isize s_log_groups_per_flex s_lpf_ino
        }
    }
}
