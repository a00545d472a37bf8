"""Data, xattr blocks and link targets, which are written as they come; and what of them is free again."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ...errdefs import InvalidEntry, quote
from ..faults import Fault, Faults
from ..sink import ImageSink
from ..sink.output import Output
from ..tree import INLINE, STORED, FileType, Tree, Xattrs
from ..tree.node import EPOCH, FIXED, USED
from ..units import BLOCK_SIZE, LOST_AND_FOUND, ROOT, BlockNumber, InodeNumber, blocks_for
from .format import acl, features, inode, xattr
from .format.checksum import InodeId
from .format.extent import I_BLOCK_LEN, MAX_EXTENT_BLOCKS, Run
from .format.features import Features
from .format.xattr import BLOCK_HEADER_LEN, BLOCK_REGION_LEN, END_LEN, INODE_REGION_LEN, XattrEntry
from .hcsshim import extents as hcsshim_extents
from .hcsshim import xattr_order as hcsshim_order
from .hcsshim import xattrs as hcsshim_xattrs
from .layout import Layout, XattrPlacing
from .layout.groups import reserved_descriptor_blocks

# PATH_MAX less the NUL (B16).
_MAX_TARGET_LEN = 4095
# As much of a small file's data as goes into i_block.
INLINE_HEAD_LEN = I_BLOCK_LEN
# Blocks in extents that all fit into the inode.
FEW_BLOCKS = 4 * MAX_EXTENT_BLOCKS


def new_tree() -> Tree:
    """Return a tree as it is before the first entry: the root, and lost+found."""
    tree = Tree(ROOT)
    tree.skip_to(LOST_AND_FOUND)
    number = tree.add(FileType.DIRECTORY | 0o700, USED | FIXED, 2, 0, 0, 0, EPOCH)
    tree.names.insert(ROOT, b"lost+found", number)
    tree.links[ROOT] += 1
    return tree


class Storage:
    """The part of an image that grows as entries come.

    Args:
        sink: where the image goes.
        layout: of the image.
        maximum: of the disk, in bytes, as `groups.maximum_disk_size` gives it.
        inline_data: keep small files inside their inodes.
        tree: whose nodes' data is stored.
        faults: those that are reproduced, and found.

    Attributes:
        reserved: blocks after block 0 that are kept for group descriptors.
        features: those that the image needs on top of its layout's.
        freed: first block and count: blocks of what later entries replaced.
        is_open: whether a regular file's data is to come.
    """

    def __init__(
        self, sink: ImageSink, layout: Layout, maximum: int, inline_data: bool, tree: Tree, faults: Faults
    ) -> None:
        self.layout = layout
        self.reserved = reserved_descriptor_blocks(layout, maximum)
        self.output = Output(sink, 1 + self.reserved, maximum)
        self.features: Features = features.INLINE_DATA if inline_data else features.NONE
        self.freed: list[tuple[BlockNumber, int]] = []
        self.max_inline_size = layout.max_inline_size if inline_data else -1
        self._tree = tree
        self._faults = faults
        # A regular file whose data is to come: its number, and its first block or what it has got inline.
        self.is_open = False
        self._open_number: InodeNumber = 0
        self._open_start: BlockNumber = 0
        self._open_data: bytearray | None = None

    def require(self, needed: Features) -> None:
        """Note that the image needs features on top of its layout's."""
        self.features |= needed

    def check_capacity(self, directories: int, inodes: int) -> None:
        """Refuse what cannot fit in the end: directories of at least a block each, and inodes."""
        self.output.check_room(directories * BLOCK_SIZE + inodes * inode.LEN)

    def open(self, number: InodeNumber) -> None:
        """Prepare for the data of a regular file."""
        self._open_number = number
        self.is_open = True
        if self._tree.flags[number] & INLINE:
            self._open_data = bytearray()
        else:
            self._open_start = self.output.block()

    def write(self, data: bytes | memoryview) -> None:
        """Take data of the file that was opened last."""
        if self._open_data is None:
            self.output.write(data)
        else:
            self._open_data += data

    def write_zeros(self, length: int) -> None:
        """Take the same, all zero."""
        if self._open_data is None:
            self.output.zeros(length)
        else:
            self._open_data += bytes(min(length, self.layout.max_inline_size))

    def finish_file(self) -> None:
        """End the data of the file that was opened last."""
        self.is_open = False
        if self._open_data is None:
            self.finish_run(self._open_number, self._open_start)
        else:
            self._tree.set_text(self._open_number, bytes(self._open_data))
            self._open_data = None

    def store_target(self, number: InodeNumber, target: bytes) -> None:
        """Store a symlink's target: in its inode, or as data."""
        faults = self._faults
        if not 0 < len(target) <= _MAX_TARGET_LEN and not faults.reproduces(Fault.B16):
            raise InvalidEntry(
                f"the symlink's target has {len(target)} bytes, it must have 1 to {_MAX_TARGET_LEN}",
                code=Fault.B16.code,
            )
        if len(target) <= self.layout.max_short_target_len:
            self._tree.set_text(number, target)
            return
        if not faults.reproduces(Fault.B11):
            self._tree.set_long_target(number, target)
        start = self.output.block()
        self.output.write(target)
        self.finish_run(number, start)

    def finish_run(self, number: InodeNumber, start: BlockNumber) -> None:
        """Fill the last block of a node's data, which starts there, and put the blocks of its extents after it."""
        blocks = self.output.pad_to_block() - start
        if blocks > FEW_BLOCKS:  # few files
            self._write_extents(Run(start, blocks), InodeId(number))
        tree = self._tree
        tree.flags[number] |= STORED
        tree.data[number] = start

    def _write_extents(self, run: Run, number: InodeId) -> None:
        if self._faults.reproduces(Fault.B1):
            blocks = hcsshim_extents.tree(run, number)
        else:
            blocks = run.tree(self.layout.checksums, number)
        for block in blocks:
            self.output.write(block)
        if hcsshim_extents.is_faulty(run):
            self._faults.found(Fault.B1)

    def store_xattrs(self, number: InodeNumber, xattrs: Xattrs) -> None:
        """Store a node's xattrs in place of its former ones.

        The tree keeps those that go into the inode, the others are written.
        """
        tree = self._tree
        faults = self._faults
        used = tree.xattr_block[number]
        match self.layout.xattr_placing:
            case XattrPlacing.FIRST_FIT:
                places = _first_fit(xattrs, inline_tail_len(tree, number), faults)
        tree.set_kept_xattrs(number, places.inode)
        if not places.block and not used:
            return
        # A directory's may be read again; reproducing B10, anything's.
        if tree.is_dir(number) or faults.reproduces(Fault.B10):
            tree.stored_xattrs[number] = dict(places.block)
        entries, reordered = _in_block_order(places.block, faults)
        if reordered:
            faults.found(Fault.B2)
        place = used or self.output.block()
        block = xattr.block(entries, self.layout.checksums, place)
        if used:
            self.output.rewrite(used * BLOCK_SIZE, block)
        else:
            tree.xattr_block[number] = place
            self.output.may_change()
            self.output.write(block)

    def free_data(self, number: InodeNumber) -> None:
        """Free a node's data, if any is stored."""
        tree = self._tree
        if tree.flags[number] & STORED:
            run = run_of(tree, number)
            tree.flags[number] &= ~STORED
            tree.forget_long_target(number)
            self.freed.append((run.start, run.blocks + index_blocks(run, self._faults)))

    def free(self, number: InodeNumber) -> None:
        """Free all that is stored for a node."""
        self.free_data(number)
        block = self._tree.xattr_block[number]
        if block:
            self.freed.append((block, 1))


def run_of(tree: Tree, number: InodeNumber) -> Run:
    """Return the blocks of a node's data."""
    return Run(tree.data[number], blocks_for(tree.size[number]))


def index_blocks(run: Run, faults: Faults) -> int:
    """Return the blocks of a run's extents after its data."""
    return hcsshim_extents.index_blocks(run) if faults.reproduces(Fault.B1) else run.index_blocks()


def i_block(run: Run, faults: Faults) -> bytes:
    """Return i_block of an inode with this run."""
    return hcsshim_extents.i_block(run) if faults.reproduces(Fault.B1) else run.i_block()


def inode_region(tree: Tree, number: InodeNumber, tail: bytes | None, faults: Faults) -> bytes | None:
    """Return the region of a node's inode; `tail`: of the data of a file that is in its inode."""
    if tail is None and number not in tree.kept_xattrs:
        return None
    entries = [] if tail is None else [xattr.system_data(tail)]
    entries += [_stored_form(name, value, faults) for name, value in tree.xattrs_kept(number)]
    return xattr.inode_region(entries)


def inode_xattrs_as_hcsshim(tree: Tree, number: InodeNumber, faults: Faults) -> Xattrs | None:
    """Return the xattrs in a node's inode as hcsshim reads them again; None where it crashes."""
    tail_len = inline_tail_len(tree, number)
    region = inode_region(tree, number, None if tail_len is None else bytes(tail_len), faults)
    return {} if region is None else hcsshim_xattrs.read(region, 0)


def xattrs_as_hcsshim(tree: Tree, number: InodeNumber, faults: Faults) -> Xattrs | None:
    """Return the same with those in its xattr block."""
    found: Xattrs | None = {}
    stored = tree.stored_xattrs.get(number)
    if stored is not None:
        entries, _ = _in_block_order(list(stored.items()), faults)
        region = xattr.block_region(entries)
        found = hcsshim_xattrs.read(region, BLOCK_HEADER_LEN)
    inline = inode_xattrs_as_hcsshim(tree, number, faults)
    return None if found is None or inline is None else found | inline


def inline_tail_len(tree: Tree, number: InodeNumber) -> int | None:
    """Return the length of the part of a small file's data that does not fit into i_block.

    None where the data is not in the inode.
    """
    if not tree.flags[number] & INLINE:
        return None
    return max(tree.size[number] - INLINE_HEAD_LEN, 0)


class _Places(NamedTuple):
    """Where the xattrs of one node go, in the order of their full names."""

    inode: list[tuple[bytes, bytes]]
    block: list[tuple[bytes, bytes]]


def _first_fit(xattrs: Xattrs, tail_len: int | None, faults: Faults) -> _Places:
    """Place attributes into the inode while there is room, else into the block.

    `tail_len`: for a file with inline data, the length of `system.data`, which comes first.
    """
    places = _Places([], [])
    inode_free = INODE_REGION_LEN - END_LEN
    block_free = BLOCK_REGION_LEN - END_LEN
    if tail_len is not None:
        inode_free -= xattr.system_data(bytes(tail_len)).cost()
    for name, value in sorted(xattrs.items()):
        cost = _stored_form(name, value, faults).cost()
        if cost <= inode_free:
            inode_free -= cost
            places.inode.append((name, value))
        elif cost <= block_free:
            block_free -= cost
            places.block.append((name, value))
        else:
            raise InvalidEntry(
                f"xattr {quote(name)} needs {cost} bytes, {block_free} of {BLOCK_REGION_LEN - END_LEN}"
                " are left in the xattr block",
                code=Fault.B15.code,
            )
    return places


def _in_block_order(
    attributes: Iterable[tuple[bytes, bytes]], faults: Faults
) -> tuple[list[XattrEntry], bool]:
    """Return the entries of a block in the order by which the kernel searches them, or hcsshim's (B2).

    And whether the two differ.
    """
    entries = [_stored_form(name, value, faults) for name, value in attributes]
    kernel = sorted(entries, key=lambda entry: (entry.name_index, len(entry.name), entry.name))
    hcsshim_order.sort(entries)
    return (entries if faults.reproduces(Fault.B2) else kernel), entries != kernel


def _stored_form(full_name: bytes, value: bytes, faults: Faults) -> XattrEntry:
    """Return an attribute as it is stored: ACLs have a form of their own (B5)."""
    split = hcsshim_xattrs.split_name if faults.reproduces(Fault.N7) else xattr.split_name
    index, name = split(full_name)
    if full_name in acl.NAMES and not faults.reproduces(Fault.B5):
        value = acl.to_ext4(value)
    return XattrEntry(index, name, value)
