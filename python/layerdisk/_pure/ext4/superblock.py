"""The superblock, 1024 bytes at byte 1024.

Source: kernel, Documentation/filesystems/ext4/super.rst.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ...errdefs import InvalidArgument
from ..units import BLOCKS_PER_GROUP, LOST_AND_FOUND
from . import inode

OFFSET = 1024
LEN = 1024
_MAGIC = 0xEF53

_COMPAT_EXT_ATTR = 0x8
_COMPAT_SPARSE_SUPER2 = 0x200
_INCOMPAT_FILETYPE = 0x2
_INCOMPAT_EXTENTS = 0x40
_INCOMPAT_FLEX_BG = 0x200
_INCOMPAT_INLINE_DATA = 0x8000
_RO_COMPAT_LARGE_FILE = 0x2
_RO_COMPAT_HUGE_FILE = 0x8
_RO_COMPAT_DIR_NLINK = 0x20
_RO_COMPAT_EXTRA_ISIZE = 0x40
_RO_COMPAT_READONLY = 0x1000

_FIELDS = (
    ("s_inodes_count", "I"),  # 0x00
    ("s_blocks_count_lo", "I"),  # 0x04
    ("s_r_blocks_count_lo", "I"),  # 0x08
    ("s_free_blocks_count_lo", "I"),  # 0x0C
    ("s_free_inodes_count", "I"),  # 0x10
    ("s_first_data_block", "I"),  # 0x14
    ("s_log_block_size", "I"),  # 0x18
    ("s_log_cluster_size", "I"),  # 0x1C
    ("s_blocks_per_group", "I"),  # 0x20
    ("s_clusters_per_group", "I"),  # 0x24
    ("s_inodes_per_group", "I"),  # 0x28
    ("s_mtime", "I"),  # 0x2C
    ("s_wtime", "I"),  # 0x30
    ("s_mnt_count", "H"),  # 0x34
    ("s_max_mnt_count", "H"),  # 0x36
    ("s_magic", "H"),  # 0x38
    ("s_state", "H"),  # 0x3A
    ("s_errors", "H"),  # 0x3C
    ("s_minor_rev_level", "H"),  # 0x3E
    ("s_lastcheck", "I"),  # 0x40
    ("s_checkinterval", "I"),  # 0x44
    ("s_creator_os", "I"),  # 0x48
    ("s_rev_level", "I"),  # 0x4C
    ("s_def_resuid", "H"),  # 0x50
    ("s_def_resgid", "H"),  # 0x52
    ("s_first_ino", "I"),  # 0x54
    ("s_inode_size", "H"),  # 0x58
    ("s_block_group_nr", "H"),  # 0x5A
    ("s_feature_compat", "I"),  # 0x5C
    ("s_feature_incompat", "I"),  # 0x60
    ("s_feature_ro_compat", "I"),  # 0x64
    ("s_uuid", "16s"),  # 0x68
    ("s_volume_name", "16s212x"),  # 0x78, then unused ones
    ("s_min_extra_isize", "H"),  # 0x15C
    ("s_want_extra_isize", "H20x"),  # 0x15E, then unused ones
    ("s_log_groups_per_flex", "B243x"),  # 0x174, then unused ones
    ("s_lpf_ino", "I404x"),  # 0x268, then unused ones
)
_STRUCT = struct.Struct("<" + "".join(code for _, code in _FIELDS))
assert _STRUCT.size == LEN


@dataclass(frozen=True, slots=True)
class Counts:
    """What differs from image to image.

    Attributes:
        dir_nlink: B23: some directory has more links than its field can hold.
    """

    inodes: int
    blocks: int
    free_blocks: int
    free_inodes: int
    inodes_per_group: int
    inline_data: bool
    dir_nlink: bool


def encode(counts: Counts) -> bytes:
    """Give the bytes of a superblock."""
    fields: dict[str, int | bytes] = {name: b"" if "s" in code else 0 for name, code in _FIELDS}
    fields |= {
        "s_inodes_count": counts.inodes,
        "s_blocks_count_lo": counts.blocks,
        "s_free_blocks_count_lo": counts.free_blocks,
        "s_free_inodes_count": counts.free_inodes,
        "s_log_block_size": 2,
        "s_log_cluster_size": 2,
        "s_blocks_per_group": BLOCKS_PER_GROUP,
        "s_clusters_per_group": BLOCKS_PER_GROUP,
        "s_inodes_per_group": counts.inodes_per_group,
        "s_magic": _MAGIC,
        "s_state": 1,  # cleanly unmounted
        "s_errors": 1,  # continue
        "s_rev_level": 1,  # dynamic inode sizes
        "s_first_ino": LOST_AND_FOUND,
        "s_inode_size": inode.LEN,
        "s_feature_compat": _COMPAT_SPARSE_SUPER2 | _COMPAT_EXT_ATTR,
        "s_feature_incompat": _INCOMPAT_FILETYPE
        | _INCOMPAT_EXTENTS
        | _INCOMPAT_FLEX_BG
        | (_INCOMPAT_INLINE_DATA if counts.inline_data else 0),
        "s_feature_ro_compat": _RO_COMPAT_LARGE_FILE
        | _RO_COMPAT_HUGE_FILE
        | _RO_COMPAT_EXTRA_ISIZE
        | _RO_COMPAT_READONLY
        | (_RO_COMPAT_DIR_NLINK if counts.dir_nlink else 0),
        "s_min_extra_isize": inode.EXTRA_ISIZE,
        "s_want_extra_isize": inode.EXTRA_ISIZE,
        "s_log_groups_per_flex": 31,  # all groups are one flexible group
        "s_lpf_ino": LOST_AND_FOUND,
    }
    return _STRUCT.pack(*fields.values())


def read(start: bytes) -> dict[str, int | bytes]:
    """Read the fields of an image of which at least the first 2048 bytes are given."""
    if len(start) < OFFSET + LEN:
        raise InvalidArgument(
            f"not an ext4 file system: it has {len(start)} bytes, the superblock ends at byte {OFFSET + LEN}"
        )
    values = _STRUCT.unpack_from(start, OFFSET)
    fields = dict(zip((name for name, _ in _FIELDS), values, strict=True))
    magic = fields["s_magic"]
    if magic != _MAGIC:
        raise InvalidArgument(
            f"not an ext4 file system: s_magic at byte 1080 is {magic:#06x}, not {_MAGIC:#06x}"
        )
    return fields
