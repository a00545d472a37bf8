"""Which core does the work: the argument, then LAYERDISK_CORE, then what is installed."""

from __future__ import annotations

import io
import subprocess
import sys
import warnings

import layerdisk
import pytest
from layerdisk import _core
from layerdisk.errdefs import InvalidArgument
from layerdisk.tar2ext4 import convert


@pytest.fixture(autouse=True)
def nothing_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("LAYERDISK_CORE", raising=False)
    monkeypatch.setattr(_core, "_warned", False)


@pytest.fixture
def no_rust(monkeypatch: pytest.MonkeyPatch) -> None:
    """The extension is not installed."""
    monkeypatch.setitem(sys.modules, "layerdisk._rust", None)


@pytest.fixture
def rust() -> None:
    pytest.importorskip("layerdisk._rust", exc_type=ImportError)


def module_name(core: object) -> str:
    return getattr(core, "__name__", "")


def test_rust_is_the_default(rust: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        name, core = _core.choose()
    assert (name, module_name(core).rpartition(".")[2]) == ("rust", "_rust")


@pytest.mark.parametrize(
    ("argument", "environment", "expected"),
    [
        ("python", None, "python"),
        ("python", "rust", "python"),
        ("python", "nonsense", "python"),
        (None, "python", "python"),
        ("", "python", "python"),
    ],
)
def test_argument_comes_before_environment(
    monkeypatch: pytest.MonkeyPatch, argument: str | None, environment: str | None, expected: str
) -> None:
    if environment is not None:
        monkeypatch.setenv("LAYERDISK_CORE", environment)
    name, core = _core.choose(argument)
    assert (name, module_name(core)) == (expected, "layerdisk._pure")


@pytest.mark.parametrize("environment", ["auto", ""])
def test_auto_and_empty_mean_the_best_there_is(
    rust: None, monkeypatch: pytest.MonkeyPatch, environment: str
) -> None:
    monkeypatch.setenv("LAYERDISK_CORE", environment)
    assert _core.choose()[0] == "rust"
    assert _core.choose("auto")[0] == "rust"


@pytest.mark.parametrize(("argument", "environment"), [("Rust", None), ("c", "python"), (None, "c")])
def test_another_name_is_refused(
    monkeypatch: pytest.MonkeyPatch, argument: str | None, environment: str | None
) -> None:
    if environment is not None:
        monkeypatch.setenv("LAYERDISK_CORE", environment)
    wrong = argument or environment
    with pytest.raises(InvalidArgument) as refusal:
        _core.choose(argument)
    assert str(refusal.value) == f'core is {wrong!r}, not "rust", "python" or "auto"'


def test_without_rust_python_does_it_and_says_so_once(no_rust: None) -> None:
    with pytest.warns(RuntimeWarning, match="Rust core is not installed .*: the pure-Python core"):
        assert _core.choose()[0] == "python"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _core.choose()[0] == "python"


def test_without_rust_asking_for_python_is_silent(no_rust: None) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert _core.choose("python")[0] == "python"


def test_without_rust_asking_for_it_fails(no_rust: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ImportError):
        _core.choose("rust")
    monkeypatch.setenv("LAYERDISK_CORE", "rust")
    with pytest.raises(ImportError):
        _core.choose()


@pytest.mark.parametrize("name", ["python", "rust"])
def test_core_name_tells(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    if name == "rust":
        request.getfixturevalue("rust")
    monkeypatch.setenv("LAYERDISK_CORE", name)
    assert layerdisk.core_name == name


def test_convert_takes_the_core_that_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAYERDISK_CORE", "nonsense")
    assert convert(io.BytesIO(), io.BytesIO(), core="python").inodes == 2
    with pytest.raises(InvalidArgument):
        convert(io.BytesIO(), io.BytesIO())


def test_rust_is_not_loaded_where_python_is_asked_for() -> None:
    """And the pure core needs the standard library only."""
    script = "import sys; from layerdisk._core import choose; choose('python'); print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True).stdout
    assert "layerdisk._pure" in output.split()
    assert not {"layerdisk._rust", "zstandard", "isal"} & set(output.split())
