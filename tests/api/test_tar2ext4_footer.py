"""convert_to_vhd: a footer for an image that is there."""

from __future__ import annotations

import contextlib
import errno
import io
import resource
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from common import LAYER, image_of
from comparison import assert_same
from layerdisk import errdefs
from layerdisk.tar2ext4 import convert, convert_to_vhd
from layerdisk.vhd import read_footer
from oracle_client import Oracle

ID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
CONTENTS = {
    "image": lambda core: image_of(LAYER, core),
    "empty": lambda core: b"",
    "no image": lambda core: b"any bytes" * 1001,
    "half a footer": lambda core: b"conectix" + bytes(100),
}


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("use_path", [True, False], ids=["path", "file"])
def test_a_footer_is_appended_as_hcsshim_does(
    oracle: Oracle, chosen: str, tmp_path: Path, content: Callable[[str], bytes], use_path: bool
) -> None:
    theirs, ours, direct = (tmp_path / name for name in ["theirs", "ours", "direct"])
    for path in [theirs, ours]:
        path.write_bytes(content(chosen))
    assert oracle.ask(theirs, Op="to_vhd").ok
    if use_path:
        convert_to_vhd(ours)
    else:
        with open(ours, "r+b") as file:
            convert_to_vhd(file)
    assert_same(theirs, ours, vhd=True)
    convert(io.BytesIO(content(chosen)), direct, only_append_vhd_footer=True, core=chosen)
    assert ours.read_bytes() == direct.read_bytes()  # the derived unique id too


def test_a_second_footer_is_refused(oracle: Oracle, chosen: str, tmp_path: Path) -> None:
    """Where hcsshim makes a disk of the first one."""
    path = tmp_path / "image"
    path.write_bytes(image_of(LAYER, chosen, append_vhd_footer=True))
    before = path.read_bytes()
    with pytest.raises(errdefs.InvalidArgument, match="the image ends with a VHD footer already"):
        convert_to_vhd(path)
    assert path.read_bytes() == before
    assert oracle.ask(path, Op="to_vhd").ok


@pytest.mark.parametrize("given", [ID, ID.bytes], ids=["UUID", "bytes"])
def test_a_footer_gets_the_unique_id_that_is_given(chosen: str, given: uuid.UUID | bytes) -> None:
    image = io.BytesIO(LAYER)
    convert_to_vhd(image, vhd_unique_id=given)
    assert read_footer(image).unique_id == ID


def test_a_footer_that_cannot_be_written_leaves_the_image_as_it_was(chosen: str) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            super().write(data[:100])
            raise OSError(28, "No space left on device")

    image = Full(LAYER)
    with pytest.raises(OSError, match="No space left"):
        convert_to_vhd(image)
    assert image.getvalue() == LAYER


@pytest.mark.parametrize("buffering", [-1, 0, None], ids=["file", "unbuffered file", "path"])
def test_a_footer_that_finds_room_for_a_part_only_is_taken_back(
    chosen: str, tmp_path: Path, buffering: int | None
) -> None:
    path = tmp_path / "image"
    path.write_bytes(LAYER)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(LAYER) + 100, hard))
    try:
        with contextlib.nullcontext(path) if buffering is None else open(path, "r+b", buffering) as image:
            with pytest.raises(OSError) as caught:
                convert_to_vhd(image)
            assert path.read_bytes() == LAYER
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG
    assert path.read_bytes() == LAYER


def test_a_footer_is_written_whole_however_little_is_taken_at_once(chosen: str) -> None:
    class Slow(io.BytesIO):
        def write(self, data: Any) -> int:
            return super().write(data[:100])

    image = Slow(LAYER)
    convert_to_vhd(image)
    assert image.tell() == len(LAYER) + 512
    assert read_footer(image).current_size == len(LAYER)
