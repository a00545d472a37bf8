"""Directory data: depth first from the root, the subdirectories of each in the order of its entries."""

from __future__ import annotations

from ...tree import TYPE_MASK, FileType, Tree
from ...units import InodeNumber
from ..format import directory
from ..format.checksum import InodeId
from ..storage import Storage

# By the type bits of a mode.
_FILE_TYPES = {
    int(FileType.DIRECTORY): directory.DIRECTORY,
    int(FileType.SYMLINK): directory.SYMLINK,
    int(FileType.CHARACTER_DEVICE): directory.CHARACTER_DEVICE,
    int(FileType.BLOCK_DEVICE): directory.BLOCK_DEVICE,
    int(FileType.FIFO): directory.FIFO,
    int(FileType.REGULAR): directory.REGULAR,
}


def write(tree: Tree, storage: Storage) -> int:
    """Write the data of all directories; return how many there are."""
    mode = tree.mode
    output = storage.output
    children = tree.children()
    written = 0
    pending: list[tuple[InodeNumber, InodeNumber]] = [(tree.root, tree.root)]
    while pending:
        number, parent = pending.pop()
        start = output.block()
        entries = [(child, _FILE_TYPES[mode[child] & TYPE_MASK], name) for child, name in children.of(number)]
        data = directory.encode(InodeId(number), parent, entries, storage.layout)
        output.write(data)
        tree.size[number] = len(data)
        storage.finish_run(number, start)
        written += 1
        pending.extend(
            (child, number) for child, file_type, _ in reversed(entries) if file_type == directory.DIRECTORY
        )
    return written
