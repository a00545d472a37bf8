//! N2, N2b, B22: group count and size of the inode tables modulo 2^32.

use crate::ext4::layout::groups::{Groups, data_blocks_per_group, fewest};

/// The number of groups as hcsshim computes it.
pub fn groups(table_start: u32, inodes: u32) -> Groups {
    fewest(|inodes_per_group| {
        let data_blocks = data_blocks_per_group(inodes_per_group);
        let by_inodes = (inodes.wrapping_sub(1) / inodes_per_group).wrapping_mul(data_blocks).wrapping_add(1);
        table_start.max(by_inodes).wrapping_add(data_blocks - 1) / data_blocks
    })
}

/// Zeros after the inodes that are in use, up to the end of the tables.
pub fn table_padding(groups: Groups, written: u64) -> u64 {
    u64::from((groups.table_bytes() as u32).wrapping_sub(written as u32))
}

#[cfg(test)]
mod tests {
    use super::groups;
    use crate::ext4::layout::groups::Groups;

    #[test]
    fn hcsshim_differs_from_two_million_inodes_on() {
        assert_eq!(Groups::exact(100, 2_097_344), groups(100, 2_097_344));
        assert_eq!(groups(100, 2_097_345).count, 0);
        assert_ne!(Groups::exact(100, 2_097_345).count, 0);
    }
}
