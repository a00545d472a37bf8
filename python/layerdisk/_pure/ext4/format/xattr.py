"""Extended attributes: names split into index and rest, and their entries in an inode or in a block of their own.

Source: kernel, Documentation/filesystems/ext4/attributes.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import NamedTuple

from ....errdefs import InvalidEntry, quote
from ...faults import Fault
from ...units import BLOCK_SIZE, BlockNumber
from .checksum import Checksums

MAGIC = 0xEA02_0000

# h_magic, h_refcount, h_blocks, h_hash, h_checksum, h_reserved
_BLOCK_HEADER = struct.Struct("<IIIII12x")
BLOCK_HEADER_LEN = _BLOCK_HEADER.size
# e_name_len, e_name_index, e_value_offs, e_value_inum, e_value_size, e_hash; the stored name and its padding follow.
_ENTRY = struct.Struct("<BBH4xII")
_ENTRY_HEADER_LEN = _ENTRY.size
assert (BLOCK_HEADER_LEN, _ENTRY_HEADER_LEN) == (32, 16)

# Bytes for entries and values after the magic number in an inode of 256 bytes, and after the header of a block.
INODE_REGION_LEN = 100
BLOCK_REGION_LEN = BLOCK_SIZE - BLOCK_HEADER_LEN
# Each region ends with this many zero bytes.
END_LEN = 4
# Longest stored name: e_name_len is one byte.
_MAX_NAME_LEN = 255

# The attribute that holds the tail of a small file's data.
SYSTEM_DATA = b"system.data"
_SYSTEM_INDEX = 7

# Prefix -> e_name_index; the first that fits counts.
PREFIXES = (
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"system.richacl", 8),
    (b"system.", _SYSTEM_INDEX),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
)
_PREFIX_OF = {index: prefix for prefix, index in PREFIXES}
# How many of the prefixes are whole names, which take no suffix.
_WHOLE_NAMES = 3


class XattrEntry(NamedTuple):
    """An attribute as it is stored."""

    name_index: int
    name: bytes
    value: bytes

    def cost(self) -> int:
        """Return the bytes of a region that it takes."""
        return _ENTRY_HEADER_LEN + _rounded(len(self.name)) + _rounded(len(self.value))


def system_data(value: bytes) -> XattrEntry:
    """Return the attribute with the tail of a small file's data."""
    return XattrEntry(_SYSTEM_INDEX, b"data", value)


def split_name(full: bytes) -> tuple[int, bytes]:
    """Return e_name_index and stored name; index 0 and the whole name where Linux knows no such prefix."""
    for position, (prefix, index) in enumerate(PREFIXES):
        if full.startswith(prefix) and (position >= _WHOLE_NAMES or full == prefix):
            return index, full[len(prefix) :]
    return 0, full


def full_name(index: int, name: bytes) -> bytes:
    """Return the opposite of `split_name`."""
    return _PREFIX_OF.get(index, b"") + name


def check_name(full: bytes) -> None:
    """Refuse a stored name that e_name_len cannot hold (B14)."""
    _, name = split_name(full)
    if len(name) > _MAX_NAME_LEN:
        raise InvalidEntry(
            f"the name of xattr {quote(full)} has {len(name)} bytes after its prefix, at most"
            f" {_MAX_NAME_LEN} are allowed",
            code=Fault.B14.code,
        )


def inode_region(entries: Iterable[XattrEntry]) -> bytes:
    """Return the region of an inode; together the entries cost at most its length less END_LEN."""
    return _filled(INODE_REGION_LEN, entries, 0)


def block_region(entries: Iterable[XattrEntry]) -> bytes:
    """Return the region of a block; together the entries cost at most its length less END_LEN."""
    return _filled(BLOCK_REGION_LEN, entries, BLOCK_HEADER_LEN)


def block(entries: Iterable[XattrEntry], checksums: Checksums, number: BlockNumber) -> bytes:
    """Return a whole xattr block, which is to get that number."""
    region = block_region(entries)
    whole = _BLOCK_HEADER.pack(MAGIC, 1, 1, 0, 0) + region
    checksum = checksums.of_block(number, whole)
    return whole if checksum is None else _BLOCK_HEADER.pack(MAGIC, 1, 1, 0, checksum) + region


def _filled(length: int, entries: Iterable[XattrEntry], value_base: int) -> bytes:
    """Entries upwards from the start of the region, values downwards from its end."""
    region = bytearray(length)
    start = 0
    value_start = length
    for index, name, value in entries:
        value_start -= _rounded(len(value))
        _ENTRY.pack_into(
            region, start, len(name) & 0xFF, index, value_start + value_base, len(value), _hash(name, value)
        )
        start += _ENTRY_HEADER_LEN
        region[start : start + len(name)] = name
        region[value_start : value_start + len(value)] = value
        start += _rounded(len(name))
    return bytes(region)


def entry_at(region: bytes, start: int, value_base: int) -> tuple[XattrEntry, int] | None:
    """Return the entry at a place in a region, and where the next one starts; None where it leads out of the region.

    Value offsets count from `value_base` bytes before the region.
    """
    name_start = start + _ENTRY_HEADER_LEN
    if name_start > len(region):
        return None
    n, index, offset, size, _ = _ENTRY.unpack_from(region, start)
    value_start = offset - value_base & 0xFFFF
    value_end = value_start + size & 0xFFFF_FFFF
    if name_start + n > len(region) or not value_start <= value_end <= len(region):
        return None
    entry = XattrEntry(index, region[name_start : name_start + n], region[value_start:value_end])
    return entry, name_start + _rounded(n)


def _hash(name: bytes, value: bytes) -> int:
    """Return e_hash. Source: kernel, fs/ext4/xattr.c, ext4_xattr_hash_entry."""
    h = 0
    for c in name:
        h = (h << 5 ^ h >> 27 ^ c) & 0xFFFF_FFFF
    words = -(-len(value) // 4)
    for word in struct.unpack(f"<{words}I", value.ljust(words * 4, b"\0")):
        h = (h << 16 ^ h >> 16 ^ word) & 0xFFFF_FFFF
    return h


def _rounded(length: int) -> int:
    return (length + 3) & -4
