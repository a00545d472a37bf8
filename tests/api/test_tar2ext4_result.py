"""What convert returns."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import pytest
from common import DIGEST, LAYER
from layerdisk.findings import Finding
from layerdisk.tar2ext4 import ConvertResult, convert
from tarfiles import archive, directory, regular


@pytest.mark.parametrize(
    "rest", [b"", b"\0" * 9000, b"any bytes" * 50_000], ids=["nothing", "zeros", "bytes"]
)
def test_digest_and_size_are_those_of_all_bytes(core: str, rest: bytes) -> None:
    tar = LAYER + rest
    result = convert(io.BytesIO(tar), io.BytesIO(), core=core)
    assert (result.digest, result.size) == ("sha256:" + hashlib.sha256(tar).hexdigest(), len(tar))


@pytest.mark.parametrize("footer", [False, True], ids=["image", "vhd"])
def test_the_result_counts_what_is_in_the_image(core: str, target: Path, footer: bool) -> None:
    result = convert(io.BytesIO(LAYER), target, append_vhd_footer=footer, core=core)
    size = target.stat().st_size - 512 * footer
    assert result == ConvertResult(
        digest=DIGEST,
        size=len(LAYER),
        image_size=size,
        blocks=size // 4096,
        inodes=5,  # root, lost+found and three entries
        directories=3,
        findings=(),
    )


def test_a_finding_tells_where_it_is(core: str) -> None:
    tar = archive(directory("d"), regular(b"d/\xff/f"))
    message = "1 parent directory not in the layer: made like the one above"
    assert convert(io.BytesIO(tar), io.BytesIO(), core=core).findings == (
        Finding(code="B13", entry="d/\udcff/f", offset=512, message=message, identical=True),
    )


def test_only_the_footer_has_the_input_before_it(core: str, target: Path) -> None:
    result = convert(io.BytesIO(LAYER), target, only_append_vhd_footer=True, core=core)
    assert result == ConvertResult(digest=DIGEST, size=len(LAYER), image_size=len(LAYER))
    assert target.read_bytes()[:-512] == LAYER
