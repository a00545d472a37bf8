"""Which file or structure of an ext4 file system a byte belongs to.

Source: Linux, Documentation/filesystems/ext4.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errdefs import InvalidArgument
from ..names import quote
from .places import ObjectPlace

_EXTENT_MAGIC = 0xF30A
_FLAG_EXTENTS = 0x80000
_TYPE_DIRECTORY = 0x4000
_MOST_DEPTH = 5
_ROOT = 2


def owner_of(file: Any, offset: int) -> str:
    """Return what a byte of an image belongs to.

    Args:
        file: seekable binary file object that starts with the file system.
        offset: of the byte.

    Raises:
        InvalidArgument: it is not an ext4 file system.
        ValueError, IndexError: its structures cannot be right.
    """
    try:
        return _Volume(ObjectPlace(file)).owner_of(offset)
    except struct.error as error:
        raise ValueError(str(error)) from None


class _Inode(NamedTuple):
    number: int
    mode: int
    flags: int
    size: int
    xattr_block: int
    i_block: bytes


class _Volume:
    def __init__(self, file: ObjectPlace) -> None:
        self._file = file
        start = file.read_at(1024, 1024)
        if start[56:58] != b"\x53\xef":
            raise InvalidArgument("not an ext4 file system: there is no superblock")
        inodes, blocks_lo = struct.unpack_from("<II", start)
        first, log_block_size = struct.unpack_from("<I", start, 20)[0], struct.unpack_from("<I", start, 24)[0]
        if log_block_size > 6:
            raise InvalidArgument(f"not an ext4 file system: s_log_block_size is {log_block_size}")
        self.block_size = 1024 << log_block_size
        self.blocks_per_group, self.inodes_per_group = (
            struct.unpack_from("<I", start, at)[0] for at in (32, 40)
        )
        self.inode_size = struct.unpack_from("<H", start, 88)[0]
        incompat = struct.unpack_from("<I", start, 96)[0]
        is_64bit = bool(incompat & 0x80)
        self.descriptor_size = struct.unpack_from("<H", start, 254)[0] if is_64bit else 32
        high = struct.unpack_from("<I", start, 336)[0] if is_64bit else 0
        self.blocks = blocks_lo + (high << 32)
        self.inodes = inodes
        if not self.blocks_per_group or not self.inodes_per_group or self.descriptor_size < 32:
            raise InvalidArgument("not an ext4 file system: a group has no blocks or no inodes")
        self.groups = -(-(self.blocks - first) // self.blocks_per_group)
        self.first_descriptor_block = first + 1

    def owner_of(self, offset: int) -> str:
        block = offset // self.block_size
        if block >= self.blocks:
            return "nothing: it is after the end of the file system"
        if offset // 1024 == 1 or block < self.first_descriptor_block:
            return "the superblock"
        descriptors = -(-self.groups * self.descriptor_size // self.block_size)
        if block < self.first_descriptor_block + descriptors:
            return "the group descriptors"
        return (
            self._structure(block)
            or self._file_of(block)
            or "no file: it is free, or reserved for descriptors"
        )

    def _structure(self, block: int) -> str | None:
        table_blocks = -(-self.inodes_per_group * self.inode_size // self.block_size)
        for group in range(self.groups):
            block_bitmap, inode_bitmap, table = self._descriptor(group)
            if block == block_bitmap:
                return f"the block bitmap of group {group}"
            if block == inode_bitmap:
                return f"the inode bitmap of group {group}"
            if table <= block < table + table_blocks:
                per_block = self.block_size // self.inode_size
                first = group * self.inodes_per_group + (block - table) * per_block + 1
                return f"the inode table of group {group}, inodes {first} to {first + per_block - 1}"
        return None

    def _descriptor(self, group: int) -> tuple[int, int, int]:
        at = self.first_descriptor_block * self.block_size + group * self.descriptor_size
        data = self._file.read_at(at, self.descriptor_size)
        low = struct.unpack_from("<III", data)
        high = struct.unpack_from("<III", data, 32) if self.descriptor_size >= 64 else (0, 0, 0)
        return tuple(a + (b << 32) for a, b in zip(low, high, strict=True))

    def _inodes(self) -> Iterator[_Inode]:
        for group in range(self.groups):
            table = self._descriptor(group)[2] * self.block_size
            size = self.inodes_per_group * self.inode_size
            data = self._file.read_at(table, size)
            for at in range(0, len(data) - self.inode_size + 1, self.inode_size):
                mode, links = (
                    struct.unpack_from("<H", data, at)[0],
                    struct.unpack_from("<H", data, at + 26)[0],
                )
                if mode and links:
                    number = group * self.inodes_per_group + at // self.inode_size + 1
                    yield _inode(number, data[at : at + self.inode_size])

    def _inode(self, number: int) -> _Inode:
        group, index = divmod(number - 1, self.inodes_per_group)
        at = self._descriptor(group)[2] * self.block_size + index * self.inode_size
        return _inode(number, self._file.read_at(at, self.inode_size))

    def _file_of(self, block: int) -> str | None:
        for inode in self._inodes():
            if inode.xattr_block == block:
                return f"the extended attributes of {self._named(inode)}"
            if not inode.flags & _FLAG_EXTENTS:
                continue
            for kind, _, start, count in self._extents(inode.i_block, 0):
                if start <= block < start + count:
                    return f"{kind}{self._named(inode)}"
        return None

    def _extents(self, node: bytes, depth: int) -> Iterator[tuple[str, int, int, int]]:
        """Give what kind of block, the first logical block, the first block and how many, of a tree of extents."""
        magic, entries, _, level = struct.unpack_from("<HHHH", node)
        if magic != _EXTENT_MAGIC or depth > _MOST_DEPTH:
            raise ValueError("an extent tree that cannot be right")
        for number in range(entries):
            if level == 0:
                logical, length, high, low = struct.unpack_from("<IHHI", node, 12 + 12 * number)
                yield "", logical, low + (high << 32), length if length <= 32768 else length - 32768
            else:
                _, low, high = struct.unpack_from("<IIH", node, 12 + 12 * number)
                leaf = low + (high << 32)
                yield "the extents of ", 0, leaf, 1
                yield from self._extents(
                    self._file.read_at(leaf * self.block_size, self.block_size), depth + 1
                )

    def _named(self, inode: _Inode) -> str:
        kind = "directory" if inode.mode & 0xF000 == _TYPE_DIRECTORY else "file"
        path = b"/" if inode.number == _ROOT else self._path_of(inode.number)
        return f"the {kind} {quote(path)}" if path is not None else f"inode {inode.number}"

    def _path_of(self, number: int) -> bytes | None:
        """Return the first path of an inode that a walk over the directories finds."""
        pending = [(_ROOT, b"")]
        seen = {_ROOT}
        while pending:
            directory, path = pending.pop()
            for child, kind, name in self._entries(self._inode(directory)):
                if name in (b".", b".."):
                    continue
                if child == number:
                    return path + name
                if kind == 2 and child not in seen:
                    seen.add(child)
                    pending.append((child, path + name + b"/"))
        return None

    def _entries(self, inode: _Inode) -> Iterator[tuple[int, int, bytes]]:
        if not inode.flags & _FLAG_EXTENTS:
            return
        for kind, _, start, count in self._extents(inode.i_block, 0):
            if kind:
                continue
            data = self._file.read_at(start * self.block_size, count * self.block_size)
            at = 0
            while at + 8 <= len(data):
                child, length, name_length, file_type = struct.unpack_from("<IHBB", data, at)
                if length < 8:
                    break
                if child:
                    yield child, file_type, data[at + 8 : at + 8 + name_length]
                at += length


def _inode(number: int, data: bytes) -> _Inode:
    mode, size_low, flags = (
        struct.unpack_from("<H", data)[0],
        struct.unpack_from("<I", data, 4)[0],
        struct.unpack_from("<I", data, 32)[0],
    )
    xattr_low, size_high = struct.unpack_from("<II", data, 104)
    xattr_high = struct.unpack_from("<H", data, 118)[0]
    return _Inode(
        number, mode, flags, size_low + (size_high << 32), xattr_low + (xattr_high << 32), data[40:100]
    )
