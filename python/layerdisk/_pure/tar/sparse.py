"""Sparse files: a map says where the stored fragments belong; the rest is holes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ...errdefs import InvalidTar, quote
from .pax import parse_decimal

if TYPE_CHECKING:
    from .header import Header

Fragments = list[tuple[int, int]]

# Blocks of an old GNU map behind the header, and bytes of a map in the data. Source: Go, archive/tar.
_MAX_EXTENSIONS = 2047
_MAX_MAP_LEN = 1 << 20
_MAX_FRAGMENTS = 1 << 62
_BLOCK_LEN = 512


class Sparse:
    """The position in a sparse file."""

    __slots__ = ("_length", "_offset", "_position", "_rest", "_size")

    def __init__(self, fragments: Fragments, header: Header) -> None:
        if header.is_header_only:
            raise InvalidTar("an entry without data has a sparse map")
        size = header.size
        if size < 0:
            raise InvalidTar(f"the sparse file's size is {size}, less than 0")
        end = 0
        for offset, length in fragments:
            if length < 0 or offset < end or offset + length > size:
                raise InvalidTar(
                    f"the sparse map has {length} bytes at byte {offset}: out of order, or outside of the file's "
                    f"{size} bytes"
                )
            end = offset + length
        self._size = size
        self._position = 0
        self._rest: Iterator[tuple[int, int]] = iter([part for part in fragments if part[1]])
        self._offset, self._length = next(self._rest, (size, 0))

    def next(self, stored: int) -> tuple[bool, int] | None:
        """Give the next piece, whether it is a hole and its length, knowing how much stored data is left."""
        if self._position < self._offset:
            hole = self._offset - self._position
            self._position = self._offset
            return True, hole
        if self._length:
            if not stored:
                raise InvalidTar(
                    f"the sparse file's map names data that is not there, at byte {self._offset}"
                )
            return False, self._length
        if stored:
            raise InvalidTar(f"the sparse file has {stored} bytes of data that its map does not name")
        return None

    def advance(self, taken: int) -> None:
        """Note that so many bytes of the fragment were taken."""
        self._position += taken
        if self._length > taken:
            self._offset += taken
            self._length -= taken
        else:
            self._offset, self._length = next(self._rest, (self._size, 0))


def old_gnu_map(header: Header, block: bytes, next_block: Callable[[], bytes]) -> Fragments:
    """Give the map in an old GNU header (type `S`) and the blocks behind it."""
    from .header import number

    if not header.gnu:
        raise InvalidTar('a sparse file of type "S" needs a header in GNU format')
    header.size = number(block[483:495], "realsize")
    fragments: Fragments = []
    _old_gnu_fragments(fragments, block, 386, 4)
    more = block[482]
    extensions = 0
    while more:
        extensions += 1
        if extensions > _MAX_EXTENSIONS:
            raise InvalidTar(f"the sparse map has more than {_MAX_EXTENSIONS} blocks")
        block = next_block()
        _old_gnu_fragments(fragments, block, 0, 21)
        more = block[504]
    return fragments


def _old_gnu_fragments(fragments: Fragments, block: bytes, at: int, count: int) -> None:
    from .header import number

    for start in range(at, at + 24 * count, 24):
        if not block[start]:
            break
        offset = number(block[start : start + 12], "sparse offset")
        fragments.append((offset, number(block[start + 12 : start + 24], "sparse length")))


def map_in_data(next_block: Callable[[], bytes]) -> Fragments:
    """Give the map at the start of the data (PAX sparse format 1.0): a count and that many pairs of lines."""
    numbers = _numbers(next_block)
    count = next(numbers)
    if not 0 <= count < _MAX_FRAGMENTS:
        raise InvalidTar(f"the sparse map's count is {count}, not from 0 to {_MAX_FRAGMENTS - 1}")
    fragments: Fragments = []
    while len(fragments) < count:
        offset = next(numbers)
        fragments.append((offset, next(numbers)))
    return fragments


def _numbers(next_block: Callable[[], bytes]) -> Iterator[int]:
    """Give the numbers of lines, reading blocks only as they are needed."""
    line = b""
    read = 0
    while True:
        read += _BLOCK_LEN
        if read > _MAX_MAP_LEN:
            raise InvalidTar(f"the sparse map has more than {_MAX_MAP_LEN} bytes")
        *lines, rest = next_block().split(b"\n")
        for piece in lines:
            line += piece
            value = parse_decimal(line)
            if value is None:
                raise InvalidTar(f"the sparse map has {quote(line)} for a number")
            yield value
            line = b""
        line += rest
