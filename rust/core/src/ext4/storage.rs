//! Data, xattr blocks and link targets, which are written as they come; and what of them is free again.

use std::borrow::Cow;

use crate::error::{Error, Result, quote};
use crate::ext4::format::acl;
use crate::ext4::format::checksum::InodeId;
use crate::ext4::format::extent::{I_BLOCK_LEN, Run};
use crate::ext4::format::features::Features;
use crate::ext4::format::inode;
use crate::ext4::format::xattr::{self, BLOCK_REGION_LEN, END_LEN, INODE_REGION_LEN, Region, XattrEntry};
use crate::ext4::hcsshim;
use crate::ext4::layout::{Layout, XattrPlacing};
use crate::faults::{Fault, Faults};
use crate::sink::Sink;
use crate::sink::output::Output;
use crate::tree::{FileType, Node, Tree, Xattrs, flag};
use crate::units::{BLOCK_SIZE, BlockNumber, InodeNumber, blocks_for};

/// PATH_MAX less the NUL (B16).
const MAX_TARGET_LEN: usize = 4095;
/// As much of a small file's data as goes into i_block.
pub const INLINE_HEAD_LEN: usize = I_BLOCK_LEN;
/// What the tail of a small file's data is until there is data.
const NO_TAIL: [u8; INODE_REGION_LEN] = [0; INODE_REGION_LEN];

/// A regular file whose data is to come.
enum OpenFile {
    Stored(InodeNumber, BlockNumber),
    Inline(InodeNumber, Vec<u8>),
}

/// The part of an image that grows as entries come.
pub struct Storage<S> {
    layout: Layout,
    pub(super) output: Output<S>,
    /// Blocks after block 0 that are kept for group descriptors.
    pub(super) reserved: u32,
    inline_data: bool,
    /// Features that the image needs on top of its layout's.
    pub(super) features: Features,
    /// Blocks of what later entries replaced: first one and how many.
    pub(super) freed: Vec<(BlockNumber, u32)>,
    open: Option<OpenFile>,
}

/// A tree as it is before the first entry: the root, and lost+found.
pub fn new_tree() -> Result<Tree> {
    let mut tree = Tree::new(InodeNumber::ROOT);
    tree.skip_to(InodeNumber::LOST_AND_FOUND);
    let mode = FileType::Directory.bits() | 0o700;
    let number = tree.add(Node::new(mode, 2, flag::USED | flag::FIXED))?;
    let name = b"lost+found";
    tree.insert_hashed(tree.hash(InodeNumber::ROOT, name), InodeNumber::ROOT, name, number)?;
    tree.node_mut(InodeNumber::ROOT).links += 1;
    Ok(tree)
}

impl<S: Sink> Storage<S> {
    /// `maximum`: of the disk, in bytes, as `groups::maximum_disk_size` gives it.
    pub fn new(sink: S, layout: Layout, maximum: u64, inline_data: bool) -> Self {
        let reserved = layout.reserved_descriptor_blocks(maximum);
        let start = BlockNumber::new(1 + reserved);
        let features = if inline_data { Features::INLINE_DATA } else { Features::default() };
        let output = Output::new(sink, start, maximum);
        Self { layout, output, reserved, inline_data, features, freed: Vec::new(), open: None }
    }

    /// Adds a feature that the image needs.
    pub fn require(&mut self, features: Features) {
        self.features = self.features.with(features);
    }

    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Refuses what cannot fit in the end: directories of at least a block each, and inodes.
    pub fn check_capacity(&self, directories: u32, inodes: u32) -> Result<()> {
        self.output.check_room(u64::from(directories) * BLOCK_SIZE + u64::from(inodes) * inode::LEN as u64)
    }

    /// Whether a regular file of this size goes into its inode.
    pub fn is_inline(&self, size: u64) -> bool {
        self.inline_data && size <= self.layout.max_inline_size
    }

    /// Prepares for the data of a regular file.
    pub fn open(&mut self, tree: &Tree, number: InodeNumber) -> Result<()> {
        let node = tree.node(number);
        if node.has(flag::INLINE) {
            self.open = Some(OpenFile::Inline(number, Vec::new()));
        } else if node.size > 0 {
            self.open = Some(OpenFile::Stored(number, self.output.block()?));
        }
        Ok(())
    }

    /// Data of the file that was opened last.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.open {
            Some(OpenFile::Inline(_, data)) => {
                data.extend_from_slice(bytes);
                Ok(())
            }
            Some(OpenFile::Stored(..)) | None => self.output.write(bytes),
        }
    }

    /// The same, all zero.
    pub fn write_zeros(&mut self, length: u64) -> Result<()> {
        match &mut self.open {
            Some(OpenFile::Inline(_, data)) => {
                data.resize(data.len() + length.min(self.layout.max_inline_size) as usize, 0);
                Ok(())
            }
            Some(OpenFile::Stored(..)) | None => self.output.zeros(length),
        }
    }

    /// Ends the data of the file that was opened last.
    pub fn finish_file(&mut self, tree: &mut Tree, faults: &mut Faults) -> Result<()> {
        match self.open.take() {
            Some(OpenFile::Stored(number, start)) => self.finish_run(tree, faults, number, start),
            Some(OpenFile::Inline(number, data)) => tree.set_text(number, &data),
            None => Ok(()),
        }
    }

    /// A symlink's target: in its inode, or as data.
    pub fn store_target(
        &mut self,
        tree: &mut Tree,
        faults: &mut Faults,
        number: InodeNumber,
        target: &[u8],
    ) -> Result<()> {
        if !faults.reproduces(Fault::B16) && !(1..=MAX_TARGET_LEN).contains(&target.len()) {
            let message = format!(
                "the symlink's target has {} bytes, it must have 1 to {MAX_TARGET_LEN}",
                target.len()
            );
            return Err(Error::invalid_entry(message).fault(Fault::B16));
        }
        if target.len() <= self.layout.max_short_target_len {
            return tree.set_text(number, target);
        }
        if !faults.reproduces(Fault::B11) {
            tree.set_long_target(number, target);
        }
        let start = self.output.block()?;
        self.output.write(target)?;
        self.finish_run(tree, faults, number, start)
    }

    /// Fills the last block of a node's data, which starts there, and puts the blocks of its extents after it.
    fn finish_run(
        &mut self,
        tree: &mut Tree,
        faults: &mut Faults,
        number: InodeNumber,
        start: BlockNumber,
    ) -> Result<()> {
        self.write_extents(faults, number, start)?;
        tree.set_stored(number, start);
        Ok(())
    }

    /// The same as far as it is written.
    pub(super) fn write_extents(
        &mut self,
        faults: &mut Faults,
        number: InodeNumber,
        start: BlockNumber,
    ) -> Result<()> {
        self.output.pad_to_block()?;
        let run = Run { start, blocks: self.output.block()?.blocks_since(start) };
        let id = InodeId::new(number);
        if faults.reproduces(Fault::B1) {
            hcsshim::extents::tree(run, id).try_for_each(|block| self.output.write(&block))?;
        } else {
            run.tree(self.layout.checksums, id).try_for_each(|block| self.output.write(&block))?;
        }
        if hcsshim::extents::is_faulty(run) {
            faults.found(Fault::B1);
        }
        Ok(())
    }

    /// Stores a node's xattrs in place of its former ones: the tree keeps those that go into the inode, the others are
    /// written.
    pub fn store_xattrs(
        &mut self,
        tree: &mut Tree,
        faults: &mut Faults,
        number: InodeNumber,
        xattrs: &Xattrs,
    ) -> Result<()> {
        let node = tree.node(number);
        let (used, is_dir) = (tree.xattr_block(node), node.is_dir());
        let XattrPlaces { inode, block } = match self.layout.xattr_placing {
            XattrPlacing::FirstFit => first_fit(xattrs, inline_tail_len(node), faults)?,
        };
        tree.set_kept_xattrs(number, &inode)?;
        if block.is_empty() && used.is_none() {
            return Ok(());
        }
        // A directory's may be read again; reproducing B10, anything's.
        if is_dir || faults.reproduces(Fault::B10) {
            let stored = block.iter().map(|(name, value)| (name.to_vec(), value.to_vec()));
            tree.set_stored_xattrs(number, stored.collect());
        }
        let (entries, reordered) = in_block_order(&block, faults);
        if reordered {
            faults.found(Fault::B2);
        }
        match used {
            Some(used) => {
                let block = xattr::block(&entries, self.layout.checksums, used);
                self.output.rewrite(used.offset(), &block)
            }
            None => {
                let place = self.output.block()?;
                tree.set_xattr_block(number, place);
                self.output.may_change();
                self.output.write(&xattr::block(&entries, self.layout.checksums, place))
            }
        }
    }

    /// Frees a node's data, if any is stored.
    pub fn free_data(&mut self, tree: &mut Tree, faults: &Faults, number: InodeNumber) {
        let node = tree.node_mut(number);
        if node.has(flag::STORED) {
            let run = run_of(node);
            node.flags &= !flag::STORED;
            tree.forget_long_target(number);
            self.freed.push((run.start, run.blocks + index_blocks(run, faults)));
        }
    }

    /// Frees all that is stored for a node.
    pub fn free(&mut self, tree: &mut Tree, faults: &Faults, number: InodeNumber) {
        self.free_data(tree, faults, number);
        self.freed.extend(tree.xattr_block(tree.node(number)).map(|block| (block, 1)));
    }
}

/// The blocks of a node's data.
pub fn run_of(node: &Node) -> Run {
    Run { start: node.start(), blocks: blocks_for(node.size) as u32 }
}

/// Blocks of a run's extents after its data.
pub fn index_blocks(run: Run, faults: &Faults) -> u32 {
    if faults.reproduces(Fault::B1) { hcsshim::extents::index_blocks(run) } else { run.index_blocks() }
}

/// i_block of an inode with this run.
pub fn i_block(run: Run, faults: &Faults) -> [u8; I_BLOCK_LEN] {
    if faults.reproduces(Fault::B1) { hcsshim::extents::i_block(run) } else { run.i_block() }
}

/// The region of a node's inode; `tail`: of the data of a file that is in its inode.
pub fn inode_region(
    tree: &Tree,
    node: &Node,
    tail: Option<&[u8]>,
    faults: &Faults,
) -> Option<Region<INODE_REGION_LEN>> {
    if tail.is_none() && !tree.keeps_xattrs(node) {
        return None;
    }
    let kept = tree.kept_xattrs(node).map(|(name, value)| stored_form(name, value, faults));
    Some(xattr::inode_region(&tail.map(XattrEntry::system_data).into_iter().chain(kept).collect::<Vec<_>>()))
}

/// The xattrs in a node's inode as hcsshim reads them again; `None` where it crashes.
pub fn inode_xattrs_as_hcsshim(tree: &Tree, number: InodeNumber, faults: &Faults) -> Option<Xattrs> {
    let node = tree.node(number);
    let tail = inline_tail_len(node).and_then(|len| NO_TAIL.get(..len));
    match inode_region(tree, node, tail, faults) {
        Some(region) => hcsshim::xattrs::read(&region, 0),
        None => Some(Xattrs::new()),
    }
}

/// The same with those in its xattr block.
pub fn xattrs_as_hcsshim(tree: &Tree, number: InodeNumber, faults: &Faults) -> Option<Xattrs> {
    let mut all = Xattrs::new();
    if let Some(stored) = tree.stored_xattrs(number) {
        let stored: Vec<_> = stored.iter().map(|(name, value)| (name.as_slice(), value.as_slice())).collect();
        let (entries, _) = in_block_order(&stored, faults);
        let block = xattr::block(&entries, Layout::HCSSHIM.checksums, BlockNumber::default());
        all.append(&mut hcsshim::xattrs::read(
            block.get(xattr::BLOCK_HEADER_LEN..)?,
            xattr::BLOCK_HEADER_LEN,
        )?);
    }
    all.append(&mut inode_xattrs_as_hcsshim(tree, number, faults)?);
    Some(all)
}

/// Full name and value.
type Attribute<'x> = (&'x [u8], &'x [u8]);

/// Where the xattrs of one node go, in the order of their full names.
struct XattrPlaces<'x> {
    inode: Vec<Attribute<'x>>,
    block: Vec<Attribute<'x>>,
}

/// Places attributes into the inode while there is room, else into the block. `tail_len`: for a file with inline data,
/// the length of `system.data`, which comes first.
fn first_fit<'x>(xattrs: &'x Xattrs, tail_len: Option<usize>, faults: &Faults) -> Result<XattrPlaces<'x>> {
    let mut places = XattrPlaces { inode: Vec::new(), block: Vec::new() };
    let tail = tail_len.and_then(|len| NO_TAIL.get(..len));
    let tail_cost = tail.map_or(0, |tail| XattrEntry::system_data(tail).cost());
    let mut inode_free = (INODE_REGION_LEN - END_LEN).saturating_sub(tail_cost);
    let mut block_free = BLOCK_REGION_LEN - END_LEN;
    for (name, value) in xattrs {
        let cost = stored_form(name, value, faults).cost();
        if cost <= inode_free {
            inode_free -= cost;
            places.inode.push((name, value));
        } else if cost <= block_free {
            block_free -= cost;
            places.block.push((name, value));
        } else {
            return Err(Error::invalid_entry(format!(
                "xattr {} needs {cost} bytes, {block_free} of {} are left in the xattr block",
                quote(name),
                BLOCK_REGION_LEN - END_LEN
            ))
            .fault(Fault::B15));
        }
    }
    Ok(places)
}

/// The entries of a block in the order by which the kernel searches them, or hcsshim's where B2 is reproduced; and
/// whether the two differ.
fn in_block_order<'x>(attributes: &[Attribute<'x>], faults: &Faults) -> (Vec<XattrEntry<'x>>, bool) {
    let mut entries: Vec<_> =
        attributes.iter().map(|(name, value)| stored_form(name, value, faults)).collect();
    let mut kernel = entries.clone();
    kernel.sort_by(|a, b| (a.index, a.name.len(), a.name).cmp(&(b.index, b.name.len(), b.name)));
    hcsshim::xattr_order::sort(&mut entries);
    let differ = !entries.iter().zip(&kernel).all(|(a, b)| (a.index, a.name) == (b.index, b.name));
    (if faults.reproduces(Fault::B2) { entries } else { kernel }, differ)
}

/// An attribute as it is stored: ACLs have a form of their own (B5).
fn stored_form<'x>(full_name: &'x [u8], value: &'x [u8], faults: &Faults) -> XattrEntry<'x> {
    let (index, name) = if faults.reproduces(Fault::N7) {
        hcsshim::xattrs::split_name(full_name)
    } else {
        xattr::split_name(full_name)
    };
    let value = if acl::NAMES.contains(&full_name) && !faults.reproduces(Fault::B5) {
        Cow::Owned(acl::to_ext4(value))
    } else {
        Cow::Borrowed(value)
    };
    XattrEntry { index, name, value }
}

/// Length of the part of a small file's data that does not fit into i_block; `None` where the data is not in the inode.
fn inline_tail_len(node: &Node) -> Option<usize> {
    node.has(flag::INLINE).then(|| (node.size as usize).saturating_sub(INLINE_HEAD_LEN))
}
