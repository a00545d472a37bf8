"""Bytes of many nodes in one piece: texts, and sets of xattrs, of which equal ones are kept once."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import TypeAlias

from ...errdefs import DiskSizeExceeded

# Full name -> value, in no particular order.
Xattrs: TypeAlias = dict[bytes, bytes]

_TEXT_LIMIT = 1 << 32
# Lengths of a name and its value.
_LENGTHS = struct.Struct("<HI")


class Texts:
    """Texts one after the other."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, text: bytes) -> int:
        """Keep a text; return its place."""
        start = len(self._bytes)
        if start >= _TEXT_LIMIT:
            raise DiskSizeExceeded("the short symlinks and files of the layer need more than 4 GiB")
        self._bytes += text
        return start

    def get(self, start: int, length: int) -> bytes:
        """Return a text by its place and length."""
        return bytes(self._bytes[start : start + length])


class XattrSets:
    """Sets of xattrs, each in one piece: for each attribute the lengths of name and value, then both."""

    def __init__(self) -> None:
        self._sets: dict[bytes, bytes] = {}

    def add(self, attributes: Iterable[tuple[bytes, bytes]]) -> bytes:
        """Keep a set; return it, or the equal one that was there before."""
        packed = b"".join([_LENGTHS.pack(len(name), len(value)) + name + value for name, value in attributes])
        return self._sets.setdefault(packed, packed)


def unpack(packed: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the attributes of a set, in their order."""
    at = 0
    while at < len(packed):
        name_len, value_len = _LENGTHS.unpack_from(packed, at)
        at += _LENGTHS.size
        yield packed[at : at + name_len], packed[at + name_len : at + name_len + value_len]
        at += name_len + value_len
