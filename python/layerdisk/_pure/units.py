"""Block and inode numbers, times, and the arithmetic between bytes and blocks."""

from __future__ import annotations

from typing import TypeAlias

# Size of a file system block in bytes; s_log_block_size = 2.
BLOCK_SIZE = 4096

# Blocks that one bitmap block, and so one block group, covers.
BLOCKS_PER_GROUP = 32768

# A block's number, counted from the start of the image; an inode's, counted from 1.
BlockNumber: TypeAlias = int
InodeNumber: TypeAlias = int

ROOT: InodeNumber = 2
LOST_AND_FOUND: InodeNumber = 11

# Seconds since 1970, rounded down, and nanoseconds below 10^9.
Time: TypeAlias = tuple[int, int]

# Numbers and counts on disk have 32 bits.
U32_MAX = 0xFFFF_FFFF


def blocks_for(length: int) -> int:
    """Return the number of blocks needed for this many bytes."""
    return -(-length // BLOCK_SIZE)


def padding(length: int, unit: int) -> int:
    """Return the bytes from `length` to the next multiple of `unit`."""
    return -length % unit
