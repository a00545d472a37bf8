"""Reading VHD footers, and what inspecting an image gives."""

from __future__ import annotations

import io
import uuid
from pathlib import Path

import pytest
from layerdisk.errdefs import InvalidArgument
from layerdisk.inspection import inspect_image
from layerdisk.tar2ext4 import convert
from layerdisk.vhd import VhdFooter, read_footer
from tarfiles import archive, directory, regular

UNIQUE_ID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
LAYER = archive(directory("a"), directory("a/b"), regular("a/f", b"data"))


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    convert(io.BytesIO(LAYER), path, append_vhd_footer=True, vhd_unique_id=UNIQUE_ID)
    return path


def test_every_field_of_our_footer(image: Path) -> None:
    size = image.stat().st_size - 512
    footer = read_footer(image)
    end = image.read_bytes()[-512:]
    assert footer == VhdFooter(
        cookie=b"conectix",
        features=2,
        file_format_version=0x00010000,
        data_offset=0xFFFFFFFFFFFFFFFF,
        timestamp=0,
        creator_application=bytes(4),
        creator_version=0x000A0000,
        creator_host_os=bytes(4),
        original_size=size,
        current_size=size,
        cylinders=0,
        heads=0,
        sectors_per_track=0,
        disk_type=2,
        checksum=~(sum(end) - sum(end[64:68])) & 0xFFFF_FFFF,
        unique_id=UNIQUE_ID,
        saved_state=0,
        checksum_valid=True,
    )


def test_a_damaged_footer_has_a_wrong_checksum(image: Path) -> None:
    data = bytearray(image.read_bytes())
    data[-1] ^= 1
    assert not read_footer(io.BytesIO(bytes(data))).checksum_valid


@pytest.mark.parametrize("data", [b"", b"conectix", bytes(4096)], ids=["empty", "short", "zeros"])
def test_what_has_no_footer_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidArgument, match="does not end with a VHD footer"):
        read_footer(io.BytesIO(data))


def test_inspecting_gives_superblock_footer_and_counts(image: Path) -> None:
    inspection = inspect_image(image)
    counts = inspection.counts
    assert inspection.vhd_footer == read_footer(image)
    assert inspection.superblock.s_magic == 0xEF53
    assert counts.file_size == counts.file_system_size + 512
    assert counts.file_system_size == counts.blocks * counts.block_size
    assert counts.directories == 4  # with the root and lost+found


def test_the_counts_are_those_of_the_conversion(tmp_path: Path) -> None:
    path = tmp_path / "image"
    result = convert(io.BytesIO(LAYER), path)
    counts = inspect_image(path).counts
    assert inspect_image(path).vhd_footer is None
    assert (counts.file_system_size, counts.blocks) == (result.image_size, result.blocks)
    reserved = 9  # besides the root
    assert (counts.inodes_in_use - reserved, counts.directories) == (result.inodes, result.directories)


def test_what_is_no_file_system_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(bytes(10_000))
    with pytest.raises(InvalidArgument):
        inspect_image(tmp_path / "x")


@pytest.mark.parametrize("log_block_size", [7, 2**32 - 1])
def test_a_block_size_that_no_file_system_has_is_refused(image: Path, log_block_size: int) -> None:
    change(image, S_LOG_BLOCK_SIZE, log_block_size)
    with pytest.raises(InvalidArgument, match=f"s_log_block_size is {log_block_size}, it must be at most 6"):
        inspect_image(image)


S_LOG_BLOCK_SIZE = 0x18


def change(image: Path, field: int, value: int) -> None:
    """Put a number into the superblock."""
    with open(image, "r+b") as file:
        file.seek(1024 + field)
        file.write(value.to_bytes(4, "little"))
