"""gzip streams.

Source: RFC 1952.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errdefs import DataLoss, LayerdiskError, TruncatedStream
from ..io import Readable
from .stream import INPUT_BYTES, Counted, PieceStream, read_piece

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = b"\x1f\x8b\x08"  # RFC 1952, 2.3.1: ID1, ID2, CM = deflate

_FIRST_WINDOW_BYTES = 4096  # given to a new member: what it leaves is copied, and members may be tiny
_PADDING = re.compile(rb"\0*")


def is_gzip(start: bytes) -> bool:
    """Tell whether a stream that starts with these bytes is gzip's."""
    return start.startswith(MAGIC)


class GzipReader(PieceStream):
    """The plain content of a gzip stream.

    Args:
        reader: binary file object with the compressed stream.

    Source: RFC 1952.
    """

    def __init__(self, reader: Readable) -> None:
        import zlib
        from gzip import BadGzipFile

        self.reads_from = reader
        source: Any = Counted(reader)  # as far as a file object is needed
        self._source = source
        self._plain: Any
        try:
            # The reader inside isal's public file object, which would copy everything once more.
            from isal.isal_zlib import _GzipReader, error
        except ImportError:
            self._plain = ZlibReader(source)
            self._errors: Any = (BadGzipFile, zlib.error)
        else:
            self._plain = _GzipReader(source, INPUT_BYTES)
            self._errors = (BadGzipFile, zlib.error, error, OverflowError)

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
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
                " (after a member only another one, 1f 8b 08, or NUL padding may follow)"
            ) from error


class ZlibReader:
    """The plain content of a gzip stream, by the standard library: for where isal is not.

    Its own `gzip` takes a stream that is cut inside the magic of a member for one that is damaged.

    Args:
        source: binary file object with the compressed stream.

    Raises:
        EOFError: the stream ends inside a member.
        BadGzipFile: something that is not a member follows.
        zlib.error: a member is damaged.
    """

    def __init__(self, source: Readable) -> None:
        self._source = source
        self._input = b""
        self._at = 0  # where in the input the next byte is
        self._member: Any = None
        self._is_first = True
        self._has_more = False  # the member has output that needs no input
        self._window = _FIRST_WINDOW_BYTES

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
        with memoryview(buffer).cast("B") as view:
            piece = self.read(len(view))
            view[: len(piece)] = piece
        return len(piece)

    def read(self, size: int, /) -> bytes:
        """Return 1 to `size` bytes, none at the end."""
        while self._member is not None or self._start_member():
            if self._at == len(self._input) and not self._has_more and not self._fill():
                raise EOFError
            piece = self._inflate(size)
            if piece:
                return piece
        return b""

    def _inflate(self, size: int) -> bytes:
        member = self._member
        with memoryview(self._input)[self._at : self._at + self._window] as given:
            piece: bytes = member.decompress(given, size)
            left = member.unused_data if member.eof else member.unconsumed_tail
            self._at += len(given) - len(left)
        self._window = min(2 * self._window, INPUT_BYTES)
        self._has_more = len(piece) == size
        if member.eof:
            self._member = None
        return piece

    def _start_member(self) -> bool:
        """Begin with the next member; False at the end of the stream."""
        import zlib
        from gzip import BadGzipFile

        while not self._is_first and self._skip_padding():
            pass
        while len(start := self._input[self._at : self._at + len(MAGIC)]) < len(MAGIC) and self._fill():
            pass
        if not start:
            return False
        if len(start) < len(MAGIC) and MAGIC.startswith(start):
            raise EOFError
        if not start.startswith(MAGIC[:2]):
            raise BadGzipFile(f"Not a gzipped file ({start[:2]!r})")
        if start != MAGIC:
            raise BadGzipFile("Unknown compression method")
        self._member = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)  # 16: with header and trailer of gzip
        self._is_first = self._has_more = False
        self._window = _FIRST_WINDOW_BYTES
        return True

    def _skip_padding(self) -> bool:
        """Skip NUL bytes; True if there may be more of them."""
        match = _PADDING.match(self._input, self._at)
        assert match is not None  # it matches nothing too
        self._at = match.end()
        return self._at == len(self._input) and self._fill()

    def _fill(self) -> bool:
        """Read more input after what is left; False at its end."""
        piece = read_piece(self._source, INPUT_BYTES)
        self._input, self._at = self._input[self._at :] + piece, 0
        return bool(piece)
