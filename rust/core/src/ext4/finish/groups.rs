//! Both bitmaps of each group, and from them its descriptor.

use std::collections::BTreeMap;

use zerocopy::IntoBytes;
use zerocopy::little_endian::{U16, U32};

use crate::error::Result;
use crate::ext4::finish::inode_table::TablePlan;
use crate::ext4::format::bitmap::Bitmap;
use crate::ext4::format::group_descriptor::GroupDescriptor;
use crate::ext4::format::inode;
use crate::ext4::format::superblock::Counts;
use crate::ext4::layout::{Layout, UnusedInodeBits};
use crate::ext4::storage::Storage;
use crate::sink::Sink;
use crate::tree::{Tree, flag};
use crate::units::{BLOCKS_PER_GROUP, BlockNumber};

/// The descriptors, and the totals for the superblock.
pub struct WrittenGroups {
    pub descriptors: Vec<u8>,
    pub counts: Counts,
}

/// Writes the bitmaps.
pub fn write<S: Sink>(tree: &Tree, storage: &mut Storage<S>, plan: &TablePlan) -> Result<WrittenGroups> {
    let freed = freed_by_group(&storage.freed);
    let mut descriptors = Vec::new();
    let mut used_blocks = 0u32;
    let mut used_inodes = 0u32;
    for group in 0..plan.groups.count {
        let blocks =
            block_bitmap(plan, storage.reserved, group, freed.get(&group).map_or(&[], Vec::as_slice));
        let (inodes, directories) = inode_bitmap(tree, storage.layout(), plan, group);
        storage.output.write(blocks.as_bytes())?;
        storage.output.write(inodes.as_bytes())?;
        used_blocks = used_blocks.wrapping_add(u32::from(blocks.used));
        used_inodes = used_inodes.wrapping_add(u32::from(inodes.used));
        let descriptor = descriptor(storage.layout(), plan, group, &blocks, &inodes, directories);
        descriptors.extend_from_slice(descriptor.as_bytes());
    }
    let all_inodes = plan.groups.inodes() as u32;
    let counts = Counts {
        inodes: all_inodes,
        blocks: plan.blocks,
        free_blocks: plan.groups.count.wrapping_mul(BLOCKS_PER_GROUP).wrapping_sub(used_blocks),
        free_inodes: all_inodes.wrapping_sub(used_inodes),
        inodes_per_group: plan.groups.inodes_per_group,
        features: storage.features,
    };
    Ok(WrittenGroups { descriptors, counts })
}

fn descriptor(
    layout: &Layout,
    plan: &TablePlan,
    group: u32,
    blocks: &Bitmap,
    inodes: &Bitmap,
    directories: u16,
) -> GroupDescriptor {
    let per_group = plan.groups.inodes_per_group;
    let bitmap = plan.bitmaps.wrapping_add(group.wrapping_mul(2));
    let table = plan.table.wrapping_add(group.wrapping_mul(plan.groups.table_blocks_per_group()));
    let covered = inodes.as_bytes().get(..per_group as usize / 8).unwrap_or_default();
    let mut descriptor = GroupDescriptor {
        bg_block_bitmap_lo: U32::new(bitmap.get()),
        bg_inode_bitmap_lo: U32::new(bitmap.wrapping_add(1).get()),
        bg_inode_table_lo: U32::new(table.get()),
        bg_free_blocks_count_lo: U16::new((BLOCKS_PER_GROUP as u16).wrapping_sub(blocks.used)),
        bg_free_inodes_count_lo: U16::new((per_group as u16).wrapping_sub(inodes.used)),
        bg_used_dirs_count_lo: U16::new(directories),
        bg_block_bitmap_csum_lo: U16::new(layout.checksums.of(blocks.as_bytes()).unwrap_or_default() as u16),
        bg_inode_bitmap_csum_lo: U16::new(layout.checksums.of(covered).unwrap_or_default() as u16),
        ..GroupDescriptor::default()
    };
    descriptor.seal(layout.checksums, group);
    descriptor
}

fn block_bitmap(plan: &TablePlan, reserved: u32, group: u32, freed: &[(u32, u32)]) -> Bitmap {
    let mut bitmap = Bitmap::default();
    let first = u64::from(group) * u64::from(BLOCKS_PER_GROUP);
    let used = u64::from(plan.end).saturating_sub(first).min(u64::from(BLOCKS_PER_GROUP));
    bitmap.set(0..used as u32);
    if group == 0 {
        bitmap.clear(1 + plan.descriptor_blocks..1 + reserved);
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

/// The bitmap, and how many of the group's inodes are directories.
fn inode_bitmap(tree: &Tree, layout: &Layout, plan: &TablePlan, group: u32) -> (Bitmap, u16) {
    let per_group = plan.groups.inodes_per_group;
    let first = group.wrapping_mul(per_group);
    let mut bitmap = Bitmap::default();
    let mut directories = 0u16;
    let nodes = tree.nodes().get(first as usize..).unwrap_or_default();
    for (bit, node) in (0..per_group).zip(nodes) {
        if first + bit < inode::RESERVED || node.has(flag::USED) {
            bitmap.set(bit..bit + 1);
        }
        directories = directories.wrapping_add(u16::from(node.is_dir()));
    }
    match layout.unused_inode_bits {
        UnusedInodeBits::Clear => {}
    }
    (bitmap, directories)
}

/// The ranges of freed blocks inside each group they touch.
fn freed_by_group(freed: &[(BlockNumber, u32)]) -> BTreeMap<u32, Vec<(u32, u32)>> {
    let mut by_group = BTreeMap::<_, Vec<_>>::new();
    for &(start, count) in freed {
        let (mut position, end) = (start.get(), start.get().saturating_add(count));
        while position < end {
            let (group, bit) = (position / BLOCKS_PER_GROUP, position % BLOCKS_PER_GROUP);
            let length = (end - position).min(BLOCKS_PER_GROUP - bit);
            by_group.entry(group).or_default().push((bit, bit + length));
            position += length;
        }
    }
    by_group
}
