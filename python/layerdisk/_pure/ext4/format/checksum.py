"""Checksums of structures, the feature metadata_csum: CRC-32C.

Seeded with the file system's UUID and, for what belongs to an inode, with its number and generation.
Source: kernel, Documentation/filesystems/ext4/checksums.rst.
"""

from __future__ import annotations

from typing import NamedTuple

from ...units import BlockNumber, InodeNumber

_POLYNOMIAL = 0x82F6_3B78  # reflected
_ALL = 0xFFFF_FFFF


class InodeId(NamedTuple):
    """An inode, as far as what belongs to it depends on it; generation: i_generation."""

    number: InodeNumber
    generation: int = 0


class Checksums:
    """What checksums the structures of an image have.

    Args:
        uuid: of the file system; None: there are no checksums.
    """

    def __init__(self, uuid: bytes | None) -> None:
        self.seed = None if uuid is None else crc32c(_ALL, uuid)

    def of(self, data: bytes) -> int | None:
        """Return that of a bitmap, or of other bytes that belong to the file system."""
        return None if self.seed is None else crc32c(self.seed, data)

    def of_group(self, group: int, descriptor: bytes) -> int | None:
        """Return that of a group's descriptor, whose own checksum is 0."""
        return None if self.seed is None else self.of(group.to_bytes(4, "little") + descriptor)

    def of_inode(self, inode: InodeId, data: bytes) -> int | None:
        """Return that of an inode, or of a block of its directory or extents."""
        if self.seed is None:
            return None
        return self.of(inode.number.to_bytes(4, "little") + inode.generation.to_bytes(4, "little") + data)

    def of_block(self, number: BlockNumber, data: bytes) -> int | None:
        """Return that of the block with this number."""
        return None if self.seed is None else self.of(number.to_bytes(8, "little") + data)

    def of_superblock(self, data: bytes) -> int | None:
        """Return that of the superblock up to its checksum, which no seed goes into."""
        return None if self.seed is None else crc32c(_ALL, data)


def _table() -> list[int]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = crc >> 1 ^ (_POLYNOMIAL if crc & 1 else 0)
        table.append(crc)
    return table


_TABLE: list[int] = []


def crc32c(seed: int, data: bytes) -> int:
    """Return CRC-32C as ext4 continues it: not inverted at its end."""
    if not _TABLE:
        _TABLE.extend(_table())
    crc = seed
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    return crc
