"""Files that are mostly holes, compared by what they hold."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

PIECE_BYTES = 1 << 24
BLOCK = 4096


def data_ranges(descriptor: int, size: int) -> list[tuple[int, int]]:
    """What is not a hole."""
    if not hasattr(os, "SEEK_DATA"):
        return [(0, size)]
    ranges = []
    end = 0
    while end < size:
        try:
            start = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError:  # nothing but a hole follows
            break
        end = min(size, os.lseek(descriptor, start, os.SEEK_HOLE))
        if start < end:
            ranges.append((start, end))
    return ranges


def pieces(*descriptors: int, size: int) -> Iterator[tuple[int, list[bytes]]]:
    """What is in several files wherever one of them has data: position, and the bytes of each."""
    done = 0
    for start, end in sorted(found for one in descriptors for found in data_ranges(one, size)):
        for position in range(max(start, done), end, PIECE_BYTES):
            length = min(PIECE_BYTES, end - position)
            yield position, [os.pread(one, length, position) for one in descriptors]
        done = max(done, end)


def assert_same_bytes(left: Path, right: Path, size: int | None = None) -> None:
    """The two files are equal; with `size`, up to there.

    Raises:
        AssertionError: says where the first bytes differ.
    """
    if size is None:
        size = left.stat().st_size
        assert right.stat().st_size == size, (
            f"{left.name} has {size} bytes, {right.name} {right.stat().st_size}"
        )
    with open(left, "rb") as one, open(right, "rb") as other:
        for position, (a, b) in pieces(one.fileno(), other.fileno(), size=size):
            assert a == b, describe_difference(left.name, a, right.name, b, position)


def describe_difference(left: str, a: bytes, right: str, b: bytes, position: int) -> str:
    """The first bytes that differ, by block and offset."""
    if len(a) != len(b):
        return f"{left} has {len(a)} bytes at {position}, {right} {len(b)}"
    offsets = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
    lines = [f"{len(offsets)} bytes differ after byte {position}; the first:"]
    for i in offsets[:12]:
        block, within = divmod(position + i, BLOCK)
        lines.append(f"  block {block} byte {within:#x}: {left} {a[i]:02x}, {right} {b[i]:02x}")
    return "\n".join(lines)


def data_digest(path: Path) -> str:
    """The digest of every block that is not zero, and of where it is: of files of any size with little in them."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for position, (piece,) in pieces(file.fileno(), size=path.stat().st_size):
            for start in range(0, len(piece), BLOCK):
                block = piece[start : start + BLOCK]
                if any(block):
                    digest.update((position + start).to_bytes(8, "big") + block)
    return digest.hexdigest()
