"""The footer that makes a raw image a fixed VHD: 512 bytes after it, big endian.

Source: Virtual Hard Disk Image Format Specification; values as hcsshim writes them (B21: no geometry, no
creator).
"""

from __future__ import annotations

import struct
import uuid
from typing import Any

from ...errdefs import InvalidArgument

FOOTER_LEN = 512
# Version 5 UUIDs of images are made in this name space, itself the version 5 UUID of the URL.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://layerdisk.dev/vhd-unique-id")

_COOKIE = b"conectix"
# A bit of `features` that is always set.
_RESERVED_FEATURE = 2
_VERSION_1_0 = 0x0001_0000
# `data_offset` of a fixed disk: none.
_NO_DATA_OFFSET = 2**64 - 1
_CREATOR_VERSION = 0x000A_0000
_FIXED = 2

_FIELDS = (
    ("cookie", "8s"),  # 0
    ("features", "I"),  # 8
    ("file_format_version", "I"),  # 12
    ("data_offset", "Q"),  # 16
    ("timestamp", "I"),  # 24, seconds since 2000-01-01 00:00 UTC
    ("creator_application", "4s"),  # 28
    ("creator_version", "I"),  # 32
    ("creator_host_os", "4s"),  # 36
    ("original_size", "Q"),  # 40
    ("current_size", "Q"),  # 48
    ("cylinders", "H"),  # 56
    ("heads", "B"),  # 58
    ("sectors_per_track", "B"),  # 59
    ("disk_type", "I"),  # 60
    ("checksum", "I"),  # 64
    ("unique_id", "16s"),  # 68
    ("saved_state", "B427x"),  # 84, then reserved ones
)
_FOOTER = struct.Struct(">" + "".join(code for _, code in _FIELDS))
assert _FOOTER.size == FOOTER_LEN
_CHECKSUM = slice(64, 68)


def footer(size: int, unique_id: bytes) -> bytes:
    """Return the footer of an image of `size` bytes."""
    fields: dict[str, Any] = {name: b"" if "s" in code else 0 for name, code in _FIELDS}
    fields |= {
        "cookie": _COOKIE,
        "features": _RESERVED_FEATURE,
        "file_format_version": _VERSION_1_0,
        "data_offset": _NO_DATA_OFFSET,
        "creator_version": _CREATOR_VERSION,
        "original_size": size,
        "current_size": size,
        "disk_type": _FIXED,
        "unique_id": unique_id,
    }
    fields["checksum"] = _sum(_FOOTER.pack(*fields.values()))
    return _FOOTER.pack(*fields.values())


def read(end: bytes) -> dict[str, Any]:
    """Read the last 512 bytes of an image."""
    if len(end) != FOOTER_LEN or not end.startswith(_COOKIE):
        raise InvalidArgument("the image does not end with a VHD footer")
    fields: dict[str, Any] = dict(zip((name for name, _ in _FIELDS), _FOOTER.unpack(end), strict=True))
    return fields | {"checksum_valid": fields["checksum"] == _sum(end)}


def _sum(footer: bytes) -> int:
    """Return the complement of the sum of the bytes, those of the checksum left out."""
    return ~(sum(footer) - sum(footer[_CHECKSUM])) & 0xFFFF_FFFF


def unique_id(content: str) -> bytes:
    """Return a unique id that is the same for the same content."""
    return uuid.uuid5(_NAMESPACE, content).bytes
