"""Data blocks out of writes by position: each is hashed as it passes, and again if it is written again."""

from __future__ import annotations

from ...errdefs import InvalidArgument
from ..sink import Sink
from ..units import BLOCK_SIZE
from . import Parameters
from .tree import Root, Tree


class Hashing:
    """A sink that has what it passes on hashed, if anybody wants that; without a sink nothing is kept."""

    def __init__(self, sink: Sink | None, leaves: Leaves | None) -> None:
        self._sink = sink
        self._leaves = leaves

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the bytes."""
        if self._leaves is not None:
            self._leaves.written(offset, data)
        if self._sink is not None:
            self._sink.write_at(offset, data)

    def may_change(self, offset: int, length: int) -> None:
        """Take note that a range will be written, or may be written again, after what follows it."""
        if self._leaves is not None:
            self._leaves.may_change(offset, length)


class Leaves:
    """The leaves of a tree."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._block_len = tree.parameters.data_block_size
        # Blocks of which parts were written: the latest, and those that may change.
        self._open: dict[int, bytearray] = {}
        self._may_change: set[int] = set()
        # Blocks below this one were hashed if they are not open.
        self._closed = 0

    @property
    def parameters(self) -> Parameters:
        """What the hashes depend on."""
        return self._tree.parameters

    def may_change(self, offset: int, length: int) -> None:
        """Say that a range will be written, or may be written again, after what follows it."""
        for block in range(offset // self._block_len, -(-(offset + length) // self._block_len)):
            self._may_change.add(block)
            self._tree.pin(block)

    def written(self, offset: int, data: memoryview) -> None:
        """Take note of bytes that are written."""
        size = self._block_len
        head = min(-offset % size, len(data))
        end = head + (len(data) - head) // size * size
        first = (offset + head) // size
        if head:
            self._part(offset // size, offset % size, data[:head])
        if end > head:
            self._whole(first, data[head:end])
        if len(data) > end:
            self._part(first + (end - head) // size, 0, data[end:])

    def _whole(self, first: int, data: memoryview) -> None:
        size = self._block_len
        end = first + len(data) // size
        if self._open:
            self._open = {block: part for block, part in self._open.items() if not first <= block < end}
        if size > BLOCK_SIZE:
            # The rest of these blocks may be needed when a part of them is written again.
            for block in self._may_change.intersection(range(first, end)):
                self._open[block] = bytearray(data[(block - first) * size : (block - first + 1) * size])
        self._tree.put(first, self._tree.hasher.many(data, size, self._tree.zero))
        self._closed = max(self._closed, end)

    def _part(self, block: int, at: int, data: memoryview) -> None:
        if block < self._closed and block not in self._open and block not in self._may_change:
            raise InvalidArgument(f"dm-verity: a part of data block {block} changed after it was hashed")
        # A part of a later block: those before it are complete, unless they may change.
        for before in [open_ for open_ in self._open if open_ < block and open_ not in self._may_change]:
            self._close(before)
        buffer = self._open.get(block)
        if buffer is None:
            buffer = self._open[block] = bytearray(self._block_len)
        buffer[at : at + len(data)] = data

    def _close(self, block: int) -> None:
        self._tree.put(block, self._tree.hasher.one(self._open.pop(block)))
        self._closed = max(self._closed, block + 1)

    def finish(self, length: int) -> Root:
        """End the data, whose last block is filled up with zeros."""
        data_blocks = -(-length // self._block_len)
        if data_blocks == 0:
            raise InvalidArgument("there is no data: dm-verity needs at least one block")
        for block in sorted(self._open):
            self._close(block)
        return self._tree.finish(data_blocks)

    def write_tree(self, root: Root, sink: Sink, offset: int) -> None:
        """Write the tree of what was finished."""
        self._tree.write(root.data_blocks, sink, offset)
