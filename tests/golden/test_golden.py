"""Tiny images against their dumps in this directory, which `make golden` writes anew."""

from __future__ import annotations

import importlib.util
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
