"""What an image file holds: superblock, VHD footer and counts."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass

from .errdefs import InvalidArgument
from .tar2ext4 import Ext4SuperBlock, read_ext4_superblock
from .vhd import VhdFooter, read_footer

# bg_used_dirs_count_lo in its 32 bytes, the size without the 64bit feature, which our layouts do not use
_GROUP_DESCRIPTOR = struct.Struct("<16xH14x")
_TABLE_PIECE_LEN = 1 << 20  # a multiple of it, in bytes


@dataclass(frozen=True, slots=True)
class Counts:
    """Sizes in bytes, and how many of each there are.

    Attributes:
        file_size: of the file.
        allocated_size: disk space that it occupies; None where the system does not tell.
        file_system_size: of the ext4 file system in it.
        block_size: of the file system.
        blocks: of the file system, with those in use.
        inodes: that there is room for, with those in use (the 10 reserved ones too) and directories among them.
    """

    file_size: int
    allocated_size: int | None
    file_system_size: int
    block_size: int
    blocks: int
    blocks_in_use: int
    inodes: int
    inodes_in_use: int
    directories: int


@dataclass(frozen=True, slots=True)
class Inspection:
    """All of it; the footer is None where there is none."""

    superblock: Ext4SuperBlock
    vhd_footer: VhdFooter | None
    counts: Counts


def inspect_image(path: str | os.PathLike[str]) -> Inspection:
    """Read the metadata of an ext4 image, with or without a VHD footer.

    Args:
        path: of the image.

    Raises:
        InvalidArgument: it is not an ext4 file system.
        OSError: it cannot be read.
    """
    superblock = read_ext4_superblock(path)
    try:
        footer = read_footer(path)
    except InvalidArgument:
        footer = None
    block_size = superblock.block_size
    stat = os.stat(path)
    sectors = getattr(stat, "st_blocks", None)
    counts = Counts(
        stat.st_size,
        None if sectors is None else sectors * 512,
        superblock.s_blocks_count_lo * block_size,
        block_size,
        superblock.s_blocks_count_lo,
        superblock.s_blocks_count_lo - superblock.s_free_blocks_count_lo,
        superblock.s_inodes_count,
        superblock.s_inodes_count - superblock.s_free_inodes_count,
        _directories(path, superblock, block_size),
    )
    return Inspection(superblock, footer, counts)


def _directories(path: str | os.PathLike[str], superblock: Ext4SuperBlock, block_size: int) -> int:
    """Add up what the group descriptors, behind the superblock's block, say."""
    per_group = superblock.s_blocks_per_group
    groups = -(-superblock.s_blocks_count_lo // per_group) if per_group else 0
    directories = 0
    with open(path, "rb") as file:
        file.seek((superblock.s_first_data_block + 1) * block_size)
        left = groups * _GROUP_DESCRIPTOR.size
        while left and (table := file.read(min(left, _TABLE_PIECE_LEN))):  # a damaged image may say anything
            left -= len(table)
            whole = len(table) - len(table) % _GROUP_DESCRIPTOR.size
            directories += sum(count for (count,) in _GROUP_DESCRIPTOR.iter_unpack(table[:whole]))
    return directories
