"""A block of 512 bytes as the five formats in use lay out its fields, and the numbers and texts in these.

Sources: POSIX, pax "Interchange Format"; GNU tar manual, "Basic Tar Format"; the man page of star(5).
"""

from __future__ import annotations

import enum
import functools
import struct

from ...errdefs import InvalidTar, quote

BLOCK_LEN = 512
ZERO_BLOCK = bytes(BLOCK_LEN)

_MAGIC_POSIX = b"ustar\0"
_MAGIC_GNU = b"ustar "
_VERSION_GNU = b" \0"
_TRAILER_STAR = b"tar\0"

# The part of a header block that all formats but V7 share; V7 ends with linkname.
HEADER_BLOCK = struct.Struct(
    "100s"  # 0 name
    "8s"  # 100 mode
    "8s"  # 108 uid
    "8s"  # 116 gid
    "12s"  # 124 size
    "12s"  # 136 mtime
    "8s"  # 148 checksum
    "B"  # 156 typeflag
    "100s"  # 157 linkname
    "6s"  # 257 magic
    "2s"  # 263 version
    "32x"  # 265 uname
    "32x"  # 297 gname
    "8s"  # 329 devmajor
    "8s"  # 337 devminor
    "167s"  # 345 tail, in one of the forms below
)
_TAIL_LEN = 167
# What follows in USTAR and PAX: prefix.
POSIX_TAIL = struct.Struct("155s12x")
# What follows in STAR: prefix, atime, ctime, trailer.
STAR_TAIL = struct.Struct("131s12s12s8x4s")
# What follows in GNU's format: atime, ctime, (offset, longnames, unused,) 4 sparse fields, isextended, realsize.
GNU_TAIL = struct.Struct("12s12s12x4xx96sB12s17x")
# A block that goes on with an old GNU sparse map: 21 sparse fields, isextended.
SPARSE_BLOCK = struct.Struct("504sB7x")
# One fragment of such a map: offset, length.
SPARSE_FIELD = struct.Struct("12s12s")
assert HEADER_BLOCK.size == SPARSE_BLOCK.size == BLOCK_LEN
assert POSIX_TAIL.size == STAR_TAIL.size == GNU_TAIL.size == _TAIL_LEN

_OCTAL_DIGITS = b"01234567"
_DECIMAL_DIGITS = b"0123456789"
_MAX_UNSIGNED = 1 << 64
_SIGN = 1 << 63


class Format(enum.Enum):
    """The format of a header block."""

    V7 = enum.auto()
    USTAR = enum.auto()  # and PAX, which is USTAR with extended headers
    STAR = enum.auto()
    GNU = enum.auto()


_V7, _USTAR, _STAR, _GNU = Format


def format_of(magic: bytes, version: bytes, tail: bytes) -> Format:
    """Return the format by three fields of the block."""
    if magic == _MAGIC_POSIX:
        return _STAR if tail.endswith(_TRAILER_STAR) else _USTAR
    return _GNU if magic == _MAGIC_GNU and version == _VERSION_GNU else _V7


def check_sum(block: bytes, stored: bytes) -> None:
    """Compare with the sum of all bytes, the field itself as spaces; old writers took the bytes as signed."""
    unsigned = sum(block) - sum(stored) + len(stored) * ord(" ")
    found = _octal(stored)
    if found == unsigned:
        return
    high = sum(byte >= 0x80 for byte in block) - sum(byte >= 0x80 for byte in stored)
    if found != unsigned - 256 * high:
        raise InvalidTar(f"the checksum is {quote(stored)}, the block's is {unsigned:o}")


def text(field: bytes) -> bytes:
    """Return a field's bytes up to the first NUL."""
    return field.partition(b"\0")[0]


def number(field: bytes, name: str) -> int:
    """Return a number in octal or base 256, as 64 bits with sign."""
    value = _known_octal(field) if field[0] < 0x80 else _base256(field)
    if value is None:
        raise InvalidTar(f"field {name} is not a number of 64 bits: {quote(field)}")
    return value


def decimal(value: bytes) -> int | None:
    """Return a signed decimal number of 64 bits: a sign if any, and digits; None if it is not one."""
    digits = value[1:] if value[:1] in (b"-", b"+") else value
    if not digits or digits.strip(_DECIMAL_DIGITS):
        return None
    significant = digits.lstrip(b"0")
    if len(significant) > 19:
        return None
    number = int(significant or b"0")
    if value[:1] == b"-":
        number = -number
    return number if -_SIGN <= number < _SIGN else None


def _octal(field: bytes) -> int | None:
    """Return an octal number; spaces and NULs around are dropped, nothing at all is 0."""
    digits = field.strip(b" \0").partition(b"\0")[0]
    if not digits:
        return 0
    if digits.strip(_OCTAL_DIGITS):
        return None
    value = int(digits, 8)
    if value >= _MAX_UNSIGNED:
        return None
    return value - _MAX_UNSIGNED if value >= _SIGN else value


# Most entries have the modes, owners and device numbers of others.
_known_octal = functools.lru_cache(maxsize=4096)(_octal)


def _base256(field: bytes) -> int | None:
    """Two's complement, big endian; the first bit marks the form and the second is the sign."""
    value = int.from_bytes(field, "big")
    bits = 8 * len(field) - 1
    value &= (1 << bits) - 1
    if field[0] & 0x40:
        value -= 1 << bits
    return value if -_SIGN <= value < _SIGN else None
