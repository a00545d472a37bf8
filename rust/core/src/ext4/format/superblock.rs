//! The superblock, 1024 bytes at byte 1024. Source: kernel, Documentation/filesystems/ext4/super.rst.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::error::{Error, Result};
use crate::ext4::format::checksum::Checksums;
use crate::ext4::format::features::Features;
use crate::ext4::format::inode;
use crate::ext4::layout::Layout;
use crate::units::{BLOCK_LEN, BLOCKS_PER_GROUP, InodeNumber};

pub const OFFSET: usize = 1024;
pub const LEN: usize = 1024;
const MAGIC: u16 = 0xEF53;

/// s_state: cleanly unmounted; s_errors: continue; s_rev_level: dynamic inode sizes.
const STATE_CLEAN: u16 = 1;
const ERRORS_CONTINUE: u16 = 1;
const DYNAMIC_REVISION: u32 = 1;
/// s_log_block_size and s_log_cluster_size: 1024 << 2 bytes.
const LOG_BLOCK_SIZE: u32 = 2;
/// s_checksum_type, with metadata_csum.
const CHECKSUM_CRC32C: u8 = 1;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Superblock {
    pub s_inodes_count: U32,
    pub s_blocks_count_lo: U32,
    pub s_r_blocks_count_lo: U32,
    pub s_free_blocks_count_lo: U32,
    pub s_free_inodes_count: U32,
    pub s_first_data_block: U32,
    pub s_log_block_size: U32,
    pub s_log_cluster_size: U32,
    pub s_blocks_per_group: U32,
    pub s_clusters_per_group: U32,
    pub s_inodes_per_group: U32,
    pub s_mtime: U32,
    pub s_wtime: U32,
    pub s_mnt_count: U16,
    pub s_max_mnt_count: U16,
    pub s_magic: U16,
    pub s_state: U16,
    pub s_errors: U16,
    pub s_minor_rev_level: U16,
    pub s_lastcheck: U32,
    pub s_checkinterval: U32,
    pub s_creator_os: U32,
    pub s_rev_level: U32,
    pub s_def_resuid: U16,
    pub s_def_resgid: U16,
    pub s_first_ino: U32,
    pub s_inode_size: U16,
    pub s_block_group_nr: U16,
    pub s_feature_compat: U32,
    pub s_feature_incompat: U32,
    pub s_feature_ro_compat: U32,
    pub s_uuid: [u8; 16],
    pub s_volume_name: [u8; 16],
    unused_88: [u8; 0x15C - 0x88],
    pub s_min_extra_isize: U16,
    pub s_want_extra_isize: U16,
    unused_160: [u8; 0x174 - 0x160],
    pub s_log_groups_per_flex: u8,
    pub s_checksum_type: u8,
    unused_176: [u8; 0x268 - 0x176],
    pub s_lpf_ino: U32,
    unused_26c: [u8; 0x3FC - 0x26C],
    pub s_checksum: U32,
}

const _: () = {
    assert!(size_of::<Superblock>() == LEN);
    assert!(offset_of!(Superblock, s_magic) == 0x38 && offset_of!(Superblock, s_first_ino) == 0x54);
    assert!(offset_of!(Superblock, s_feature_compat) == 0x5C && offset_of!(Superblock, s_uuid) == 0x68);
    assert!(offset_of!(Superblock, s_min_extra_isize) == 0x15C);
    assert!(offset_of!(Superblock, s_checksum_type) == 0x175);
    assert!(offset_of!(Superblock, s_lpf_ino) == 0x268 && offset_of!(Superblock, s_checksum) == 0x3FC);
};

/// What differs from image to image.
pub struct Counts {
    pub inodes: u32,
    pub blocks: u32,
    pub free_blocks: u32,
    pub free_inodes: u32,
    pub inodes_per_group: u32,
    /// Those that the image needs on top of its layout's.
    pub features: Features,
}

impl Superblock {
    pub fn new(layout: &Layout, counts: &Counts) -> Self {
        let features = layout.features.with(counts.features);
        let mut sb: Self = zerocopy::FromZeros::new_zeroed();
        sb.s_inodes_count = U32::new(counts.inodes);
        sb.s_blocks_count_lo = U32::new(counts.blocks);
        sb.s_free_blocks_count_lo = U32::new(counts.free_blocks);
        sb.s_free_inodes_count = U32::new(counts.free_inodes);
        sb.s_log_block_size = U32::new(LOG_BLOCK_SIZE);
        sb.s_log_cluster_size = U32::new(LOG_BLOCK_SIZE);
        sb.s_blocks_per_group = U32::new(BLOCKS_PER_GROUP);
        sb.s_clusters_per_group = U32::new(BLOCKS_PER_GROUP);
        sb.s_inodes_per_group = U32::new(counts.inodes_per_group);
        sb.s_magic = U16::new(MAGIC);
        sb.s_state = U16::new(STATE_CLEAN);
        sb.s_errors = U16::new(ERRORS_CONTINUE);
        sb.s_rev_level = U32::new(DYNAMIC_REVISION);
        sb.s_first_ino = U32::new(InodeNumber::LOST_AND_FOUND.get());
        sb.s_inode_size = U16::new(inode::LEN as u16);
        sb.s_feature_compat = U32::new(features.compat);
        sb.s_feature_incompat = U32::new(features.incompat);
        sb.s_feature_ro_compat = U32::new(features.ro_compat);
        sb.s_uuid = layout.uuid;
        sb.s_min_extra_isize = U16::new(layout.extra_isize);
        sb.s_want_extra_isize = U16::new(layout.extra_isize);
        sb.s_log_groups_per_flex = layout.log_groups_per_flex;
        sb.s_lpf_ino = U32::new(InodeNumber::LOST_AND_FOUND.get());
        sb.seal(layout.checksums);
        sb
    }

    /// Block 0 with the superblock in it.
    pub fn in_block_0(&self) -> Vec<u8> {
        let mut block = vec![0; OFFSET];
        block.extend_from_slice(self.as_bytes());
        block.resize(BLOCK_LEN, 0);
        block
    }

    fn seal(&mut self, checksums: Checksums) {
        match checksums {
            Checksums::None => {}
            Checksums::Crc32c { .. } => self.s_checksum_type = CHECKSUM_CRC32C,
        }
        let covered = self.as_bytes().get(..offset_of!(Self, s_checksum)).unwrap_or_default();
        if let Some(checksum) = checksums.of_superblock(covered) {
            self.s_checksum = U32::new(checksum);
        }
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
