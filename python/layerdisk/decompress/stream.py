"""Readable streams made of pieces, for every kind of compression."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from ..io import Readable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

INPUT_BYTES = 128 * 1024  # of compressed data at once: large enough to be fast, small enough for the cache
_READ_ALL_BYTES = 1024 * 1024


def read_piece(reader: Readable, size: int) -> bytes:
    """Return up to `size` bytes, none at the end; BlockingIOError where there are none yet."""
    piece = reader.read(size)
    if piece is None:
        raise would_block()
    return piece


def would_block() -> BlockingIOError:
    """Return the error of a reader in non-blocking mode, which must not be taken for the end."""
    return BlockingIOError("the reader is in non-blocking mode and has no data now")


class PieceStream(io.RawIOBase):
    """A readable stream whose subclass gives pieces; `close` leaves the underlying reader open.

    Attributes:
        reads_from: the underlying reader, for `io.may_wait`.
    """

    reads_from: Readable

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Return up to `size` bytes (all that is left if negative), none at the end."""
        if self.closed:
            raise ValueError("read of closed stream")
        if size is None or size < 0:
            return b"".join(iter(lambda: self._piece(_READ_ALL_BYTES), b""))
        return self._piece(size) if size else b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
        with memoryview(buffer).cast("B") as view:
            piece = self.read(len(view))
            view[: len(piece)] = piece
        return len(piece)

    def _piece(self, size: int) -> bytes:
        """Return 1 to `size` bytes; none at the end, again and again."""
        raise NotImplementedError


class Pushback(PieceStream):
    """A reader with bytes put back in front of it."""

    def __init__(self, start: bytes, reader: Readable) -> None:
        self._start = start
        self._reader = self.reads_from = reader

    def _piece(self, size: int) -> bytes:
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
            return piece
        return read_piece(self._reader, size)


class Counted(PieceStream):
    """A reader that knows how far it was read; `position` is in bytes."""

    def __init__(self, reader: Readable) -> None:
        self._reader = self.reads_from = reader
        self.position = 0

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
        readinto = getattr(self._reader, "readinto", None)
        if readinto is None:
            return super().readinto(buffer)
        count: int | None = readinto(buffer)
        if count is None:
            raise would_block()
        self.position += count
        return count

    def _piece(self, size: int) -> bytes:
        piece = read_piece(self._reader, size)
        self.position += len(piece)
        return piece
