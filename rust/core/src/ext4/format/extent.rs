//! The extent tree of one contiguous run of blocks: in the inode up to four extents, else in index blocks after the
//! data, leaves first, then each level above. Source: kernel, Documentation/filesystems/ext4/ifork.rst.

use std::mem::offset_of;

use zerocopy::little_endian::{U16, U32};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use crate::ext4::format::checksum::{Checksums, InodeId};
use crate::units::{BLOCK_LEN, BlockNumber};

/// Longest extent in blocks; ee_len values above mean "unwritten".
pub const MAX_EXTENT_BLOCKS: u32 = 32768;
pub const I_BLOCK_LEN: usize = 60;
/// Entries in the inode and in a block.
pub const IN_INODE: u32 = 4;
pub const IN_BLOCK: u32 = 340;

const MAGIC: u16 = 0xF30A;

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Header {
    eh_magic: U16,
    eh_entries: U16,
    eh_max: U16,
    eh_depth: U16,
    eh_generation: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Extent {
    pub ee_block: U32,
    pub ee_len: U16,
    pub ee_start_hi: U16,
    pub ee_start_lo: U32,
}

#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Index {
    pub ei_block: U32,
    pub ei_leaf_lo: U32,
    pub ei_leaf_hi: U16,
    pub ei_unused: U16,
}

/// What a block of the tree ends with where it has a checksum.
#[derive(FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
struct Tail {
    et_checksum: U32,
}

const ENTRY_LEN: usize = size_of::<Header>();

const _: () = {
    assert!(ENTRY_LEN == 12 && size_of::<Extent>() == ENTRY_LEN && size_of::<Index>() == ENTRY_LEN);
    assert!(offset_of!(Header, eh_depth) == 6 && offset_of!(Extent, ee_start_lo) == 8);
    assert!(offset_of!(Index, ei_leaf_lo) == 4 && offset_of!(Index, ei_leaf_hi) == 8);
    assert!(I_BLOCK_LEN == ENTRY_LEN * (1 + IN_INODE as usize));
    assert!(BLOCK_LEN == ENTRY_LEN * (1 + IN_BLOCK as usize) + size_of::<Tail>());
};

/// This many blocks from `start` on; the blocks of its tree, if it needs any, follow the last of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Run {
    pub start: BlockNumber,
    pub blocks: u32,
}

impl Run {
    pub fn extents(self) -> u32 {
        self.blocks.div_ceil(MAX_EXTENT_BLOCKS)
    }

    /// First block after the data: the first leaf, if there are any.
    pub fn end(self) -> BlockNumber {
        self.start.wrapping_add(self.blocks) // checked when the data was written
    }

    /// Blocks of each level of the tree that is not in the inode, the leaves first.
    fn levels(self) -> impl Iterator<Item = u32> {
        let mut entries = self.extents();
        std::iter::from_fn(move || {
            (entries > IN_INODE).then(|| {
                entries = entries.div_ceil(IN_BLOCK);
                entries
            })
        })
    }

    /// Blocks of the tree after the data.
    pub fn index_blocks(self) -> u32 {
        self.levels().sum()
    }

    /// i_block of the inode.
    pub fn i_block(self) -> [u8; I_BLOCK_LEN] {
        match self.levels().last() {
            None => root(0, (0..self.extents()).map(|j| self.extent(j))),
            Some(entries) => {
                let depth = self.levels().count() as u32;
                let first = self.end().wrapping_add(self.index_blocks() - entries);
                root(depth, (0..entries).map(|i| self.index(depth, i, first)))
            }
        }
    }

    /// The blocks of the tree in the order in which they follow the data.
    pub fn tree(self, checksums: Checksums, id: InodeId) -> impl Iterator<Item = [u8; BLOCK_LEN]> {
        let below = std::iter::once(self.extents()).chain(self.levels());
        let mut before = self.end(); // where the level below starts
        (0..).zip(self.levels().zip(below)).flat_map(move |(depth, (blocks, below))| {
            let first_below = before;
            if depth > 0 {
                before = before.wrapping_add(below);
            }
            (0..blocks).map(move |i| {
                let entries = i * IN_BLOCK..below.min((i + 1) * IN_BLOCK);
                match depth {
                    0 => block(0, entries.map(|j| self.extent(j)), checksums, id),
                    _ => block(depth, entries.map(|j| self.index(depth, j, first_below)), checksums, id),
                }
            })
        })
    }

    fn extent(self, j: u32) -> Extent {
        let logical = j * MAX_EXTENT_BLOCKS;
        let length = self.blocks.saturating_sub(logical).min(MAX_EXTENT_BLOCKS);
        extent(logical, length, self.start.wrapping_add(logical))
    }

    /// Entry j of a node above the leaves, at that depth, for the block j places after the first one below.
    fn index(self, depth: u32, j: u32, first: BlockNumber) -> Index {
        index(j * IN_BLOCK.pow(depth) * MAX_EXTENT_BLOCKS, first.wrapping_add(j))
    }
}

/// `length` is at most `MAX_EXTENT_BLOCKS`.
pub fn extent(logical: u32, length: u32, physical: BlockNumber) -> Extent {
    Extent {
        ee_block: U32::new(logical),
        ee_len: U16::new(length as u16),
        ee_start_hi: U16::ZERO,
        ee_start_lo: U32::new(physical.get()),
    }
}

pub fn index(logical: u32, block: BlockNumber) -> Index {
    Index {
        ei_block: U32::new(logical),
        ei_leaf_lo: U32::new(block.get()),
        ei_leaf_hi: U16::ZERO,
        ei_unused: U16::ZERO,
    }
}

/// A node in the inode, of at most `IN_INODE` entries.
pub fn root<T: IntoBytes + Immutable>(
    depth: u32,
    entries: impl ExactSizeIterator<Item = T>,
) -> [u8; I_BLOCK_LEN] {
    let mut bytes = [0; I_BLOCK_LEN];
    write_node(&mut bytes, depth, IN_INODE, entries);
    bytes
}

/// A node in a block, of at most `IN_BLOCK` entries.
pub fn block<T: IntoBytes + Immutable>(
    depth: u32,
    entries: impl ExactSizeIterator<Item = T>,
    checksums: Checksums,
    id: InodeId,
) -> [u8; BLOCK_LEN] {
    let mut bytes = [0; BLOCK_LEN];
    write_node(&mut bytes, depth, IN_BLOCK, entries);
    let (node, tail) = bytes.split_at_mut(BLOCK_LEN - size_of::<Tail>());
    if let Some(checksum) = checksums.of_inode(id, node) {
        tail.copy_from_slice(Tail { et_checksum: U32::new(checksum) }.as_bytes());
    }
    bytes
}

fn write_node<T: IntoBytes + Immutable>(
    target: &mut [u8],
    depth: u32,
    max: u32,
    entries: impl ExactSizeIterator<Item = T>,
) {
    let header = Header {
        eh_magic: U16::new(MAGIC),
        eh_entries: U16::new(entries.len() as u16),
        eh_max: U16::new(max as u16),
        eh_depth: U16::new(depth as u16),
        eh_generation: U32::ZERO,
    };
    let (slots, _) = target.as_chunks_mut::<ENTRY_LEN>();
    let mut slots = slots.iter_mut();
    let mut put = |bytes: &[u8]| {
        #[expect(
            clippy::expect_used,
            reason = "target holds the header and `max` entries, and there are no more"
        )]
        slots.next().expect("a slot for each entry").copy_from_slice(bytes);
    };
    put(header.as_bytes());
    entries.for_each(|entry| put(entry.as_bytes()));
}

#[cfg(test)]
mod tests {
    use super::{Checksums, InodeId, Run};
    use crate::units::{BlockNumber, InodeNumber};

    /// Follows the tree from the root; returns the extents as (logical, length, physical).
    fn read(run: Run) -> Vec<(u32, u32, u32)> {
        let blocks: Vec<_> = run.tree(Checksums::None, InodeId::new(InodeNumber::ROOT)).collect();
        assert_eq!(blocks.len(), run.index_blocks() as usize);
        let mut found = Vec::new();
        let mut nodes = vec![run.i_block().to_vec()];
        while let Some(node) = nodes.pop() {
            let u16_at = |at: usize| u32::from(u16::from_le_bytes([node[at], node[at + 1]]));
            let u32_at = |at: usize| u32::from_le_bytes(node[at..at + 4].try_into().unwrap());
            assert_eq!(u16_at(0), 0xF30A);
            for at in (12..).step_by(12).take(u16_at(2) as usize) {
                if u16_at(6) == 0 {
                    found.push((u32_at(at), u16_at(at + 4), u32_at(at + 8)));
                } else {
                    let block = u32_at(at + 4) - run.end().get();
                    nodes.push(blocks[block as usize].to_vec());
                }
            }
        }
        found.sort_unstable();
        found
    }

    #[test]
    fn every_block_is_found_however_deep_the_tree() {
        for (blocks, index_blocks) in [
            (1, 0),
            (4 * 32768, 0),
            (4 * 32768 + 1, 1),
            (340 * 32768, 1),
            (340 * 32768 + 1, 2),
            (4 * 340 * 32768, 4),
            (4 * 340 * 32768 + 1, 6),
            (u32::MAX - 1000, 386 + 2),
        ] {
            let run = Run { start: BlockNumber::new(7), blocks };
            assert_eq!(run.index_blocks(), index_blocks, "{blocks}");
            let mut next = 0;
            for (logical, length, physical) in read(run) {
                assert_eq!((logical, physical), (next, 7 + next));
                next += length;
            }
            assert_eq!(next, blocks);
        }
    }
}
