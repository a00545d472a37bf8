"""The extent tree of one contiguous run of blocks.

In the inode up to four extents, else in index blocks after the data, leaves first, then each level above.
Source: kernel, Documentation/filesystems/ext4/ifork.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ...units import BLOCK_SIZE, U32_MAX, BlockNumber
from .checksum import Checksums, InodeId

# Longest extent in blocks; ee_len values above mean "unwritten".
MAX_EXTENT_BLOCKS = 32768
I_BLOCK_LEN = 60
# Entries in the inode and in a block.
IN_INODE = 4
IN_BLOCK = 340
MAGIC = 0xF30A

# eh_magic, eh_entries, eh_max, eh_depth, eh_generation
_HEADER = struct.Struct("<HHHHI")
# ee_block, ee_len, ee_start_hi, ee_start_lo
_EXTENT = struct.Struct("<IHHI")
# ei_block, ei_leaf_lo, ei_leaf_hi, ei_unused
_INDEX = struct.Struct("<IIHH")
# What a block of the tree ends with where it has a checksum: et_checksum.
_TAIL = struct.Struct("<I")
assert _HEADER.size == _EXTENT.size == _INDEX.size == 12
assert _HEADER.size * (1 + IN_INODE) == I_BLOCK_LEN
assert _HEADER.size * (1 + IN_BLOCK) + _TAIL.size == BLOCK_SIZE

# A tree of one extent, which most files have: eh_magic, eh_entries, eh_max, ee_len, ee_start_lo.
_SINGLE = struct.Struct("<HHH6x4xHHI36x")
assert _SINGLE.size == I_BLOCK_LEN


class Run(NamedTuple):
    """This many blocks from `start` on; the blocks of its tree, if it needs any, follow the last of them."""

    start: BlockNumber
    blocks: int

    def extents(self) -> int:
        """Return the number of extents."""
        return -(-self.blocks // MAX_EXTENT_BLOCKS)

    def end(self) -> BlockNumber:
        """Return the first block after the data: the first leaf, if there are any."""
        return self.start + self.blocks

    def index_blocks(self) -> int:
        """Return the number of blocks of the tree after the data."""
        return sum(self._levels())

    def i_block(self) -> bytes:
        """Return i_block of the inode."""
        if 0 < self.blocks <= MAX_EXTENT_BLOCKS:
            return _SINGLE.pack(MAGIC, 1, IN_INODE, self.blocks, 0, self.start)
        levels = self._levels()
        if not levels:
            return root(0, [self._extent(j) for j in range(self.extents())])
        first = self.end() + sum(levels[:-1])
        return root(len(levels), [self._index(len(levels), i, first) for i in range(levels[-1])])

    def tree(self, checksums: Checksums, inode: InodeId) -> Iterator[bytes]:
        """Yield the blocks of the tree in the order in which they follow the data."""
        below = self.extents()
        first_below = first = self.end()
        for depth, blocks in enumerate(self._levels()):
            for i in range(blocks):
                entries = range(i * IN_BLOCK, min(below, (i + 1) * IN_BLOCK))
                if depth == 0:
                    items = [self._extent(j) for j in entries]
                else:
                    items = [self._index(depth, j, first_below) for j in entries]
                yield block(depth, items, checksums, inode)
            first_below, first = first, first + blocks
            below = blocks

    def _levels(self) -> list[int]:
        """Return the blocks of each level of the tree that is not in the inode, the leaves first."""
        levels = []
        entries = self.extents()
        while entries > IN_INODE:
            entries = -(-entries // IN_BLOCK)
            levels.append(entries)
        return levels

    def _extent(self, j: int) -> bytes:
        logical = j * MAX_EXTENT_BLOCKS
        return extent(logical, min(self.blocks - logical, MAX_EXTENT_BLOCKS), self.start + logical)

    def _index(self, depth: int, j: int, first: BlockNumber) -> bytes:
        """Return entry j of a node at that depth, for the block j places after the first one below."""
        return index(j * IN_BLOCK**depth * MAX_EXTENT_BLOCKS, first + j)


def extent(logical: int, length: int, physical: BlockNumber) -> bytes:
    """Return an extent of at most MAX_EXTENT_BLOCKS."""
    return _EXTENT.pack(logical, length, 0, physical & U32_MAX)


def index(logical: int, block: BlockNumber) -> bytes:
    """Return an entry of a node above the leaves."""
    return _INDEX.pack(logical, block & U32_MAX, 0, 0)


def root(depth: int, entries: list[bytes]) -> bytes:
    """Return a node in the inode, of at most IN_INODE entries."""
    node = _HEADER.pack(MAGIC, len(entries), IN_INODE, depth, 0) + b"".join(entries)
    return node.ljust(I_BLOCK_LEN, b"\0")


def block(depth: int, entries: list[bytes], checksums: Checksums, inode: InodeId) -> bytes:
    """Return a node in a block, of at most IN_BLOCK entries."""
    node = _HEADER.pack(MAGIC, len(entries), IN_BLOCK, depth, 0) + b"".join(entries)
    node = node.ljust(BLOCK_SIZE - _TAIL.size, b"\0")
    return node + _TAIL.pack(checksums.of_inode(inode, node) or 0)
