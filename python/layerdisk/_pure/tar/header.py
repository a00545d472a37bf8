"""One header block of 512 bytes, in the five formats that are about."""

from __future__ import annotations

import copy
import struct

from ...errdefs import InvalidTar, quote
from .pax import Records, decimal, sparse_form, time

BLOCK_LEN = 512
ZERO_BLOCK = bytes(BLOCK_LEN)

# name, mode, uid, gid, size, mtime, checksum, typeflag, linkname, magic, version, devmajor, devminor, rest
_FIELDS = struct.Struct("100s8s8s8s12s12s8sB100s6s2s64x8s8s167s")
_OCTAL_DIGITS = b"01234567"
_MAX_UNSIGNED = 1 << 64
_SIGN = 1 << 63


class Header:
    """A header's fields; `gnu`: whether it is in GNU format."""

    __slots__ = (
        "atime",
        "ctime",
        "devmajor",
        "devminor",
        "gid",
        "gnu",
        "linkname",
        "mode",
        "mtime",
        "name",
        "size",
        "typeflag",
        "uid",
    )

    def __init__(self, block: bytes) -> None:
        (
            name,
            mode,
            uid,
            gid,
            size,
            mtime,
            checksum,
            typeflag,
            linkname,
            magic,
            version,
            major,
            minor,
            rest,
        ) = _FIELDS.unpack(block)
        _check_sum(block, checksum)
        self.mode = number(mode, "mode")
        self.uid = number(uid, "uid")
        self.gid = number(gid, "gid")
        self.size = number(size, "size")
        self.mtime = (number(mtime, "mtime"), 0)
        self.name = text(name)
        self.typeflag: int = typeflag
        self.linkname = text(linkname)
        self.atime: tuple[int, int] | None = None
        self.ctime: tuple[int, int] | None = None
        self.devmajor = self.devminor = 0
        self.gnu = magic == b"ustar " and version == b" \0"
        if magic != b"ustar\0" and not self.gnu:
            return
        self.devmajor = number(major, "devmajor")
        self.devminor = number(minor, "devminor")
        if self.gnu:
            prefix = self._gnu_times_or_prefix(rest)
        elif rest.endswith(b"tar\0"):
            self.atime = (number(rest[131:143], "atime"), 0)
            self.ctime = (number(rest[143:155], "ctime"), 0)
            prefix = text(rest[:131])
        else:
            prefix = text(rest[:155])
        if prefix:
            self.name = prefix + b"/" + self.name

    @property
    def is_header_only(self) -> bool:
        """Whether the type has no data, whatever the size says."""
        return 0x31 <= self.typeflag <= 0x36

    def normalise_type(self) -> None:
        """NUL, of old archives, is a regular file, or a directory if the name says so."""
        if not self.typeflag:
            self.typeflag = 0x35 if self.name.endswith(b"/") else 0x30

    def copy(self) -> Header:
        """Give a copy."""
        return copy.copy(self)

    def apply(self, records: Records) -> None:
        """Put in what records say; empty values say nothing."""
        for key, value in sorted(records.items()):
            if not value:
                continue
            if key == b"path":
                self.name = value
            elif key == b"linkpath":
                self.linkname = value
            elif key == b"uid":
                self.uid = decimal(key, value)
            elif key == b"gid":
                self.gid = decimal(key, value)
            elif key == b"size":
                self.size = decimal(key, value)
            elif key == b"mtime":
                self.mtime = time(key, value)
            elif key == b"atime":
                self.atime = time(key, value)
            elif key == b"ctime":
                self.ctime = time(key, value)

    def sparse_form(self, records: Records) -> list[tuple[int, int]] | str | None:
        """Tell whether the file is sparse by its records; takes over the real name and size if it is."""
        form = sparse_form(records)
        if form is None:
            return None
        self.name = records.get(b"GNU.sparse.name") or self.name
        for key in (b"GNU.sparse.size", b"GNU.sparse.realsize"):
            value = records.get(key)
            if value:
                self.size = decimal(key, value)
                break
        return form()

    def _gnu_times_or_prefix(self, rest: bytes) -> bytes:
        """GNU keeps times where others keep the prefix; some of its writers keep a prefix all the same."""
        try:
            atime = (number(rest[:12], "atime"), 0) if rest[0] else None
            self.ctime = (number(rest[12:24], "ctime"), 0) if rest[12] else None
        except InvalidTar:
            prefix = text(rest[:155])
            return prefix if prefix.isascii() else b""
        self.atime = atime
        return b""


def text(field: bytes) -> bytes:
    """Give a field's bytes up to the first NUL."""
    return field.partition(b"\0")[0]


def number(field: bytes, name: str) -> int:
    """Give a number in octal or base 256, as 64 bits with sign."""
    value = _base256(field) if field[0] & 0x80 else octal(field)
    if value is None:
        raise InvalidTar(f"field {name} is no number of 64 bits: {quote(field)}")
    return value


def octal(field: bytes) -> int | None:
    """Give an octal number; spaces and NULs around are dropped, nothing at all is 0."""
    digits = field.strip(b" \0").partition(b"\0")[0]
    if not digits:
        return 0
    if digits.strip(_OCTAL_DIGITS):
        return None
    value = int(digits, 8)
    if value >= _MAX_UNSIGNED:
        return None
    return value - _MAX_UNSIGNED if value >= _SIGN else value


def _base256(field: bytes) -> int | None:
    """Two's complement, big endian; the first bit marks the form and the second is the sign."""
    value = int.from_bytes(field, "big")
    bits = 8 * len(field) - 1
    value &= (1 << bits) - 1
    if field[0] & 0x40:
        value -= 1 << bits
    return value if -_SIGN <= value < _SIGN else None


def _check_sum(block: bytes, stored: bytes) -> None:
    """Compare with the sum of all bytes, the field itself as spaces; old writers took the bytes as signed."""
    unsigned = sum(block) - sum(stored) + 8 * 32
    found = octal(stored)
    if found == unsigned:
        return
    high = sum(byte >= 0x80 for byte in block) - sum(byte >= 0x80 for byte in stored)
    if found != unsigned - 256 * high:
        raise InvalidTar(f"the checksum is {quote(stored)}, the block's is {unsigned:o}")
