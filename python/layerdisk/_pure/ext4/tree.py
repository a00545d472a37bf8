"""The file system in memory: inodes and names, as few bytes for each as the image needs."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator

from ..units import LOST_AND_FOUND, ROOT, InodeNumber
from . import inode, xattr
from .xattr import Xattrs

# State of a node that is not in its mode.
USED = 1  # the number is in use
EXTENTS = 2  # it has data blocks, described by extents
INLINE = 4  # its data is in the inode (a regular file)
WHITEOUT = 8  # a whiteout made it, not an entry of its own
MARKED_OPAQUE = 16  # an opaque marker was seen for it

_U32 = "I"
_U64 = "Q"
_U16 = "H"
_U8 = "B"
_TEXT_LIMIT = 1 << 32


class Tree:
    """Inodes as columns, one array for each field, since a layer can have millions; the index is the number.

    Attributes:
        mode: i_mode.
        flags: USED and others.
        mtime: also the creation time; times are encoded as in timestamp.py.
        data: first data block, device number, or place of a short symlink's target or of inline data.
        xattr_block: number of the node's xattr block, 0 for none.
        names: of each directory that has any: name -> number.
        long_targets: of symlinks that have data blocks, by which later paths may lead.
        block_xattrs: what is in the xattr blocks of nodes that may have to be read again.
        inline_xattrs: the region for xattrs inside the inode, of the nodes that have any.
    """

    __slots__ = (
        "_text",
        "atime",
        "block_xattrs",
        "ctime",
        "data",
        "flags",
        "gid",
        "inline_xattrs",
        "links",
        "long_targets",
        "mode",
        "mtime",
        "names",
        "size",
        "uid",
        "xattr_block",
    )

    def __init__(self) -> None:
        self.mode = array(_U16)
        self.flags = array(_U8)
        self.uid = array(_U32)
        self.gid = array(_U32)
        self.atime = array(_U64)
        self.ctime = array(_U64)
        self.mtime = array(_U64)
        self.size = array(_U64)
        self.links = array(_U32)
        self.data = array(_U32)
        self.xattr_block = array(_U32)
        self.names: dict[InodeNumber, dict[bytes, InodeNumber]] = {}
        self.long_targets: dict[InodeNumber, bytes] = {}
        self.block_xattrs: dict[InodeNumber, bytes] = {}
        self.inline_xattrs: dict[InodeNumber, bytes] = {}
        self._text = bytearray()
        for _ in range(LOST_AND_FOUND + 1):  # 0 is no number
            self.add(0, 0, 0, 0, 0, 0, 0, 0, 0)
        for number, permissions, links in ((ROOT, 0o755, 3), (LOST_AND_FOUND, 0o700, 2)):
            self.mode[number] = inode.TYPE_DIRECTORY | permissions
            self.links[number] = links
            self.flags[number] = USED
        self.insert_name(ROOT, b"lost+found", LOST_AND_FOUND)

    def highest(self) -> InodeNumber:
        """Give the highest number in use."""
        return len(self.mode) - 1

    def add(
        self,
        mode: int,
        flags: int,
        links: int,
        uid: int,
        gid: int,
        atime: int,
        ctime: int,
        mtime: int,
        size: int,
    ) -> InodeNumber:
        """Add a node and give its number."""
        self.mode.append(mode)
        self.flags.append(flags)
        self.links.append(links)
        self.uid.append(uid)
        self.gid.append(gid)
        self.atime.append(atime)
        self.ctime.append(ctime)
        self.mtime.append(mtime)
        self.size.append(size)
        self.data.append(0)
        self.xattr_block.append(0)
        return len(self.mode) - 1

    def kind(self, number: InodeNumber) -> int:
        """Give the type bits."""
        return self.mode[number] & inode.TYPE_MASK

    def is_dir(self, number: InodeNumber) -> bool:
        """Tell whether it is a directory."""
        return self.mode[number] & inode.TYPE_MASK == inode.TYPE_DIRECTORY

    def child(self, parent: InodeNumber, name: bytes) -> InodeNumber | None:
        """Give what a directory has under a name."""
        names = self.names.get(parent)
        return None if names is None else names.get(name)

    def insert_name(self, parent: InodeNumber, name: bytes, child: InodeNumber) -> None:
        """Give a name to a node, in place of the node that has it. Link counts are the caller's."""
        names = self.names.get(parent)
        if names is None:
            self.names[parent] = {name: child}
        else:
            names[name] = child

    def remove_name(self, parent: InodeNumber, name: bytes) -> None:
        """Take a name away."""
        self.names.get(parent, {}).pop(name, None)

    def children(self, parent: InodeNumber) -> list[tuple[InodeNumber, bytes]]:
        """Give a directory's entries: sorted by number, then name."""
        names = self.names.get(parent)
        if names is None:
            return []
        return sorted(zip(names.values(), names.keys(), strict=True))

    def take_children(self, parent: InodeNumber) -> list[InodeNumber]:
        """Take all entries out of a directory; give what they pointed to."""
        return list(self.names.pop(parent, {}).values())

    def names_that(self, is_meant: Callable[[bytes], bool]) -> list[tuple[InodeNumber, bytes]]:
        """Give directory and name of each entry of whose name this is true."""
        return [(parent, name) for parent, names in self.names.items() for name in names if is_meant(name)]

    def numbers(self) -> Iterator[InodeNumber]:
        """Give the numbers in use."""
        return (number for number, flags in enumerate(self.flags) if flags & USED)

    def set_inline_xattrs(self, number: InodeNumber, area: bytes | None) -> None:
        """Put an area in place of the node's former one."""
        if area is not None:
            self.inline_xattrs[number] = area
        else:
            self.inline_xattrs.pop(number, None)

    def xattrs(self, number: InodeNumber) -> Xattrs:
        """Give all attributes that the image holds for a node whose xattr block, if it has one, was kept."""
        found: Xattrs = {}
        if number in self.block_xattrs:
            found |= xattr.decode(*xattr.block_region(self.block_xattrs[number]))
        if number in self.inline_xattrs:
            found |= xattr.decode(self.inline_xattrs[number], 0)
        return found

    def xattrs_as_hcsshim(self, number: InodeNumber) -> Xattrs | None:
        """Give the same as hcsshim reads them; None where it crashes."""
        found: Xattrs | None = {}
        if number in self.block_xattrs:
            found = xattr.decode_as_hcsshim(*xattr.block_region(self.block_xattrs[number]))
        inline = self.inline_xattrs_as_hcsshim(number)
        return None if found is None or inline is None else found | inline

    def inline_xattrs_as_hcsshim(self, number: InodeNumber) -> Xattrs | None:
        """Give those in the inode as hcsshim reads them; None where it crashes."""
        area = self.inline_xattrs.get(number)
        return {} if area is None else xattr.decode_as_hcsshim(area, 0)

    def add_text(self, text: bytes) -> int | None:
        """Keep text for a node; give its place, None if there is no more room."""
        at = len(self._text)
        self._text += text
        return at if at < _TEXT_LIMIT else None

    def text_of(self, number: InodeNumber) -> bytes:
        """Give a node's text."""
        start = self.data[number]
        return bytes(self._text[start : start + self.size[number]])

    def target_of(self, number: InodeNumber) -> bytes:
        """Give a symlink's target."""
        target = self.long_targets.get(number)
        return self.text_of(number) if target is None else target

    def forget(self, number: InodeNumber) -> None:
        """Free a node's number and all that is kept for it."""
        for column in (
            self.mode,
            self.flags,
            self.links,
            self.uid,
            self.gid,
            self.atime,
            self.ctime,
            self.mtime,
            self.size,
            self.data,
            self.xattr_block,
        ):
            column[number] = 0
        self.inline_xattrs.pop(number, None)
        self.block_xattrs.pop(number, None)
        self.long_targets.pop(number, None)
