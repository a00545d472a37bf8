"""How large the disk may be, and how many groups it has: pure arithmetic on sizes and numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ...units import BLOCK_SIZE, BLOCKS_PER_GROUP, U32_MAX, blocks_for
from ..format import inode
from . import GroupChoice, Layout, ReservedDescriptors

# Maximum disk size in bytes if none is asked for, and the largest possible: 2^32 blocks.
DEFAULT_MAXIMUM_DISK_SIZE = 1 << 34
_LARGEST_DISK_SIZE = 1 << 44

# Inodes per group are a multiple of what fits in a block, and have one bitmap block.
_INODES_PER_BLOCK = BLOCK_SIZE // inode.LEN
_MAX_INODES_PER_GROUP = 32768
# Each group has two bitmap blocks.
_BITMAPS = 2


def maximum_disk_size(option: int) -> int:
    """Return the maximum disk size that an option value stands for."""
    if option == 0:
        return DEFAULT_MAXIMUM_DISK_SIZE
    if 0 < option <= _LARGEST_DISK_SIZE:
        return blocks_for(option) * BLOCK_SIZE
    return _LARGEST_DISK_SIZE


@dataclass(frozen=True, slots=True)
class Groups:
    """Number of groups and inodes in each."""

    count: int
    inodes_per_group: int

    @property
    def inodes(self) -> int:
        """Inodes of all groups."""
        return self.count * self.inodes_per_group

    @property
    def table_bytes(self) -> int:
        """Bytes of the inode tables of all groups."""
        return self.inodes * inode.LEN

    @property
    def table_blocks_per_group(self) -> int:
        """Blocks of each group's inode table."""
        return self.inodes_per_group // _INODES_PER_BLOCK


def choose(layout: Layout, table_start: int, inodes: int) -> Groups:
    """Return the groups of an image whose inode tables start at that block."""
    match layout.group_choice:
        case GroupChoice.FEWEST:
            return exact(table_start, inodes)


def exact(table_start: int, inodes: int) -> Groups:
    """Return the fewest groups that hold the blocks before the inode table, the table and the bitmaps."""

    def count(inodes_per_group: int) -> int:
        data_blocks = data_blocks_per_group(inodes_per_group)
        by_inodes = (inodes - 1) // inodes_per_group * data_blocks + 1
        return min(-(-max(table_start, by_inodes) // data_blocks), U32_MAX)

    return fewest(count)


def reserved_descriptor_blocks(layout: Layout, maximum: int) -> int:
    """Return the blocks after block 0 that are kept for the group descriptors."""
    match layout.reserved_descriptors:
        case ReservedDescriptors.FOR_MAXIMUM_SIZE:
            groups = -(-blocks_for(maximum) // BLOCKS_PER_GROUP)
            return -(-groups // layout.descriptors_per_block)


def data_blocks_per_group(inodes_per_group: int) -> int:
    """Return the blocks of a group that are neither table nor bitmap."""
    return BLOCKS_PER_GROUP - inodes_per_group // _INODES_PER_BLOCK - _BITMAPS


def fewest(groups: Callable[[int], int]) -> Groups:
    """Return the smallest number of groups, with the first number of inodes per group that gives it."""
    candidates = range(_INODES_PER_BLOCK, _MAX_INODES_PER_GROUP + 1, _INODES_PER_BLOCK)
    count, inodes_per_group = min(
        (groups(inodes_per_group), inodes_per_group) for inodes_per_group in candidates
    )
    return Groups(count, inodes_per_group)
