"""The checker of arrows itself, on made-up modules."""

from __future__ import annotations

from pathlib import Path

import pytest
from imports import Imports, python_imports, rust_arrows, rust_clock_or_chance, rust_modules

MADE_UP = {
    "units": "pub const A: u8 = 1;",
    "error": "",
    "tar": "mod header;\npub mod pax;\n",
    "tar/pax": "",
    "ext4": "",
    "ext4/writer": "",
}
RUST_CASES = {
    "use": ("use crate::ext4::writer::Writer;", {"ext4/writer"}),
    "use of the module": ("use crate::ext4::writer;", {"ext4/writer"}),
    "renamed": ("pub(crate) use crate::ext4::writer as other;", {"ext4/writer"}),
    "several": (
        "use crate::{error::{Error, Result}, ext4::{self, writer::{A, B as C}}};",
        {"error", "ext4", "ext4/writer"},
    ),
    "over lines": ("use crate::{\n    error::Error, // why\n    units,\n};", {"error", "units"}),
    "in code": ("fn f() -> u8 { crate::units::A }", {"units"}),
    "in a type": ("struct S(Vec<crate::ext4::writer::Writer<'static>>);", {"ext4/writer"}),
    "sibling": ("use super::pax::Records;", {"tar/pax"}),
    "parent": ("use super::{BLOCK_LEN, pax};", {"tar", "tar/pax"}),
    "parent in code": ("fn f() { super::super::units::A }", {"units"}),
    "root": ("use crate::*;", {"lib"}),
    "behind a lifetime": ("fn f<'a>(x: &'a u8) { crate::units::A } fn g<'a>() {}", {"units"}),
    "behind a character": (r"""const Q: char = '"'; use crate::units; const R: char = '\'';""", {"units"}),
    "comment": ("// crate::units::A\n/* use crate::error;\n*/ //! [`crate::ext4`]", set()),
    "string": (
        r"""const A: &str = "crate::units \" crate::error"; const B: &str = r#"crate::ext4::x"#;""",
        set(),
    ),
    "tests": (
        "#[cfg(test)]\nmod tests {\n use crate::units::A;\n fn f() { if true { crate::error::x() } }\n}\n",
        set(),
    ),
    "use for tests": ("#[cfg(test)]\nuse crate::units::A;\nuse crate::error;", {"error"}),
    "behind tests": ("#[cfg(test)]\nmod tests { fn f() {} }\nuse crate::error;", {"error"}),
    "another crate": ("use zerocopy::units::A; use std::error::Error;", set()),
}


@pytest.mark.parametrize(("text", "arrows"), RUST_CASES.values(), ids=RUST_CASES)
def test_an_arrow_of_a_rust_module_is_seen(tmp_path: Path, text: str, arrows: set[str]) -> None:
    for name, code in (MADE_UP | {"tar/header": text}).items():
        path = tmp_path / (f"{name}/mod.rs" if name in ("tar", "ext4") else f"{name}.rs")
        path.parent.mkdir(exist_ok=True)
        path.write_text(code)
    assert rust_arrows(rust_modules(tmp_path))["tar/header"] == arrows


def test_an_arrow_to_a_child_is_seen() -> None:
    code = "mod header;\nuse header::Header;\nfn f() { pax::records() }"
    modules = MADE_UP | {"tar": code, "tar/header": "", "pax": ""}
    assert rust_arrows(modules)["tar"] == {"tar/header"}


PYTHON_CASES = {
    "from a sibling": ("from .writer import Writer", Imports({"ext4/writer"})),
    "the sibling": ("from . import writer", Imports({"ext4/writer"})),
    "of the package": ("from . import NAME", Imports({"ext4"})),
    "from above": ("from ..tar import header, Entry", Imports({"tar", "tar/header"})),
    "by the whole name": ("from pkg.tar.header import x\nimport pkg.units", Imports({"tar/header", "units"})),
    "in a class": ("class A:\n    from .. import units", Imports({"units"})),
    "in a function": ("def f():\n    from .. import units", Imports(late={"units"})),
    "in a coroutine": ("async def f():\n    import pkg.units", Imports(late={"units"})),
    "by a string": ("NAMES = {'x': 'pkg.ext4.writer'}", Imports(late={"ext4/writer"})),
    "for types": (
        "if TYPE_CHECKING:\n    from .. import units\nelse:\n    from . import writer",
        Imports({"ext4/writer"}, for_types={"units"}),
    ),
    "for types, by the module": (
        "if typing.TYPE_CHECKING:\n    import pkg.units",
        Imports(for_types={"units"}),
    ),
    "others": ("import os.path\nfrom zlib import crc32", Imports(others={"os", "zlib"})),
    "clock": ("import time", Imports(others={"time"}, clock_or_chance={"time"})),
    "late clock": (
        "def f():\n    from datetime import datetime",
        Imports(others={"datetime"}, clock_or_chance={"datetime"}),
    ),
    "random bytes": ("import os\nos.urandom(8)", Imports(others={"os"}, clock_or_chance={"os.urandom"})),
    "random id": (
        "from uuid import uuid4, uuid5",
        Imports(others={"uuid"}, clock_or_chance={"uuid.uuid4"}),
    ),
    "prose": ('"""See pkg.units and import time."""', Imports()),
}


@pytest.mark.parametrize(("text", "imports"), PYTHON_CASES.values(), ids=PYTHON_CASES)
def test_an_import_of_a_python_module_is_seen(tmp_path: Path, text: str, imports: Imports) -> None:
    package = tmp_path / "pkg"
    for name in ["__init__", "units", "tar/__init__", "tar/header", "ext4/__init__", "ext4/writer"]:
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("")
    (package / "ext4" / "new.py").write_text(text)
    assert python_imports(package)["ext4/new"] == imports


@pytest.mark.parametrize(
    ("code", "names"),
    [
        ("let t = std::time::Instant::now();", {"Instant"}),
        ("use std::collections::{BTreeMap, HashSet};", {"HashSet"}),
        ("Uuid::new_v4(); Uuid::new_v5(a, b);", {"new_v4"}),
        ("use std::time::Duration; let operand = brand;", set()),
    ],
)
def test_a_clock_or_randomness_of_rust_is_seen(code: str, names: set[str]) -> None:
    assert rust_clock_or_chance(code) == names
