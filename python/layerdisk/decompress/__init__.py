"""Streaming decompression of gzip and zstd, recognised by magic and never by name.

A stream that is cut, damaged or followed by something else is always an error, never short data.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, NamedTuple

from ..errdefs import InvalidTar
from ..io import Readable
from .foreign import BLOCK_BYTES, foreign_name, is_tar_header
from .gzip import GzipReader, is_gzip
from .stream import Pushback, read_piece
from .zstd import MAX_WINDOW_BYTES, ZstdReader, is_zstd

__all__ = [
    "DECOMPRESSORS",
    "MAX_WINDOW_BYTES",
    "Compression",
    "Readable",
    "decompress",
    "detect",
    "uncompressed",
]

_PEEK_BYTES = 10  # what containerd looks at


class Compression(NamedTuple):
    """A row of the table.

    Attributes:
        name: for messages.
        matches: whether a stream that starts with these (up to 10) bytes is of this kind.
        open: makes the plain stream; the number is the memory that it may ask for, in bytes.
    """

    name: str
    matches: Callable[[bytes], bool]
    open: Callable[[Readable, int], Readable]


# A compression is added here and, if it has a name of its own, in media_types.py.
DECOMPRESSORS = (
    Compression("gzip", is_gzip, lambda reader, _: GzipReader(reader)),
    Compression("zstd", is_zstd, ZstdReader),
)


def decompress(reader: Readable, *, max_window_bytes: int = MAX_WINDOW_BYTES) -> Readable:
    """Return the plain stream of one that may be compressed with gzip or zstd.

    gzip may have several members and NUL padding after the last; zstd may have several frames and skippable
    ones. A stream with neither magic is handed on as it is, also an empty one.

    Args:
        reader: binary file object at the start of the stream; it is read in pieces and not closed.
        max_window_bytes: largest window that a zstd stream may ask for, which is memory that it takes; by
            default 512 MiB, as in containerd. Ordinary streams ask for 8 MiB or less.

    Returns:
        A reader with `read(n)`, which gives at most n bytes, often fewer, and `readinto`; `reader` itself
        where it is plain and can seek. Reading raises TruncatedStream where the stream ends early, DataLoss
        where it is damaged or something else follows, ResourceExhausted where a zstd window is too large.

    Raises:
        InvalidTar: the stream is compressed in another way, or is a document.

    >>> import gzip, io
    >>> decompress(io.BytesIO(gzip.compress(b"a layer"))).read(100)
    b'a layer'

    Source: RFC 1952, RFC 8878; containerd pkg/archive/compression.
    """
    start = _peek(reader, _PEEK_BYTES)
    found = detect(start)
    if found is not None:
        return found.open(_whole(start, reader), max_window_bytes)
    return _checked(start, reader, foreign_name(start), "a tar, plain or compressed with gzip or zstd")


def uncompressed(reader: Readable) -> Readable:
    """Return the stream as it is, for a layer whose media type says that it is plain.

    Raises:
        InvalidTar: it is compressed, or is a document.
    """
    start = _peek(reader, _PEEK_BYTES)
    found = detect(start)
    name = foreign_name(start) if found is None else f"{found.name}-compressed data"
    return _checked(start, reader, name, "a plain tar, as its media type says")


def detect(start: bytes) -> Compression | None:
    """Return the compression of a stream that starts with these (up to 10) bytes; None if there is none."""
    return next((row for row in DECOMPRESSORS if row.matches(start)), None)


def _checked(start: bytes, reader: Readable, name: str | None, allowed: str) -> Readable:
    """Refuse what is known to be something else; a tar whose first name looks like it is a tar."""
    if name is not None:
        start += _peek(reader, BLOCK_BYTES - len(start))
        if not is_tar_header(start):
            raise InvalidTar(f"the layer is {name}; it must be {allowed}")
    return _whole(start, reader)


def _whole(start: bytes, reader: Readable) -> Readable:
    return reader if _seek_back(reader, len(start)) else Pushback(start, reader)


def _peek(reader: Readable, count: int) -> bytes:
    start = b""
    while len(start) < count:
        piece = read_piece(reader, count - len(start))
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
