"""The two cores have the same parts: modules of the same names, and the functions of the Core protocol."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest
from layerdisk import _core

ROOT = Path(__file__).parents[2]
RUST = ROOT / "rust" / "core" / "src"
PURE = ROOT / "python" / "layerdisk" / "_pure"

# What has no counterpart for a reason: Rust needs a way to borrow from chunks of a stream.
ONLY_RUST = {"tar/stream"}


def modules(directory: Path, suffix: str, package: str) -> set[str]:
    """Give the modules as paths without suffix; a package is its directory."""
    found = set()
    for path in directory.rglob(f"*{suffix}"):
        name = path.relative_to(directory).with_suffix("")
        found.add(str(name.parent if name.name == package else name))
    return found - {"."}


def protocol() -> set[str]:
    return {name for name in vars(_core.Core) if not name.startswith("_")}


@pytest.mark.skipif(not RUST.is_dir(), reason="an installed package has no Rust sources")
def test_both_have_the_same_modules() -> None:
    rust = modules(RUST, ".rs", "mod") - {"lib"}
    assert modules(PURE, ".py", "__init__") == rust - ONLY_RUST


@pytest.mark.parametrize("name", ["rust", "python"])
def test_a_core_exports_the_protocol_and_nothing_else(name: str) -> None:
    try:
        core = importlib.import_module(_core._MODULES[name])
    except ImportError as error:
        pytest.skip(f"the {name} core is not there: {error}")
    public = getattr(core, "__all__", None) or [n for n in vars(core) if not n.startswith("_")]
    assert {n for n in public if callable(getattr(core, n))} == protocol()


@pytest.mark.parametrize("function", sorted(protocol()))
def test_parameters_are_the_protocols(function: str) -> None:
    expected = list(inspect.signature(getattr(_core.Core, function)).parameters)[1:]
    for name in ["rust", "python"]:
        try:
            core = importlib.import_module(_core._MODULES[name])
        except ImportError:
            continue
        assert list(inspect.signature(getattr(core, function)).parameters) == expected, name
