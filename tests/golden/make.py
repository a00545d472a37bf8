"""Text dumps of tiny images: every byte that is not zero, by structure, offset and field, to be read in review.

`python tests/golden/make.py` writes the dumps anew; test_golden.py compares.
"""

from __future__ import annotations

import io
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

import fields  # noqa: E402
from tarfiles import (  # noqa: E402
    ACL_ACCESS,
    ACL_DEFAULT,
    archive,
    char_device,
    directory,
    fifo,
    hardlink,
    pax_sparse,
    regular,
    symlink,
)

BLOCK = 4096
INODE = 256
GROUP_BLOCKS = 32768

# Name of the dump, what it shows, the layer, options.
DUMPS: list[tuple[str, str, bytes, dict[str, Any]]] = [
    ("empty", "no entry at all", archive(), {}),
    (
        "types",
        "an entry of every type",
        archive(
            directory("dir", mode=0o1777, uid=1, gid=2, mtime=3),
            regular("dir/file", b"hello\n", mode=0o4755, uid=0x12345678, gid=0x9ABCDEF0),
            symlink("short", "dir/file"),
            symlink("long", "0123456789" * 6),
            hardlink("again", "dir/file"),
            char_device("null", 1, 3, mode=0o666),
            char_device("large", 0xABC, 0xDEF12),
            fifo("pipe"),
        ),
        {},
    ),
    (
        "xattrs",
        "attributes in the inode, in a block, and ACLs in ext4's form",
        archive(
            regular("inline", xattrs={"user.name": b"value", "security.x": b"", "trusted.y": b"123"}),
            regular("block", xattrs={"user.large": b"L" * 100, "user.small": b"s", "trusted.l": b"M" * 90}),
            directory(
                "acl",
                xattrs={"system.posix_acl_access": ACL_ACCESS, "system.posix_acl_default": ACL_DEFAULT},
            ),
        ),
        {},
    ),
    (
        "times",
        "times at the edges of what an inode holds",
        archive(
            regular("past", mtime="-1.5", atime="-2147483648", ctime="-99999999999"),
            regular("future", mtime="2147483648.5", atime="4294967296", ctime="15032385536"),
        ),
        {},
    ),
    (
        "times-defects",
        "the same with hcsshim's faults",
        archive(
            regular("past", mtime="-1.5", atime="-2147483648", ctime="-99999999999"),
            regular("future", mtime="2147483648.5", atime="4294967296", ctime="15032385536"),
        ),
        {"reproduce_defects": True},
    ),
    (
        "whiteouts",
        "a whiteout and an opaque directory",
        archive(directory("dir", mtime=5), regular("dir/.wh.gone"), regular("dir/.wh..wh..opq")),
        {"convert_whiteout": True},
    ),
    (
        "inline-data",
        "small files inside their inodes",
        archive(regular("empty"), regular("short", b"s" * 60), regular("both", b"i" * 60 + b"x" * 40)),
        {"inline_data": True},
    ),
    (
        "holes-and-footer",
        "a sparse file and a VHD footer",
        archive(pax_sparse("sparse", 10000, [(5000, b"data")], version="1.0")),
        {"append_vhd_footer": True},
    ),
]


def image_of(tar: bytes, options: dict[str, Any], core: str | None = None) -> bytes:
    from layerdisk.tar2ext4 import convert

    image = io.BytesIO()
    convert(io.BytesIO(tar), image, core=core, **options)
    return image.getvalue()


def dump(title: str, image: bytes) -> str:
    """The whole text of one dump."""
    lines = [title, f"{len(image)} bytes"]
    for label, start, end, tell in sections(image):
        part = fields.Part(image, start, end)
        rows = [*(tell(part) if tell else ()), *part.rest()]
        if rows:
            lines += ["", label, *rows]
    return "\n".join(lines) + "\n"


Tell = Callable[[fields.Part], Iterator[str]]


def superblock(part: fields.Part) -> Iterator[str]:
    return part.fields(fields.SUPERBLOCK)


def footer(part: fields.Part) -> Iterator[str]:
    return part.fields(fields.FOOTER, order="big")


def sections(image: bytes) -> Iterator[tuple[str, int, int, Tell | None]]:
    """Everything in the image, each part once, in order: label, start, end, what tells its fields."""
    labels = block_labels(image)
    (blocks,) = struct.unpack_from("<I", image, 1024 + 4)
    yield "boot block", 0, 1024, None
    yield "superblock", 1024, 2048, superblock
    yield "rest of block 0", 2048, BLOCK, None
    for block in range(1, blocks):
        label, tell = labels.get(block, ("free", None))
        if isinstance(label, int):  # a block of the inode table, its first inode's number
            for i in range(BLOCK // INODE):
                start = block * BLOCK + i * INODE
                yield f"inode {label + i}", start, start + INODE, tell
        else:
            yield f"block {block}: {label}", block * BLOCK, (block + 1) * BLOCK, tell
    yield "VHD footer", blocks * BLOCK, len(image), footer


def block_labels(image: bytes) -> dict[int, tuple[str | int, Tell | None]]:
    """What each block holds, by the image's own structures (one group is enough for tiny images)."""
    (inodes,) = struct.unpack_from("<I", image, 1024 + 0x28)
    block_bitmap, inode_bitmap, table = struct.unpack_from("<III", image, BLOCK)
    labels: dict[int, tuple[str | int, Tell | None]] = {
        1: ("group descriptors", fields.descriptors),
        block_bitmap: ("block bitmap", fields.bitmap),
        inode_bitmap: ("inode bitmap", fields.bitmap),
    }
    for i in range(inodes * INODE // BLOCK):
        labels[table + i] = (1 + i * BLOCK // INODE, fields.inode)
    for number in range(1, inodes + 1):
        inode = image[table * BLOCK + (number - 1) * INODE :][:INODE]
        mode, flags = struct.unpack_from("<H", inode)[0], struct.unpack_from("<I", inode, 32)[0]
        kind = {0x4000: "directory", 0xA000: "target"}.get(mode & 0xF000, "data")
        tell = fields.directory if kind == "directory" else None
        (xattr_block,) = struct.unpack_from("<I", inode, 104)
        if xattr_block:
            labels[xattr_block] = (f"xattrs of inode {number}", fields.xattr_block)
        if flags & fields.EXTENTS:
            for i in range(struct.unpack_from("<H", inode, 42)[0]):
                _, length, _, start = struct.unpack_from("<IHHI", inode, 52 + 12 * i)
                labels |= {start + k: (f"{kind} of inode {number}", tell) for k in range(length)}
    return labels


def main() -> None:
    for name, what, tar, options in DUMPS:
        (HERE / f"{name}.txt").write_text(dump(f"{name}: {what}", image_of(tar, options)))


if __name__ == "__main__":
    main()
