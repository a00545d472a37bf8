"""A block group's descriptor, 32 bytes.

Source: kernel, Documentation/filesystems/ext4/group_descr.rst.
"""

from __future__ import annotations

import struct

from ..units import BLOCK_SIZE

STRUCT = struct.Struct(
    "<I"  # 0 bg_block_bitmap_lo
    "I"  # 4 bg_inode_bitmap_lo
    "I"  # 8 bg_inode_table_lo
    "H"  # 12 bg_free_blocks_count_lo
    "H"  # 14 bg_free_inodes_count_lo
    "H"  # 16 bg_used_dirs_count_lo
    "14x"  # 18 flags, checksums, itable_unused: all zero
)
LEN = 32
assert STRUCT.size == LEN

PER_BLOCK = BLOCK_SIZE // LEN
