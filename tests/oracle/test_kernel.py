"""Images as the Linux kernel shows them, against the tree that the tar stands for."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import layers
import pytest
import strategies
from comparison import attempt
from hypothesis import given, settings
from hypothesis import strategies as st
from layers import Layer
from model import differences, tree_of
from oracle_client import Oracle

Mount = Callable[[Path], Path]
TREES = [one for one in layers.SMALL if one.refusal is None]


@pytest.mark.parametrize("layer", TREES, ids=lambda layer: layer.name)
def test_mounted_tree_is_that_of_the_tar(
    oracle: Oracle, core: str, scratch: Path, mounted: Mount, layer: Layer
) -> None:
    check(oracle, core, scratch, mounted, layer.tar, convert_whiteout=True)


INLINE = [
    "inline-sizes-with-xattrs",
    "file-sizes",
    "every-type",
    "opaque",
    "B8-empty-again",
    "B19-inline-again",
]
INLINE += ["B19-inline-empty-again", "sparse-gnu-extended"]


@pytest.mark.parametrize("name", INLINE)
def test_mounted_tree_with_inline_data(
    oracle: Oracle, core: str, scratch: Path, mounted: Mount, name: str
) -> None:
    check(oracle, core, scratch, mounted, layers.BY_NAME[name].tar, convert_whiteout=True, inline_data=True)


@pytest.mark.parametrize("name", ["groups-of-inodes", "extent-index", "B23-subdirectories-64998"])
def test_mounted_tree_of_a_large_layer(
    oracle: Oracle, core: str, scratch: Path, mounted: Mount, name: str
) -> None:
    check(oracle, core, scratch, mounted, layers.BY_NAME[name].tar, convert_whiteout=True)


@settings(max_examples=settings.default.max_examples // 4)
@given(tar=strategies.layers(chaos=False), inline_data=st.booleans())
def test_mounted_tree_of_a_generated_layer(
    oracle: Oracle, core: str, scratch: Path, mounted: Mount, tar: bytes, inline_data: bool
) -> None:
    check(oracle, core, scratch, mounted, tar, convert_whiteout=True, inline_data=inline_data)


def check(
    oracle: Oracle, core: str, scratch: Path, mounted: Mount, tar: bytes | Path, **options: Any
) -> None:
    listing = oracle.tarlist(tar)
    image = scratch / "kernel.img"
    ours = attempt(tar, image, core=core, **options)
    if ours.error is not None:  # hcsshim's refusals and those of the tables in layers/: nothing to mount
        assert ours.error.code or not oracle.convert(tar, scratch / "reference.img", **options).ok
        return
    tree = tree_of(listing, convert_whiteout=options["convert_whiteout"])
    found = differences(tree, mounted(image))
    assert not found, "\n".join(found[:40])
