"""The layer in memory: inodes and names as they are meant, as few bytes for each as an image needs.

Knows no file system on disk.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator

from ..units import InodeNumber, Time
from .arena import Texts, Xattrs, XattrSets, unpack
from .children import Children
from .names import MAX_NAME_LEN, Names
from .node import (
    EPOCH,
    FIXED,
    INLINE,
    ODD_TIMES,
    OPAQUE,
    STORED,
    TYPE_MASK,
    USED,
    WHITEOUT,
    FileType,
    pack_time,
    unpack_time,
)

__all__ = [
    "EPOCH",
    "FIXED",
    "INLINE",
    "MAX_NAME_LEN",
    "OPAQUE",
    "STORED",
    "TYPE_MASK",
    "USED",
    "WHITEOUT",
    "Children",
    "FileType",
    "Names",
    "Tree",
    "Xattrs",
    "unpack_time",
]

_U64 = "Q"
_U32 = "I"
_U16 = "H"
_U8 = "B"
_DIRECTORY = int(FileType.DIRECTORY)
_SYMLINK = int(FileType.SYMLINK)
_NO_DEVICE = (0, 0)


class Tree:
    """Inodes as columns, one array for each field, since a layer can have millions; the index is the number.

    Args:
        root: number of the root directory, the first one in use.

    Attributes:
        mode: type and permissions, as stat has them.
        flags: USED and others.
        mtime: also the creation time; times are packed.
        data: first block of data, or the place of a short symlink's target or of inline data.
        xattr_block: the block in which the node's further xattrs are stored, 0 for none.
        names: what directories have.
        kept_xattrs: those that the tree itself keeps, packed.
        stored_xattrs: of nodes that may have to be read again, the xattrs that are stored outside of the tree.
        odd_times: mtime, atime and ctime of nodes that have the flag.
    """

    __slots__ = (
        "_devices",
        "_long_targets",
        "_texts",
        "_xattr_sets",
        "atime",
        "ctime",
        "data",
        "flags",
        "gid",
        "kept_xattrs",
        "links",
        "mode",
        "mtime",
        "names",
        "odd_times",
        "root",
        "size",
        "stored_xattrs",
        "uid",
        "xattr_block",
    )

    def __init__(self, root: InodeNumber) -> None:
        self.root = root
        self.mode = array(_U16)
        self.flags = array(_U8)
        self.links = array(_U32)
        self.uid = array(_U32)
        self.gid = array(_U32)
        self.size = array(_U64)
        self.mtime = array(_U64)
        self.atime = array(_U64)
        self.ctime = array(_U64)
        self.data = array(_U32)
        self.xattr_block = array(_U32)
        self.names = Names()
        self.odd_times: dict[InodeNumber, tuple[Time, Time, Time]] = {}
        self.stored_xattrs: dict[InodeNumber, Xattrs] = {}
        self.kept_xattrs: dict[InodeNumber, bytes] = {}
        self._xattr_sets = XattrSets()
        self._texts = Texts()
        self._long_targets: dict[InodeNumber, bytes] = {}
        self._devices: dict[InodeNumber, tuple[int, int]] = {}
        self.skip_to(root)
        self.add(_DIRECTORY | 0o755, USED | FIXED, 2, 0, 0, 0, EPOCH)

    def highest(self) -> InodeNumber:
        """Return the highest number that was given."""
        return len(self.mode) - 1

    def skip_to(self, number: InodeNumber) -> None:
        """Leave numbers unused, so that the next node gets this one; 0 is not a number."""
        while len(self.mode) < number:
            self.add(0, 0, 0, 0, 0, 0, EPOCH)

    def add(
        self, mode: int, flags: int, links: int, uid: int, gid: int, size: int, mtime: Time
    ) -> InodeNumber:
        """Add a node and return its number."""
        number = len(self.mode)
        seconds, nanoseconds = mtime
        if 0 <= seconds < 1 << 33:  # most of them
            self.mtime.append(nanoseconds << 34 | seconds)
        else:
            self.mtime.append(0)
        self.mode.append(mode)
        self.flags.append(flags)
        self.links.append(links)
        self.uid.append(uid)
        self.gid.append(gid)
        self.size.append(size)
        self.atime.append(0)
        self.ctime.append(0)
        self.data.append(0)
        self.xattr_block.append(0)
        if not 0 <= seconds < 1 << 33:
            self.set_times(number, mtime, EPOCH, EPOCH)
        return number

    def file_type(self, number: InodeNumber) -> int:
        """Return the type bits."""
        return self.mode[number] & TYPE_MASK

    def is_dir(self, number: InodeNumber) -> bool:
        """Tell whether it is a directory."""
        return self.mode[number] & TYPE_MASK == _DIRECTORY

    def is_symlink(self, number: InodeNumber) -> bool:
        """Tell whether it is a symlink."""
        return self.mode[number] & TYPE_MASK == _SYMLINK

    def children(self) -> Children:
        """Return every directory's entries."""
        return Children(self.names)

    def numbers(self) -> Iterator[InodeNumber]:
        """Yield the numbers in use."""
        return (number for number, flags in enumerate(self.flags) if flags & USED)

    def times(self, number: InodeNumber) -> tuple[Time, Time, Time]:
        """Return mtime, atime and ctime."""
        if self.flags[number] & ODD_TIMES:
            return self.odd_times[number]
        return (
            unpack_time(self.mtime[number]),
            unpack_time(self.atime[number]),
            unpack_time(self.ctime[number]),
        )

    def set_times(self, number: InodeNumber, mtime: Time, atime: Time, ctime: Time) -> None:
        """Set all three."""
        times = mtime, atime, ctime
        packed = [pack_time(time) for time in times]
        if None in packed:
            self.flags[number] |= ODD_TIMES
            self.odd_times[number] = times
            return
        self.flags[number] &= ~ODD_TIMES
        self.mtime[number], self.atime[number], self.ctime[number] = packed  # type: ignore[assignment]

    def xattrs_kept(self, number: InodeNumber) -> Iterable[tuple[bytes, bytes]]:
        """Return the xattrs that the tree keeps for the node, in the order of their names."""
        packed = self.kept_xattrs.get(number)
        return () if packed is None else unpack(packed)

    def set_kept_xattrs(self, number: InodeNumber, attributes: list[tuple[bytes, bytes]]) -> None:
        """Keep these in place of the former ones."""
        if attributes:
            self.kept_xattrs[number] = self._xattr_sets.add(attributes)
        else:
            self.kept_xattrs.pop(number, None)

    def xattrs(self, number: InodeNumber) -> Xattrs:
        """Return all of a node's xattrs, where those that are stored elsewhere were kept."""
        return self.stored_xattrs.get(number, {}) | dict(self.xattrs_kept(number))

    def set_text(self, number: InodeNumber, text: bytes) -> None:
        """Keep the text that a node's `data` and size stand for."""
        self.data[number] = self._texts.add(text)

    def text_of(self, number: InodeNumber) -> bytes:
        """Return a node's text."""
        return self._texts.get(self.data[number], self.size[number])

    def set_long_target(self, number: InodeNumber, target: bytes) -> None:
        """Keep the target of a symlink whose data is stored, by which later paths may lead."""
        self._long_targets[number] = target

    def forget_long_target(self, number: InodeNumber) -> None:
        """Forget it again."""
        self._long_targets.pop(number, None)

    def target_of(self, number: InodeNumber) -> bytes:
        """Return a symlink's target."""
        target = self._long_targets.get(number)
        return self.text_of(number) if target is None else target

    def device(self, number: InodeNumber) -> tuple[int, int]:
        """Return major and minor number of a device."""
        return self._devices.get(number, _NO_DEVICE)

    def set_device(self, number: InodeNumber, device: tuple[int, int]) -> None:
        """Set them. Whiteouts, of which there may be many, have 0:0."""
        if device != _NO_DEVICE:
            self._devices[number] = device
        else:
            self._devices.pop(number, None)

    def forget(self, number: InodeNumber) -> None:
        """Free a node's number and all that is kept for it."""
        for column in (self.mode, self.flags, self.links, self.uid, self.gid, self.size):
            column[number] = 0
        for column in (self.mtime, self.atime, self.ctime, self.data, self.xattr_block):
            column[number] = 0
        for kept in (
            self.odd_times,
            self.stored_xattrs,
            self.kept_xattrs,
            self._long_targets,
            self._devices,
        ):
            kept.pop(number, None)
