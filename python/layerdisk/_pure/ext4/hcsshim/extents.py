"""B1: hcsshim's leaf blocks, of which there may be one too many, and whose offset is counted twice."""

from __future__ import annotations

from collections.abc import Iterator

from ...units import U32_MAX
from ..format.checksum import Checksums, InodeId
from ..format.extent import IN_BLOCK, IN_INODE, MAX_EXTENT_BLOCKS, Run, block, extent, index, root

_NO_CHECKSUMS = Checksums(None)


def is_faulty(run: Run) -> bool:
    """Tell whether hcsshim lays this run out wrongly."""
    return run.extents() >= IN_BLOCK


def index_blocks(run: Run) -> int:
    """Return the number of leaf blocks after the data."""
    extents = run.extents()
    return 0 if extents <= IN_INODE else extents // IN_BLOCK + 1


def i_block(run: Run) -> bytes:
    """Return i_block of the inode."""
    leaves = index_blocks(run)
    if leaves == 0:
        return run.i_block()
    return root(1, [index(i * IN_BLOCK * MAX_EXTENT_BLOCKS, run.end() + i) for i in range(leaves)])


def tree(run: Run, inode: InodeId) -> Iterator[bytes]:
    """Yield the leaf blocks in order."""
    leaves = index_blocks(run)
    for i in range(leaves):
        first = i * IN_BLOCK
        entries = min(run.extents() - i * leaves & U32_MAX, IN_BLOCK)
        items = [_faulty_extent(run, j, first) for j in range(first, first + entries)]
        yield block(0, items, _NO_CHECKSUMS, inode)


def _faulty_extent(run: Run, j: int, first: int) -> bytes:
    """A length below zero becomes a full one."""
    logical = j * MAX_EXTENT_BLOCKS
    length = min(run.blocks - logical & U32_MAX, MAX_EXTENT_BLOCKS)
    return extent(logical, length, run.start + logical + first * MAX_EXTENT_BLOCKS)
