"""The superblock, 1024 bytes at byte 1024.

Source: kernel, Documentation/filesystems/ext4/super.rst.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from ....errdefs import InvalidArgument
from ...units import BLOCKS_PER_GROUP, LOST_AND_FOUND
from ..layout import Layout
from . import inode
from .features import Features

OFFSET = 1024
LEN = 1024
_MAGIC = 0xEF53

# s_state: cleanly unmounted; s_errors: continue; s_rev_level: dynamic inode sizes.
_STATE_CLEAN = 1
_ERRORS_CONTINUE = 1
_DYNAMIC_REVISION = 1
# s_log_block_size and s_log_cluster_size: 1024 << 2 bytes.
_LOG_BLOCK_SIZE = 2
# s_checksum_type, with metadata_csum.
_CHECKSUM_CRC32C = 1

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
    ("s_log_groups_per_flex", "B"),  # 0x174
    ("s_checksum_type", "B242x"),  # 0x175, then unused ones
    ("s_lpf_ino", "I400x"),  # 0x268, then unused ones
    ("s_checksum", "I"),  # 0x3FC
)
# Those that say nothing without the feature metadata_csum.
_OF_CHECKSUMS = ("s_checksum_type", "s_checksum")
_STRUCT = struct.Struct("<" + "".join(code for _, code in _FIELDS))
assert _STRUCT.size == LEN


@dataclass(frozen=True, slots=True)
class Counts:
    """What differs from image to image.

    Attributes:
        features: those that the image needs on top of its layout's.
    """

    inodes: int
    blocks: int
    free_blocks: int
    free_inodes: int
    inodes_per_group: int
    features: Features


def encode(layout: Layout, counts: Counts) -> bytes:
    """Return the bytes of a superblock."""
    features = layout.features | counts.features
    fields: dict[str, int | bytes] = {name: b"" if "s" in code else 0 for name, code in _FIELDS}
    fields |= {
        "s_inodes_count": counts.inodes,
        "s_blocks_count_lo": counts.blocks,
        "s_free_blocks_count_lo": counts.free_blocks,
        "s_free_inodes_count": counts.free_inodes,
        "s_log_block_size": _LOG_BLOCK_SIZE,
        "s_log_cluster_size": _LOG_BLOCK_SIZE,
        "s_blocks_per_group": BLOCKS_PER_GROUP,
        "s_clusters_per_group": BLOCKS_PER_GROUP,
        "s_inodes_per_group": counts.inodes_per_group,
        "s_magic": _MAGIC,
        "s_state": _STATE_CLEAN,
        "s_errors": _ERRORS_CONTINUE,
        "s_rev_level": _DYNAMIC_REVISION,
        "s_first_ino": LOST_AND_FOUND,
        "s_inode_size": inode.LEN,
        "s_feature_compat": features.compat,
        "s_feature_incompat": features.incompat,
        "s_feature_ro_compat": features.ro_compat,
        "s_uuid": layout.uuid,
        "s_min_extra_isize": layout.extra_isize,
        "s_want_extra_isize": layout.extra_isize,
        "s_log_groups_per_flex": layout.log_groups_per_flex,
        "s_lpf_ino": LOST_AND_FOUND,
    }
    if layout.checksums.seed is not None:
        fields["s_checksum_type"] = _CHECKSUM_CRC32C
        covered = _STRUCT.pack(*fields.values())[: LEN - 4]
        fields["s_checksum"] = layout.checksums.of_superblock(covered) or 0
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
    return {name: value for name, value in fields.items() if name not in _OF_CHECKSUMS}
