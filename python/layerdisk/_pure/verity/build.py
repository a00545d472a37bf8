"""The hashes of data that is there already, read by position."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, Protocol

from ...errdefs import InvalidArgument
from . import Parameters
from .hasher import Hasher
from .leaves import Leaves
from .tree import Spill, Tree

# What is read and hashed at a time, in bytes: a multiple of every block size.
_SEGMENT_LEN = 1 << 20
# More than any source has.
_NO_END = 2**64 - 1


class ReadAt(Protocol):
    """Bytes that can be read by position."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return this many bytes; fewer only at the end."""


class Data(NamedTuple):
    """Where the data is.

    Attributes:
        length: its bytes; None: up to where the source ends.
        ranges: parts that are not holes, in order; the rest is zeros and not read.
    """

    source: ReadAt
    length: int | None
    ranges: Sequence[tuple[int, int]]


# Called with the number of bytes that were gone through, often; an error ends the work.
Progress = Callable[[int], object]


def build(data: Data, parameters: Parameters, spill: Spill | None, progress: Progress) -> tuple[Leaves, int]:
    """Return the leaves of some data, ready to be finished, and its length."""
    tree = Tree(parameters, spill)
    end = 0
    for first, digests_, end in digests(data, tree.hasher, parameters.data_block_size):
        tree.put(first, digests_)
        progress(end)
    return Leaves(tree), end if data.length is None else data.length


def digests(data: Data, hasher: Hasher, block_len: int) -> Iterator[tuple[int, bytes, int]]:
    """Give the digests of all blocks that are not in holes: first block, digests, offset that was reached."""
    zero = hasher.one(bytes(block_len))
    for start, stop in _segments(data, block_len):
        piece = data.source.read_at(start, stop - start)
        end = start + len(piece)
        if end < stop and data.length is not None and end < data.length:
            raise InvalidArgument(f"the data ends at byte {end}, before its length")
        if piece:
            padded = piece if len(piece) % block_len == 0 else piece + bytes(-len(piece) % block_len)
            yield start // block_len, hasher.many(memoryview(padded), block_len, zero), end
        if end < stop:
            return


def _segments(data: Data, block_len: int) -> Iterator[tuple[int, int]]:
    """Give what is read at a time: whole blocks of the parts that are not holes, each block once."""
    length = _NO_END if data.length is None else data.length
    done = 0
    for start, stop in data.ranges:
        start = max(start - start % block_len, done)
        end = min(stop + -stop % block_len, length)
        done = max(done, end + -end % block_len)
        for at in range(start, end, _SEGMENT_LEN):
            yield at, min(end, at + _SEGMENT_LEN)
