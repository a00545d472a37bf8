"""The map of a sparse file, in the forms in which archives have it outside of records.

These are old GNU's blocks, and lines at the start of the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeAlias

from ...errdefs import InvalidTar, quote
from .block import BLOCK_LEN, GNU_TAIL, HEADER_BLOCK, SPARSE_BLOCK, SPARSE_FIELD, Format, decimal, number
from .header import Header

# Blocks of an old GNU map after the header, and bytes of a map in the data. Source: Go, archive/tar.
_MAX_EXTENSIONS = 2047
_MAX_MAP_LEN = 1 << 20
_MAX_FRAGMENTS = 1 << 62

# Stretches of stored data: where each belongs, and its length, in bytes; checked by `Sparse`.
Map: TypeAlias = list[tuple[int, int]]


def old_gnu(header: Header, block: bytes, next_block: Callable[[], bytes]) -> Map:
    """Return the map in an old GNU header (type `S`) and the blocks after it; the header gets the real size."""
    if header.format is not Format.GNU:
        raise InvalidTar('a sparse file of type "S" needs a header in GNU format')
    *_, tail = HEADER_BLOCK.unpack(block)
    _, _, fields, more, real_size = GNU_TAIL.unpack(tail)
    header.size = number(real_size, "realsize")
    fragments: Map = []
    _add_fields(fragments, fields)
    extensions = 0
    while more:
        extensions += 1
        if extensions > _MAX_EXTENSIONS:
            raise InvalidTar(f"the sparse map has more than {_MAX_EXTENSIONS} blocks")
        fields, more = SPARSE_BLOCK.unpack(next_block())
        _add_fields(fragments, fields)
    return fragments


def _add_fields(fragments: Map, fields: bytes) -> None:
    for offset, length in SPARSE_FIELD.iter_unpack(fields):
        if not offset[0]:
            break
        start = number(offset, "sparse offset")
        fragments.append((start, number(length, "sparse length")))


def in_data(next_block: Callable[[], bytes]) -> Map:
    """Return the map at the start of the data (PAX sparse format 1.0): a count and that many pairs, all in lines."""
    numbers = _numbers(next_block)
    count = next(numbers)
    if not 0 <= count < _MAX_FRAGMENTS:
        raise InvalidTar(f"the sparse map's count is {count}, not from 0 to {_MAX_FRAGMENTS - 1}")
    fragments: Map = []
    while len(fragments) < count:
        offset = next(numbers)
        fragments.append((offset, next(numbers)))
    return fragments


def _numbers(next_block: Callable[[], bytes]) -> Iterator[int]:
    """Yield the numbers of lines, reading blocks only as they are needed."""
    line = b""
    read = 0
    while True:
        read += BLOCK_LEN
        if read > _MAX_MAP_LEN:
            raise InvalidTar(f"the sparse map has more than {_MAX_MAP_LEN} bytes")
        *lines, rest = next_block().split(b"\n")
        for piece in lines:
            line += piece
            value = decimal(line)
            if value is None:
                raise InvalidTar(f"the sparse map has {quote(line)} for a number")
            yield value
            line = b""
        line += rest
