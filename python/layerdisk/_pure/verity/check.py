"""Data and the levels of a stored tree against each other: every digest that differs is counted, level by level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ...errdefs import InvalidArgument
from . import Parameters
from .build import Data, Progress, ReadAt, digests
from .hasher import Hasher

# Stored digests are compared in pieces of this many bytes.
_PIECE_LEN = 256 << 10


class Checked(NamedTuple):
    """What was found.

    Attributes:
        root: the digest of the top block, or of the only data block.
        levels: how many digests differ and the number of the first such block (0 for none): of the data blocks,
            then of the hash blocks of each level below the top one.
    """

    root: bytes
    levels: list[tuple[int, int]]


def check(
    data: Data, parameters: Parameters, data_blocks: int, tree: ReadAt, offset: int, progress: Progress
) -> Checked:
    """Check data against the tree at an offset of `tree`."""
    hasher = Hasher(parameters)
    counts = parameters.level_blocks(data_blocks)
    size = parameters.hash_block_size
    levels = []
    # Bytes of the level in question, then those of the levels above it: the top one is stored first.
    above = sum(counts) * size
    children = _data_blocks(data, parameters, data_blocks)
    for count in counts:
        above -= count * size
        levels.append(children.against(hasher, _Stored(tree, offset + above), progress))
        children = _Children(tree, offset + above, [(0, count * size)], size, count)
    root = hasher.one(
        _filled(children.source.read_at(children.start, children.block_len), children.block_len)
    )
    return Checked(root, levels)


def _filled(block: bytes, length: int) -> bytes:
    return block + bytes(length - len(block))


def _data_blocks(data: Data, parameters: Parameters, data_blocks: int) -> _Children:
    length = data_blocks * parameters.data_block_size
    if not 0 < length < 2**64:
        raise InvalidArgument(f"dm-verity: {data_blocks} data blocks are not possible")
    ranges = [(min(start, length), min(end, length)) for start, end in data.ranges]
    return _Children(data.source, 0, ranges, parameters.data_block_size, data_blocks)


class _Children(NamedTuple):
    """Blocks whose digests are stored elsewhere.

    Attributes:
        start: offset of the first one.
    """

    source: ReadAt
    start: int
    ranges: Sequence[tuple[int, int]]
    block_len: int
    blocks: int

    def against(self, hasher: Hasher, stored: _Stored, progress: Progress) -> tuple[int, int]:
        """Return how many digests differ, and the first."""
        length = hasher.digest_len
        zeros = hasher.one(bytes(self.block_len)) * (_PIECE_LEN // length)
        bad: list[int] = []
        count = 0
        upto = 0
        data = Data(_Shifted(self.source, self.start), None, self.ranges)
        for first, fresh, end in digests(data, hasher, self.block_len):
            count += stored.compare_zeros(upto, first, zeros, length, bad)
            count += stored.compare(first, fresh, length, bad)
            upto = first + len(fresh) // length
            progress(end)
        count += stored.compare_zeros(upto, self.blocks, zeros, length, bad)
        return count, bad[0] if bad else 0


class _Stored(NamedTuple):
    """Digests, one after the other: a hash block is full of them except its level's last one."""

    tree: ReadAt
    offset: int

    def compare_zeros(self, start: int, end: int, zeros: bytes, length: int, bad: list[int]) -> int:
        """Compare the digests of a hole."""
        count = 0
        step = len(zeros) // length
        for at in range(start, end, step):
            count += self.compare(at, zeros[: min(step, end - at) * length], length, bad)
        return count

    def compare(self, first: int, expected: bytes, length: int, bad: list[int]) -> int:
        """Return how many differ; the first of all is put into `bad`."""
        stored = self.tree.read_at(self.offset + first * length, len(expected))
        if len(stored) < len(expected):
            raise InvalidArgument("dm-verity: the file ends within the hash tree")
        if stored == expected:
            return 0
        different = [
            first + at // length
            for at in range(0, len(expected), length)
            if stored[at : at + length] != expected[at : at + length]
        ]
        if not bad:
            bad.append(different[0])
        return len(different)


class _Shifted(NamedTuple):
    """A part of a source from an offset on."""

    source: ReadAt
    start: int

    def read_at(self, offset: int, size: int) -> bytes:
        """Return this many bytes; fewer only at the end."""
        return self.source.read_at(self.start + offset, size)
