"""What is stored of a tree: a superblock, if wanted, and the levels."""

from __future__ import annotations

from typing import NamedTuple

from ..sink import Sink
from . import Parameters, superblock
from .leaves import Leaves


class Stored(NamedTuple):
    """What came of it.

    Attributes:
        hash_offset: of the superblock, or of the tree where there is none.
        tree_size: bytes of the levels, the superblock left out.
        end: offset after the last hash block.
    """

    root: bytes
    data_blocks: int
    hash_offset: int
    tree_size: int
    end: int
    uuid: bytes


class Device(NamedTuple):
    """What is wanted.

    Attributes:
        uuid: None: derived from the content.
    """

    parameters: Parameters
    superblock: bool
    uuid: bytes | None

    def offset_after(self, length: int) -> int:
        """Return where the hashes of data of this length go when they follow it."""
        return length + -length % max(self.parameters.data_block_size, self.parameters.hash_block_size)

    def finish_image(self, leaves: Leaves, length: int, own: Sink | None, image: Sink | None) -> Stored:
        """End an image of this length and store its hashes: on a device of their own, after the image, or nowhere."""
        if own is not None:
            return self.finish(leaves, length, own, 0)
        return self.finish(leaves, length, image, 0 if image is None else self.offset_after(length))

    def finish(self, leaves: Leaves, length: int, sink: Sink | None, offset: int) -> Stored:
        """End the data and store its hashes, if they have a sink."""
        root = leaves.finish(length)
        head = self.parameters.hash_block_size if self.superblock else 0
        uuid = self.uuid or superblock.uuid(self.parameters, root.data_blocks, root.hash)
        if sink is not None:
            if self.superblock:
                block = superblock.encode(self.parameters, root.data_blocks, uuid).ljust(head, b"\0")
                sink.write_at(offset, memoryview(block))
            leaves.write_tree(root, sink, offset + head)
        end = offset + head + root.tree_size
        return Stored(root.hash, root.data_blocks, offset, root.tree_size, end, uuid)
