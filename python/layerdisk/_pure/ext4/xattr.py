"""Extended attributes: names split into index and rest, placed in the inode or in one block of their own.

Source: kernel, Documentation/filesystems/ext4/attributes.rst; placing and order as hcsshim does it.
"""

from __future__ import annotations

import struct
from typing import NamedTuple, TypeAlias

from ...errdefs import InvalidEntry, quote
from ..faults import Fault, Faults
from ..units import BLOCK_SIZE
from . import xattr_order

MAGIC = 0xEA02_0000
# Bytes for entries and values behind the magic number inside an inode of 256 bytes.
INLINE_LEN = 100
# h_magic, h_refcount, h_blocks, then hash, checksum and reserved ones; and what follows the block's header.
_BLOCK_HEADER = struct.Struct("<III20x")
BLOCK_HEADER_LEN = _BLOCK_HEADER.size
BLOCK_REGION_LEN = BLOCK_SIZE - BLOCK_HEADER_LEN
# Each area ends with four zero bytes.
_END_LEN = 4
# e_name_len, e_name_index, e_value_offs, e_value_inum, e_value_size, e_hash
_ENTRY = struct.Struct("<BBH4xII")
_ENTRY_HEADER_LEN = _ENTRY.size
# Longest stored name: e_name_len is one byte.
_MAX_NAME_LEN = 255
# From this stored length on hcsshim crashes when it reads the area again (N1).
_HCSSHIM_CRASH_NAME_LEN = 240

# The attribute that holds the tail of a small file's data.
SYSTEM_DATA = b"system.data"
_DATA_INDEX = 7
OPAQUE = b"trusted.overlay.opaque"

# Full name -> value, in no particular order.
Xattrs: TypeAlias = dict[bytes, bytes]

# Prefix -> e_name_index, the first that fits counts.
_PREFIXES = (
    (b"system.posix_acl_access", 2),
    (b"system.posix_acl_default", 3),
    (b"system.richacl", 8),
    (b"system.", _DATA_INDEX),
    (b"user.", 1),
    (b"trusted.", 4),
    (b"security.", 6),
)
_PREFIX_OF = {index: prefix for prefix, index in _PREFIXES}
# How many of the prefixes are whole names, which take no suffix.
_WHOLE_NAMES = 3


class Item(NamedTuple):
    """An attribute on its way into an area."""

    name_index: int
    name: bytes
    value: bytes


class Placed(NamedTuple):
    """Where the attributes of one inode went. Either is None where it holds nothing.

    Attributes:
        reordered: hcsshim's order in the block is not the one that the kernel searches by.
    """

    inline: bytes | None
    block: bytes | None
    reordered: bool


def split_name(full: bytes, suffixes: bool) -> tuple[int, bytes]:
    """Give e_name_index and stored name.

    With `suffixes`, `system.posix_acl_accessX` is X of index 2, as hcsshim has it (N7).
    """
    for position, (prefix, index) in enumerate(_PREFIXES):
        if full.startswith(prefix) and (suffixes or position >= _WHOLE_NAMES or full == prefix):
            return index, full[len(prefix) :]
    return 0, full


def place(xattrs: Xattrs, data_len: int | None, faults: Faults) -> Placed:
    """Place attributes in order of their full names, inline first.

    Args:
        xattrs: the attributes.
        data_len: for a file with inline data, the length of `system.data`, which comes first.
        faults: those that are reproduced.
    """
    inline: list[Item] = []
    block: list[Item] = []
    inline_free = INLINE_LEN - _END_LEN
    block_free = BLOCK_REGION_LEN - _END_LEN
    if data_len is not None:
        data = Item(_DATA_INDEX, b"data", bytes(data_len))
        inline_free -= _cost(data)
        inline.append(data)
    for full, value in sorted(xattrs.items()):
        item = Item(*split_name(full, faults.reproduces(Fault.N7)), value)
        cost = _cost(item)
        if cost <= inline_free:
            inline_free -= cost
            inline.append(item)
        elif cost <= block_free:
            block_free -= cost
            block.append(item)
        else:
            raise InvalidEntry(
                f"xattr {quote(full)} needs {cost} bytes, {block_free} of {BLOCK_REGION_LEN - _END_LEN}"
                " are left in the xattr block",
                code=Fault.B15.code,
            )
    reordered = len(block) > 1 and _order_block(block, faults)
    return Placed(
        _region(INLINE_LEN, inline, 0) if inline else None, _block_image(block) if block else None, reordered
    )


def empty_block() -> bytes:
    """Give a block with a header and nothing else: what a rewritten inode leaves behind."""
    return _block_image([])


def with_inline_data(area: bytes, tail: bytes) -> bytes:
    """Put the tail of a small file's data into the first entry of its area, which `place` made for it."""
    changed = bytearray(area)
    start = INLINE_LEN - _rounded(len(tail))
    changed[start : start + len(tail)] = tail
    changed[12:16] = _hash(b"data", tail).to_bytes(4, "little")
    return bytes(changed)


def decode(region: bytes, value_base: int) -> Xattrs:
    """Give all attributes of an area by full name, entries with empty stored names too."""
    found: Xattrs = {}
    at = 0
    while region[at : at + 4] not in (bytes(4), b""):
        entry = _entry_at(region, at, value_base)
        if entry is None:
            break
        found[entry[0]] = entry[1]
        at += _ENTRY_HEADER_LEN + _rounded(region[at])
    return found


def decode_as_hcsshim(region: bytes, value_base: int) -> Xattrs | None:
    """Give the attributes as hcsshim reads them again.

    It stops at an empty stored name (B6) and crashes at others (N1: None).
    """
    found: Xattrs = {}
    at = 0
    while True:
        if at + 2 > len(region):
            return None
        n = region[at]
        if n == 0:
            return found
        entry = _entry_at(region, at, value_base) if n < _HCSSHIM_CRASH_NAME_LEN else None
        if entry is None:
            return None
        found[entry[0]] = entry[1]
        at += _ENTRY_HEADER_LEN + _rounded(n)


def block_region(block: bytes) -> tuple[bytes, int]:
    """Give the part of an xattr block that `decode` takes, and what its value offsets count from."""
    return block[BLOCK_HEADER_LEN:], BLOCK_HEADER_LEN


def check_name(full: bytes) -> None:
    """Refuse a stored name that e_name_len cannot hold (B14)."""
    _, name = split_name(full, False)
    if len(name) > _MAX_NAME_LEN:
        raise InvalidEntry(
            f"the name of xattr {quote(full)} has {len(name)} bytes behind its prefix, at most"
            f" {_MAX_NAME_LEN} are allowed",
            code=Fault.B14.code,
        )


def _cost(item: Item) -> int:
    return _ENTRY_HEADER_LEN + _rounded(len(item.name)) + _rounded(len(item.value))


def _order_block(items: list[Item], faults: Faults) -> bool:
    """Sort the items of a block; tell whether hcsshim's order is another than the kernel's."""
    kernel = sorted(items, key=lambda item: (item.name_index, len(item.name), item.name))
    theirs = list(items)
    xattr_order.sort_as_hcsshim(theirs)
    reordered = theirs != kernel
    items[:] = theirs if faults.reproduces(Fault.B2) else kernel
    return reordered


def _block_image(items: list[Item]) -> bytes:
    return _BLOCK_HEADER.pack(MAGIC, 1, 1) + _region(BLOCK_REGION_LEN, items, BLOCK_HEADER_LEN)


def _region(length: int, items: list[Item], value_base: int) -> bytes:
    """Entries upwards from the start of the region, values downwards from its end."""
    region = bytearray(length)
    entry = 0
    value = length
    for item in items:
        value -= _rounded(len(item.value))
        _ENTRY.pack_into(
            region,
            entry,
            len(item.name) & 0xFF,
            item.name_index,
            value + value_base,
            len(item.value),
            _hash(item.name, item.value),
        )
        entry += _ENTRY_HEADER_LEN
        region[entry : entry + len(item.name)] = item.name
        region[value : value + len(item.value)] = item.value
        entry += _rounded(len(item.name))
    return bytes(region)


def _hash(name: bytes, value: bytes) -> int:
    """Give e_hash. Source: kernel, fs/ext4/xattr.c, ext4_xattr_hash_entry."""
    h = 0
    for c in name:
        h = (h << 5 ^ h >> 27 ^ c) & 0xFFFF_FFFF
    words = -(-len(value) // 4)
    for word in struct.unpack(f"<{words}I", value.ljust(words * 4, b"\0")):
        h = (h << 16 ^ h >> 16 ^ word) & 0xFFFF_FFFF
    return h


def _entry_at(region: bytes, at: int, value_base: int) -> tuple[bytes, bytes] | None:
    """Give full name and value of an entry, None if a part of it is outside of the region."""
    name_start = at + _ENTRY_HEADER_LEN
    if name_start > len(region):
        return None
    n, index, offset, size, _ = _ENTRY.unpack_from(region, at)
    start = offset - value_base & 0xFFFF
    end = start + size & 0xFFFF_FFFF
    if name_start + n > len(region) or not start <= end <= len(region):
        return None
    return _PREFIX_OF.get(index, b"") + region[name_start : name_start + n], region[start:end]


def _rounded(length: int) -> int:
    return (length + 3) & -4
