"""Streaming decompression of gzip and zstd, recognised by magic and never by name.

A stream that is cut, damaged or followed by something else is always an error, never short data.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from .errdefs import DataLoss, Internal, LayerdiskError, ResourceExhausted, TruncatedStream
from .io import Readable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

GZIP_MAGIC = b"\x1f\x8b\x08"  # RFC 1952, 2.3.1: ID1, ID2, CM = deflate
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
ZSTD_SKIPPABLE_MAGIC = 0x184D2A50  # RFC 8878, 3.1.2: the lowest 4 bits are free
ZSTD_MAX_WINDOW_BYTES = 1 << 29  # what containerd's decoder allows; zstandard alone stops at 1 << 27

_PEEK_BYTES = 10  # what containerd looks at
_INPUT_BYTES = 128 * 1024  # of compressed data at once: large enough to be fast, small enough for the cache
_READ_ALL_BYTES = 1024 * 1024

_Read = TypeVar("_Read")


def decompress(reader: Readable) -> Readable:
    """Give the plain stream of one that may be compressed with gzip or zstd.

    gzip may have several members and NUL padding behind the last; zstd may have several frames and skippable
    ones, with windows of up to 512 MiB. A stream with neither magic is handed on as it is, also an empty one.

    Args:
        reader: binary file object at the start of the stream; it is read in pieces and not closed.

    Returns:
        A reader with `read(n)`, which gives at most n bytes, often fewer, and `readinto`; `reader` itself
        where it is plain and can seek. Reading raises TruncatedStream where the stream ends early, DataLoss
        where it is damaged or something else follows, ResourceExhausted where a zstd window is too large.

    Source: RFC 1952, RFC 8878; containerd pkg/archive/compression.
    """
    start = _peek(reader)
    whole = reader if _seek_back(reader, len(start)) else _Pushback(start, reader)
    opener = detect(start)
    return whole if opener is None else opener(whole)


def detect(start: bytes) -> Callable[[Readable], Readable] | None:
    """Give what opens a stream that starts with these (up to 10) bytes; None if it is not compressed."""
    for matches, opener in DECOMPRESSORS:
        if matches(start):
            return opener
    return None


def _is_gzip(start: bytes) -> bool:
    return start.startswith(GZIP_MAGIC)


def _is_zstd(start: bytes) -> bool:
    if start.startswith(ZSTD_MAGIC):
        return True
    # A skippable frame is recognised with its length field only, as in containerd.
    return len(start) >= 8 and int.from_bytes(start[:4], "little") & ~0xF == ZSTD_SKIPPABLE_MAGIC


def _peek(reader: Readable) -> bytes:
    start = b""
    while len(start) < _PEEK_BYTES:
        piece = _read(reader, _PEEK_BYTES - len(start))
        if not piece:
            break
        start += piece
    return start


def _seek_back(reader: Any, count: int) -> bool:
    try:
        if not reader.seekable():
            return False
        reader.seek(-count, io.SEEK_CUR)
    except (AttributeError, OSError):
        return False
    return True


def _read(reader: Readable, size: int) -> bytes:
    piece = reader.read(size)
    if piece is None:
        raise _would_block()
    return piece


def _would_block() -> BlockingIOError:
    return BlockingIOError("the reader is in non-blocking mode and has no data now")


class _Stream(io.RawIOBase):
    """A readable stream whose subclass gives pieces; `close` leaves the underlying reader open."""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Give up to `size` bytes (all that is left if negative), none at the end."""
        if self.closed:
            raise ValueError("read of closed stream")
        if size is None or size < 0:
            return b"".join(iter(lambda: self._piece(_READ_ALL_BYTES), b""))
        return self._piece(size) if size else b""

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        with memoryview(buffer).cast("B") as view:
            piece = self.read(len(view))
            view[: len(piece)] = piece
        return len(piece)

    def _piece(self, size: int) -> bytes:
        """Give 1 to `size` bytes; none at the end, again and again."""
        raise NotImplementedError


class _Pushback(_Stream):
    """A reader with bytes put back in front of it."""

    def __init__(self, start: bytes, reader: Readable) -> None:
        self._start = start
        self._reader = reader

    def _piece(self, size: int) -> bytes:
        if self._start:
            piece, self._start = self._start[:size], self._start[size:]
            return piece
        return _read(self._reader, size)


class GzipReader(_Stream):
    """The plain content of a gzip stream.

    Args:
        reader: binary file object with the compressed stream.

    Source: RFC 1952.
    """

    def __init__(self, reader: Readable) -> None:
        import zlib
        from gzip import BadGzipFile, GzipFile

        source: Any = _Counted(reader)  # as far as a file object is needed
        self._source = source
        self._plain: Any
        try:
            # The reader inside isal's public file object, which would copy everything once more.
            from isal.isal_zlib import _GzipReader, error
        except ImportError:
            self._plain = GzipFile(fileobj=source, mode="rb")
            self._errors: Any = (BadGzipFile, zlib.error)
        else:
            self._plain = _GzipReader(source, _INPUT_BYTES)
            self._errors = (BadGzipFile, zlib.error, error, OverflowError)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise ValueError("read of closed stream")
        count: int = self._checked(self._plain.readinto, buffer)
        return count

    def _piece(self, size: int) -> bytes:
        piece: bytes = self._checked(self._plain.read, size)
        return piece

    def _checked(self, read: Callable[[Any], Any], argument: object) -> Any:
        try:
            return read(argument)
        except LayerdiskError:  # of the reader, and perhaps an EOFError as well
            raise
        except EOFError as error:
            raise TruncatedStream(f"gzip stream ends early, at byte {self._source.position}") from error
        except self._errors as error:
            raise DataLoss(
                f"gzip stream is damaged before byte {self._source.position}: {error}"
                " (behind a member only another one, 1f 8b 08, or NUL padding may follow)"
            ) from error


class _Counted(_Stream):
    """A reader that knows how far it was read; `position` is in bytes."""

    def __init__(self, reader: Readable) -> None:
        self._reader = reader
        self.position = 0

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        readinto = getattr(self._reader, "readinto", None)
        if readinto is None:
            return super().readinto(buffer)
        count: int | None = readinto(buffer)
        if count is None:
            raise _would_block()
        self.position += count
        return count

    def _piece(self, size: int) -> bytes:
        piece = _read(self._reader, size)
        self.position += len(piece)
        return piece


class ZstdReader(_Stream):
    """The plain content of a zstd stream.

    Args:
        reader: binary file object with the compressed stream.

    Source: RFC 8878.
    """

    def __init__(self, reader: Readable) -> None:
        import zstandard

        self._error = zstandard.ZstdError
        self._walker = ZstdFrameWalker(reader)
        source: Any = self._walker  # of a file it needs `read` only
        self._plain = zstandard.ZstdDecompressor(max_window_size=ZSTD_MAX_WINDOW_BYTES).stream_reader(
            source, read_size=_INPUT_BYTES, read_across_frames=True, closefd=False
        )

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        if self.closed:
            raise ValueError("read of closed stream")
        with memoryview(buffer).cast("B") as view:
            count = self._checked(lambda: self._plain.readinto(view)) if len(view) else 0
            self._check_end(count or not len(view))
        return count

    def _piece(self, size: int) -> bytes:
        piece = self._checked(lambda: self._plain.read(size))
        self._check_end(piece)
        return piece

    def _checked(self, read: Callable[[], _Read]) -> _Read:
        try:
            return read()
        except self._error as error:
            if "too much memory" in str(error):
                message = f"zstd window is larger than {ZSTD_MAX_WINDOW_BYTES} bytes: {error}"
                raise ResourceExhausted(message) from error
            raise DataLoss(f"zstd stream is damaged before byte {self._walker.position}: {error}") from error

    def _check_end(self, got: object) -> None:
        if not got and not self._walker.at_end:
            raise Internal(f"zstd library ends at byte {self._walker.position}, before the stream does")


class ZstdFrameWalker:
    """Hands a zstd stream on and follows its frames, so that a cut stream is noticed.

    The library gives short data and no error then. Only headers are looked at, a few bytes in every block.

    Args:
        reader: binary file object with the compressed stream.

    Attributes:
        position: bytes handed on.
        at_end: True after the end of a whole stream.

    Source: RFC 8878, 3.1.
    """

    def __init__(self, reader: Readable) -> None:
        self._reader = reader
        self._field: Callable[[bytes], None] = self._magic  # what reads the next header field
        self._wanted = 4  # its length
        self._partial = b""  # the part of it that has been seen
        self._skip = 0  # bytes between here and that field
        self._has_checksum = False
        self.position = 0
        self.at_end = False

    def read(self, size: int) -> bytes:
        """Give up to `size` bytes of the compressed stream.

        Raises:
            TruncatedStream: the stream ends inside a frame.
            DataLoss: something that is no frame follows one.
        """
        piece = _read(self._reader, size)
        if piece:
            self._walk(piece)
        elif self._skip or self._partial or self._field != self._magic:
            raise TruncatedStream(f"zstd stream ends early, at byte {self.position}")
        else:
            self.at_end = True
        return piece

    def _walk(self, piece: bytes) -> None:
        at, end = 0, len(piece)
        while True:
            step = min(self._skip, end - at)
            at += step
            self._skip -= step
            if at == end:
                break
            # Skipped all: here is a field, perhaps with its first part in the piece before.
            part = piece[at : at + self._wanted - len(self._partial)]
            at += len(part)
            self._partial += part
            if len(self._partial) == self._wanted:
                field, self._partial = self._partial, b""
                self._at = self.position + at - len(field)
                self._field(field)
        self.position += end

    def _expect(self, field: Callable[[bytes], None], length: int, *, skip: int = 0) -> None:
        self._field, self._wanted, self._skip = field, length, skip

    def _magic(self, field: bytes) -> None:
        if field == ZSTD_MAGIC:
            self._expect(self._frame_header_descriptor, 1)
        elif int.from_bytes(field, "little") & ~0xF == ZSTD_SKIPPABLE_MAGIC:
            self._expect(self._skippable_length, 4)
        else:
            raise DataLoss(
                f"zstd stream: bytes {field.hex(' ')} at byte {self._at} start no frame (28 b5 2f fd)"
            )

    def _skippable_length(self, field: bytes) -> None:
        self._expect(self._magic, 4, skip=int.from_bytes(field, "little"))

    def _frame_header_descriptor(self, field: bytes) -> None:
        descriptor = field[0]
        single_segment = descriptor >> 5 & 1
        self._has_checksum = bool(descriptor >> 2 & 1)
        window = 1 - single_segment
        dictionary_id = (0, 1, 2, 4)[descriptor & 3]
        content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
        self._expect(self._block_header, 3, skip=window + dictionary_id + content_size)

    def _block_header(self, field: bytes) -> None:
        header = int.from_bytes(field, "little")
        is_last, kind, size = header & 1, header >> 1 & 3, header >> 3
        content = 1 if kind == 1 else size  # kind 1 is one byte, repeated `size` times
        if not is_last:
            self._expect(self._block_header, 3, skip=content)
        else:
            self._expect(self._magic, 4, skip=content + (4 if self._has_checksum else 0))


# Magic test and reader; a compression is added here and, if it has a name of its own, in media_types.py.
DECOMPRESSORS: tuple[tuple[Callable[[bytes], bool], Callable[[Readable], Readable]], ...] = (
    (_is_gzip, GzipReader),
    (_is_zstd, ZstdReader),
)
