"""On-disk structures in words: offset, field, value. The fields are those of the tables in docs/format.md.

Whatever is not zero and in no field is shown as bytes, so that nothing goes unseen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

DOCS = Path(__file__).parents[2] / "docs" / "format.md"
ROW = 16
EXTENTS = 0x8_0000
INODE_XATTRS = 156


class Field(NamedTuple):
    """One field of a structure."""

    offset: int
    size: int
    name: str


def table(heading: str) -> list[Field]:
    """The fields of the table below a heading of docs/format.md, in its order."""
    chapter = re.split(r"^#{2,3} ", DOCS.read_text(), flags=re.M)
    (text,) = [one for one in chapter if one.startswith(heading)]
    fields: list[Field] = []
    for row in re.findall(r"^\| ([\dxA-F, ]+) \| ([\d, ]+) \| ([^|]+) \|", text, flags=re.M):
        offsets, sizes, names = ([part.strip() for part in cell.split(", ")] for cell in row)
        if len(offsets) == len(sizes) == len(names):
            fields += [Field(int(o, 0), int(s), n) for o, s, n in zip(offsets, sizes, names, strict=True)]
    return sorted(fields)


SUPERBLOCK = table("4.2 ")
DESCRIPTOR = table("4.3 ")
INODE = [one for one in table("4.5 ") if one.name != "i_block"]
DIRENT = table("4.8 ")
XATTR = table("4.9 ")
FOOTER = table("5. ")
HEADER = [Field(0, 2, "eh_magic"), Field(2, 2, "eh_entries"), Field(4, 2, "eh_max"), Field(6, 2, "eh_depth")]
EXTENT = [Field(0, 4, "ee_block"), Field(4, 2, "ee_len"), Field(8, 4, "ee_start_lo")]
INDEX = [Field(0, 4, "ei_block"), Field(4, 4, "ei_leaf_lo")]
XATTR_BLOCK = [Field(0, 4, "h_magic"), Field(4, 4, "h_refcount"), Field(8, 4, "h_blocks")]


class Part:
    """A piece of an image, told field by field; `rest` tells what no field has told."""

    def __init__(self, image: bytes, start: int, end: int) -> None:
        self.image, self.start, self.end = image, start, end
        self._left = bytearray(image[start:end])

    def number(self, offset: int, size: int) -> int:
        at = self.start + offset
        return int.from_bytes(self.image[at : at + size], "little")

    def take(self, offset: int, size: int) -> bytes:
        """Bytes that are told, and so not among the rest."""
        self._left[offset : offset + size] = bytes(size)
        return self.image[self.start + offset : self.start + offset + size]

    def fields(self, fields: list[Field], base: int = 0, order: str = "little") -> Iterator[str]:
        """Those that are not zero."""
        for offset, size, name in fields:
            data = self.take(base + offset, size)
            if any(data):
                yield f"{self.start + base + offset:08x}  {name:<34}{shown(data, order)}"

    def text(self, offset: int, size: int, name: str) -> Iterator[str]:
        data = self.take(offset, size)
        if any(data):
            yield f"{self.start + offset:08x}  {name:<34}{quoted(data)}"

    def rest(self) -> Iterator[str]:
        yield from rows_of(bytes(self._left), self.start)


def shown(data: bytes, order: str) -> str:
    """A number in both forms, or text, or bytes that are too many for a number."""
    if len(data) == 8 and all(0x20 <= byte < 0x7F for byte in data):
        return quoted(data)
    if len(data) > 8:
        return data.hex(" ") if any(byte > 0x7E for byte in data) else quoted(data)
    value = int.from_bytes(data, "big" if order == "big" else "little")
    return str(value) if value < 10 else f"{value} = {value:#x}"


def quoted(data: bytes) -> str:
    return '"' + "".join(chr(b) if 0x20 <= b < 0x7F and b != 0x22 else f"\\x{b:02x}" for b in data) + '"'


def rows_of(data: bytes, start: int) -> Iterator[str]:
    """Rows of bytes that are not zero; of equal ones in a row the first, then `*` and where they end."""
    previous, equal = b"", 0
    for offset in [*range(0, len(data), ROW), len(data)]:
        row = data[offset : offset + ROW]
        if row == previous and any(row):
            equal += 1
            continue
        if equal:
            yield f"*         the same up to {start + offset - 1:08x}"
        previous, equal = row, 0
        if any(row):
            text = "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)
            yield f"{start + offset:08x}  {row.hex(' '):{3 * ROW - 1}}  {text}"


def bitmap(part: Part) -> Iterator[str]:
    """Which bits are 1."""
    bits = int.from_bytes(part.take(0, part.end - part.start), "little")
    first = 0
    while bits:
        zeros = (bits & -bits).bit_length() - 1
        bits >>= zeros
        ones = (~bits & -~bits).bit_length() - 1
        bits >>= ones
        first += zeros
        last = first + ones - 1
        byte = part.start + first // 8
        yield f"{byte:08x}  " + (f"bit {first}" if ones == 1 else f"bits {first} to {last}")
        first += ones


def extents(part: Part, base: int) -> Iterator[str]:
    yield from part.fields(HEADER, base)
    kind = INDEX if part.number(base + 6, 2) else EXTENT
    for i in range(part.number(base + 2, 2)):
        yield from part.fields(kind, base + 12 * (i + 1))


def xattrs(part: Part, base: int, origin: int) -> Iterator[str]:
    """Entries from `base` on; offsets of their values count from `origin`."""
    while part.number(base, 4):
        length, size = part.number(base, 1), part.number(base + 8, 4)
        value = part.number(base + 2, 2)
        yield from part.fields(XATTR, base)
        yield from part.text(base + 16, length, "e_name")
        yield from part.text(origin + value, size, "value")
        base += 16 + (length + 3 & -4)


def inode(part: Part) -> Iterator[str]:
    extra = [one for one in INODE if one.offset < 40]
    yield from part.fields(extra)
    if part.number(32, 4) & EXTENTS:
        yield from extents(part, 40)
    elif part.number(0, 2) & 0xF000 in (0x2000, 0x6000):
        yield from part.fields([Field(44, 4, "i_block, device number")])
    else:
        yield from part.text(40, 60, "i_block")
    yield from part.fields([one for one in INODE if 40 <= one.offset < INODE_XATTRS])
    if part.number(152, 4):
        yield from xattrs(part, INODE_XATTRS, INODE_XATTRS)


def directory(part: Part) -> Iterator[str]:
    base = 0
    while base < part.end - part.start and part.number(base + 4, 2):
        yield from part.fields(DIRENT, base)
        yield from part.text(base + 8, part.number(base + 6, 1), "name")
        base += part.number(base + 4, 2)


def xattr_block(part: Part) -> Iterator[str]:
    yield from part.fields(XATTR_BLOCK)
    yield from xattrs(part, 32, 0)


def descriptors(part: Part) -> Iterator[str]:
    for base in range(0, part.end - part.start, 32):
        yield from part.fields(DESCRIPTOR, base)
