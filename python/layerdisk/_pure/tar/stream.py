"""The input with a cursor."""

from __future__ import annotations

from ...errdefs import TruncatedTar
from ..stream import Input
from .block import BLOCK_LEN


class Stream:
    """An input, and how far it is read."""

    def __init__(self, read_chunk: Input) -> None:
        self._read_chunk = read_chunk
        self._chunk = memoryview(b"")
        self._at = 0
        self._length = 0
        self._before = 0  # bytes of the stream before the chunk

    def position(self) -> int:
        """Return the bytes taken so far."""
        return self._before + self._at

    def _rest_has_data(self) -> bool:
        """Tell whether anything but zeros is left; read to the end."""
        has_data = False
        while self._available():
            has_data = has_data or any(self._chunk[self._at :])
            self._at = self._length
        return has_data

    def _available(self) -> int:
        """Return the bytes left in the chunk, of the next one where there are none; 0 at the end."""
        left = self._length - self._at
        if left:
            return left
        self._before += self._length
        self._at = self._length = 0
        self._chunk = memoryview(b"")
        chunk = self._read_chunk()
        if chunk is None:
            return 0
        self._chunk = memoryview(chunk)
        self._length = len(self._chunk)
        return self._length

    def _read(self, length: int) -> bytes:
        """Read as far as the stream reaches."""
        at = self._at
        if at + length <= self._length:
            self._at = at + length
            return bytes(self._chunk[at : at + length])
        pieces = []
        while length:
            available = min(self._available(), length)
            if not available:
                break
            pieces.append(bytes(self._chunk[self._at : self._at + available]))
            self._at += available
            length -= available
        return b"".join(pieces)

    def _block(self) -> bytes:
        """Read a block of a sparse map."""
        block = self._read(BLOCK_LEN)
        if len(block) < BLOCK_LEN:
            raise TruncatedTar("the archive ends in the sparse map")
        return block

    def _skip(self, length: int) -> int:
        skipped = 0
        while skipped < length:
            available = min(self._available(), length - skipped)
            if not available:
                break
            self._at += available
            skipped += available
        return skipped
