//! The extent tree of one contiguous run of blocks: in the inode up to four extents, else in leaf blocks behind the data.
//! Source: kernel, Documentation/filesystems/ext4/ifork.rst.

use crate::faults::{Fault, Faults};
use crate::units::{BLOCK_LEN, BlockNumber};
use zerocopy::little_endian::{U16, U32};
use zerocopy::{Immutable, IntoBytes};

/// Longest extent in blocks; ee_len values above mean "unwritten".
const EXTENT_BLOCKS: u32 = 32768;
const MAGIC: u16 = 0xF30A;
pub const I_BLOCK_LEN: usize = 60;
const IN_INODE: u32 = 4;
const IN_LEAF: u32 = 340;

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Header {
    eh_magic: U16,      // 0
    eh_entries: U16,    // 2
    eh_max: U16,        // 4
    eh_depth: U16,      // 6
    eh_generation: U32, // 8
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Extent {
    ee_block: U32,    // 0
    ee_len: U16,      // 4
    ee_start_hi: U16, // 6
    ee_start_lo: U32, // 8
}

#[derive(IntoBytes, Immutable)]
#[repr(C)]
struct Index {
    ei_block: U32,   // 0
    ei_leaf_lo: U32, // 4
    ei_leaf_hi: U16, // 8
    ei_unused: U16,  // 10
}

const _: () = assert!(size_of::<Header>() == 12 && size_of::<Extent>() == 12 && size_of::<Index>() == 12);

/// `blocks` blocks from `start` on; its leaf blocks, if it needs any, follow the last of them.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    pub start: BlockNumber,
    pub blocks: u32,
}

impl Run {
    fn extents(self) -> u32 {
        self.blocks.div_ceil(EXTENT_BLOCKS)
    }

    /// Leaf blocks behind the data.
    pub fn leaves(self, faults: &Faults) -> u32 {
        match self.extents() {
            0..=IN_INODE => 0,
            extents if faults.reproduces(Fault::B1) => extents / IN_LEAF + 1,
            extents => extents.div_ceil(IN_LEAF),
        }
    }

    /// Whether hcsshim lays this run out wrongly (B1).
    pub fn is_faulty_in_hcsshim(self) -> bool {
        self.extents() >= IN_LEAF
    }

    /// i_block of the inode.
    pub fn i_block(self, faults: &Faults) -> [u8; I_BLOCK_LEN] {
        let mut bytes = [0; I_BLOCK_LEN];
        let leaves = self.leaves(faults);
        if leaves == 0 {
            write_node(&mut bytes, self.extents(), IN_INODE, 0, (0..self.extents()).map(|j| self.extent(j)));
        } else {
            let first_leaf = self.start.0.wrapping_add(self.blocks);
            let entries = (0..leaves).map(|i| Index {
                ei_block: U32::new(i * IN_LEAF * EXTENT_BLOCKS),
                ei_leaf_lo: U32::new(first_leaf.wrapping_add(i)),
                ei_leaf_hi: U16::ZERO,
                ei_unused: U16::ZERO,
            });
            write_node(&mut bytes, leaves, IN_INODE, 1, entries);
        }
        bytes
    }

    /// The leaf blocks in order.
    pub fn leaf_blocks(self, faults: &Faults) -> impl Iterator<Item = [u8; BLOCK_LEN]> + use<> {
        let leaves = self.leaves(faults);
        let faulty = faults.reproduces(Fault::B1);
        (0..leaves).map(move |i| {
            let mut block = [0; BLOCK_LEN];
            let first = i * IN_LEAF;
            let left = if faulty { self.extents().wrapping_sub(i * leaves) } else { self.extents() - first };
            let entries = left.min(IN_LEAF);
            let extents = (first..first + entries)
                .map(|j| if faulty { self.faulty_extent(j, first) } else { self.extent(j) });
            write_node(&mut block, entries, IN_LEAF, 0, extents);
            block
        })
    }

    fn extent(self, j: u32) -> Extent {
        let logical = j * EXTENT_BLOCKS;
        let length = self.blocks.saturating_sub(logical).min(EXTENT_BLOCKS);
        extent(logical, length, self.start.0.wrapping_add(logical))
    }

    /// B1: the leaf's offset is counted twice, and a length below zero becomes a full one.
    fn faulty_extent(self, j: u32, first: u32) -> Extent {
        let logical = j * EXTENT_BLOCKS;
        let length = self.blocks.wrapping_sub(logical).min(EXTENT_BLOCKS);
        extent(logical, length, self.start.0.wrapping_add(logical).wrapping_add(first * EXTENT_BLOCKS))
    }
}

fn extent(logical: u32, length: u32, physical: u32) -> Extent {
    Extent {
        ee_block: U32::new(logical),
        ee_len: U16::new(length as u16),
        ee_start_hi: U16::ZERO,
        ee_start_lo: U32::new(physical),
    }
}

fn write_node<T: IntoBytes + Immutable>(
    target: &mut [u8],
    entries: u32,
    max: u32,
    depth: u16,
    items: impl Iterator<Item = T>,
) {
    let header = Header {
        eh_magic: U16::new(MAGIC),
        eh_entries: U16::new(entries as u16),
        eh_max: U16::new(max as u16),
        eh_depth: U16::new(depth),
        eh_generation: U32::ZERO,
    };
    let mut slots = target.chunks_exact_mut(size_of::<Header>());
    if let Some(slot) = slots.next() {
        slot.copy_from_slice(header.as_bytes());
    }
    for (slot, item) in slots.zip(items) {
        slot.copy_from_slice(item.as_bytes());
    }
}
