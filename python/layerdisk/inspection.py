"""What an image file contains: superblock, VHD footer and counts."""

from __future__ import annotations

import io
import math
import os
import stat
import struct
from dataclasses import dataclass
from typing import NamedTuple

from .errdefs import InvalidArgument
from .tar2ext4 import Ext4SuperBlock, read_ext4_superblock
from .vhd import VhdFooter, read_footer

# bg_used_dirs_count_lo in the 32 bytes of a descriptor, and bg_used_dirs_count_hi in those of the 64bit feature
_GROUP_DESCRIPTOR = struct.Struct("<16xH14x")
_DIRECTORIES_HI = struct.Struct("<50xH12x")
# s_desc_size, s_first_meta_bg, s_blocks_count_hi, s_free_blocks_count_hi and s_backup_bgs
_SUPERBLOCK_REST = struct.Struct("<254xH4xI72xI4xI240x2I")
_SUPERBLOCK_OFFSET = 1024
_COMPAT_SPARSE_SUPER2 = 0x200
_RO_COMPAT_SPARSE_SUPER = 0x1
_INCOMPAT_META_BG = 0x10
_INCOMPAT_64BIT = 0x80


@dataclass(frozen=True, slots=True)
class Counts:
    """Sizes in bytes, and how many of each there are.

    Attributes:
        file_size: of the file.
        allocated_size: disk space that the file occupies; None where the system does not say.
        file_system_size: of the ext4 file system in it.
        block_size: of the file system.
        blocks: of the file system.
        blocks_in_use: among them.
        inodes: that there is room for.
        inodes_in_use: among them, with the 10 reserved ones.
        directories: among those, with the root and lost+found.
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
    """Return the metadata of an ext4 image, with or without a VHD footer.

    Args:
        path: of the image, a file or a block device.

    Raises:
        InvalidArgument: it is not an ext4 file system, or its superblock cannot be right.
        OSError: it cannot be read.
    """
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode) and not stat.S_ISBLK(found.st_mode):
        raise InvalidArgument(f"{os.fspath(path)} is not a file or a block device")
    superblock = read_ext4_superblock(path)
    try:
        footer = read_footer(path)
    except InvalidArgument:
        footer = None
    with open(path, "rb", buffering=0) as file:
        file_size = file.seek(0, os.SEEK_END)
        geometry = _geometry(file, superblock, file_size)
        directories = _directories(file, superblock, geometry)
    sectors = getattr(found, "st_blocks", None)
    counts = Counts(
        file_size,
        None if sectors is None else sectors * 512,
        geometry.blocks * geometry.block_size,
        geometry.block_size,
        geometry.blocks,
        geometry.blocks - geometry.free_blocks,
        superblock.s_inodes_count,
        superblock.s_inodes_count - superblock.s_free_inodes_count,
        directories,
    )
    return Inspection(superblock, footer, counts)


class _Geometry(NamedTuple):
    """Sizes that the superblock gives, after they were checked."""

    block_size: int
    blocks: int
    free_blocks: int
    groups: int
    descriptor_size: int  # in bytes
    first_meta_group: int  # from this one on, each block of descriptors is in the groups that it describes
    backups: tuple[int, int]  # groups with a superblock, with the feature sparse_super2


def _geometry(file: io.FileIO, superblock: Ext4SuperBlock, file_size: int) -> _Geometry:
    """Return the sizes that the superblock gives, or refuse those that no file system has."""
    block_size, incompatible = superblock.block_size, superblock.s_feature_incompat
    file.seek(_SUPERBLOCK_OFFSET)
    rest = (file.read(_SUPERBLOCK_REST.size) or b"").ljust(_SUPERBLOCK_REST.size, b"\0")
    descriptor_size, first_meta_group, blocks_hi, free_hi, *backups = _SUPERBLOCK_REST.unpack(rest)
    if not incompatible & _INCOMPAT_64BIT:
        descriptor_size, blocks_hi, free_hi = _GROUP_DESCRIPTOR.size, 0, 0
    per_group = superblock.s_blocks_per_group
    _check("s_blocks_per_group", per_group, 1, 8 * block_size)  # a group's bitmap is one block
    _check("s_desc_size", descriptor_size, _GROUP_DESCRIPTOR.size, block_size)
    blocks = superblock.s_blocks_count_lo | blocks_hi << 32
    groups = -(-max(0, blocks - superblock.s_first_data_block) // per_group)
    if groups > file_size // block_size:  # each has bitmaps, and its part of the inode table
        raise InvalidArgument(
            f"not an ext4 file system: {blocks} blocks in groups of {per_group} are {groups} groups, "
            f"and the file has {file_size // block_size} blocks"
        )
    return _Geometry(
        block_size,
        blocks,
        superblock.s_free_blocks_count_lo | free_hi << 32,
        groups,
        descriptor_size,
        first_meta_group if incompatible & _INCOMPAT_META_BG else groups,
        (backups[0], backups[1]),
    )


def _check(field: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InvalidArgument(f"not an ext4 file system: {field} is {value}, and must be {least} to {most}")


def _directories(file: io.FileIO, superblock: Ext4SuperBlock, geometry: _Geometry) -> int:
    """Return the sum of what the group descriptors say; the file may end before they do."""
    size = geometry.descriptor_size
    per_block = geometry.block_size // size
    directories = 0
    for number in range(-(-geometry.groups // per_block)):
        file.seek(_descriptor_block(superblock, geometry, number, per_block) * geometry.block_size)
        block = file.read(min(per_block, geometry.groups - number * per_block) * size) or b""
        for at in range(0, len(block) - size + 1, size):
            (low,) = _GROUP_DESCRIPTOR.unpack_from(block, at)
            high = _DIRECTORIES_HI.unpack_from(block, at)[0] if size >= _DIRECTORIES_HI.size else 0
            directories += low | high << 16
    return directories


def _descriptor_block(superblock: Ext4SuperBlock, geometry: _Geometry, number: int, per_block: int) -> int:
    """Return where a block of group descriptors is: in the table after the superblock, or in its own groups.

    Source: Linux, fs/ext4/super.c (descriptor_loc).
    """
    if number < geometry.first_meta_group:
        return superblock.s_first_data_block + 1 + number
    group = number * per_block
    first = superblock.s_first_data_block + group * superblock.s_blocks_per_group
    return first + _has_superblock(superblock, geometry, group)


def _has_superblock(superblock: Ext4SuperBlock, geometry: _Geometry, group: int) -> bool:
    """Return whether a group begins with a superblock. Source: Linux, fs/ext4/balloc.c (ext4_bg_has_super)."""
    if superblock.s_feature_compat & _COMPAT_SPARSE_SUPER2:
        return group == 0 or group in geometry.backups
    if group <= 1 or not superblock.s_feature_ro_compat & _RO_COMPAT_SPARSE_SUPER:
        return True
    return any(group == base ** round(math.log(group, base)) for base in (3, 5, 7))
