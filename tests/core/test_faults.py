"""The table of faults: Rust's, the pure core's, that of docs/format.md, and a layer for each row."""

from __future__ import annotations

import functools
import io
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import layers
import pytest
from layerdisk import errdefs
from layerdisk._core import Core, choose
from layerdisk._pure.ext4.finish import inode_table
from layerdisk._pure.ext4.layout.hcsshim import HCSSHIM
from layerdisk._pure.faults import Fault, Faults, Report
from layerdisk.options import Options
from layerdisk.tar2ext4 import convert
from machine import missing
from tarfiles import archive, entry, pax

FORMAT = Path(__file__).parents[2] / "docs" / "format.md"

# Rows whose layers are too large to be converted here; tests/oracle compares them with hcsshim.
LARGE = {"B1", "B23", "N2"}
# A row whose layer would need 16,777,216 entries, or 8 GB: below, what finds it is asked for so many.
TOO_LARGE = {"B22"}


def table(core: str) -> list[tuple[str, str, str, bool]]:
    try:
        return [cast("tuple[str, str, str, bool]", tuple(row)) for row in choose(core)[1].FAULTS]
    except ImportError as error:
        missing(f"the {core} core is not there: {error}")


def documented() -> list[tuple[str, str]]:
    """Name and report of each row of section 6."""
    section = FORMAT.read_text().split("\n## 6. ", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| ")]
    return [(cells[0].strip(), cells[-1].strip()) for cells in rows[1:]]


def test_both_cores_have_the_same_table() -> None:
    assert table("rust") == table("python")


def test_the_table_is_the_documents() -> None:
    expected = [(fault.name, fault.report.value) for fault in Fault]
    assert [row for row in documented() if row[1] != "none"] == expected


def test_names_begin_with_their_codes_and_texts_have_at_most_one_detail() -> None:
    for fault in Fault:
        assert fault.name.startswith(fault.code)
        assert fault.text.count("{}") <= 1
        assert not fault.text.endswith(".")


def row_of(code: str, message: str) -> str:
    """Return the row that a finding is of."""
    rows = [
        fault.name
        for fault in Fault
        if fault.code == code
        and re.fullmatch(re.escape(fault.text).replace(r"\{\}", ".*"), message, re.DOTALL)
    ]
    assert len(rows) == 1, (code, message)
    return rows[0]


@functools.cache
def met(core: str) -> dict[str, set[str]]:
    """Rows of findings, and codes of refusals, with the layers that have them."""
    found: dict[str, set[str]] = {}
    implementation = choose(core)[1]
    for layer in layers.SMALL:
        tar = layer.tar
        for inline in (False, True):
            options = Options(convert_whiteout=True, inline_data=inline)
            for name in outcome(implementation, tar, options):
                found.setdefault(name, set()).add(layer.name)
        for name in outcome(implementation, tar, Options(convert_whiteout=True, reproduce_defects=True)):
            assert name in {"refused N1", "refused N4", "refused B15"}, (name, layer.name)
            found.setdefault(name, set()).add(layer.name)
    return found


def outcome(core: Core, tar: bytes, options: Options) -> set[str]:
    class Nowhere:
        def start(self) -> None: ...

        def write_at(self, offset: int, data: Any) -> None: ...

        def finish(self, length: int, sync: bool) -> None: ...

    try:
        result = core.convert(io.BytesIO(tar), Nowhere(), options, None)
    except errdefs.ConversionError as error:
        return {f"refused {error.code}"} if error.code else set()
    for code, _, _, message, identical, _ in result["findings"]:
        assert identical == Fault[row_of(code, message)].is_identical
    return {row_of(finding[0], finding[3]) for finding in result["findings"]}


@pytest.mark.parametrize("fault", list(Fault), ids=lambda fault: fault.name)
def test_there_is_a_layer_for_each_row(core: str, fault: Fault) -> None:
    if fault.name in LARGE:
        assert any(one.name.startswith(fault.code) for one in [*layers.LARGE, *layers.HUGE])
    elif fault.name not in TOO_LARGE:
        assert met(core).get(fault.name if fault.report is not Report.REFUSED else f"refused {fault.code}")


def test_every_code_that_is_met_is_in_the_table(core: str) -> None:
    refusals = {f"refused {fault.code}" for fault in Fault if fault.report is Report.REFUSED} | {"refused N1"}
    assert set(met(core)) <= {fault.name for fault in Fault} | refusals


@pytest.mark.parametrize(("inodes", "codes"), [(2_000_000, set()), (16_777_217, {"B22"})])
def test_inode_tables_of_4_gib_and_more_are_found(inodes: int, codes: set[str]) -> None:
    faults = Faults(frozenset())
    tree: Any = SimpleNamespace(highest=lambda: inodes)
    storage: Any = SimpleNamespace(layout=HCSSHIM)
    groups = inode_table.choose_groups(tree, storage, faults, 1000)
    assert {one.fault.code for one in faults.findings} == codes
    assert groups.table_bytes >= inodes * 256


# The collector.


def test_a_row_is_found_once_for_each_entry() -> None:
    faults = Faults(frozenset())
    for offset in (0, 512):
        faults.enter(b"name", offset)
        faults.found_with(Fault.B3, -5)
        faults.found_with(Fault.B3, -6)
    assert [(one.offset, one.message) for one in faults.findings] == [
        (0, "hcsshim stores a wrong time for -5 s"),
        (512, "hcsshim stores a wrong time for -5 s"),
    ]


def test_what_is_reproduced_is_not_found() -> None:
    faults = Faults(frozenset([Fault.N6]))
    faults.found_with(Fault.N6, "x")
    faults.found(Fault.B6)
    assert [one.fault for one in faults.findings] == [Fault.B6]


def test_findings_of_a_code_beyond_a_thousand_are_counted(core: str) -> None:
    tar = archive(*(entry(f"v{i}", type=b"V" if i % 2 else b"D") for i in range(1200)))
    found = convert(io.BytesIO(tar), io.BytesIO(), core=core).findings
    assert len(found) == 1001
    assert {one.count for one in found[:1000]} == {1}
    assert found[1000].count == 200


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a" * 256, "a" * 256),
        ("a" * 257, "a" * 253 + "…"),
        ("a" * 252 + "é" * 9, "a" * 252 + "…"),
        ("é" * 200, "é" * 126 + "…"),
        (b"\x80" * 300, b"\x80" * 253 + "…".encode()),
    ],
)
def test_names_of_findings_are_cut_between_characters(
    core: str, name: str | bytes, kept: str | bytes
) -> None:
    raw = name if isinstance(name, bytes) else name.encode()
    tar = archive(pax({"path": raw}), entry("x", type=b"V"))
    (finding,) = convert(io.BytesIO(tar), io.BytesIO(), core=core).findings
    expected = kept if isinstance(kept, bytes) else kept.encode()
    assert finding.entry.encode("utf-8", "surrogateescape") == expected
