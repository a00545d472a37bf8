"""Both bitmaps of each group, and from them its descriptor."""

from __future__ import annotations

from ...tree import TYPE_MASK, USED, FileType, Tree
from ...units import BLOCKS_PER_GROUP, U32_MAX
from ..format import group_descriptor, inode
from ..format.bitmap import Bitmap
from ..format.superblock import Counts
from ..layout import Layout, UnusedInodeBits
from ..storage import Storage
from .inode_table import TablePlan

_DIRECTORY = int(FileType.DIRECTORY)
_FLAGS_TO_DIGITS = bytes(ord("1") if flags & USED else ord("0") for flags in range(256))


def write(tree: Tree, storage: Storage, plan: TablePlan) -> tuple[bytes, Counts]:
    """Write the bitmaps; return the descriptors, and the totals for the superblock."""
    groups = plan.groups
    freed = _freed_by_group(storage)
    descriptors = []
    used_blocks = used_inodes = 0
    for group in range(groups.count):
        blocks = _block_bitmap(plan, storage.reserved, group, freed.get(group, []))
        inodes, directories = _inode_bitmap(tree, storage.layout, plan, group)
        storage.output.write(blocks.as_bytes())
        storage.output.write(inodes.as_bytes())
        used_blocks += blocks.used
        used_inodes += inodes.used
        descriptors.append(_descriptor(storage.layout, plan, group, blocks, inodes, directories))
    counts = Counts(
        inodes=groups.inodes & U32_MAX,
        blocks=plan.blocks,
        free_blocks=groups.count * BLOCKS_PER_GROUP - used_blocks & U32_MAX,
        free_inodes=groups.inodes - used_inodes & U32_MAX,
        inodes_per_group=groups.inodes_per_group,
        features=storage.features,
    )
    return b"".join(descriptors), counts


def _descriptor(
    layout: Layout, plan: TablePlan, group: int, blocks: Bitmap, inodes: Bitmap, directories: int
) -> bytes:
    first_bitmap = plan.bitmaps + 2 * group
    per_group = plan.groups.inodes_per_group
    checksums = layout.checksums
    return group_descriptor.encode(
        first_bitmap & U32_MAX,
        first_bitmap + 1 & U32_MAX,
        plan.table + group * plan.groups.table_blocks_per_group & U32_MAX,
        BLOCKS_PER_GROUP - blocks.used & 0xFFFF,
        per_group - inodes.used & 0xFFFF,
        directories & 0xFFFF,
        checksums.of(blocks.as_bytes()),
        checksums.of(inodes.as_bytes()[: per_group // 8]),
        checksums,
        group,
    )


def _block_bitmap(plan: TablePlan, reserved: int, group: int, freed: list[tuple[int, int]]) -> Bitmap:
    bitmap = Bitmap()
    bitmap.set(0, min(max(plan.end - group * BLOCKS_PER_GROUP, 0), BLOCKS_PER_GROUP))
    if group == 0:
        bitmap.clear(1 + plan.descriptor_blocks, 1 + reserved)
    beyond = plan.blocks % BLOCKS_PER_GROUP
    if group == plan.groups.count - 1 and beyond != 0:
        bitmap.set(beyond, BLOCKS_PER_GROUP)
    for start, end in freed:
        bitmap.clear(start, end)
    return bitmap


def _inode_bitmap(tree: Tree, layout: Layout, plan: TablePlan, group: int) -> tuple[Bitmap, int]:
    """Return the bitmap, and how many of the group's inodes are directories."""
    first = 1 + group * plan.groups.inodes_per_group
    last = first + plan.groups.inodes_per_group
    digits = tree.flags[first:last].tobytes().translate(_FLAGS_TO_DIGITS)
    if group == 0:
        digits = b"1" * inode.RESERVED + digits[inode.RESERVED :]
    bitmap = Bitmap()
    bitmap.set_flags(digits)
    match layout.unused_inode_bits:
        case UnusedInodeBits.CLEAR:
            pass
    modes = tree.mode[first:last]
    return bitmap, sum(mode & TYPE_MASK == _DIRECTORY for mode in modes)


def _freed_by_group(storage: Storage) -> dict[int, list[tuple[int, int]]]:
    """Return the ranges of freed blocks inside each group they touch."""
    by_group: dict[int, list[tuple[int, int]]] = {}
    for start, count in storage.freed:
        position, end = start, min(start + count, U32_MAX)
        while position < end:
            group, bit = divmod(position, BLOCKS_PER_GROUP)
            length = min(end - position, BLOCKS_PER_GROUP - bit)
            by_group.setdefault(group, []).append((bit, bit + length))
            position += length
    return by_group
