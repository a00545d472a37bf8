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
EXAMPLES = settings().max_examples // 4
# What the system calls of a walk cannot show: a path of PATH_MAX below a mount point, and a capability of revision 1.
NOT_SHOWN = {"N18-path-4095", "capability-revisions"}
TREES = [one for one in layers.SMALL if one.refusal is None and one.name not in NOT_SHOWN]


@pytest.mark.parametrize("layer", TREES, ids=lambda layer: layer.name)
def test_mounted_tree_is_that_of_the_tar(
    oracle: Oracle, core: str, scratch: Path, mounted: Mount, layer: Layer
) -> None:
    assert mounts(oracle, core, scratch, mounted, layer.tar, convert_whiteout=True)


def test_most_layers_are_mounted() -> None:
    assert len(TREES) > 200


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
    assert mounts(
        oracle, core, scratch, mounted, layers.BY_NAME[name].tar, convert_whiteout=True, inline_data=True
    )


@pytest.mark.parametrize("name", ["groups-of-inodes", "extent-index", "B23-subdirectories-64998"])
def test_mounted_tree_of_a_large_layer(
    oracle: Oracle, core: str, scratch: Path, mounted: Mount, name: str
) -> None:
    assert mounts(oracle, core, scratch, mounted, layers.BY_NAME[name].tar, convert_whiteout=True)


@pytest.mark.fuzz
def test_mounted_tree_of_a_generated_layer(oracle: Oracle, core: str, scratch: Path, mounted: Mount) -> None:
    done = []

    @settings(max_examples=EXAMPLES)
    @given(tar=strategies.layers(chaos=False), inline_data=st.booleans())
    def check(tar: bytes, inline_data: bool) -> None:
        done.append(
            mounts(oracle, core, scratch, mounted, tar, convert_whiteout=True, inline_data=inline_data)
        )

    check()
    assert len(done) >= EXAMPLES
    assert sum(done) > len(done) // 2, f"only {sum(done)} of {len(done)} layers were mounted"


def mounts(
    oracle: Oracle, core: str, scratch: Path, mounted: Mount, tar: bytes | Path, **options: Any
) -> bool:
    """Whether the layer has an image; that shows the tar's tree when it is mounted."""
    listing = oracle.tarlist(tar)
    image = scratch / "kernel.img"
    ours = attempt(tar, image, core=core, **options)
    if ours.error is not None:  # a code is one of docs/format.md, else hcsshim refuses the layer too
        assert (
            getattr(ours.error, "code", None)
            or not oracle.convert(tar, scratch / "reference.img", **options).ok
        )
        return False
    tree = tree_of(listing, convert_whiteout=options["convert_whiteout"])
    found = differences(tree, mounted(image))
    assert not found, "\n".join(found[:40])
    return True
