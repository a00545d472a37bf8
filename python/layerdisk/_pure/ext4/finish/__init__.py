"""What follows the last entry: directories, inode tables, bitmaps, and at last the descriptors and block 0."""

from __future__ import annotations

from typing import NamedTuple

from ...faults import Faults
from ...tree import Tree
from ...units import BLOCK_SIZE, U32_MAX, padding
from ..format import superblock
from ..layout import Backups
from ..storage import Storage
from . import directories, groups, inode_table


class Image(NamedTuple):
    """A finished image.

    Attributes:
        size: its length in bytes.
        inodes: in use: the root, lost+found, and what entries made.
    """

    size: int
    blocks: int
    inodes: int
    directories: int


def finish(tree: Tree, storage: Storage, faults: Faults) -> Image:
    """Write all that is not data, and the image is whole."""
    written = directories.write(tree, storage)
    plan = inode_table.write(tree, storage, faults)
    descriptors, counts = groups.write(tree, storage, plan)
    output = storage.output
    output.zeros((plan.blocks - plan.end & U32_MAX) * BLOCK_SIZE)
    size = output.position
    output.rewrite(BLOCK_SIZE, descriptors + bytes(padding(len(descriptors), BLOCK_SIZE)))
    _write_superblock(storage, counts)
    output.finish()
    return Image(size, plan.blocks, sum(1 for _ in tree.numbers()), written)


def _write_superblock(storage: Storage, counts: superblock.Counts) -> None:
    match storage.layout.backups:
        case Backups.NONE:
            pass
    block = bytes(superblock.OFFSET) + superblock.encode(storage.layout, counts)
    storage.output.rewrite(0, block.ljust(BLOCK_SIZE, b"\0"))
