"""Paths as the target of convert."""

from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from common import LAYER, image_of
from layerdisk import errdefs
from layerdisk.tar2ext4 import convert


def test_a_missing_directory_is_an_error(core: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        convert(io.BytesIO(LAYER), tmp_path / "no" / "image", core=core)
    assert caught.value.filename == str(tmp_path / "no")
    assert os.listdir(tmp_path) == []


def test_a_directory_is_no_target(core: str, tmp_path: Path) -> None:
    with pytest.raises(
        errdefs.InvalidArgument, match=f"^{tmp_path} exists and is not a regular file or a block device$"
    ):
        convert(io.BytesIO(LAYER), tmp_path, core=core)


def test_an_older_file_is_replaced_even_if_it_is_read_only(core: str, target: Path) -> None:
    """It is the directory that changes; the new file has the permissions of the older one."""
    target.chmod(0o444)
    convert(io.BytesIO(LAYER), target, core=core)
    assert target.read_bytes() == image_of(LAYER, core)
    assert target.stat().st_mode & 0o7777 == 0o444


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "dangling"])
def test_a_symlink_is_followed(core: str, target: Path, tmp_path: Path, there: bool) -> None:
    if not there:
        target.unlink()
    link = tmp_path / "link"
    link.symlink_to("out/image")
    convert(io.BytesIO(LAYER), link, core=core)
    assert os.readlink(link) == "out/image"
    assert target.read_bytes() == image_of(LAYER, core)
    assert os.listdir(target.parent) == ["image"]
    assert sorted(os.listdir(tmp_path)) == ["link", "out"]
