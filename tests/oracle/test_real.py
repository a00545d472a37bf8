"""Real layers, byte for byte against hcsshim: a Debian root file system and a large npm tree.

Their tars are made once by the scripts beside this file and kept under .cache/real.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from comparison import assert_same, attempt, compare
from debian import debian_layer, made
from machine import complaints
from model import differences, tree_of
from oracle_client import Oracle

GIB = 1 << 30


@pytest.fixture(scope="session", params=["debian", "npm"])
def real_layer(request: pytest.FixtureRequest, program: Callable[[str], str]) -> Path:
    """The tar of a real layer, made at the first run."""
    if request.param == "debian":
        return debian_layer()
    program("npm")
    return made("npm", "npm.sh")


@pytest.mark.parametrize("inline_data", [False, True])
def test_real_layer_byte_for_byte(
    oracle: Oracle, core: str, scratch: Path, real_layer: Path, inline_data: bool
) -> None:
    options: dict[str, Any] = {
        "convert_whiteout": True,
        "append_vhd_footer": True,
        "maximum_disk_size": 128 * GIB,
    }
    compare(oracle, core, real_layer, scratch, inline_data=inline_data, **options)


def test_real_layer_mounted(
    oracle: Oracle,
    core: str,
    scratch: Path,
    real_layer: Path,
    mounted: Callable[[Path], Path],
    program: Callable[[str], str],
) -> None:
    image = scratch / "real.img"
    ours = attempt(real_layer, image, core=core)
    assert ours.error is None
    assert complaints(program("e2fsck"), image) == []
    tree = tree_of(oracle.tarlist(real_layer), convert_whiteout=False)
    found = differences(tree, mounted(image))
    assert not found, "\n".join(found[:40])


def test_core_without_options_writes_the_same_on_a_second_run(
    core: str, scratch: Path, real_layer: Path
) -> None:
    for name in ["first.img", "second.img"]:
        ours = attempt(real_layer, scratch / name, core=core, append_vhd_footer=True)
        assert ours.error is None
    assert_same(scratch / "first.img", scratch / "second.img", vhd=False)
