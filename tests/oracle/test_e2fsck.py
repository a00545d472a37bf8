"""Images as other tools see them: e2fsck, debugfs, qemu-img."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import layers
import pytest
from comparison import attempt
from layers import Layer
from machine import complaints
from tarfiles import archive, regular

Program = Callable[[str], str]

# Their xattrs fill the inode and a block, so that there is no room for data in the inode beside them.
NO_ROOM_FOR_DATA = {"xattr-sizes"}
CHECKED = [one for one in layers.SMALL if one.refusal is None]


@pytest.mark.parametrize("layer", CHECKED, ids=lambda layer: layer.name)
def test_e2fsck_finds_only_the_known_padding(
    core: str, scratch: Path, program: Program, layer: Layer
) -> None:
    image = scratch / "e2fsck.img"
    for inline_data in [False, True]:
        ours = attempt(layer.tar, image, core=core, convert_whiteout=True, inline_data=inline_data)
        if inline_data and layer.name in NO_ROOM_FOR_DATA:
            assert getattr(ours.error, "code", None) == "B15"
            continue
        assert ours.error is None
        assert complaints(program("e2fsck"), image) == [], f"inline_data={inline_data}"


def test_most_layers_are_checked() -> None:
    assert len(CHECKED) > 200


@pytest.mark.parametrize("name", ["groups-of-inodes", "extent-index", "B23-subdirectories-64998"])
def test_e2fsck_of_a_large_layer(core: str, scratch: Path, program: Program, name: str) -> None:
    image = scratch / "e2fsck.img"
    assert attempt(layers.BY_NAME[name].tar, image, core=core).error is None
    assert complaints(program("e2fsck"), image) == []


def test_debugfs_shows_times_and_block_lists(core: str, scratch: Path, program: Program) -> None:
    image = scratch / "debugfs.img"
    tar = archive(regular("f", layers.pattern(5000), mtime="1700000000.5", atime="5000000000.25", mode=0o640))
    assert attempt(tar, image, core=core).error is None
    shown = subprocess.run(
        [program("debugfs"), "-R", "stat /f", str(image)], capture_output=True, text=True, check=True
    ).stdout
    assert "Type: regular    Mode:  0640   Flags: 0xc0000" in shown
    assert "mtime: 0x6553f100:77359400" in shown  # nanoseconds << 2
    assert "crtime: 0x6553f100:77359400" in shown
    assert "atime: 0x2a05f200:3b9aca01" in shown  # epoch 1
    assert "(0-1):2-3" in shown


def test_qemu_img_reads_the_footer(core: str, scratch: Path, program: Program) -> None:
    image = scratch / "qemu.vhd"
    assert attempt(layers.BY_NAME["one-file"].tar, image, core=core, append_vhd_footer=True).error is None
    command = [program("qemu-img"), "info", "-f", "vpc", "--output=json", str(image)]
    info = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    assert info["format"] == "vpc"
