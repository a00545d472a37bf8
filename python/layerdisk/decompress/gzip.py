"""gzip streams.

Source: RFC 1952.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..errdefs import DataLoss, LayerdiskError, TruncatedStream
from ..io import Readable
from .stream import INPUT_BYTES, Counted, PieceStream

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = b"\x1f\x8b\x08"  # RFC 1952, 2.3.1: ID1, ID2, CM = deflate


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
        from gzip import BadGzipFile, GzipFile

        self.reads_from = reader
        source: Any = Counted(reader)  # as far as a file object is needed
        self._source = source
        self._plain: Any
        try:
            # The reader inside isal's public file object, which would copy everything once more.
            from isal.isal_zlib import _GzipReader, error
        except ImportError:
            self._plain = GzipFile(fileobj=source, mode="rb")
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
