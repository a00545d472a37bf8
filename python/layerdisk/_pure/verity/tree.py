"""The tree of hashes while it grows, in little memory whatever the length of the data.

Hash blocks that nothing was put into are those of zeros, and are not stored. Of the others, those of each level that
were not touched for longest are folded into their parent once there are many: their digest is all that stays in memory,
and their bytes go to a spill where the tree itself is wanted. A digest that comes late to a folded block brings it back
from the spill. Without one, blocks whose leaves may change are pinned.
"""

from __future__ import annotations

from typing import NamedTuple, Protocol

from ...errdefs import InvalidArgument
from ..sink import Sink
from . import Parameters
from .hasher import Hasher

# Bytes of hash blocks that each level keeps in memory: the leaves of 1 GiB in blocks of 4096 and sha256.
_RESIDENT_LEN = 8 << 20
# The finished tree is written in pieces of about this many bytes.
_PIECE_LEN = 256 << 10
# More than there can be: 2^64 bytes in the smallest blocks.
_MAX_DATA_BLOCKS = 1 << 55


class Spill(Protocol):
    """A place for hash blocks that do not stay in memory; what was never written reads as zeros."""

    def write_at(self, offset: int, data: bytes) -> None:
        """Write all of the bytes."""

    def read_at(self, offset: int, size: int) -> bytes:
        """Return this many bytes; fewer stand for zeros at the end."""


class Root(NamedTuple):
    """The root, and how much lies under it."""

    hash: bytes
    data_blocks: int
    tree_size: int


class _Level:
    """One level.

    Attributes:
        zero: the digest of a block of zeros, or of a hash block full of such digests, below.
        zeros: the hash block that is full of it.
        pinned: blocks that stay in memory, as leaves of theirs may change.
        folded: blocks below this one were folded if they are neither resident nor pinned.
    """

    __slots__ = ("folded", "pinned", "resident", "zero", "zeros")

    def __init__(self, zero: bytes, per_block: int) -> None:
        self.zero = zero
        self.zeros = zero * per_block
        self.resident: dict[int, bytearray] = {}
        self.pinned: dict[int, bytearray] = {}
        self.folded = 0


class Tree:
    """Digests of data blocks in, a root and if wanted the tree out."""

    def __init__(self, parameters: Parameters, spill: Spill | None) -> None:
        self.parameters = parameters
        self.hasher = Hasher(parameters)
        self._spill = spill
        self._per_block = parameters.per_hash_block
        self._resident_blocks = _RESIDENT_LEN // parameters.hash_block_size
        self._levels: list[_Level] = []
        zero = self.hasher.one(bytes(parameters.data_block_size))
        covered = 1
        while covered < _MAX_DATA_BLOCKS:
            self._levels.append(_Level(zero, self._per_block))
            zero = self.hasher.one(self._levels[-1].zeros)
            covered *= self._per_block

    @property
    def zero(self) -> bytes:
        """The digest of a data block of zeros."""
        return self._levels[0].zero

    def pin(self, leaf: int) -> None:
        """Say that the digest of a data block may be put in again at any time."""
        index = leaf
        for number, level in enumerate(self._levels):
            index //= self._per_block
            self._block(number, index)
            if index in level.resident:
                level.pinned[index] = level.resident.pop(index)

    def put(self, first: int, digests: bytes) -> None:
        """Put digests of data blocks in, from a block on."""
        self._put_into(0, first, digests)
        self._fold_some(0)

    def _put_into(self, number: int, first: int, digests: bytes) -> None:
        length = self.hasher.digest_len
        at = first
        done = 0
        while done < len(digests):
            slot = at % self._per_block * length
            piece = digests[done : done + self.parameters.hash_block_size - slot]
            self._block(number, at // self._per_block)[slot : slot + len(piece)] = piece
            at += len(piece) // length
            done += len(piece)

    def _block(self, number: int, index: int) -> bytearray:
        """Return a block in memory, to be changed."""
        level = self._levels[number]
        block = level.pinned.get(index) or level.resident.get(index)
        if block is None:
            if index < level.folded:
                if self._spill is None:
                    raise InvalidArgument("dm-verity: a block changed after its digest was given away")
                block = bytearray(self._unspilled(number, index))
            else:
                block = bytearray(level.zeros)
            level.resident[index] = block
        return block

    def _unspilled(self, number: int, index: int) -> bytes:
        """Return a folded block; one that was never written is of zeros only, which no block of digests is."""
        assert self._spill is not None
        block = self._spill.read_at(self._address(number, index), self.parameters.hash_block_size)
        return block if any(block) else self._levels[number].zeros

    def _fold_some(self, number: int) -> None:
        """Fold half of a level's blocks once there are too many, and so on up."""
        while number < len(self._levels):
            level = self._levels[number]
            count = len(level.resident)
            if count <= self._resident_blocks:
                return
            # The last one is being filled, and a block whose children are not folded yet will change.
            below = self._levels[number - 1].folded if number else None
            for index in sorted(level.resident)[: count // 2 + 1]:
                if below is None or (index + 1) * self._per_block <= below:
                    self._fold(number, index)
            number += 1

    def _fold(self, number: int, index: int) -> None:
        level = self._levels[number]
        block = bytes(level.resident.pop(index))
        level.folded = max(level.folded, index + 1)
        if self._spill is not None:
            self._spill.write_at(self._address(number, index), block)
        self._put_into(number + 1, index, self._digest(number, block))

    def _digest(self, number: int, block: bytes | bytearray) -> bytes:
        if block == self._levels[number].zeros and number + 1 < len(self._levels):
            return self._levels[number + 1].zero
        return self.hasher.one(block)

    def _address(self, number: int, index: int) -> int:
        """Return where a hash block is in the spill: in the order of completion, those below first."""
        before = 0
        below = index + 1
        for _ in range(number):
            below *= self._per_block
            before += below
        while index > 0:
            before += index
            index //= self._per_block
        return before * self.parameters.hash_block_size

    def finish(self, data_blocks: int) -> Root:
        """End the tree over this many data blocks, one at least."""
        counts = self.parameters.level_blocks(data_blocks)
        below = data_blocks
        for number, count in enumerate(counts):
            self._end_level(number, below, count)
            below = count
        if counts:
            root = self.hasher.one(self._block(len(counts) - 1, 0))
        else:
            root = bytes(self._block(0, 0)[: self.hasher.digest_len])
        return Root(root, data_blocks, self.parameters.tree_size(data_blocks))

    def _end_level(self, number: int, below: int, count: int) -> None:
        """Pad the last block of a level with zeros, and put the digests of all in memory into the next one."""
        used = (below - (count - 1) * self._per_block) * self.hasher.digest_len
        self._block(number, count - 1)[used:] = bytes(self.parameters.hash_block_size - used)
        if count == 1:
            return
        level = self._levels[number]
        level.resident |= level.pinned
        level.pinned = {}
        for index in sorted(level.resident):
            self._put_into(number + 1, index, self._digest(number, level.resident[index]))

    def write(self, data_blocks: int, sink: Sink, offset: int) -> None:
        """Write a finished tree, top first."""
        piece = bytearray()
        for number, count in reversed(list(enumerate(self.parameters.level_blocks(data_blocks)))):
            for index in range(count):
                piece += self._finished(number, index)
                if len(piece) >= _PIECE_LEN:
                    sink.write_at(offset, memoryview(piece))
                    offset += len(piece)
                    piece = bytearray()
        if piece:
            sink.write_at(offset, memoryview(piece))

    def _finished(self, number: int, index: int) -> bytes | bytearray:
        level = self._levels[number]
        block = level.resident.get(index) or level.pinned.get(index)
        if block is not None:
            return block
        if self._spill is not None and index < level.folded:
            return self._unspilled(number, index)
        return level.zeros
