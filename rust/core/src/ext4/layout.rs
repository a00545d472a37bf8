//! Where things go: pure arithmetic on sizes and numbers. Also the 32-bit forms of it that hcsshim computes.

use crate::ext4::group_descriptor;
use crate::units::{BLOCK_SIZE, BLOCKS_PER_GROUP, blocks_for};

/// Maximum disk size in bytes if none is asked for, and the largest possible: 2^32 blocks.
pub const DEFAULT_MAXIMUM_DISK_SIZE: i64 = 1 << 34;
const LARGEST_DISK_SIZE: u64 = 1 << 44;

/// Inodes per group are a multiple of what fits in a block, and have one bitmap block.
const INODES_PER_BLOCK: u32 = (BLOCK_SIZE / super::inode::LEN as u64) as u32;
const MAX_INODES_PER_GROUP: u32 = 32768;
/// Each group has two bitmap blocks.
const BITMAPS: u32 = 2;

/// The maximum disk size that an option value stands for.
pub fn maximum_disk_size(option: i64) -> u64 {
    match u64::try_from(option) {
        Ok(0) => DEFAULT_MAXIMUM_DISK_SIZE as u64,
        Ok(bytes) if bytes <= LARGEST_DISK_SIZE => bytes.next_multiple_of(BLOCK_SIZE),
        _ => LARGEST_DISK_SIZE,
    }
}

/// Blocks set aside behind the superblock for the group descriptors of a disk of the maximum size.
pub fn reserved_descriptor_blocks(maximum_disk_size: u64) -> u32 {
    let blocks = blocks_for(maximum_disk_size);
    let groups = blocks.div_ceil(u64::from(BLOCKS_PER_GROUP));
    groups.div_ceil(u64::from(group_descriptor::PER_BLOCK)) as u32
}

/// Number of groups and inodes in each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups {
    pub count: u32,
    pub inodes_per_group: u32,
}

impl Groups {
    /// The fewest groups that hold the blocks before the inode table, the table and the bitmaps.
    pub fn exact(table_start: u32, inodes: u32) -> Self {
        best(|ipg| {
            let data_blocks = u64::from(data_blocks_per_group(ipg));
            let by_inodes = u64::from(inodes.saturating_sub(1) / ipg) * data_blocks + 1;
            let groups = u64::from(table_start).max(by_inodes).div_ceil(data_blocks);
            u32::try_from(groups).unwrap_or(u32::MAX)
        })
    }

    /// The same modulo 2^32 (N2, N2b).
    pub fn wrapping(table_start: u32, inodes: u32) -> Self {
        best(|ipg| {
            let data_blocks = data_blocks_per_group(ipg);
            let by_inodes = (inodes.wrapping_sub(1) / ipg).wrapping_mul(data_blocks).wrapping_add(1);
            table_start.max(by_inodes).wrapping_add(data_blocks - 1) / data_blocks
        })
    }

    pub fn inodes(self) -> u64 {
        u64::from(self.count) * u64::from(self.inodes_per_group)
    }

    /// Bytes of the inode tables of all groups.
    pub fn table_bytes(self) -> u64 {
        self.inodes() * super::inode::LEN as u64
    }

    pub fn table_blocks_per_group(self) -> u32 {
        self.inodes_per_group / INODES_PER_BLOCK
    }
}

fn data_blocks_per_group(inodes_per_group: u32) -> u32 {
    BLOCKS_PER_GROUP - inodes_per_group / INODES_PER_BLOCK - BITMAPS
}

fn best(groups: impl Fn(u32) -> u32) -> Groups {
    let mut best = Groups { count: u32::MAX, inodes_per_group: INODES_PER_BLOCK };
    for inodes_per_group in (INODES_PER_BLOCK..=MAX_INODES_PER_GROUP).step_by(INODES_PER_BLOCK as usize) {
        let count = groups(inodes_per_group);
        if count < best.count {
            best = Groups { count, inodes_per_group };
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::{Groups, maximum_disk_size, reserved_descriptor_blocks};

    #[test]
    fn disk_sizes_and_descriptor_blocks() {
        for (option, size, reserved) in [
            (0, 1 << 34, 1),
            (-1, 1 << 44, 1024),
            (1 << 37, 1 << 37, 8),
            (1, 4096, 1),
            (i64::MAX, 1 << 44, 1024),
        ] {
            assert_eq!(maximum_disk_size(option), size);
            assert_eq!(reserved_descriptor_blocks(size), reserved);
        }
    }

    #[test]
    fn wrapping_differs_from_two_million_inodes_on() {
        assert_eq!(Groups::exact(100, 2_097_344), Groups::wrapping(100, 2_097_344));
        assert_eq!(Groups::wrapping(100, 2_097_345).count, 0);
        assert_ne!(Groups::exact(100, 2_097_345).count, 0);
    }
}
