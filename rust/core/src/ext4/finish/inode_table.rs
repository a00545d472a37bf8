//! The inode tables of all groups, one after the other, and with them how many groups there are.

use zerocopy::IntoBytes;

use crate::error::Result;
use crate::ext4::format::checksum::InodeId;
use crate::ext4::format::extent::I_BLOCK_LEN;
use crate::ext4::format::inode::{self, Inode, InodeFields};
use crate::ext4::format::timestamp::Timestamp;
use crate::ext4::hcsshim;
use crate::ext4::layout::groups::Groups;
use crate::ext4::layout::{LinksBeyond, Tables};
use crate::ext4::storage::{INLINE_HEAD_LEN, Storage, i_block, index_blocks, inode_region, run_of};
use crate::faults::{Fault, Faults};
use crate::sink::Sink;
use crate::tree::{FileType, Node, Tree, flag};
use crate::units::{BLOCKS_PER_GROUP, BlockNumber, InodeNumber, Time};

/// Where the parts after the data are.
pub struct TablePlan {
    pub groups: Groups,
    pub table: BlockNumber,
    pub bitmaps: BlockNumber,
    /// First block after the bitmaps.
    pub end: u32,
    /// Length of the image in blocks.
    pub blocks: u32,
    /// Blocks of group descriptors that are in use.
    pub descriptor_blocks: u32,
}

/// Writes the tables, after the data.
pub fn write<S: Sink>(tree: &Tree, storage: &mut Storage<S>, faults: &mut Faults) -> Result<TablePlan> {
    match storage.layout().tables {
        Tables::AfterData => {}
    }
    let table = storage.output.block()?;
    let groups = choose_groups(tree, storage, faults, table);
    for (number, node) in (1..).map(InodeNumber::new).zip(tree.nodes()) {
        if node.has(flag::USED) {
            let inode = encode(tree, storage, faults, number, node);
            storage.output.write(inode.as_bytes())?;
        } else {
            storage.output.zeros(inode::LEN as u64)?;
        }
    }
    let written = tree.nodes().len() as u64 * inode::LEN as u64;
    storage.output.zeros(if faults.reproduces(Fault::B22) {
        hcsshim::geometry::table_padding(groups, written)
    } else {
        groups.table_bytes() - written
    })?;
    plan(storage, groups, table)
}

fn choose_groups<S: Sink>(
    tree: &Tree,
    storage: &Storage<S>,
    faults: &mut Faults,
    table: BlockNumber,
) -> Groups {
    let wrapping = hcsshim::geometry::groups(table.get(), tree.highest());
    if faults.reproduces(Fault::N2) {
        return wrapping;
    }
    let groups = storage.layout().groups(table.get(), tree.highest());
    if groups != wrapping {
        faults.found(Fault::N2);
    }
    if groups.table_bytes() > u64::from(u32::MAX) {
        faults.found(Fault::B22);
    }
    groups
}

/// The numbers wrap only where hcsshim's do, in N2.
fn plan<S: Sink>(storage: &Storage<S>, groups: Groups, table: BlockNumber) -> Result<TablePlan> {
    let bitmaps = storage.output.block()?;
    let end = bitmaps.get().wrapping_add(groups.count.wrapping_mul(2));
    let last_group = groups.count.wrapping_sub(1);
    let blocks = end.max(last_group.wrapping_mul(BLOCKS_PER_GROUP).wrapping_add(1));
    let descriptor_blocks = last_group / storage.layout().descriptors_per_block() + 1;
    if descriptor_blocks > storage.reserved {
        return Err(storage.output.exceeded());
    }
    Ok(TablePlan { groups, table, bitmaps, end, blocks, descriptor_blocks })
}

fn encode<S: Sink>(
    tree: &Tree,
    storage: &Storage<S>,
    faults: &Faults,
    number: InodeNumber,
    node: &Node,
) -> Inode {
    let layout = storage.layout();
    let data = DataFields::of(tree, node, faults);
    let (owner, times) = (tree.owner(node), tree.times(number));
    let xattr_block = tree.xattr_block(node);
    let xattrs = inode_region(tree, node, data.tail, faults);
    let fields = InodeFields {
        mode: node.mode,
        uid: owner.uid,
        gid: owner.gid,
        size: node.size,
        links: if node.is_dir() && node.links > layout.max_links {
            match layout.links_beyond {
                LinksBeyond::One => 1,
            }
        } else {
            node.links
        },
        blocks: data.blocks + u32::from(xattr_block.is_some()),
        flags: data.flags,
        i_block: data.i_block,
        xattr_block,
        atime: timestamp(times.atime, faults),
        ctime: timestamp(times.ctime, faults),
        mtime: timestamp(times.mtime, faults),
        xattrs: xattrs.as_ref(),
    };
    Inode::new(&fields, InodeId::new(number), layout)
}

fn timestamp(time: Time, faults: &Faults) -> Timestamp {
    if faults.reproduces(Fault::B3) { hcsshim::times::encode(time) } else { Timestamp::new(time) }
}

/// What an inode says of its data.
struct DataFields<'t> {
    blocks: u32,
    flags: u32,
    i_block: [u8; I_BLOCK_LEN],
    /// Of data in the inode: what does not fit into i_block.
    tail: Option<&'t [u8]>,
}

impl<'t> DataFields<'t> {
    fn of(tree: &'t Tree, node: &Node, faults: &Faults) -> Self {
        let mut fields = Self { blocks: 0, flags: 0, i_block: [0; I_BLOCK_LEN], tail: None };
        if node.has(flag::STORED) {
            let run = run_of(node);
            fields.flags = inode::FLAG_EXTENTS;
            fields.i_block = i_block(run, faults);
            fields.blocks = run.blocks + index_blocks(run, faults);
            return fields;
        }
        if node.has(flag::INLINE) {
            let data = tree.text_of(node);
            let (head, tail) = data.split_at_checked(INLINE_HEAD_LEN).unwrap_or((data, b""));
            fields.flags = inode::FLAG_INLINE_DATA;
            fields.i_block = padded(head);
            fields.tail = Some(tail);
            return fields;
        }
        match node.file_type() {
            FileType::Symlink => fields.i_block = padded(tree.text_of(node)),
            FileType::CharacterDevice | FileType::BlockDevice => {
                let device = tree.device(node);
                fields.i_block = inode::device_block(device.major, device.minor);
            }
            FileType::Regular | FileType::Directory | FileType::Fifo => {}
        }
        fields
    }
}

/// At most as many bytes as i_block has.
fn padded(bytes: &[u8]) -> [u8; I_BLOCK_LEN] {
    let mut block = [0; I_BLOCK_LEN];
    block.iter_mut().zip(bytes).for_each(|(slot, byte)| *slot = *byte);
    block
}
