"""What an image contains, beside file systems that mke2fs makes, and superblocks that cannot be right."""

from __future__ import annotations

import io
import os
import shutil
import struct
import subprocess
import time
from pathlib import Path

import pytest
from layerdisk.errdefs import InvalidArgument
from layerdisk.inspection import inspect_image
from layerdisk.tar2ext4 import convert
from machine import missing
from tarfiles import archive, directory, regular

S_BLOCKS_COUNT, S_BLOCKS_PER_GROUP, S_FEATURE_INCOMPAT, S_DESC_SIZE = 0x4, 0x20, 0x60, 0xFE


def change(image: Path, field: int, value: int, form: str = "<I") -> None:
    """Put a number into the superblock."""
    with open(image, "r+b") as file:
        file.seek(1024 + field)
        file.write(struct.pack(form, value))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    convert(io.BytesIO(archive(directory("a"), regular("a/f", b"x"))), tmp_path / "image")
    return tmp_path / "image"


def program(name: str) -> str:
    path = shutil.which(name, path=f"{os.environ['PATH']}:/sbin:/usr/sbin")
    return path or missing(f"{name} is not installed")


def made(path: Path, *options: str, directories: int = 3000) -> dict[str, int]:
    """Make a file system with this many directories; gives what dumpe2fs says of it."""
    root = path.parent / "root"
    for number in range(directories):
        (root / f"d{number}").mkdir(parents=True)
    command = [program("mke2fs"), "-q", "-t", "ext4", *options, "-d", str(root), str(path), "64M"]
    subprocess.run(command, check=True)
    lines = subprocess.run([program("dumpe2fs"), "-h", str(path)], capture_output=True, text=True, check=True)
    fields = dict(line.split(":", 1) for line in lines.stdout.splitlines() if ":" in line)
    names = ("Block count", "Free blocks", "Inode count", "Free inodes", "Block size")
    return {name: int(fields[name]) for name in names}


@pytest.mark.parametrize(
    "options",
    [
        ("-O", "64bit"),
        ("-O", "^64bit"),
        ("-O", "64bit", "-g", "512", "-b", "1024"),
        ("-O", "^64bit,^metadata_csum,^flex_bg", "-b", "1024"),
        ("-O", "64bit,meta_bg,^resize_inode,^flex_bg", "-g", "512", "-b", "1024"),
        ("-O", "meta_bg,^resize_inode,^sparse_super,^flex_bg", "-g", "512", "-b", "1024"),
        ("-O", "meta_bg,^resize_inode,sparse_super2,^flex_bg", "-g", "512", "-b", "1024"),
    ],
    ids=["64bit", "32bit", "many groups", "no flex_bg", "meta_bg", "no sparse_super", "sparse_super2"],
)
def test_counts_are_those_of_other_tools(tmp_path: Path, options: tuple[str, ...]) -> None:
    path = tmp_path / "image"
    expected = made(path, *options)
    counts = inspect_image(path).counts
    assert counts.directories == 3002  # with the root and lost+found
    assert counts.block_size == expected["Block size"]
    assert (counts.blocks, counts.blocks_in_use) == (
        expected["Block count"],
        expected["Block count"] - expected["Free blocks"],
    )
    assert (counts.inodes, counts.inodes_in_use) == (
        expected["Inode count"],
        expected["Inode count"] - expected["Free inodes"],
    )


@pytest.mark.parametrize("per_group", [0, 8 * 4096 + 1, 2**32 - 1])
def test_a_group_that_its_bitmap_cannot_hold_is_refused(image: Path, per_group: int) -> None:
    change(image, S_BLOCKS_PER_GROUP, per_group)
    with pytest.raises(InvalidArgument, match=f"s_blocks_per_group is {per_group}, and must be 1 to 32768"):
        inspect_image(image)


@pytest.mark.parametrize("size", [0, 31, 4097])
def test_a_descriptor_size_that_cannot_be_is_refused(image: Path, size: int) -> None:
    change(image, S_FEATURE_INCOMPAT, 0x82)
    change(image, S_DESC_SIZE, size, "<H")
    with pytest.raises(InvalidArgument, match=f"s_desc_size is {size}, and must be 32 to 4096"):
        inspect_image(image)


def test_more_groups_than_the_file_has_blocks_are_refused_at_once(image: Path) -> None:
    """A sparse file of 4 GiB: its descriptors would be 128 GiB."""
    os.truncate(image, 4 << 30)
    change(image, S_BLOCKS_COUNT, 2**32 - 1)
    change(image, S_BLOCKS_PER_GROUP, 1)
    started = time.monotonic()
    with pytest.raises(InvalidArgument, match=r"are 4294967295 groups, and the file has 1048576 blocks$"):
        inspect_image(image)
    assert time.monotonic() - started < 2  # seconds


def test_a_pipe_is_not_an_image(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(InvalidArgument, match="is not a file or a block device"):
        inspect_image(tmp_path / "pipe")
