"""Directory data: linear blocks of entries.

Source: kernel, Documentation/filesystems/ext4/directory.rst.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from ...units import BLOCK_SIZE, InodeNumber
from ..layout import DirectoryForm, Layout
from .checksum import InodeId

# An entry with a name of 1 to 4 bytes, and the room that an empty entry needs.
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
assert _ENTRIES[0].size == 8
_PACK = tuple(entry.pack for entry in _ENTRIES)
_LENGTHS = tuple(entry.size for entry in _ENTRIES)

# What takes the place of the last entry of a block with a checksum: det_reserved_zero1, det_rec_len,
# det_reserved_zero2, det_reserved_ft, det_checksum.
_TAIL = struct.Struct("<IHBBI")
_TAIL_FILE_TYPE = 0xDE
assert _TAIL.size == _MIN_ENTRY_LEN


def encode(
    own: InodeId,
    parent: InodeNumber,
    children: Iterable[tuple[InodeNumber, int, bytes]],
    layout: Layout,
) -> bytes:
    """Return the data of a directory, each block closed by an empty entry of at least 12 bytes.

    Args:
        own: its inode.
        parent: the number of the directory above, its own for the root.
        children: number, file type and name (1 to 255 bytes) of each.
        layout: of the image.
    """
    tail_len = 0 if layout.checksums.seed is None else _TAIL.size
    match layout.directories:
        case DirectoryForm.CLOSED_BY_EMPTY_ENTRIES:
            closing_len = _MIN_ENTRY_LEN + tail_len
    pieces = [
        _PACK[1](own.number, _MIN_ENTRY_LEN, 1, DIRECTORY, b"."),
        _PACK[2](parent, _MIN_ENTRY_LEN, 2, DIRECTORY, b".."),
    ]
    left = BLOCK_SIZE - 2 * _MIN_ENTRY_LEN
    for number, file_type, name in children:
        n = len(name)
        length = _LENGTHS[n]
        if left < length + closing_len:
            pieces.append(_closing(left, tail_len))
            left = BLOCK_SIZE
        pieces.append(_PACK[n](number, length, n, file_type, name))
        left -= length
    pieces.append(_closing(left, tail_len))
    data = b"".join(pieces)
    return _sealed(own, data, layout) if tail_len else data


def _closing(left: int, tail_len: int) -> bytes:
    return _ENTRIES[0].pack(0, left - tail_len, 0, 0, b"").ljust(left, b"\0")


def _sealed(own: InodeId, data: bytes, layout: Layout) -> bytes:
    """Put a tail with the checksum at the end of each block."""
    blocks = []
    for start in range(0, len(data), BLOCK_SIZE):
        block = data[start : start + BLOCK_SIZE - _TAIL.size]
        checksum = layout.checksums.of_inode(own, block) or 0
        blocks += [block, _TAIL.pack(0, _TAIL.size, 0, _TAIL_FILE_TYPE, checksum)]
    return b"".join(blocks)
