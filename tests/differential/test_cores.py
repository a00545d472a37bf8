"""The two cores against each other: equal bytes and findings, and equal errors to the last letter."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import layers
import pytest
import strategies
from doubles import BytesReader
from files import assert_same_bytes
from hypothesis import given
from hypothesis import strategies as st
from layerdisk import errdefs
from layerdisk._core import Core, choose
from layerdisk.io import open_sink
from layerdisk.options import Options
from layers import Layer
from machine import missing

SWITCHES = ["convert_whiteout", "convert_backslash", "inline_data", "reproduce_defects"]
OPTIONS = st.fixed_dictionaries(
    {name: st.booleans() for name in SWITCHES} | {"container": st.sampled_from(["raw", "raw", "vhd"])}
)
ALL_SWITCHES = [
    dict(zip(SWITCHES, on, strict=True)) for on in itertools.product([False, True], repeat=len(SWITCHES))
]


@pytest.fixture(scope="session")
def cores() -> tuple[Core, Core]:
    """Both, whatever the environment says."""
    try:
        return choose("rust")[1], choose("python")[1]
    except ImportError as error:
        missing(f"the Rust core is not built: {error}")


def run(core: Core, reader: Any, writer: Any, **options: Any) -> tuple[Any, ...]:
    """Return the result of a conversion, as something to be compared."""
    try:
        return "converted", core.convert(reader, open_sink(writer), Options(**options), None)
    except errdefs.ConversionError as error:
        return type(error), error.message, error.entry, error.offset, error.code, str(error)
    except errdefs.LayerdiskError as error:
        return type(error), str(error)


def assert_same(
    cores: tuple[Core, Core], scratch: Path, make_reader: Callable[[], Any], **options: Any
) -> None:
    outcomes = []
    images = scratch / "rust.img", scratch / "pure.img"
    for core, image in zip(cores, images, strict=True):
        with open(image, "w+b") as writer:
            outcomes.append(run(core, make_reader(), writer, **options))
    rust, pure = outcomes
    assert rust == pure, f"with {options}\nrust: {rust}\npure: {pure}"
    if rust[0] == "converted":
        assert_same_bytes(*images)


@pytest.mark.parametrize("layer", layers.SMALL, ids=lambda layer: layer.name)
def test_targeted_layer(cores: tuple[Core, Core], scratch: Path, layer: Layer) -> None:
    tar = layer.tar
    for options in ALL_SWITCHES:
        assert_same(cores, scratch, lambda: io.BytesIO(tar), **options)


@pytest.mark.parametrize("layer", layers.LARGE, ids=lambda layer: layer.name)
@pytest.mark.parametrize("reproduce", [False, True], ids=["default", "reproducing"])
def test_large_layer(cores: tuple[Core, Core], scratch: Path, layer: Layer, reproduce: bool) -> None:
    options = {"convert_whiteout": True, "reproduce_defects": reproduce}
    tar = layer.tar
    if isinstance(tar, bytes):
        assert_same(cores, scratch, lambda: io.BytesIO(tar), **options)
    else:
        with open(tar, "rb") as file:
            assert_same(cores, scratch, lambda: (file.seek(0), file)[1], **options)


@given(tar=strategies.layers(), options=OPTIONS)
def test_generated_layer(
    cores: tuple[Core, Core], scratch: Path, tar: bytes, options: dict[str, Any]
) -> None:
    assert_same(cores, scratch, lambda: io.BytesIO(tar), **options)


@given(tar=strategies.layers(chaos=False), options=OPTIONS)
def test_generated_sound_layer(
    cores: tuple[Core, Core], scratch: Path, tar: bytes, options: dict[str, Any]
) -> None:
    assert_same(cores, scratch, lambda: io.BytesIO(tar), **options)


@given(tar=strategies.layers(), blocks=st.integers(1, 60), options=OPTIONS)
def test_generated_layer_on_a_small_disk(
    cores: tuple[Core, Core], scratch: Path, tar: bytes, blocks: int, options: dict[str, Any]
) -> None:
    assert_same(cores, scratch, lambda: io.BytesIO(tar), maximum_disk_size=blocks * 4096, **options)


@given(tar=strategies.mutated(), options=OPTIONS)
def test_damaged_layer(cores: tuple[Core, Core], scratch: Path, tar: bytes, options: dict[str, Any]) -> None:
    assert_same(cores, scratch, lambda: io.BytesIO(tar), **options)


@given(
    tar=strategies.layers() | strategies.mutated(),
    options=OPTIONS,
    piece=st.sampled_from([1, 7, 511, 512, 513, 4096, 100001]),
)
def test_pieces_of_the_stream_do_not_matter(
    cores: tuple[Core, Core], scratch: Path, tar: bytes, options: dict[str, Any], piece: int
) -> None:
    assert_same(cores, scratch, lambda: BytesReader(tar, piece), **options)


@given(content=st.binary(max_size=20000), size=st.integers(-(2**63), 2**63 - 1))
def test_only_the_footer(cores: tuple[Core, Core], scratch: Path, content: bytes, size: int) -> None:
    assert_same(
        cores, scratch, lambda: io.BytesIO(content), payload="raw", container="vhd", maximum_disk_size=size
    )


@given(tar=strategies.layers(), options=OPTIONS)
def test_any_file_object_gets_the_same(cores: tuple[Core, Core], tar: bytes, options: dict[str, Any]) -> None:
    images = [io.BytesIO(b"what was there before"), io.BytesIO()]
    rust, pure = (
        run(core, io.BytesIO(tar), image, **options) for core, image in zip(cores, images, strict=True)
    )
    assert rust == pure
    if rust[0] == "converted":
        assert images[0].getvalue() == images[1].getvalue()


@pytest.mark.parametrize(
    "options",
    [
        {"layout": "other"},
        {"layout": 'a"\\ä\n'},
        {"layout": ""},
        {"payload": "TAR"},
        {"container": "vhdx", "payload": "raw"},
        {"payload": "a", "layout": "b", "container": "c"},
    ],
    ids=lambda options: repr(options),
)
def test_options_out_of_range(cores: tuple[Core, Core], options: dict[str, Any]) -> None:
    rust, pure = (run(core, io.BytesIO(), io.BytesIO(), **options) for core in cores)
    assert rust == pure
    assert rust[0] is errdefs.InvalidArgument


@given(size=st.integers(0, 2**64 - 1), unique_id=st.binary(min_size=16, max_size=16), content=st.text())
def test_vhd_functions(cores: tuple[Core, Core], size: int, unique_id: bytes, content: str) -> None:
    rust, pure = cores
    assert rust.vhd_footer(size, unique_id) == pure.vhd_footer(size, unique_id)
    assert rust.vhd_unique_id(content) == pure.vhd_unique_id(content)


@given(
    start=st.binary(max_size=100)
    | st.binary(min_size=1024, max_size=1024).map(lambda b: bytes(1024) + b)
    | st.binary(min_size=1022, max_size=1022).map(lambda b: bytes(1024) + b[:56] + b"\x53\xef" + b[56:])
)
def test_read_superblock(cores: tuple[Core, Core], start: bytes) -> None:
    def read(core: Core) -> Any:
        try:
            return list(core.read_superblock(start).items())
        except errdefs.InvalidArgument as error:
            return str(error)

    rust, pure = map(read, cores)
    assert rust == pure


@given(
    end=st.binary(max_size=100)
    | st.binary(min_size=504, max_size=505).map(lambda rest: b"conectix" + rest)
    | st.builds(lambda size: choose("python")[1].vhd_footer(size, bytes(16)), st.integers(0, 2**64 - 1))
)
def test_read_vhd_footer(cores: tuple[Core, Core], end: bytes) -> None:
    def read(core: Core) -> Any:
        try:
            return list(core.read_vhd_footer(end).items())
        except errdefs.InvalidArgument as error:
            return str(error)

    rust, pure = map(read, cores)
    assert rust == pure
