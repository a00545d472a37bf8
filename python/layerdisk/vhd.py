"""The footer of a fixed VHD: the last 512 bytes of the file, big endian.

Source: Microsoft, Virtual Hard Disk Image Format Specification 1.0.
"""

from __future__ import annotations

import io
import os
import struct
import uuid
from dataclasses import dataclass
from typing import Any, BinaryIO

from .errdefs import InvalidArgument

FOOTER_LEN = 512
COOKIE = b"conectix"
DISK_TYPE_FIXED = 2

# offset 0 cookie, 8 features, 12 file format version, 16 data offset, 24 time stamp, 28 creator application,
# 32 creator version, 36 creator host OS, 40 original size, 48 current size, 56 geometry, 60 disk type,
# 64 checksum, 68 unique id, 84 saved state; the rest is reserved
_FOOTER = struct.Struct(">8sIIQI4sI4sQQHBBII16sB427x")
_CHECKSUM_AT = 64


@dataclass(frozen=True, slots=True)
class VhdFooter:
    """A footer, with the specification's names.

    Attributes:
        timestamp: seconds since 2000-01-01 00:00 UTC.
        original_size: bytes of the disk when it was made.
        current_size: bytes of the disk now.
        checksum_valid: whether `checksum` is that of the other bytes.
    """

    cookie: bytes
    features: int
    file_format_version: int
    data_offset: int
    timestamp: int
    creator_application: bytes
    creator_version: int
    creator_host_os: bytes
    original_size: int
    current_size: int
    cylinders: int
    heads: int
    sectors_per_track: int
    disk_type: int
    checksum: int
    unique_id: uuid.UUID
    saved_state: int
    checksum_valid: bool


def read_footer(image: str | os.PathLike[str] | BinaryIO) -> VhdFooter:
    """Read the footer of a VHD.

    Args:
        image: path, or seekable binary file object.

    Raises:
        InvalidArgument: the image does not end with a VHD footer.
        OSError: it cannot be read.
    """
    if isinstance(image, (str, os.PathLike)):
        with open(image, "rb") as file:
            return read_footer(file)
    size = image.seek(0, io.SEEK_END)
    image.seek(max(0, size - FOOTER_LEN))
    data = image.read(FOOTER_LEN)
    if len(data) < FOOTER_LEN or not data.startswith(COOKIE):
        raise InvalidArgument("the image does not end with a VHD footer")
    names = VhdFooter.__match_args__[:-1]  # those of the fields on disk, in their order
    fields: dict[str, Any] = dict(zip(names, _FOOTER.unpack(data), strict=True))
    fields["unique_id"] = uuid.UUID(bytes=fields["unique_id"])
    return VhdFooter(**fields, checksum_valid=fields["checksum"] == checksum(data))


def checksum(footer: bytes) -> int:
    """Give the complement of the sum of a footer's bytes, its checksum field left out."""
    total = sum(footer) - sum(footer[_CHECKSUM_AT : _CHECKSUM_AT + 4])
    return ~total & 0xFFFFFFFF
