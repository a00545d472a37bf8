//! What follows the last entry: directories, inode tables, bitmaps, and at last the descriptors and block 0.

use std::collections::BTreeMap;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use crate::error::Result;
use crate::ext4::bitmap::Bitmap;
use crate::ext4::directory::Encoder;
use crate::ext4::extent::I_BLOCK_LEN;
use crate::ext4::group_descriptor::{self, GroupDescriptor};
use crate::ext4::inode::{self, Inode, device_block};
use crate::ext4::layout::Groups;
use crate::ext4::place::MAX_LINKS;
use crate::ext4::superblock::{self, Counts, Superblock};
use crate::ext4::tree::{Children, Node, Tree, flag};
use crate::ext4::writer::{INLINE_HEAD_LEN, Writer, write_extent_index};
use crate::ext4::xattr;
use crate::faults::{Fault, Faults};
use crate::sink::Sink;
use crate::units::{BLOCK_LEN, BLOCK_SIZE, BLOCKS_PER_GROUP, BlockNumber, InodeNumber};

/// Inodes below this number are reserved and never free.
const RESERVED_INODES: u32 = 10;

/// A finished image.
pub struct Image {
    /// Its length in bytes.
    pub size: u64,
    pub blocks: u32,
    /// Inodes in use: the root, lost+found, and what entries made.
    pub inodes: u32,
    pub directories: u32,
    pub faults: Faults,
}

/// Where the parts behind the data are.
struct Plan {
    groups: Groups,
    table: BlockNumber,
    bitmaps: BlockNumber,
    /// First block behind the bitmaps.
    end: u32,
    /// Length of the image.
    blocks: u32,
    descriptor_blocks: u32,
}

impl<S: Sink> Writer<S> {
    pub fn close(mut self) -> Result<Image> {
        self.write_directories()?;
        let plan = self.write_inode_tables()?;
        let (descriptors, counts) = self.write_bitmaps(&plan)?;
        let padding = u64::from(plan.blocks.wrapping_sub(plan.end)) * BLOCK_SIZE;
        self.output.zeros(padding)?;
        let size = self.output.position();
        self.write_descriptors(&descriptors)?;
        self.write_superblock(&counts)?;
        self.output.finish()?;
        Ok(Image {
            size,
            blocks: plan.blocks,
            inodes: self.tree.nodes().iter().filter(|node| node.has(flag::USED)).count() as u32,
            directories: self.directories,
            faults: self.faults,
        })
    }

    /// Depth first from the root, the subdirectories of each in the order of its entries.
    fn write_directories(&mut self) -> Result<()> {
        let Self { tree, output, faults, .. } = self;
        tree.close_index();
        let children = tree.children();
        let mut encoder = Encoder::default();
        let mut runs = Vec::new();
        let mut pending = vec![(InodeNumber::ROOT, InodeNumber::ROOT)];
        while let Some((number, parent)) = pending.pop() {
            let start = output.block()?;
            let data = encode_directory(&mut encoder, tree, &children, number, parent);
            output.write(data)?;
            runs.push((number, data.len() as u64, write_extent_index(output, start, faults)?));
            let below = children.of(number).filter(|(child, _)| tree.node(*child).is_dir());
            pending.extend(below.rev().map(|(child, _)| (child, number)));
        }
        for (number, size, run) in runs {
            self.tree.node_mut(number).size = size;
            self.set_run(number, run);
        }
        Ok(())
    }

    fn write_inode_tables(&mut self) -> Result<Plan> {
        let table = self.output.block()?;
        let groups = self.choose_groups(table);
        for node in self.tree.nodes() {
            if node.has(flag::USED) {
                let inode = self.inode(node);
                self.output.write(inode.as_bytes())?;
            } else {
                self.output.zeros(inode::LEN as u64)?;
            }
        }
        let written = self.tree.nodes().len() as u64 * inode::LEN as u64;
        self.output.zeros(if self.faults.reproduces(Fault::B22) {
            u64::from((groups.table_bytes() as u32).wrapping_sub(written as u32))
        } else {
            groups.table_bytes() - written
        })?;
        let bitmaps = self.output.block()?;
        let end = bitmaps.0.wrapping_add(groups.count.wrapping_mul(2));
        let last_group = groups.count.wrapping_sub(1);
        let blocks = end.max(last_group.wrapping_mul(BLOCKS_PER_GROUP).wrapping_add(1));
        let descriptor_blocks = last_group / group_descriptor::PER_BLOCK + 1;
        if descriptor_blocks > self.reserved {
            return Err(self.output.exceeded());
        }
        Ok(Plan { groups, table, bitmaps, end, blocks, descriptor_blocks })
    }

    fn choose_groups(&mut self, table: BlockNumber) -> Groups {
        let inodes = self.tree.len();
        let wrapping = Groups::wrapping(table.0, inodes);
        if self.faults.reproduces(Fault::N2) {
            return wrapping;
        }
        let exact = Groups::exact(table.0, inodes);
        if exact != wrapping {
            self.faults.found(Fault::N2);
        }
        if exact.table_bytes() > u64::from(u32::MAX) {
            self.faults.found(Fault::B22);
        }
        exact
    }

    fn inode(&self, node: &Node) -> Inode {
        let mut i_block = [0; I_BLOCK_LEN];
        let mut flags = inode::FLAG_HUGE_FILE;
        let area = self.tree.inline_xattrs(node);
        let mut xattrs = area.copied().unwrap_or([0; xattr::INLINE_LEN]);
        let (owner, extra) = (self.tree.owner(node), self.tree.extra(node));
        let mut blocks = u32::from(extra.xattr_block != BlockNumber(0));
        if node.has(flag::EXTENTS) {
            flags |= inode::FLAG_EXTENTS;
            let run = Self::run_of(node);
            i_block = run.i_block(&self.faults);
            blocks += run.blocks + run.leaves(&self.faults);
        } else if node.has(flag::INLINE) {
            flags |= inode::FLAG_INLINE_DATA;
            let data = self.tree.text_of(node);
            let (head, tail) = data.split_at_checked(INLINE_HEAD_LEN).unwrap_or((data, b""));
            i_block.iter_mut().zip(head).for_each(|(place, byte)| *place = *byte);
            if !tail.is_empty() {
                xattr::set_inline_data(&mut xattrs, tail);
            }
        } else if node.is_symlink() {
            i_block.iter_mut().zip(self.tree.text_of(node)).for_each(|(place, byte)| *place = *byte);
        } else if matches!(node.kind(), inode::TYPE_CHARACTER | inode::TYPE_BLOCK) {
            i_block = device_block(node.data);
        }
        let links = if self.dir_nlink && node.is_dir() && node.links > MAX_LINKS { 1 } else { node.links };
        Inode {
            i_mode: U16::new(node.mode),
            i_uid: U16::new(owner.uid as u16),
            i_size_lo: U32::new(node.size as u32),
            i_atime: U32::new(extra.atime.low()),
            i_ctime: U32::new(extra.ctime.low()),
            i_mtime: U32::new(node.mtime.low()),
            i_dtime: U32::ZERO,
            i_gid: U16::new(owner.gid as u16),
            i_links_count: U16::new(links as u16),
            i_blocks_lo: U32::new(blocks),
            i_flags: U32::new(flags),
            i_version: U32::ZERO,
            i_block,
            i_generation: U32::ZERO,
            i_file_acl_lo: U32::new(extra.xattr_block.0),
            i_size_high: U32::new((node.size >> 32) as u32),
            i_obso_faddr: U32::ZERO,
            i_blocks_high: U16::ZERO,
            i_file_acl_high: U16::ZERO,
            i_uid_high: U16::new((owner.uid >> 16) as u16),
            i_gid_high: U16::new((owner.gid >> 16) as u16),
            i_checksum_lo: U16::ZERO,
            i_reserved: U16::ZERO,
            i_extra_isize: U16::new(inode::EXTRA_ISIZE),
            i_checksum_hi: U16::ZERO,
            i_ctime_extra: U32::new(extra.ctime.high()),
            i_mtime_extra: U32::new(node.mtime.high()),
            i_atime_extra: U32::new(extra.atime.high()),
            i_crtime: U32::new(node.mtime.low()),
            i_crtime_extra: U32::new(node.mtime.high()),
            xattr_magic: U32::new(if area.is_some() { xattr::MAGIC } else { 0 }),
            xattrs,
        }
    }

    /// Both bitmaps of each group; returns the descriptors, and the totals for the superblock.
    fn write_bitmaps(&mut self, plan: &Plan) -> Result<(Vec<u8>, Counts)> {
        let freed = self.freed_by_group();
        let mut descriptors = Vec::new();
        let mut used_blocks = 0u32;
        let mut used_inodes = 0u32;
        for group in 0..plan.groups.count {
            let blocks = self.block_bitmap(plan, group, freed.get(&group).map_or(&[], Vec::as_slice));
            let (inodes, directories) = self.inode_bitmap(plan, group);
            self.output.write(blocks.as_bytes())?;
            self.output.write(inodes.as_bytes())?;
            used_blocks = used_blocks.wrapping_add(u32::from(blocks.used));
            used_inodes = used_inodes.wrapping_add(u32::from(inodes.used));
            let first_bitmap = plan.bitmaps.0.wrapping_add(2 * group);
            let descriptor = GroupDescriptor {
                bg_block_bitmap_lo: U32::new(first_bitmap),
                bg_inode_bitmap_lo: U32::new(first_bitmap.wrapping_add(1)),
                bg_inode_table_lo: U32::new(
                    plan.table.0.wrapping_add(group.wrapping_mul(plan.groups.table_blocks_per_group())),
                ),
                bg_free_blocks_count_lo: U16::new((BLOCKS_PER_GROUP as u16).wrapping_sub(blocks.used)),
                bg_free_inodes_count_lo: U16::new(
                    (plan.groups.inodes_per_group as u16).wrapping_sub(inodes.used),
                ),
                bg_used_dirs_count_lo: U16::new(directories),
                ..GroupDescriptor::default()
            };
            descriptors.extend_from_slice(descriptor.as_bytes());
        }
        let all_inodes = plan.groups.inodes() as u32;
        let counts = Counts {
            inodes: all_inodes,
            blocks: plan.blocks,
            free_blocks: plan.groups.count.wrapping_mul(BLOCKS_PER_GROUP).wrapping_sub(used_blocks),
            free_inodes: all_inodes.wrapping_sub(used_inodes),
            inodes_per_group: plan.groups.inodes_per_group,
            inline_data: self.inline_data,
            dir_nlink: self.dir_nlink,
        };
        Ok((descriptors, counts))
    }

    fn block_bitmap(&self, plan: &Plan, group: u32, freed: &[(u32, u32)]) -> Bitmap {
        let mut bitmap = Bitmap::default();
        let first = u64::from(group) * u64::from(BLOCKS_PER_GROUP);
        let used = u64::from(plan.end).saturating_sub(first).min(u64::from(BLOCKS_PER_GROUP));
        bitmap.set(0..used as u32);
        if group == 0 {
            bitmap.clear(1 + plan.descriptor_blocks..1 + self.reserved);
        }
        let beyond = plan.blocks % BLOCKS_PER_GROUP;
        if group == plan.groups.count.wrapping_sub(1) && beyond != 0 {
            bitmap.set(beyond..BLOCKS_PER_GROUP);
        }
        for &(start, end) in freed {
            bitmap.clear(start..end);
        }
        bitmap
    }

    /// The bitmap, and how many of the group's inodes are directories. Bits behind the last inode stay 0 (B0).
    fn inode_bitmap(&self, plan: &Plan, group: u32) -> (Bitmap, u16) {
        let per_group = plan.groups.inodes_per_group;
        let first = group.wrapping_mul(per_group);
        let mut bitmap = Bitmap::default();
        let mut directories = 0u16;
        let nodes = self.tree.nodes().get(first as usize..).unwrap_or_default();
        for (bit, node) in (0..per_group).zip(nodes) {
            if first + bit < RESERVED_INODES || node.has(flag::USED) {
                bitmap.set(bit..bit + 1);
            }
            directories = directories.wrapping_add(u16::from(node.is_dir()));
        }
        (bitmap, directories)
    }

    /// The ranges of freed blocks inside each group they touch.
    fn freed_by_group(&self) -> BTreeMap<u32, Vec<(u32, u32)>> {
        let mut by_group = BTreeMap::<_, Vec<_>>::new();
        for &(start, count) in &self.freed {
            let (mut at, end) = (start.0, start.0.saturating_add(count));
            while at < end {
                let (group, bit) = (at / BLOCKS_PER_GROUP, at % BLOCKS_PER_GROUP);
                let length = (end - at).min(BLOCKS_PER_GROUP - bit);
                by_group.entry(group).or_default().push((bit, bit + length));
                at += length;
            }
        }
        by_group
    }

    fn write_descriptors(&mut self, descriptors: &[u8]) -> Result<()> {
        let mut blocks = descriptors.to_vec();
        blocks.resize(blocks.len().next_multiple_of(BLOCK_LEN), 0);
        self.output.rewrite(BLOCK_SIZE, &blocks)
    }

    fn write_superblock(&mut self, counts: &Counts) -> Result<()> {
        let mut block = vec![0; BLOCK_LEN];
        if let Some(place) = block.get_mut(superblock::OFFSET..superblock::OFFSET + superblock::LEN) {
            place.copy_from_slice(Superblock::new(counts).as_bytes());
        }
        self.output.rewrite(0, &block)
    }
}

fn encode_directory<'e>(
    encoder: &'e mut Encoder,
    tree: &Tree,
    children: &Children<'_>,
    number: InodeNumber,
    parent: InodeNumber,
) -> &'e [u8] {
    encoder.start(number, parent);
    for (child, name) in children.of(number) {
        encoder.push(child, tree.node(child).file_type(), name);
    }
    encoder.finish()
}
