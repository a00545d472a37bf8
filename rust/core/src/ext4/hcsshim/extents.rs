//! B1: hcsshim's leaf blocks, of which there may be one too many, and whose offset is counted twice.

use crate::ext4::format::checksum::{Checksums, InodeId};
use crate::ext4::format::extent::{
    Extent, I_BLOCK_LEN, IN_BLOCK, IN_INODE, MAX_EXTENT_BLOCKS, Run, block, extent, index, root,
};
use crate::units::{BLOCK_LEN, BlockNumber};

/// Whether hcsshim lays this run out wrongly.
pub fn is_faulty(run: Run) -> bool {
    run.extents() >= IN_BLOCK
}

/// Leaf blocks after the data.
pub fn index_blocks(run: Run) -> u32 {
    match run.extents() {
        0..=IN_INODE => 0,
        extents => extents / IN_BLOCK + 1,
    }
}

/// i_block of the inode.
pub fn i_block(run: Run) -> [u8; I_BLOCK_LEN] {
    match index_blocks(run) {
        0 => run.i_block(),
        leaves => {
            root(1, (0..leaves).map(|i| index(i * IN_BLOCK * MAX_EXTENT_BLOCKS, run.end().wrapping_add(i))))
        }
    }
}

/// The leaf blocks in order.
pub fn tree(run: Run, id: InodeId) -> impl Iterator<Item = [u8; BLOCK_LEN]> {
    let leaves = index_blocks(run);
    (0..leaves).map(move |i| {
        let first = i * IN_BLOCK;
        let entries = run.extents().wrapping_sub(i * leaves).min(IN_BLOCK);
        block(0, (first..first + entries).map(|j| faulty_extent(run, j, first)), Checksums::None, id)
    })
}

/// A length below zero becomes a full one.
fn faulty_extent(run: Run, j: u32, first: u32) -> Extent {
    let logical = j * MAX_EXTENT_BLOCKS;
    let length = run.blocks.wrapping_sub(logical).min(MAX_EXTENT_BLOCKS);
    let start: BlockNumber = run.start.wrapping_add(logical);
    extent(logical, length, start.wrapping_add(first * MAX_EXTENT_BLOCKS))
}

#[cfg(test)]
mod tests {
    use super::{i_block, index_blocks, is_faulty, tree};
    use crate::ext4::format::checksum::{Checksums, InodeId};
    use crate::ext4::format::extent::Run;
    use crate::units::{BlockNumber, InodeNumber};

    #[test]
    fn runs_below_340_extents_are_right() {
        let id = InodeId::new(InodeNumber::ROOT);
        for (extents, faulty) in [(1, false), (5, false), (339, false), (340, true), (680, true)] {
            let run = Run { start: BlockNumber::new(9), blocks: extents * 32768 - 3 };
            assert_eq!(is_faulty(run), faulty, "{extents}");
            let same = tree(run, id).eq(run.tree(Checksums::None, id)) && i_block(run) == run.i_block();
            assert_eq!(same, !faulty, "{extents}");
        }
        assert_eq!(index_blocks(Run { start: BlockNumber::new(9), blocks: 340 * 32768 }), 2);
    }
}
