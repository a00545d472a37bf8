"""Tiny images against their dumps in this directory, which `make golden` writes anew."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from typing import Any

import pytest
from comparison import compare
from oracle_client import Oracle

HERE = Path(__file__).parent
_spec = importlib.util.spec_from_file_location("golden_make", HERE / "make.py")
assert _spec is not None
assert _spec.loader is not None
make = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(make)
STRUCTURES = re.compile(r"superblock|inode \d+|VHD footer|block \d+: (?!data|target)")
IDS = [dump[0] for dump in make.DUMPS]


@pytest.mark.parametrize(("name", "what", "tar", "options"), make.DUMPS, ids=IDS)
def test_image_is_as_dumped(core: str, name: str, what: str, tar: bytes, options: dict[str, Any]) -> None:
    dump = make.dump(f"{name}: {what}", make.image_of(tar, options, core))
    assert dump.splitlines() == (HERE / f"{name}.txt").read_text().splitlines()


@pytest.mark.parametrize(("name", "what", "tar", "options"), make.DUMPS, ids=IDS)
def test_image_is_hcsshims(
    oracle: Oracle, core: str, scratch: Path, name: str, what: str, tar: bytes, options: dict[str, Any]
) -> None:
    options = {key: value for key, value in options.items() if key != "reproduce_defects"}
    compare(oracle, core, tar, scratch, **options)


def test_every_dump_has_a_layer() -> None:
    assert sorted(path.stem for path in HERE.glob("*.txt")) == sorted(IDS)


@pytest.mark.parametrize("name", IDS)
def test_every_byte_of_a_structure_is_in_a_field(name: str) -> None:
    """So docs/format.md, from which the fields are, leaves none out."""
    for section in (HERE / f"{name}.txt").read_text().split("\n\n")[1:]:
        label, *rows = section.splitlines()
        if STRUCTURES.match(label):
            assert [row for row in rows if re.match(r"[0-9a-f]{8}  ([0-9a-f]{2} ){8}", row)] == [], label
