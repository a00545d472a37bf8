//! The image being written: entries come in tar order, then it is closed. Order of work only; each on-disk
//! structure has its own file.

use crate::error::{Error, Result};
use crate::ext4::extent::Run;
use crate::ext4::inode;
use crate::ext4::layout;
use crate::ext4::timestamp::Timestamp;
use crate::ext4::tree::{Extra, Node, Owner, Tree, flag};
use crate::ext4::xattr::{self, Xattrs};
use crate::faults::{Fault, Faults};
use crate::sink::Sink;
use crate::sink::output::Output;
use crate::units::{BlockNumber, InodeNumber, blocks_for};

/// Largest regular file in bytes.
const MAX_FILE_SIZE: u64 = 1 << 37;
/// Files up to this size go into the inode, if asked for: 60 bytes of i_block and 76 of system.data.
const MAX_INLINE_SIZE: u64 = 136;
pub const INLINE_HEAD_LEN: usize = 60;
/// Longest symlink target in the inode, in bytes: i_block less a NUL.
const MAX_SHORT_TARGET: usize = 59;
/// PATH_MAX less the NUL (B16).
const MAX_TARGET: usize = 4095;

/// What an entry says of its inode.
#[derive(Clone, Debug, Default)]
pub struct Attributes {
    /// Type and permissions; a type of 0 is written as a regular file.
    pub mode: u16,
    pub uid: u32,
    pub gid: u32,
    pub atime: Timestamp,
    pub ctime: Timestamp,
    pub mtime: Timestamp,
    /// Of a regular file, in bytes.
    pub size: u64,
    /// Of a symlink.
    pub target: Vec<u8>,
    /// Of a device, encoded.
    pub device: u32,
    pub xattrs: Xattrs,
    /// A directory in which nothing of the lower layers shows, whatever later entries say of it.
    pub opaque: bool,
}

impl Attributes {
    pub fn kind(&self) -> u16 {
        self.mode & inode::TYPE_MASK
    }

    pub fn is_dir(&self) -> bool {
        self.kind() == inode::TYPE_DIRECTORY
    }

    fn is_regular(&self) -> bool {
        matches!(self.kind(), inode::TYPE_REGULAR | 0)
    }
}

/// A regular file whose data is to come.
enum Open {
    Blocks(InodeNumber, BlockNumber),
    Inline(InodeNumber, Vec<u8>),
}

pub struct Writer<S> {
    pub faults: Faults,
    pub(super) tree: Tree,
    pub(super) output: Output<S>,
    /// Blocks behind block 0 that are kept for group descriptors.
    pub(super) reserved: u32,
    pub(super) inline_data: bool,
    /// Directories there are, of at least a block each.
    pub(super) directories: u32,
    /// Blocks of files that later entries replaced.
    pub(super) freed: Vec<(BlockNumber, u32)>,
    /// B23: a directory has too many links for its field.
    pub(super) dir_nlink: bool,
    /// How often something was taken away, after which what a path led to must be looked up anew.
    pub removals: u64,
    /// How often a path led through something else than directories.
    pub resolved: u64,
    open: Option<Open>,
}

impl<S: Sink> Writer<S> {
    /// `maximum`: of the disk, in bytes, as `layout::maximum_disk_size` gives it.
    pub fn new(sink: S, faults: Faults, maximum: u64, inline_data: bool) -> Self {
        let reserved = layout::reserved_descriptor_blocks(maximum);
        Self {
            faults,
            tree: Tree::new(),
            output: Output::new(sink, BlockNumber(1 + reserved), maximum),
            reserved,
            inline_data,
            directories: 2, // the root and lost+found
            freed: Vec::new(),
            dir_nlink: false,
            removals: 0,
            resolved: 0,
            open: None,
        }
    }

    /// Data of the file that was created last.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        match &mut self.open {
            Some(Open::Inline(_, data)) => {
                data.extend_from_slice(bytes);
                Ok(())
            }
            _ => self.output.write(bytes),
        }
    }

    /// The same, all zero.
    pub fn write_zeros(&mut self, length: u64) -> Result<()> {
        match &mut self.open {
            Some(Open::Inline(_, data)) => {
                data.resize(data.len() + length.min(MAX_INLINE_SIZE) as usize, 0);
                Ok(())
            }
            _ => self.output.zeros(length),
        }
    }

    /// Ends the data of the file that was created last.
    pub fn finish_file(&mut self) -> Result<()> {
        match self.open.take() {
            Some(Open::Blocks(number, start)) => self.finish_run(number, start),
            Some(Open::Inline(number, data)) => {
                self.tree.node_mut(number).data = self.tree.add_text(&data)?;
                Ok(())
            }
            None => Ok(()),
        }
    }

    /// Describes the data from a block up to the position, which belongs to the node, by extents.
    pub(super) fn finish_run(&mut self, number: InodeNumber, start: BlockNumber) -> Result<()> {
        let run = write_extent_index(&mut self.output, start, &self.faults)?;
        self.set_run(number, run);
        Ok(())
    }

    pub(super) fn set_run(&mut self, number: InodeNumber, run: Run) {
        if run.is_faulty_in_hcsshim() {
            self.faults.found(Fault::B1);
        }
        let node = self.tree.node_mut(number);
        node.flags |= flag::EXTENTS;
        node.data = run.start.0;
    }

    /// The blocks of a node's data.
    pub(super) fn run_of(node: &Node) -> Run {
        Run { start: BlockNumber(node.data), blocks: blocks_for(node.size) as u32 }
    }

    /// Gives a node, new or used before, its attributes, and opens it if it is a file with data.
    /// A used node keeps its number, links and xattr block.
    pub(super) fn set_attributes(
        &mut self,
        number: InodeNumber,
        attributes: &Attributes,
        reused: bool,
    ) -> Result<()> {
        let xattrs = self.effective_xattrs(number, attributes, reused)?;
        let size = match attributes.kind() {
            inode::TYPE_SYMLINK => attributes.target.len() as u64,
            _ if attributes.is_regular() => attributes.size,
            _ => 0,
        };
        if attributes.is_regular() && size > MAX_FILE_SIZE {
            return Err(Error::disk_size(format!(
                "the file has {size} bytes, at most {MAX_FILE_SIZE} are possible"
            )));
        }
        let inline = self.inline_data && attributes.is_regular() && size <= MAX_INLINE_SIZE;
        let data_len = inline.then(|| (size as usize).saturating_sub(INLINE_HEAD_LEN));

        let node = self.tree.node_mut(number);
        node.mode = match attributes.kind() {
            0 => attributes.mode | inode::TYPE_REGULAR,
            inode::TYPE_SYMLINK => attributes.mode | 0o777,
            _ => attributes.mode,
        };
        node.mtime = attributes.mtime;
        node.size = size;
        node.data = attributes.device;
        node.flags = flag::USED
            | node.flags & flag::OPAQUE
            | if inline { flag::INLINE } else { 0 }
            | if attributes.opaque { flag::OPAQUE } else { 0 };
        let extra = self.tree.extra(self.tree.node(number));
        self.tree.set_extra(number, Extra { atime: attributes.atime, ctime: attributes.ctime, ..extra });
        self.tree.set_owner(number, Owner { uid: attributes.uid, gid: attributes.gid });
        self.place_xattrs(number, &xattrs, data_len)?;

        if attributes.kind() == inode::TYPE_SYMLINK {
            self.write_target(number, &attributes.target)?;
        } else if inline {
            self.open = Some(Open::Inline(number, Vec::new()));
        } else if size > 0 {
            self.open = Some(Open::Blocks(number, self.output.block()?));
        }
        Ok(())
    }

    /// The given attributes with those of a used node that live on in it.
    fn effective_xattrs(
        &mut self,
        number: InodeNumber,
        attributes: &Attributes,
        reused: bool,
    ) -> Result<Xattrs> {
        let mut xattrs = attributes.xattrs.clone();
        if attributes.opaque {
            xattrs.insert(xattr::OPAQUE.to_vec(), b"y".to_vec());
        }
        if !reused {
            return Ok(xattrs);
        }
        let old = self.tree.inline_xattrs_as_hcsshim(number).ok_or_else(crash)?;
        if self.faults.reproduces(Fault::B8KeptXattrs) {
            for (name, value) in old {
                xattrs.entry(name).or_insert(value);
            }
            return Ok(xattrs);
        }
        // B8: only the last entry's attributes count; an opaque marker is no entry.
        if self.tree.node(number).has(flag::OPAQUE) {
            if !old.contains_key(xattr::OPAQUE) && !xattrs.contains_key(xattr::OPAQUE) {
                self.faults.found(Fault::B8LostMarker);
            }
            xattrs.entry(xattr::OPAQUE.to_vec()).or_insert_with(|| b"y".to_vec());
        }
        let lost: Vec<_> = old.keys().filter(|name| !xattrs.contains_key(*name)).collect();
        if lost.iter().any(|name| *name != xattr::SYSTEM_DATA) {
            self.faults.found(Fault::B8KeptXattrs);
        } else if !lost.is_empty() {
            self.faults.found(Fault::B19KeptData);
        }
        Ok(xattrs)
    }

    fn place_xattrs(&mut self, number: InodeNumber, xattrs: &Xattrs, data_len: Option<usize>) -> Result<()> {
        let placed = xattr::place(xattrs, data_len, &self.faults)?;
        if placed.reordered {
            self.faults.found(Fault::B2);
        }
        self.tree.set_inline_xattrs(number, placed.inline);
        let node = self.tree.node(number);
        let retain = node.is_dir() || self.faults.reproduces(Fault::B10);
        let extra = self.tree.extra(node);
        let used = extra.xattr_block;
        let block = match placed.block {
            Some(block) => block,
            None if used != BlockNumber(0) => xattr::empty_block(),
            None => return Ok(()),
        };
        if used == BlockNumber(0) {
            let at = self.output.block()?;
            self.output.write(&block)?;
            self.tree.set_extra(number, Extra { xattr_block: at, ..extra });
        } else {
            self.output.rewrite(used.offset(), &block)?;
        }
        if retain {
            self.tree.block_xattrs.insert(number, block);
        }
        Ok(())
    }

    fn write_target(&mut self, number: InodeNumber, target: &[u8]) -> Result<()> {
        if !self.faults.reproduces(Fault::B16) && (target.is_empty() || target.len() > MAX_TARGET) {
            let message =
                format!("the symlink's target has {} bytes, 1 to {MAX_TARGET} are possible", target.len());
            return Err(Error::invalid_entry(message).fault(Fault::B16));
        }
        if target.len() <= MAX_SHORT_TARGET {
            self.tree.node_mut(number).data = self.tree.add_text(target)?;
            return Ok(());
        }
        if !self.faults.reproduces(Fault::B11) {
            self.tree.long_targets.insert(number, target.to_vec());
        }
        let start = self.output.block()?;
        self.output.write(target)?;
        self.finish_run(number, start)
    }
}

/// Fills the last block of the data that starts there, and puts the index of its extents behind it.
pub(super) fn write_extent_index<S: Sink>(
    output: &mut Output<S>,
    start: BlockNumber,
    faults: &Faults,
) -> Result<Run> {
    output.pad_to_block()?;
    let run = Run { start, blocks: output.block()?.0 - start.0 };
    for leaf in run.leaf_blocks(faults) {
        output.write(&leaf)?;
    }
    Ok(run)
}

/// N1: hcsshim's process dies.
pub(super) fn crash() -> Error {
    Error::not_reproducible(
        "hcsshim crashes when it reads the directory's xattrs again: a stored name of 240 bytes or more",
    )
    .fault(Fault::N1)
}
