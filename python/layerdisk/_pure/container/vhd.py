"""The footer that makes a raw image a fixed VHD: 512 bytes behind it, big endian.

Source: Virtual Hard Disk Image Format Specification; values as hcsshim writes them (B21: no geometry, no
creator).
"""

from __future__ import annotations

import struct
import uuid

FOOTER_LEN = 512
# Version 5 UUIDs of images are made in this name space, itself the version 5 UUID of the URL.
_NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://layerdisk.dev/vhd-unique-id")

_FOOTER = struct.Struct(
    ">8s"  # 0 cookie
    "I"  # 8 features
    "I"  # 12 file_format_version
    "Q"  # 16 data_offset
    "I"  # 24 time_stamp
    "I"  # 28 creator_application
    "I"  # 32 creator_version
    "I"  # 36 creator_host_os
    "Q"  # 40 original_size
    "Q"  # 48 current_size
    "I"  # 56 disk_geometry
    "I"  # 60 disk_type
    "I"  # 64 checksum
    "16s"  # 68 unique_id
    "B"  # 84 saved_state
    "427x"  # 85 reserved
)
assert _FOOTER.size == FOOTER_LEN

_FEATURES = 2  # a bit that is always set
_VERSION = 0x0001_0000
_NO_DATA_OFFSET = 2**64 - 1  # a fixed disk
_CREATOR_VERSION = 0x000A_0000
_FIXED = 2


def footer(size: int, unique_id: bytes) -> bytes:
    """Give the footer of an image of `size` bytes."""
    draft = _pack(size, unique_id, 0)
    return _pack(size, unique_id, ~sum(draft) & 0xFFFF_FFFF)


def unique_id(content: str) -> bytes:
    """Give a unique id that is the same for the same content."""
    return uuid.uuid5(_NAMESPACE, content).bytes


def _pack(size: int, unique_id: bytes, checksum: int) -> bytes:
    return _FOOTER.pack(
        b"conectix",
        _FEATURES,
        _VERSION,
        _NO_DATA_OFFSET,
        0,
        0,
        _CREATOR_VERSION,
        0,
        size,
        size,
        0,
        _FIXED,
        checksum,
        unique_id,
        0,
    )
