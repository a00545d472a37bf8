"""The extent tree of one contiguous run of blocks.

In the inode up to four extents, else in leaf blocks behind the data.
Source: kernel, Documentation/filesystems/ext4/ifork.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from ..faults import Fault, Faults
from ..units import BLOCK_SIZE, U32_MAX, BlockNumber

# Longest extent in blocks; ee_len values above mean "unwritten".
EXTENT_BLOCKS = 32768
I_BLOCK_LEN = 60
_MAGIC = 0xF30A
_IN_INODE = 4
_IN_LEAF = 340

# eh_magic, eh_entries, eh_max, eh_depth, eh_generation
_HEADER = struct.Struct("<HHHHI")
# ee_block, ee_len, ee_start_hi, ee_start_lo
_EXTENT = struct.Struct("<IHHI")
# ei_block, ei_leaf_lo, ei_leaf_hi, ei_unused
_INDEX = struct.Struct("<IIHH")
assert _HEADER.size == _EXTENT.size == _INDEX.size == 12

# A tree of one extent, which most files have: eh_magic, eh_entries, eh_max, ee_len, ee_start_lo.
_SINGLE = struct.Struct("<HHH6x4xHHI36x")
assert _SINGLE.size == I_BLOCK_LEN


class Run(NamedTuple):
    """`blocks` blocks from `start` on; its leaf blocks, if it needs any, follow the last of them."""

    start: BlockNumber
    blocks: int

    def leaves(self, faults: Faults) -> int:
        """Give the number of leaf blocks behind the data."""
        extents = self._extents()
        if extents <= _IN_INODE:
            return 0
        return extents // _IN_LEAF + 1 if faults.reproduces(Fault.B1) else -(-extents // _IN_LEAF)

    def is_faulty_in_hcsshim(self) -> bool:
        """Tell whether hcsshim lays this run out wrongly (B1)."""
        return self._extents() >= _IN_LEAF

    def i_block(self, faults: Faults) -> bytes:
        """Give i_block of the inode."""
        if 0 < self.blocks <= EXTENT_BLOCKS:
            return _SINGLE.pack(_MAGIC, 1, _IN_INODE, self.blocks, 0, self.start)
        leaves = self.leaves(faults)
        if leaves == 0:
            items = b"".join(self._extent(j) for j in range(self._extents()))
            node = _HEADER.pack(_MAGIC, self._extents(), _IN_INODE, 0, 0) + items
        else:
            first_leaf = self.start + self.blocks
            items = b"".join(
                _INDEX.pack(i * _IN_LEAF * EXTENT_BLOCKS, first_leaf + i & U32_MAX, 0, 0)
                for i in range(leaves)
            )
            node = _HEADER.pack(_MAGIC, leaves, _IN_INODE, 1, 0) + items
        return node.ljust(I_BLOCK_LEN, b"\0")

    def leaf_blocks(self, faults: Faults) -> Iterator[bytes]:
        """Give the leaf blocks in order."""
        leaves = self.leaves(faults)
        for i in range(leaves):
            first = i * _IN_LEAF
            if faults.reproduces(Fault.B1):
                entries = min(self._extents() - i * leaves & U32_MAX, _IN_LEAF)
                items = [self._faulty_extent(j, first) for j in range(first, first + entries)]
            else:
                entries = min(self._extents() - first, _IN_LEAF)
                items = [self._extent(j) for j in range(first, first + entries)]
            node = _HEADER.pack(_MAGIC, entries, _IN_LEAF, 0, 0) + b"".join(items)
            yield node.ljust(BLOCK_SIZE, b"\0")

    def _extents(self) -> int:
        return -(-self.blocks // EXTENT_BLOCKS)

    def _extent(self, j: int) -> bytes:
        logical = j * EXTENT_BLOCKS
        length = min(max(self.blocks - logical, 0), EXTENT_BLOCKS)
        return _EXTENT.pack(logical, length, 0, self.start + logical & U32_MAX)

    def _faulty_extent(self, j: int, first: int) -> bytes:
        """B1: the leaf's offset is counted twice, and a length below zero becomes a full one."""
        logical = j * EXTENT_BLOCKS
        length = min(self.blocks - logical & U32_MAX, EXTENT_BLOCKS)
        return _EXTENT.pack(logical, length, 0, self.start + logical + first * EXTENT_BLOCKS & U32_MAX)
