"""The footer of a fixed VHD: the last 512 bytes of the file, big endian.

Source: Microsoft, Virtual Hard Disk Image Format Specification 1.0.
"""

from __future__ import annotations

import io
import os
import uuid
from dataclasses import dataclass
from typing import BinaryIO

from ._core import choose

FOOTER_LEN = 512
DISK_TYPE_FIXED = 2


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
    fields = choose()[1].read_vhd_footer(data)
    return VhdFooter(**fields | {"unique_id": uuid.UUID(bytes=fields["unique_id"])})
