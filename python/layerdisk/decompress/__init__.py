"""Streaming decompression of gzip and zstd, recognised by magic and never by name.

A stream that is cut, damaged or followed by something else is always an error, never short data.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from ..io import Readable
from .gzip import GzipReader, is_gzip
from .stream import Pushback, read_piece
from .zstd import ZstdReader, is_zstd

__all__ = ["DECOMPRESSORS", "Readable", "decompress", "detect"]

_PEEK_BYTES = 10  # what containerd looks at


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
    whole = reader if _seek_back(reader, len(start)) else Pushback(start, reader)
    opener = detect(start)
    return whole if opener is None else opener(whole)


def detect(start: bytes) -> Callable[[Readable], Readable] | None:
    """Give what opens a stream that starts with these (up to 10) bytes; None if it is not compressed."""
    for matches, opener in DECOMPRESSORS:
        if matches(start):
            return opener
    return None


def _peek(reader: Readable) -> bytes:
    start = b""
    while len(start) < _PEEK_BYTES:
        piece = read_piece(reader, _PEEK_BYTES - len(start))
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


# Magic test and reader; a compression is added here and, if it has a name of its own, in media_types.py.
DECOMPRESSORS: tuple[tuple[Callable[[bytes], bool], Callable[[Readable], Readable]], ...] = (
    (is_gzip, GzipReader),
    (is_zstd, ZstdReader),
)
