"""Every byte against hcsshim: targeted layers, generated ones, damaged ones, and real ones (test_real.py)."""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layers
import pytest
import strategies
from comparison import CORES, assert_same, attempt, classes_of, compare
from doubles import BytesReader, ReadintoReader
from files import data_digest
from hypothesis import given
from hypothesis import strategies as st
from layerdisk._pure.ext4.hcsshim import geometry
from layerdisk._pure.ext4.layout import groups
from layers import Layer, outcome_of
from oracle_client import Oracle

SWITCHES = ["convert_whiteout", "convert_backslash", "inline_data", "append_vhd_footer"]
ALL_OPTIONS = [
    dict(zip(SWITCHES, on, strict=True)) for on in itertools.product([False, True], repeat=len(SWITCHES))
]
GIB = 1 << 30
RESERVED_INODES = 9  # below the root's and above it, up to 10
RECORDED = json.loads((Path(__file__).parent / "recorded.json").read_text())
HUGE_OPTIONS: dict[str, Any] = {"maximum_disk_size": 128 * GIB}
# 0 is the default, negative or too large means 16 TiB, others are rounded up to blocks.
DISK_SIZES = [0, 16 * GIB, 16 * GIB + 1, 128 * GIB, 128 * GIB - 4095, -1, 1 << 44, (1 << 44) + 1, 1 << 43]


@pytest.mark.parametrize("layer", layers.SMALL, ids=lambda layer: layer.name)
def test_targeted_layer_with_every_combination_of_switches(
    oracle: Oracle, scratch: Path, layer: Layer
) -> None:
    tar = layer.tar
    for options in ALL_OPTIONS:
        compare(oracle, CORES, tar, scratch, **options)


@pytest.mark.parametrize("size", DISK_SIZES)
@pytest.mark.parametrize("name", ["empty", "every-type", "B13-parents"])
def test_maximum_disk_size_is_clamped_alike(oracle: Oracle, scratch: Path, name: str, size: int) -> None:
    for vhd in [False, True]:
        tar = layers.BY_NAME[name].tar
        compare(
            oracle, CORES, tar, scratch, maximum_disk_size=size, append_vhd_footer=vhd, convert_whiteout=True
        )


FILLING = [
    "empty",
    "one-file",
    "file-sizes",
    "xattr-sizes",
    "symlink-targets",
    "directory-of-1000",
    "many-inodes",
]
FILLING += ["sparse-hole-only", "sparse-gnu-unreferenced", "cut-in-data"]


@pytest.mark.parametrize("name", FILLING)
def test_layer_that_just_fits_or_just_does_not(oracle: Oracle, scratch: Path, name: str) -> None:
    tar = layers.BY_NAME[name].tar
    whole = scratch / "whole.img"
    theirs = oracle.convert(tar, whole)
    blocks = whole.stat().st_size // 4096 if theirs.ok else 8
    for limit in sorted(
        {*range(1, min(blocks, 12)), *range(max(1, blocks - 4), blocks + 2), blocks // 2 or 1}
    ):
        for size in [limit * 4096, limit * 4096 - 1, limit * 4096 - 4095]:
            compare(oracle, CORES, tar, scratch, maximum_disk_size=size)


@pytest.mark.parametrize("layer", layers.LARGE, ids=lambda layer: layer.name)
def test_large_layer(oracle: Oracle, scratch: Path, layer: Layer) -> None:
    tar = scratch / "large.tar"
    layer.write(tar)
    options: dict[str, Any] = {"convert_whiteout": True, "maximum_disk_size": 128 * GIB}
    said = compare(oracle, CORES, tar, scratch, sparse=True, **options)
    assert {outcome_of(*one) for one in said} == {(layer.findings, layer.refusal)}


@pytest.mark.parametrize("layer", layers.HUGE, ids=lambda layer: layer.name)
def test_huge_layer_against_what_was_recorded(scratch: Path, layer: Layer) -> None:
    """hcsshim takes minutes for them: what it said is in recorded.json, which the test below holds true.

    The pure core takes minutes too: only what differs in such layers, the arithmetic of groups, is asked of it.
    """
    tar, image = scratch / "huge.tar", scratch / "huge.img"
    theirs = RECORDED[layer.name]
    layer.write(tar)
    ours = attempt(tar, image, core="rust", reproduce_defects=True, **HUGE_OPTIONS)
    if theirs["error"]:
        assert isinstance(ours.error, classes_of(theirs["error"])), ours
    else:
        assert ours.result is not None, ours
        assert (image.stat().st_size, data_digest(image)) == (theirs["size"], theirs["digest"])
        assert_groups(image, geometry.groups, ours.result.inodes)
    ours = attempt(tar, image, core="rust", **HUGE_OPTIONS)
    assert outcome_of(*ours) == (layer.findings, layer.refusal)
    assert ours.result is not None
    assert_groups(image, groups.exact, ours.result.inodes)
    image.unlink()
    tar.unlink()


def assert_groups(image: Path, choose: Callable[[int, int], groups.Groups], inodes: int) -> None:
    """The superblock says what the pure core computes."""
    with open(image, "rb") as file:
        start = file.read(2 * 4096)
    (table,) = struct.unpack_from("<I", start, 4096 + 8)
    (count,), (of_each,) = struct.unpack_from("<I", start, 1024), struct.unpack_from("<I", start, 1024 + 0x28)
    chosen = choose(table, inodes + RESERVED_INODES)
    assert (chosen.count * chosen.inodes_per_group, chosen.inodes_per_group) == (count, of_each)


@pytest.mark.slow
@pytest.mark.parametrize("layer", layers.HUGE, ids=lambda layer: layer.name)
def test_huge_layer(oracle: Oracle, scratch: Path, layer: Layer) -> None:
    tar, reference = scratch / "huge.tar", scratch / "reference.img"
    layer.write(tar)
    compare(oracle, CORES, tar, scratch, sparse=True, **HUGE_OPTIONS)
    theirs = oracle.convert(tar, reference, sparse=True, **HUGE_OPTIONS)
    size, digest = (reference.stat().st_size, data_digest(reference)) if theirs.ok else (None, None)
    assert RECORDED[layer.name] == {"error": theirs.error, "size": size, "digest": digest}


@pytest.mark.parametrize("layer", layers.SMALL, ids=lambda layer: layer.name)
def test_findings_of_the_default_mode(core: str, scratch: Path, layer: Layer) -> None:
    ours = attempt(layer.tar, scratch / "findings.img", core=core, convert_whiteout=True)
    assert outcome_of(*ours) == (layer.findings, layer.refusal), repr(ours)


@pytest.mark.parametrize("content", [b"", b"x" * 511, bytes(4096), b"any bytes" * 1000], ids=len)
def test_only_the_footer(oracle: Oracle, scratch: Path, content: bytes) -> None:
    """only_append_vhd_footer copies the input; the other options do not matter."""
    others: dict[str, Any] = {"append_vhd_footer": True, "convert_whiteout": True, "maximum_disk_size": 4096}
    for options in [{}, others]:
        compare(oracle, CORES, content, scratch, only_append_vhd_footer=True, **options)


OPTIONS = st.fixed_dictionaries({name: st.booleans() for name in SWITCHES})


@given(tar=strategies.layers(), options=OPTIONS)
def test_generated_layer(
    oracle: Oracle, core: str, scratch: Path, tar: bytes, options: dict[str, Any]
) -> None:
    compare(oracle, core, tar, scratch, **options)


@given(tar=strategies.layers(chaos=False), options=OPTIONS)
def test_generated_sound_layer(
    oracle: Oracle, core: str, scratch: Path, tar: bytes, options: dict[str, Any]
) -> None:
    """Nothing odd in them: most have no finding, so that here both modes are compared in full."""
    compare(oracle, core, tar, scratch, **options)


@given(tar=strategies.layers(), blocks=st.integers(1, 60), options=OPTIONS)
def test_generated_layer_on_a_small_disk(
    oracle: Oracle, core: str, scratch: Path, tar: bytes, blocks: int, options: dict[str, Any]
) -> None:
    compare(oracle, core, tar, scratch, maximum_disk_size=blocks * 4096, **options)


@given(tar=strategies.mutated(), options=OPTIONS)
def test_damaged_layer(oracle: Oracle, core: str, scratch: Path, tar: bytes, options: dict[str, Any]) -> None:
    compare(oracle, core, tar, scratch, **options)


@pytest.mark.parametrize("make_reader", [BytesReader, ReadintoReader])
@given(tar=strategies.layers(), piece=st.sampled_from([1, 7, 511, 512, 513, 4096, 100001]))
def test_pieces_of_the_stream_do_not_matter(
    oracle: Oracle, core: str, scratch: Path, make_reader: Any, tar: bytes, piece: int
) -> None:
    theirs = oracle.convert(tar, scratch / "reference.img")
    ours = attempt(make_reader(tar, piece), scratch / "pieces.img", core=core, reproduce_defects=True)
    assert theirs.ok == (ours.error is None), (theirs, ours)
    if theirs.ok:
        assert_same(scratch / "reference.img", scratch / "pieces.img", vhd=False)
