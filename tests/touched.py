"""What a fault may touch in an image, so that all else can be compared where a finding says that bytes differ."""

from __future__ import annotations

import struct

INODE, BLOCK = 256, 4096

# What differs, by the code of the finding. Codes that are not here move blocks or add names: all may differ.
TOUCHED = {
    "B2": {"xattr blocks"},
    "B3": {"times"},
    "B4": {"times"},
    "N3": {"times"},
    "B5": {"xattrs", "xattr blocks"},
    "N6": {"xattrs", "xattr blocks"},
    "N7": {"xattrs", "xattr blocks"},
}
# Parts of an inode: start and end.
FIELDS: dict[str, list[tuple[int, int]]] = {
    "times": [(8, 20), (132, 152)],
    "xattrs": [(28, 32), (104, 108), (152, 256)],
    "xattr blocks": [],
}


def touched_by(codes: set[str]) -> set[str] | None:
    """What findings with these codes touch, or None where that may be anything."""
    if not codes <= TOUCHED.keys():
        return None
    return set().union(*(TOUCHED[code] for code in codes))


def untouched(image: bytes, touched: set[str]) -> bytes:
    """The image with zeros in all that is touched."""
    data = bytearray(image)
    (inodes,) = struct.unpack_from("<I", data, 1024)
    (table,) = struct.unpack_from("<I", data, BLOCK + 8)
    for start in range(table * BLOCK, table * BLOCK + inodes * INODE, INODE):
        (block,) = struct.unpack_from("<I", data, start + 104)
        if block and "xattr blocks" in touched:
            data[block * BLOCK : (block + 1) * BLOCK] = bytes(BLOCK)
        for first, last in (part for one in touched for part in FIELDS[one]):
            data[start + first : start + last] = bytes(last - first)
    return bytes(data)
