"""Directory data: linear blocks, each closed by an empty entry of at least 12 bytes.

Source: kernel, Documentation/filesystems/ext4/directory.rst; the closing entry as hcsshim has it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from ..units import BLOCK_SIZE, InodeNumber

_HEADER_LEN = 8
# An entry with a name of 1 to 4 bytes, and the room that the closing entry needs.
_MIN_ENTRY_LEN = 12
_MAX_NAME_LEN = 255

# ext4_dir_entry_2.file_type
REGULAR = 1
DIRECTORY = 2
CHARACTER_DEVICE = 3
BLOCK_DEVICE = 4
FIFO = 5
SYMLINK = 7

# By length of the name: inode, rec_len, name_len, file_type, name with its padding.
_ENTRIES = tuple(struct.Struct(f"<IHBB{(n + 3) & -4}s") for n in range(_MAX_NAME_LEN + 1))
_PACK = tuple(entry.pack for entry in _ENTRIES)
_LENGTHS = tuple(entry.size for entry in _ENTRIES)


def encode(
    own: InodeNumber, parent: InodeNumber, children: Iterable[tuple[InodeNumber, int, bytes]]
) -> bytes:
    """Give the data of a directory.

    Args:
        own: its number.
        parent: the number of the directory above, its own for the root.
        children: number, file type and name of each.
    """
    pieces = [
        _PACK[1](own, _MIN_ENTRY_LEN, 1, DIRECTORY, b"."),
        _PACK[2](parent, _MIN_ENTRY_LEN, 2, DIRECTORY, b".."),
    ]
    left = BLOCK_SIZE - 2 * _MIN_ENTRY_LEN
    for number, file_type, name in children:
        n = len(name)
        length = _LENGTHS[n]
        if left < length + _MIN_ENTRY_LEN:
            pieces.append(_closing(left))
            left = BLOCK_SIZE
        pieces.append(_PACK[n](number, length, n, file_type, name))
        left -= length
    pieces.append(_closing(left))
    return b"".join(pieces)


def _closing(left: int) -> bytes:
    return _ENTRIES[0].pack(0, left, 0, 0, b"").ljust(left, b"\0")
