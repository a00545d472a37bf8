"""The two cores have the same parts: modules of the same names, and what the Core protocol lists."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from types import ModuleType

import pytest
from layerdisk import _core
from machine import missing

ROOT = Path(__file__).parents[2]
RUST = ROOT / "rust" / "core" / "src"
PURE = ROOT / "python" / "layerdisk" / "_pure"

# Modules that only one core has, and why.
ONLY_RUST = {
    "error": "_pure raises the exceptions of errdefs.py themselves",
}
ONLY_PURE: dict[str, str] = {}


def modules(directory: Path, suffix: str, package: str) -> set[str]:
    """Return the modules as paths without suffix; a package is its directory."""
    found = set()
    for path in directory.rglob(f"*{suffix}"):
        name = path.relative_to(directory).with_suffix("")
        found.add(str(name.parent if name.name == package else name))
    return found - {"."}


def protocol() -> set[str]:
    return {name for name in vars(_core.Core) if not name.startswith("_")}


def functions() -> list[str]:
    return sorted(name for name in protocol() if inspect.isfunction(vars(_core.Core)[name]))


def load(name: str) -> ModuleType:
    try:
        return importlib.import_module(_core._MODULES[name])
    except ImportError as error:
        missing(f"the {name} core is not there: {error}")


needs_rust = pytest.mark.skipif(not RUST.is_dir(), reason="an installed package has no Rust sources")


@needs_rust
def test_both_have_the_same_modules() -> None:
    rust = modules(RUST, ".rs", "mod") - {"lib"}
    pure = modules(PURE, ".py", "__init__")
    assert rust - set(ONLY_RUST) == pure - set(ONLY_PURE)


@needs_rust
def test_every_exemption_is_in_use() -> None:
    rust = modules(RUST, ".rs", "mod")
    pure = modules(PURE, ".py", "__init__")
    assert set(ONLY_RUST) <= rust - pure
    assert set(ONLY_PURE) <= pure - rust


@pytest.mark.parametrize("name", ["rust", "python"])
def test_a_core_exports_the_protocol_and_nothing_else(name: str) -> None:
    core = load(name)
    public = {name for name in getattr(core, "__all__", vars(core)) if not name.startswith("_")}
    assert public == protocol()


@pytest.mark.parametrize("name", ["rust", "python"])
@pytest.mark.parametrize("function", functions())
def test_parameters_are_the_protocols(function: str, name: str) -> None:
    expected = list(inspect.signature(getattr(_core.Core, function)).parameters)[1:]
    assert list(inspect.signature(getattr(load(name), function)).parameters) == expected
