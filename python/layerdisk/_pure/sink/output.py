"""The image as one growing sequence: small pieces gathered, large ones uncopied, zero blocks as holes."""

from __future__ import annotations

from ...errdefs import DiskSizeExceeded
from ..units import BLOCK_SIZE, U32_MAX, BlockNumber
from . import ImageSink

# Small writes are gathered up to this many bytes: enough to make system calls rare, few enough for a cache.
_BUFFER_LEN = 256 * 1024
# Pieces from this length on are not copied into the buffer.
_DIRECT_LEN = 64 * 1024
_ZEROS = memoryview(bytes(_BUFFER_LEN))
_ZERO_BLOCK = bytes(BLOCK_SIZE)
_WHOLE_BLOCKS = -BLOCK_SIZE  # a mask


class Output:
    """Writes to a sink from a block on.

    Args:
        start: first block.
        maximum: most bytes from the start of the image to the end of a write, a multiple of the block size.
    """

    __slots__ = ("_buffer", "_fill", "_offset", "maximum", "sink")

    def __init__(self, sink: ImageSink, start: BlockNumber, maximum: int) -> None:
        self.sink = sink
        sink.may_change(0, start * BLOCK_SIZE)  # what is before the start is written last
        self.maximum = maximum
        # What was gathered, `_fill` bytes of it; after them it is zero. `_offset`: of its first byte, a
        # multiple of the block size.
        self._buffer = memoryview(bytearray(_BUFFER_LEN))
        self._fill = 0
        self._offset = start * BLOCK_SIZE

    @property
    def position(self) -> int:
        """Where the next byte goes."""
        return self._offset + self._fill

    def block(self) -> BlockNumber:
        """Return the block at the position, which is block aligned between entries."""
        block = (self._offset + self._fill) // BLOCK_SIZE
        if block > U32_MAX:
            raise self.exceeded()
        return block

    def may_change(self) -> None:
        """Say that the block that comes next may be written again."""
        self.sink.may_change(self.position, BLOCK_SIZE)

    def check_room(self, length: int) -> None:
        """Raise DiskSizeExceeded where this many bytes more do not fit."""
        if self.position + length > self.maximum:
            raise self.exceeded()

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Append bytes."""
        length = len(data)
        end = self._fill + length
        if self._offset + end > self.maximum:
            raise self.exceeded()
        if length < _DIRECT_LEN:
            if end > _BUFFER_LEN:
                self._flush_blocks()
                end = self._fill + length
            self._buffer[self._fill : end] = data
            self._fill = end
        else:
            self._write_large(memoryview(data))

    def zeros(self, length: int) -> None:
        """Append a hole of any length."""
        end = self._fill + length
        if self._offset + end > self.maximum:
            raise self.exceeded()
        if end > _BUFFER_LEN:
            self._fill = (self._fill + BLOCK_SIZE - 1) & _WHOLE_BLOCKS
            rest = end - self._fill
            self._flush_blocks()
            self._offset += rest & _WHOLE_BLOCKS
            end = rest % BLOCK_SIZE
        self._fill = end

    def pad_to_block(self) -> BlockNumber:
        """Append zeros up to the next block and give its number; never too many for the maximum."""
        self._fill = (self._fill + BLOCK_SIZE - 1) & _WHOLE_BLOCKS
        return self.block()

    def rewrite(self, offset: int, blocks: bytes) -> None:
        """Write whole blocks before the position, which are not held against the maximum."""
        at = offset - self._offset
        if at >= 0:
            self._buffer[at : at + len(blocks)] = blocks
        else:
            self._write_blocks(offset, memoryview(blocks))

    def finish(self) -> None:
        """Write out what is left."""
        self._write_blocks(self._offset, self._buffer[: self._fill])

    def exceeded(self) -> DiskSizeExceeded:
        """Make the error of a write past the maximum disk size."""
        return DiskSizeExceeded(f"the image exceeds the maximum disk size of {self.maximum} bytes")

    def _write_large(self, data: memoryview) -> None:
        head = -self._fill % BLOCK_SIZE
        self._buffer[self._fill : self._fill + head] = data[:head]
        self._fill += head
        self._flush_blocks()
        end = head + (len(data) - head & _WHOLE_BLOCKS)
        self._write_blocks(self._offset, data[head:end])
        self._offset += end - head
        tail = len(data) - end
        self._buffer[:tail] = data[end:]
        self._fill = tail

    def _flush_blocks(self) -> None:
        """Write the whole blocks of the buffer; what is left of it moves to the front."""
        whole = self._fill & _WHOLE_BLOCKS
        if whole:
            self._write_blocks(self._offset, self._buffer[:whole])
            tail = bytes(self._buffer[whole : self._fill])
            self._buffer[: self._fill] = _ZEROS[: self._fill]
            self._buffer[: len(tail)] = tail
            self._offset += whole
            self._fill = len(tail)

    def _write_blocks(self, offset: int, data: memoryview) -> None:
        """Write whole blocks in as few pieces as the zero ones among them allow."""
        start = 0
        first_bytes = bytes(data[::BLOCK_SIZE])
        block = first_bytes.find(0)  # others cannot be zero
        while block >= 0:
            at = block * BLOCK_SIZE
            end = at + BLOCK_SIZE
            if bytes(data[at:end]) == _ZERO_BLOCK:
                if at > start:
                    self.sink.write_at(offset + start, data[start:at])
                start = end
            block = first_bytes.find(0, block + 1)
        if start < len(data):
            self.sink.write_at(offset + start, data[start:])
