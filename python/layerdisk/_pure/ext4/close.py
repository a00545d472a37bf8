"""What follows the last entry: directories, inode tables, bitmaps, and at last descriptors and block 0."""

from __future__ import annotations

from typing import NamedTuple

from ..faults import Fault
from ..sink import Sink
from ..units import BLOCK_SIZE, BLOCKS_PER_GROUP, ROOT, U32_MAX, BlockNumber, InodeNumber, padding
from . import directory, group_descriptor, inode, layout, superblock, xattr
from .bitmap import Bitmap
from .layout import Groups
from .place import MAX_LINKS
from .superblock import Counts
from .tree import EXTENTS, INLINE, USED
from .writer import INLINE_HEAD_LEN, Writer, write_extent_index

# Inodes below this number are reserved and never free.
_RESERVED_INODES = 10

# By the type bits of a mode.
_FILE_TYPE = {
    inode.TYPE_DIRECTORY: directory.DIRECTORY,
    inode.TYPE_SYMLINK: directory.SYMLINK,
    inode.TYPE_CHARACTER: directory.CHARACTER_DEVICE,
    inode.TYPE_BLOCK: directory.BLOCK_DEVICE,
    inode.TYPE_FIFO: directory.FIFO,
    inode.TYPE_REGULAR: directory.REGULAR,
}
_FLAGS_TO_DIGITS = bytes(ord("1") if flags & USED else ord("0") for flags in range(256))
_NO_XATTRS = bytes(xattr.INLINE_LEN)
_NO_BLOCKS = bytes(60)
# Inodes gathered into one write.
_BATCH = 256


class Image(NamedTuple):
    """A finished image.

    Attributes:
        size: its length in bytes.
        inodes: in use: the root, lost+found, and what entries made.
    """

    sink: Sink
    size: int
    blocks: int
    inodes: int
    directories: int


class _Plan(NamedTuple):
    """Where the parts behind the data are.

    Attributes:
        end: first block behind the bitmaps.
        blocks: length of the image.
    """

    groups: Groups
    table: BlockNumber
    bitmaps: BlockNumber
    end: BlockNumber
    blocks: int
    descriptor_blocks: int


def close(writer: Writer) -> Image:
    """Write all that is left to write."""
    _write_directories(writer)
    plan = _write_inode_tables(writer)
    descriptors, counts = _write_bitmaps(writer, plan)
    output = writer.output
    output.zeros((plan.blocks - plan.end & U32_MAX) * BLOCK_SIZE)
    size = output.position
    output.rewrite(BLOCK_SIZE, descriptors + bytes(padding(len(descriptors), BLOCK_SIZE)))
    output.rewrite(0, (bytes(superblock.OFFSET) + superblock.encode(counts)).ljust(BLOCK_SIZE, b"\0"))
    return Image(
        sink=output.finish(),
        size=size,
        blocks=plan.blocks,
        inodes=sum(1 for _ in writer.tree.numbers()),
        directories=writer.directories,
    )


def _write_directories(writer: Writer) -> None:
    """Depth first from the root, the subdirectories of each in the order of its entries."""
    tree = writer.tree
    mode = tree.mode
    output = writer.output
    pending: list[tuple[InodeNumber, InodeNumber]] = [(ROOT, ROOT)]
    while pending:
        number, parent = pending.pop()
        start = output.block()
        entries = [
            (child, _FILE_TYPE[mode[child] & inode.TYPE_MASK], name) for child, name in tree.children(number)
        ]
        data = directory.encode(number, parent, entries)
        output.write(data)
        tree.size[number] = len(data)
        writer.set_run(number, write_extent_index(output, start, writer.faults))
        pending.extend(
            (child, number) for child, file_type, _ in reversed(entries) if file_type == directory.DIRECTORY
        )


def _write_inode_tables(writer: Writer) -> _Plan:
    output = writer.output
    table = output.block()
    groups = _choose_groups(writer, table)
    highest = writer.tree.highest()
    for first in range(1, highest + 1, _BATCH):
        numbers = range(first, min(first + _BATCH, highest + 1))
        output.write(b"".join([_inode(writer, number) for number in numbers]))
    left = groups.table_bytes - highest * inode.LEN
    output.zeros(left & U32_MAX if writer.faults.reproduces(Fault.B22) else left)
    bitmaps = output.block()
    end = bitmaps + groups.count * 2 & U32_MAX
    last_group = groups.count - 1 & U32_MAX
    blocks = max(end, last_group * BLOCKS_PER_GROUP + 1 & U32_MAX)
    descriptor_blocks = last_group // group_descriptor.PER_BLOCK + 1
    if descriptor_blocks > writer.reserved:
        raise output.exceeded()
    return _Plan(groups, table, bitmaps, end, blocks, descriptor_blocks)


def _choose_groups(writer: Writer, table: BlockNumber) -> Groups:
    inodes = writer.tree.highest()
    wrapping = layout.wrapping_groups(table, inodes)
    if writer.faults.reproduces(Fault.N2):
        return wrapping
    exact = layout.exact_groups(table, inodes)
    if exact != wrapping:
        writer.faults.found(Fault.N2)
    if exact.table_bytes > U32_MAX:
        writer.faults.found(Fault.B22)
    return exact


def _inode(writer: Writer, number: InodeNumber) -> bytes:
    tree = writer.tree
    state = tree.flags[number]
    if not state & USED:
        return bytes(inode.LEN)
    mode = tree.mode[number]
    kind = mode & inode.TYPE_MASK
    size = tree.size[number]
    links = tree.links[number]
    i_block = _NO_BLOCKS
    flags = inode.FLAG_HUGE_FILE
    area = tree.inline_xattrs.get(number)
    xattr_block = tree.xattr_block[number]
    blocks = 1 if xattr_block else 0
    if state & EXTENTS:
        flags |= inode.FLAG_EXTENTS
        run = writer.run_of(number)
        i_block = run.i_block(writer.faults)
        blocks += run.blocks + run.leaves(writer.faults)
    elif state & INLINE:
        flags |= inode.FLAG_INLINE_DATA
        data = tree.text_of(number)
        i_block = data[:INLINE_HEAD_LEN]
        tail = data[INLINE_HEAD_LEN:]
        if tail:
            area = xattr.with_inline_data(area or _NO_XATTRS, tail)
    elif kind == inode.TYPE_SYMLINK:
        i_block = tree.text_of(number)
    elif kind == inode.TYPE_CHARACTER or kind == inode.TYPE_BLOCK:
        i_block = inode.device_block(tree.data[number])
    if writer.dir_nlink and kind == inode.TYPE_DIRECTORY and links > MAX_LINKS:
        links = 1
    uid = tree.uid[number]
    gid = tree.gid[number]
    atime = tree.atime[number]
    ctime = tree.ctime[number]
    mtime = tree.mtime[number]
    return inode.STRUCT.pack(
        mode,
        uid & 0xFFFF,
        size & U32_MAX,
        atime & U32_MAX,
        ctime & U32_MAX,
        mtime & U32_MAX,
        gid & 0xFFFF,
        links & 0xFFFF,
        blocks,
        flags,
        i_block,
        xattr_block,
        size >> 32,
        uid >> 16,
        gid >> 16,
        inode.EXTRA_ISIZE,
        ctime >> 32,
        mtime >> 32,
        atime >> 32,
        mtime & U32_MAX,
        mtime >> 32,
        xattr.MAGIC if area else 0,
        area or _NO_XATTRS,
    )


def _write_bitmaps(writer: Writer, plan: _Plan) -> tuple[bytes, Counts]:
    """Write both bitmaps of each group; give the descriptors, and the totals for the superblock."""
    groups = plan.groups
    freed = _freed_by_group(writer)
    descriptors = []
    used_blocks = used_inodes = 0
    for group in range(groups.count):
        blocks = _block_bitmap(writer, plan, group, freed.get(group, []))
        inodes, directories = _inode_bitmap(writer, plan, group)
        writer.output.write(blocks.as_bytes())
        writer.output.write(inodes.as_bytes())
        used_blocks += blocks.used
        used_inodes += inodes.used
        first_bitmap = plan.bitmaps + 2 * group
        descriptors.append(
            group_descriptor.STRUCT.pack(
                first_bitmap & U32_MAX,
                first_bitmap + 1 & U32_MAX,
                plan.table + group * groups.table_blocks_per_group & U32_MAX,
                BLOCKS_PER_GROUP - blocks.used & 0xFFFF,
                groups.inodes_per_group - inodes.used & 0xFFFF,
                directories & 0xFFFF,
            )
        )
    counts = Counts(
        inodes=groups.inodes & U32_MAX,
        blocks=plan.blocks,
        free_blocks=groups.count * BLOCKS_PER_GROUP - used_blocks & U32_MAX,
        free_inodes=groups.inodes - used_inodes & U32_MAX,
        inodes_per_group=groups.inodes_per_group,
        inline_data=writer.inline_data,
        dir_nlink=writer.dir_nlink,
    )
    return b"".join(descriptors), counts


def _block_bitmap(writer: Writer, plan: _Plan, group: int, freed: list[tuple[int, int]]) -> Bitmap:
    bitmap = Bitmap()
    bitmap.set(0, min(max(plan.end - group * BLOCKS_PER_GROUP, 0), BLOCKS_PER_GROUP))
    if group == 0:
        bitmap.clear(1 + plan.descriptor_blocks, 1 + writer.reserved)
    beyond = plan.blocks % BLOCKS_PER_GROUP
    if group == plan.groups.count - 1 and beyond != 0:
        bitmap.set(beyond, BLOCKS_PER_GROUP)
    for start, end in freed:
        bitmap.clear(start, end)
    return bitmap


def _inode_bitmap(writer: Writer, plan: _Plan, group: int) -> tuple[Bitmap, int]:
    """Give the bitmap, and how many of the group's inodes are directories.

    Bits behind the last inode stay 0 (B0).
    """
    tree = writer.tree
    first = 1 + group * plan.groups.inodes_per_group
    last = first + plan.groups.inodes_per_group
    digits = tree.flags[first:last].tobytes().translate(_FLAGS_TO_DIGITS)
    if group == 0:
        digits = b"1" * _RESERVED_INODES + digits[_RESERVED_INODES:]
    bitmap = Bitmap()
    bitmap.set_flags(digits)
    modes = tree.mode[first:last]
    return bitmap, sum(mode & inode.TYPE_MASK == inode.TYPE_DIRECTORY for mode in modes)


def _freed_by_group(writer: Writer) -> dict[int, list[tuple[int, int]]]:
    """Give the ranges of freed blocks inside each group they touch."""
    by_group: dict[int, list[tuple[int, int]]] = {}
    for start, count in writer.freed:
        at, end = start, min(start + count, U32_MAX)
        while at < end:
            group, bit = divmod(at, BLOCKS_PER_GROUP)
            length = min(end - at, BLOCKS_PER_GROUP - bit)
            by_group.setdefault(group, []).append((bit, bit + length))
            at += length
    return by_group
