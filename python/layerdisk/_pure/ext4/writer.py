"""The image being written: entries come in tar order, then it is closed.

Order of work only; each on-disk structure has its own file.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errdefs import DiskSizeExceeded, InvalidEntry, NotReproducible
from ..faults import Fault, Faults
from ..sink import Sink
from ..sink.output import Output
from ..units import BLOCK_SIZE, BlockNumber, InodeNumber, blocks_for
from . import inode, layout, xattr
from .extent import Run
from .tree import EXTENTS, INLINE, MARKED_OPAQUE, USED, Tree
from .xattr import Xattrs

# Largest regular file in bytes.
MAX_FILE_SIZE = 1 << 37
# Files up to this size go into the inode, if asked for: 60 bytes of i_block and 76 of system.data.
_MAX_INLINE_SIZE = 136
INLINE_HEAD_LEN = 60
# Longest symlink target in the inode, in bytes: i_block less a NUL.
_MAX_SHORT_TARGET = 59
# PATH_MAX less the NUL (B16).
_MAX_TARGET = 4095
# Blocks in extents that all fit into the inode.
_FEW_BLOCKS = 4 * 32768


@dataclass(slots=True)
class Attributes:
    """What an entry says of its inode.

    Attributes:
        mode: type and permissions; a type of 0 is written as a regular file.
        size: of a regular file, in bytes.
        target: of a symlink.
        device: of a device, encoded.
        opaque: of a directory in which nothing of the lower layers shows, whatever later entries say of it.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    atime: int = 0
    ctime: int = 0
    mtime: int = 0
    size: int = 0
    target: bytes = b""
    device: int = 0
    xattrs: Xattrs = field(default_factory=dict)
    opaque: bool = False

    @property
    def kind(self) -> int:
        """The type bits."""
        return self.mode & inode.TYPE_MASK

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.mode & inode.TYPE_MASK == inode.TYPE_DIRECTORY

    @property
    def is_regular(self) -> bool:
        """Whether it is a regular file."""
        return self.kind in (inode.TYPE_REGULAR, 0)


class Writer:
    """Inodes and their data; `place.PlacingWriter` gives them names, `close.close` ends the image.

    Args:
        maximum: of the disk, in bytes, as `layout.maximum_disk_size` gives it.

    Attributes:
        reserved: blocks behind block 0 that are kept for group descriptors.
        directories: how many there are, of at least a block each; at first the root and lost+found.
        freed: first block and count: blocks of files that later entries replaced.
        dir_nlink: B23: a directory has too many links for its field.
    """

    def __init__(self, sink: Sink, faults: Faults, maximum: int, inline_data: bool) -> None:
        self.faults = faults
        self.tree = Tree()
        self.reserved = layout.reserved_descriptor_blocks(maximum)
        self.output = Output(sink, 1 + self.reserved, maximum)
        self.inline_data = inline_data
        self.directories = 2
        self.freed: list[tuple[BlockNumber, int]] = []
        self.dir_nlink = False
        # A regular file whose data is to come: its number, and its first block or what it has got inline.
        self.open_number: InodeNumber = 0
        self._open_start: BlockNumber = 0
        self._open_inline: bytearray | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Take data of the file that was created last."""
        if self._open_inline is None:
            self.output.write(data)
        else:
            self._open_inline += data

    def write_zeros(self, length: int) -> None:
        """Take the same, all zero."""
        if self._open_inline is None:
            self.output.zeros(length)
        else:
            self._open_inline += bytes(min(length, _MAX_INLINE_SIZE))

    def open(self, number: InodeNumber, start: BlockNumber) -> None:
        """Make a file the one whose data is to come."""
        self.open_number = number
        self._open_start = start

    def finish_file(self) -> None:
        """End the data of the file that was created last."""
        if self.open_number:
            if self._open_inline is None:
                self.finish_run(self.open_number, self._open_start)
            else:
                self.set_text(self.open_number, bytes(self._open_inline))
                self._open_inline = None
            self.open_number = 0

    def finish_run(self, number: InodeNumber, start: BlockNumber) -> None:
        """Describe the data from a block up to the position, which belongs to the node, by extents."""
        if self.output.pad_to_block() - start > _FEW_BLOCKS:
            self.set_run(number, write_extent_index(self.output, start, self.faults))
        else:  # most of them
            tree = self.tree
            tree.flags[number] |= EXTENTS
            tree.data[number] = start

    def set_run(self, number: InodeNumber, run: Run) -> None:
        """Describe the node's data by extents."""
        if run.is_faulty_in_hcsshim():
            self.faults.found(Fault.B1)
        tree = self.tree
        tree.flags[number] |= EXTENTS
        tree.data[number] = run.start

    def run_of(self, number: InodeNumber) -> Run:
        """Give the blocks of a node's data."""
        return Run(self.tree.data[number], blocks_for(self.tree.size[number]))

    def set_text(self, number: InodeNumber, text: bytes) -> None:
        """Keep text that goes into the inode."""
        at = self.tree.add_text(text)
        if at is None:
            raise DiskSizeExceeded("the short symlinks and files of the layer need more than 4 GiB")
        self.tree.data[number] = at

    def set_attributes(self, number: InodeNumber, attributes: Attributes, reused: bool) -> None:
        """Give a node, new or used before, its attributes, and open it if it is a file with data.

        A used node keeps its number, links, xattr block and block count.
        """
        xattrs = self._effective_xattrs(number, attributes, reused)
        kind = attributes.kind
        is_regular = attributes.is_regular
        size = len(attributes.target) if kind == inode.TYPE_SYMLINK else attributes.size if is_regular else 0
        if is_regular and size > MAX_FILE_SIZE:
            raise DiskSizeExceeded(f"the file has {size} bytes, at most {MAX_FILE_SIZE} are possible")
        inline = self.inline_data and is_regular and size <= _MAX_INLINE_SIZE

        tree = self.tree
        mode = attributes.mode
        if kind == 0:
            mode |= inode.TYPE_REGULAR
        elif kind == inode.TYPE_SYMLINK:
            mode |= 0o777
        tree.mode[number] = mode
        tree.uid[number] = attributes.uid
        tree.gid[number] = attributes.gid
        tree.atime[number] = attributes.atime
        tree.ctime[number] = attributes.ctime
        tree.mtime[number] = attributes.mtime
        tree.size[number] = size
        tree.data[number] = attributes.device
        flags = USED | tree.flags[number] & MARKED_OPAQUE
        tree.flags[number] = flags | (INLINE if inline else 0) | (MARKED_OPAQUE if attributes.opaque else 0)
        if xattrs or inline or reused:
            self._place_xattrs(number, xattrs, max(size - INLINE_HEAD_LEN, 0) if inline else None)

        if kind == inode.TYPE_SYMLINK:
            self._write_target(number, attributes.target)
        elif inline:
            self._open_inline = bytearray()
            self.open_number = number
        elif size > 0:
            self.open(number, self.output.block())

    def _effective_xattrs(self, number: InodeNumber, attributes: Attributes, reused: bool) -> Xattrs:
        """Give the attributes with those of a used node that live on in it."""
        given = attributes.xattrs
        if attributes.opaque:
            given = given | {xattr.OPAQUE: b"y"}
        if not reused:
            return given
        old = self.tree.inline_xattrs_as_hcsshim(number)
        if old is None:
            raise crash()
        if self.faults.reproduces(Fault.B8KeptXattrs):
            return old | given
        # B8: only the last entry's attributes count; an opaque marker is no entry.
        xattrs = dict(given)
        if self.tree.flags[number] & MARKED_OPAQUE:
            xattrs.setdefault(xattr.OPAQUE, b"y")
            if xattr.OPAQUE not in old and xattr.OPAQUE not in given:
                self.faults.found(Fault.B8LostMarker)
        lost = old.keys() - xattrs.keys()
        if lost - {xattr.SYSTEM_DATA}:
            self.faults.found(Fault.B8KeptXattrs)
        elif lost:
            self.faults.found(Fault.B19KeptData)
        return xattrs

    def _place_xattrs(self, number: InodeNumber, xattrs: Xattrs, data_len: int | None) -> None:
        placed = xattr.place(xattrs, data_len, self.faults)
        if placed.reordered:
            self.faults.found(Fault.B2)
        tree = self.tree
        tree.set_inline_xattrs(number, placed.inline)
        used = tree.xattr_block[number]
        block = placed.block
        if block is None:
            if used == 0:
                return
            block = xattr.empty_block()
        if used == 0:
            at = self.output.block()
            self.output.write(block)
            tree.xattr_block[number] = at
        else:
            self.output.rewrite(used * BLOCK_SIZE, block)
        if tree.is_dir(number) or self.faults.reproduces(Fault.B10):
            tree.block_xattrs[number] = block

    def _write_target(self, number: InodeNumber, target: bytes) -> None:
        if not 0 < len(target) <= _MAX_TARGET and not self.faults.reproduces(Fault.B16):
            raise InvalidEntry(
                f"the symlink's target has {len(target)} bytes, 1 to {_MAX_TARGET} are possible",
                code=Fault.B16.code,
            )
        if len(target) <= _MAX_SHORT_TARGET:
            self.set_text(number, target)
            return
        if not self.faults.reproduces(Fault.B11):
            self.tree.long_targets[number] = target
        start = self.output.block()
        self.output.write(target)
        self.finish_run(number, start)


def write_extent_index(output: Output, start: BlockNumber, faults: Faults) -> Run:
    """Fill the last block of the data that starts there, and put the index of its extents behind it."""
    run = Run(start, output.pad_to_block() - start)
    if run.blocks > _FEW_BLOCKS:
        for leaf in run.leaf_blocks(faults):
            output.write(leaf)
    return run


def crash() -> NotReproducible:
    """N1: hcsshim's process dies."""
    return NotReproducible(
        "hcsshim crashes when it reads the directory's xattrs again: a stored name of 240 bytes or more",
        code=Fault.N1.code,
    )
