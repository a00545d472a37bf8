"""Records of PAX extended headers: `LENGTH KEY=VALUE`, each record on a line."""

from __future__ import annotations

import enum

from ...errdefs import InvalidTar, quote
from ..units import Time
from .block import decimal
from .header import Header
from .map import Map

_XATTR_PREFIX = b"SCHILY.xattr."
# Values of these keys end up as C strings, so that they may hold no NUL.
_TEXT_KEYS = frozenset((b"path", b"linkpath", b"uname", b"gname"))
# `5 =\n` would be the shortest record if keys could be empty.
_MIN_RECORD_LEN = 5
_SPARSE_OFFSET = b"GNU.sparse.offset"
_SPARSE_NUMBYTES = b"GNU.sparse.numbytes"
_SPARSE_MAP = b"GNU.sparse.map"
_LIMIT = 1 << 63
_DIGITS = b"0123456789"


class SparseForm(enum.Enum):
    """Where the map of a sparse file is, if not in the records."""

    NONE = enum.auto()  # it is a file like any other
    IN_DATA = enum.auto()


class Records(dict[bytes, bytes]):
    """The records of one header by key."""

    @classmethod
    def parse(cls, body: bytes) -> Records:
        """Return the records of an extended header's body."""
        records = cls()
        sparse: list[bytes] = []
        at = 0
        while at < len(body):
            key, value, at = _record(body, at)
            if key in (_SPARSE_OFFSET, _SPARSE_NUMBYTES):
                if (key == _SPARSE_OFFSET) != (len(sparse) % 2 == 0) or b"," in value:
                    raise InvalidTar("records GNU.sparse.offset and GNU.sparse.numbytes do not alternate")
                sparse.append(value)
            else:
                records[key] = value
        if sparse:
            records[_SPARSE_MAP] = b",".join(sparse)
        return records

    def apply(self, header: Header) -> None:
        """Put what the records say into a header; empty values are ignored."""
        for key, value in sorted(self.items()):
            if not value:
                continue
            if key == b"path":
                header.name = value
            elif key == b"linkpath":
                header.linkname = value
            elif key == b"uid":
                header.uid = _number(key, value)
            elif key == b"gid":
                header.gid = _number(key, value)
            elif key == b"size":
                header.size = _number(key, value)
            elif key == b"mtime":
                header.mtime = _time(key, value)
            elif key == b"atime":
                header.atime = _time(key, value)
            elif key == b"ctime":
                header.ctime = _time(key, value)

    def xattrs(self) -> list[tuple[bytes, bytes]]:
        """Return the extended attributes, sorted by name."""
        length = len(_XATTR_PREFIX)
        return sorted((key[length:], value) for key, value in self.items() if key.startswith(_XATTR_PREFIX))

    def sparse(self, header: Header) -> Map | SparseForm:
        """Tell whether the file is sparse by its records; takes over the real name and size if it is."""
        form = self._sparse_form()
        if form is SparseForm.NONE:
            return form
        header.name = self.get(b"GNU.sparse.name") or header.name
        for key in (b"GNU.sparse.size", b"GNU.sparse.realsize"):
            value = self.get(key)
            if value:
                header.size = _number(key, value)
                break
        return self._sparse_map() if form is None else form

    def _sparse_form(self) -> SparseForm | None:
        """Return None where the map is in the records."""
        major, minor = self.get(b"GNU.sparse.major") or None, self.get(b"GNU.sparse.minor") or None
        if (major, minor) == (b"1", b"0"):
            return SparseForm.IN_DATA
        if (major == b"0" and minor in (b"0", b"1")) or (
            major is None and minor is None and self.get(_SPARSE_MAP)
        ):
            return None
        return SparseForm.NONE

    def _sparse_map(self) -> Map:
        count = decimal(self.get(b"GNU.sparse.numblocks", b""))
        value = self.get(_SPARSE_MAP)
        parts = value.split(b",") if value else []
        if count is None or count < 0:
            raise InvalidTar("record GNU.sparse.numblocks is not a number from 0 on")
        if 2 * count != len(parts):
            raise InvalidTar(
                f"record GNU.sparse.map has {len(parts)} numbers, GNU.sparse.numblocks says twice {count}"
            )
        numbers = [_number(_SPARSE_MAP, part) for part in parts]
        return list(zip(numbers[::2], numbers[1::2], strict=True))


def _record(body: bytes, start: int) -> tuple[bytes, bytes, int]:
    """Return key and value of the record at `start`, and where the next one is."""

    def bad(why: str) -> InvalidTar:
        return InvalidTar(f"extended header record {quote(body[start:])}: {why}")

    space = body.find(b" ", start)
    if space < 0:
        raise bad("no space after its length")
    length = decimal(body[start:space])
    left = len(body) - start
    if length is None or not _MIN_RECORD_LEN <= length <= left:
        raise bad(f"its length is not from {_MIN_RECORD_LEN} to {left}, the bytes left")
    end = start + length
    if end < space + 2 or body[end - 1] != 0x0A:
        raise bad("no line feed at its end")
    key, equals, value = body[space + 1 : end - 1].partition(b"=")
    if not equals:
        raise bad("no equals sign")
    if not key or b"\0" in key:
        raise bad("its key is empty or holds a NUL byte")
    if key in _TEXT_KEYS and b"\0" in value:
        raise bad("its value holds a NUL byte")
    return key, value, end


def _number(key: bytes, value: bytes) -> int:
    number = decimal(value)
    if number is None:
        raise _bad_value(key, value, "not a decimal number of 64 bits")
    return number


def _time(key: bytes, value: bytes) -> Time:
    """Return a record's time, `S` or `S.F`; nine digits of the fraction count."""
    whole, _, fraction = value.partition(b".")
    seconds = decimal(whole)
    if seconds is None or fraction.strip(_DIGITS):
        raise _bad_value(key, value, "no time in seconds")
    nanoseconds = int(fraction[:9].ljust(9, b"0"))
    if value[:1] == b"-" and nanoseconds:
        seconds -= 1
        return (seconds if seconds >= -_LIMIT else seconds + 2 * _LIMIT), 1_000_000_000 - nanoseconds
    return seconds, nanoseconds


def _bad_value(key: bytes, value: bytes, what: str) -> InvalidTar:
    return InvalidTar(f"extended header record {quote(key)} is {what}: {quote(value)}")
