"""Sparse files: a map says where the stored fragments belong; the rest is holes."""

from __future__ import annotations

from collections.abc import Iterator

from ...errdefs import InvalidTar
from .header import Header
from .map import Map


class Sparse:
    """The position in a sparse file."""

    __slots__ = ("_length", "_offset", "_position", "_rest", "_size")

    def __init__(self, fragments: Map, header: Header) -> None:
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
        """Return the next piece, whether it is a hole and its length, knowing how much stored data is left."""
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
        """Note that this many bytes of the fragment were taken."""
        self._position += taken
        if self._length > taken:
            self._offset += taken
            self._length -= taken
        else:
            self._offset, self._length = next(self._rest, (self._size, 0))
