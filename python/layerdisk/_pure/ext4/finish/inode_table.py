"""The inode tables of all groups, one after the other, and with them how many groups there are."""

from __future__ import annotations

from typing import NamedTuple

from ...faults import Fault, Faults
from ...tree import INLINE, STORED, TYPE_MASK, USED, FileType, Tree
from ...tree.node import ODD_TIMES
from ...units import BLOCKS_PER_GROUP, U32_MAX, BlockNumber, InodeNumber, Time
from ..format import inode, timestamp
from ..hcsshim import geometry
from ..hcsshim import times as hcsshim_times
from ..layout import LinksBeyond, Tables, groups
from ..layout.groups import Groups
from ..storage import FEW_BLOCKS, INLINE_HEAD_LEN, Storage, i_block, index_blocks, inode_region, run_of

_DIRECTORY = int(FileType.DIRECTORY)
_SYMLINK = int(FileType.SYMLINK)
_DEVICES = (FileType.CHARACTER_DEVICE, FileType.BLOCK_DEVICE)
# Inodes gathered into one write.
_BATCH = 256
# Bits of a packed time that are 0 where it is the encoded one too: from 1970 on, before 2038.
_NOT_PLAIN = 0x3_8000_0000


class TablePlan(NamedTuple):
    """Where the parts after the data are.

    Attributes:
        end: first block after the bitmaps.
        blocks: length of the image.
        descriptor_blocks: blocks of group descriptors that are in use.
    """

    groups: Groups
    table: BlockNumber
    bitmaps: BlockNumber
    end: BlockNumber
    blocks: int
    descriptor_blocks: int


def write(tree: Tree, storage: Storage, faults: Faults) -> TablePlan:
    """Write the tables, after the data."""
    match storage.layout.tables:
        case Tables.AFTER_DATA:
            output = storage.output
    table = output.block()
    chosen = choose_groups(tree, storage, faults, table)
    highest = tree.highest()
    for first in range(1, highest + 1, _BATCH):
        numbers = range(first, min(first + _BATCH, highest + 1))
        output.write(b"".join([_encode(tree, storage, faults, number) for number in numbers]))
    written = highest * inode.LEN
    if faults.reproduces(Fault.B22):
        output.zeros(geometry.table_padding(chosen, written))
    else:
        output.zeros(chosen.table_bytes - written)
    return _plan(storage, chosen, table)


def choose_groups(tree: Tree, storage: Storage, faults: Faults, table: BlockNumber) -> Groups:
    """Return the groups of an image whose inode tables start at that block."""
    wrapping = geometry.groups(table, tree.highest())
    if faults.reproduces(Fault.N2):
        return wrapping
    chosen = groups.choose(storage.layout, table, tree.highest())
    if chosen != wrapping:
        faults.found(Fault.N2)
    if chosen.table_bytes > U32_MAX:
        faults.found(Fault.B22)
    return chosen


def _plan(storage: Storage, chosen: Groups, table: BlockNumber) -> TablePlan:
    """The numbers wrap only where hcsshim's do, in N2."""
    bitmaps = storage.output.block()
    end = bitmaps + chosen.count * 2 & U32_MAX
    last_group = chosen.count - 1 & U32_MAX
    blocks = max(end, last_group * BLOCKS_PER_GROUP + 1 & U32_MAX)
    descriptor_blocks = last_group // storage.layout.descriptors_per_block + 1
    if descriptor_blocks > storage.reserved:
        raise storage.output.exceeded()
    return TablePlan(chosen, table, bitmaps, end, blocks, descriptor_blocks)


def _encode(tree: Tree, storage: Storage, faults: Faults, number: InodeNumber) -> bytes:
    state = tree.flags[number]
    if not state & USED:
        return bytes(inode.LEN)
    layout = storage.layout
    mode = tree.mode[number]
    links = tree.links[number]
    if links > layout.max_links and mode & TYPE_MASK == _DIRECTORY:
        match layout.links_beyond:
            case LinksBeyond.ONE:
                links = 1
    blocks, flags, block, tail = _data_fields(tree, number, state, mode, faults)
    xattr_block = tree.xattr_block[number]
    atime, ctime, mtime = tree.atime[number], tree.ctime[number], tree.mtime[number]
    if state & ODD_TIMES or (atime | ctime | mtime) & _NOT_PLAIN:
        mtime, atime, ctime = (_timestamp(time, faults) for time in tree.times(number))
    return inode.encode(
        mode,
        tree.uid[number],
        tree.gid[number],
        tree.size[number],
        links,
        blocks + 1 if xattr_block else blocks,
        flags,
        block,
        xattr_block,
        atime,
        ctime,
        mtime,
        None if tail is None and number not in tree.kept_xattrs else inode_region(tree, number, tail, faults),
        number,
        layout,
    )


def _timestamp(time: Time, faults: Faults) -> int:
    return hcsshim_times.encode(time) if faults.reproduces(Fault.B3) else timestamp.encode(time)


def _data_fields(
    tree: Tree, number: InodeNumber, state: int, mode: int, faults: Faults
) -> tuple[int, int, bytes, bytes | None]:
    """Return what an inode says of its data: blocks, flags, i_block, and what of it does not fit into i_block."""
    if state & STORED:
        run = run_of(tree, number)
        if run.blocks <= FEW_BLOCKS:  # most of them
            return run.blocks, inode.FLAG_EXTENTS, run.i_block(), None
        return run.blocks + index_blocks(run, faults), inode.FLAG_EXTENTS, i_block(run, faults), None
    if state & INLINE:
        data = tree.text_of(number)
        return 0, inode.FLAG_INLINE_DATA, data[:INLINE_HEAD_LEN], data[INLINE_HEAD_LEN:]
    file_type = mode & TYPE_MASK
    if file_type == _SYMLINK:
        return 0, 0, tree.text_of(number), None
    if file_type in _DEVICES:
        return 0, 0, inode.device_block(*tree.device(number)), None
    return 0, 0, inode.NO_BLOCKS, None
