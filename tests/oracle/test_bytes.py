"""Every byte against hcsshim: targeted layers, generated ones, damaged ones, and real ones (test_real.py)."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import layers
import pytest
import strategies
from comparison import assert_same, attempt, compare
from doubles import BytesReader, ReadintoReader
from hypothesis import given
from hypothesis import strategies as st
from layers import Layer
from oracle_client import Oracle

SWITCHES = ["convert_whiteout", "convert_backslash", "inline_data", "append_vhd_footer"]
ALL_OPTIONS = [
    dict(zip(SWITCHES, on, strict=True)) for on in itertools.product([False, True], repeat=len(SWITCHES))
]
IDENTICAL = {"B13", "B24"}  # findings that do not change the bytes
GIB = 1 << 30
# 0 is the default, negative or too large means 16 TiB, others are rounded up to blocks.
DISK_SIZES = [0, 16 * GIB, 16 * GIB + 1, 128 * GIB, 128 * GIB - 4095, -1, 1 << 44, (1 << 44) + 1, 1 << 43]


@pytest.mark.parametrize("layer", layers.SMALL, ids=lambda layer: layer.name)
def test_targeted_layer_with_every_combination_of_switches(
    oracle: Oracle, core: str, scratch: Path, layer: Layer
) -> None:
    tar = layer.tar
    for options in ALL_OPTIONS:
        compare(oracle, core, tar, scratch, **options)


@pytest.mark.parametrize("size", DISK_SIZES)
@pytest.mark.parametrize("name", ["empty", "every-type", "B13-parents"])
def test_maximum_disk_size_is_clamped_alike(
    oracle: Oracle, core: str, scratch: Path, name: str, size: int
) -> None:
    for vhd in [False, True]:
        tar = layers.BY_NAME[name].tar
        compare(
            oracle, core, tar, scratch, maximum_disk_size=size, append_vhd_footer=vhd, convert_whiteout=True
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
def test_layer_that_just_fits_or_just_does_not(oracle: Oracle, core: str, scratch: Path, name: str) -> None:
    tar = layers.BY_NAME[name].tar
    whole = scratch / "whole.img"
    theirs = oracle.convert(tar, whole)
    blocks = whole.stat().st_size // 4096 if theirs.ok else 8
    for limit in sorted(
        {*range(1, min(blocks, 12)), *range(max(1, blocks - 4), blocks + 2), blocks // 2 or 1}
    ):
        for size in [limit * 4096, limit * 4096 - 1, limit * 4096 - 4095]:
            compare(oracle, core, tar, scratch, maximum_disk_size=size)


@pytest.mark.parametrize("layer", layers.LARGE, ids=lambda layer: layer.name)
def test_large_layer(oracle: Oracle, core: str, scratch: Path, layer: Layer) -> None:
    tar = scratch / "large.tar"
    tar.write_bytes(layer.tar)
    compare(oracle, core, tar, scratch, sparse=True, convert_whiteout=True)


@pytest.mark.slow
@pytest.mark.parametrize("layer", layers.HUGE, ids=lambda layer: layer.name)
def test_huge_layer(oracle: Oracle, core: str, scratch: Path, layer: Layer) -> None:
    tar = scratch / "huge.tar"
    tar.write_bytes(layer.tar)
    compare(oracle, core, tar, scratch, sparse=True, maximum_disk_size=128 * GIB)


@pytest.mark.parametrize(
    "layer", [one for one in layers.SMALL if one.findings is not None], ids=lambda layer: layer.name
)
def test_findings_of_the_default_mode(core: str, scratch: Path, layer: Layer) -> None:
    ours = attempt(layer.tar, scratch / "findings.img", core=core, convert_whiteout=True)
    if ours.result is None:
        assert layer.refusal == getattr(ours.error, "code", None), repr(ours.error)
    else:
        assert layer.refusal is None, "this should be refused"
        assert {finding.code for finding in ours.result.findings} == layer.findings
        assert all(finding.identical == (finding.code in IDENTICAL) for finding in ours.result.findings)


@pytest.mark.parametrize("content", [b"", b"x" * 511, bytes(4096), b"any bytes" * 1000], ids=len)
def test_only_the_footer(oracle: Oracle, core: str, scratch: Path, content: bytes) -> None:
    """only_append_vhd_footer copies the input; the other options do not matter."""
    for options in [{}, {"append_vhd_footer": True, "convert_whiteout": True, "maximum_disk_size": 4096}]:
        compare(oracle, core, content, scratch, only_append_vhd_footer=True, **options)


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
