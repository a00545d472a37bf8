"""A block group's descriptor, 32 bytes, or 64 with the feature 64bit.

Source: kernel, Documentation/filesystems/ext4/group_descr.rst.
"""

from __future__ import annotations

import struct

from .checksum import Checksums

STRUCT = struct.Struct(
    "<I"  # 0 bg_block_bitmap_lo
    "I"  # 4 bg_inode_bitmap_lo
    "I"  # 8 bg_inode_table_lo
    "H"  # 12 bg_free_blocks_count_lo
    "H"  # 14 bg_free_inodes_count_lo
    "H"  # 16 bg_used_dirs_count_lo
    "H"  # 18 bg_flags
    "I"  # 20 bg_exclude_bitmap_lo
    "H"  # 24 bg_block_bitmap_csum_lo
    "H"  # 26 bg_inode_bitmap_csum_lo
    "H"  # 28 bg_itable_unused_lo
    "H"  # 30 bg_checksum
)
# Without 64bit.
LEN = 32
assert STRUCT.size == LEN


def encode(
    block_bitmap: int,
    inode_bitmap: int,
    inode_table: int,
    free_blocks: int,
    free_inodes: int,
    directories: int,
    block_bitmap_csum: int | None,
    inode_bitmap_csum: int | None,
    checksums: Checksums,
    group: int,
) -> bytes:
    """Return a descriptor; its checksum, the lower half of what covers it, comes last."""

    def pack(checksum: int) -> bytes:
        return STRUCT.pack(
            block_bitmap,
            inode_bitmap,
            inode_table,
            free_blocks,
            free_inodes,
            directories,
            0,
            0,
            (block_bitmap_csum or 0) & 0xFFFF,
            (inode_bitmap_csum or 0) & 0xFFFF,
            0,
            checksum & 0xFFFF,
        )

    descriptor = pack(0)
    checksum = checksums.of_group(group, descriptor)
    return descriptor if checksum is None else pack(checksum)
