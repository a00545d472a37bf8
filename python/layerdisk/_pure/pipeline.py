"""The stream: read, counted, reported and hashed chunk by chunk, each handed on before the next is read."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Callable
from typing import Any

# How much is asked of a reader at once, in bytes.
CHUNK_LEN = 1024 * 1024


class Source:
    """The input on its way through the digest.

    Args:
        reader: binary file object; where it has `readinto`, that is used instead of `read`.
        progress: called with the number of bytes so far after every read.

    Attributes:
        size: bytes so far.
    """

    def __init__(self, reader: Any, progress: Callable[[int], object] | None) -> None:
        readinto = getattr(reader, "readinto", None)
        self._buffer = bytearray(CHUNK_LEN if readinto is not None else 0)
        self._view = memoryview(self._buffer)
        self._readinto = readinto
        self._read = reader.read if readinto is None else None
        if not callable(readinto or self._read):
            raise TypeError("the reader's method is not callable")
        self._progress = progress
        self._sha256 = hashlib.sha256()
        self._ended = False
        self.size = 0

    def next_chunk(self) -> memoryview | None:
        """Give the next bytes, at least one; None at the end. Only good until the next call."""
        if self._ended:
            return None
        chunk = self._fill() if self._readinto is not None else self._fetch()
        self.size += len(chunk)
        if self._progress is not None:
            self._progress(self.size)
        if not chunk:
            self._ended = True
            return None
        self._sha256.update(chunk)
        return chunk

    def drain(self) -> None:
        """Read what nobody wants, for the digest."""
        while self.next_chunk() is not None:
            pass

    def digest(self) -> str:
        """Give the SHA-256 of what was read, in hexadecimal digits."""
        return self._sha256.hexdigest()

    def _fill(self) -> memoryview:
        assert self._readinto is not None
        count = self._readinto(self._buffer)
        if count is None:
            raise _would_block()
        count = operator.index(count)
        if not 0 <= count <= CHUNK_LEN:
            raise ValueError(f"readinto returned {count} for a buffer of {CHUNK_LEN} bytes")
        return self._view[:count]

    def _fetch(self) -> memoryview:
        assert self._read is not None
        data = self._read(CHUNK_LEN)
        if data is None:
            raise _would_block()
        if not isinstance(data, bytes):  # a bytearray or memoryview could change under our hands
            raise TypeError(f"read returned {type(data).__name__}, not bytes")
        # What a subclass says of itself does not count.
        return memoryview(data if type(data) is bytes else bytes.__getitem__(data, slice(None)))


def _would_block() -> BlockingIOError:
    return BlockingIOError("the reader has no data now: it must not be in non-blocking mode")
