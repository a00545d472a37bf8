//! How large the disk may be, and how many groups it has: pure arithmetic on sizes and numbers.

use crate::ext4::format::inode;
use crate::ext4::layout::{GroupChoice, Layout, ReservedDescriptors};
use crate::units::{BLOCK_SIZE, BLOCKS_PER_GROUP, blocks_for};

/// Maximum disk size in bytes if none is asked for, and the largest possible: 2^32 blocks.
pub const DEFAULT_MAXIMUM_DISK_SIZE: i64 = 1 << 34;
const LARGEST_DISK_SIZE: u64 = 1 << 44;

/// Inodes per group are a multiple of what fits in a block, and have one bitmap block.
const INODES_PER_BLOCK: u32 = (BLOCK_SIZE / inode::LEN as u64) as u32;
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

impl Layout {
    /// Descriptors in a block.
    pub fn descriptors_per_block(&self) -> u32 {
        (BLOCK_SIZE / self.descriptor_len as u64) as u32
    }

    /// Blocks after block 0 that are kept for the group descriptors.
    pub fn reserved_descriptor_blocks(&self, maximum_disk_size: u64) -> u32 {
        match self.reserved_descriptors {
            ReservedDescriptors::ForMaximumSize => {
                let groups = blocks_for(maximum_disk_size).div_ceil(u64::from(BLOCKS_PER_GROUP));
                groups.div_ceil(u64::from(self.descriptors_per_block())) as u32
            }
        }
    }

    /// The groups of an image whose inode tables start at that block.
    pub fn groups(&self, table_start: u32, inodes: u32) -> Groups {
        match self.group_choice {
            GroupChoice::Fewest => Groups::exact(table_start, inodes),
        }
    }
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
        fewest(|inodes_per_group| {
            let data_blocks = u64::from(data_blocks_per_group(inodes_per_group));
            let by_inodes = u64::from(inodes.saturating_sub(1) / inodes_per_group) * data_blocks + 1;
            let groups = u64::from(table_start).max(by_inodes).div_ceil(data_blocks);
            u32::try_from(groups).unwrap_or(u32::MAX)
        })
    }

    pub fn inodes(self) -> u64 {
        u64::from(self.count) * u64::from(self.inodes_per_group)
    }

    /// Bytes of the inode tables of all groups.
    pub fn table_bytes(self) -> u64 {
        self.inodes() * inode::LEN as u64
    }

    pub fn table_blocks_per_group(self) -> u32 {
        self.inodes_per_group / INODES_PER_BLOCK
    }
}

/// Blocks of a group that are neither table nor bitmap.
pub fn data_blocks_per_group(inodes_per_group: u32) -> u32 {
    BLOCKS_PER_GROUP - inodes_per_group / INODES_PER_BLOCK - BITMAPS
}

/// The smallest number of groups, and the first number of inodes per group that gives it.
pub fn fewest(groups: impl Fn(u32) -> u32) -> Groups {
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
    use super::maximum_disk_size;
    use crate::ext4::layout::Layout;

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
            assert_eq!(Layout::HCSSHIM.reserved_descriptor_blocks(size), reserved);
        }
    }
}
