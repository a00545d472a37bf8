"""What is published: built as for a release, installed into fresh virtual environments, and run there.

The tools and what layerdisk depends on come from the package index, as they do for whoever installs it.
"""

from __future__ import annotations

import configparser
import fcntl
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from machine import missing
from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
LAYER = ROOT / "tests" / "data" / "layer.tar.gz"
PACKAGE = ROOT / "python" / "layerdisk"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
VERSION = tomllib.loads((ROOT / "Cargo.toml").read_text())["workspace"]["package"]["version"]

# What the developer's shell says about Python and layerdisk is not for the programs that are started here.
ENVIRONMENT = {
    name: value
    for name, value in os.environ.items()
    if not name.startswith(("PYTHON", "LAYERDISK_")) and name != "VIRTUAL_ENV"
}


def run(*command: object, cwd: Path | None = None, **environment: object) -> subprocess.CompletedProcess[str]:
    changed = {name: str(value) for name, value in environment.items()}
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=cwd, env=ENVIRONMENT | changed, capture_output=True, text=True)
    if done.returncode != 0:
        raise AssertionError(f"{words} ended with {done.returncode}:\n{done.stdout}\n{done.stderr.rstrip()}")
    return done


def pip(python: Path, *arguments: object, **environment: object) -> None:
    """Run this environment's pip for another one that has none."""
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    run(*command, "--python", python, *arguments, **environment)


def virtual_environment(directory: Path, python: str) -> Path:
    run(python, "-m", "venv", "--without-pip", directory)
    return directory / "bin" / "python"


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], object]], Path]:
    """Gives a function that fills a directory, which all worker processes of this test run then share."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent

    def fill_once(name: str, fill: Callable[[Path], object]) -> Path:
        directory = base / name
        complete = base / f"{name}.complete"
        with open(base / f"{name}.lock", "w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not complete.exists():
                shutil.rmtree(directory, ignore_errors=True)  # what a failed attempt left
                directory.mkdir()
                fill(directory)
                complete.touch()
        return directory

    return fill_once


# Building


@dataclass(frozen=True)
class Published:
    """The paths of what was built; `wheels` has the one that comes from the sdist too."""

    wheels: dict[str, Path]
    sdist: Path


@pytest.fixture(scope="session")
def published(once: Callable[[str, Callable[[Path], object]], Path]) -> Published:
    directory = once("published", build)
    [sdist] = directory.glob("*.tar.gz")
    [pure] = directory.glob("*-none-any.whl")
    [platform] = set(directory.glob("*.whl")) - {pure}
    [from_sdist] = (directory / "from-sdist").glob("*.whl")
    return Published({"platform": platform, "pure": pure, "sdist": from_sdist}, sdist)


def build(directory: Path) -> None:
    if shutil.which("cargo") is None:
        missing("cargo is not installed")
    if importlib.util.find_spec("pip") is None:
        missing("pip is not installed")
    python = virtual_environment(directory / "tools", sys.executable)
    try:
        pip(python, "install", *PYPROJECT["build-system"]["requires"], "hatchling")
    except AssertionError as error:
        missing(f"maturin and hatchling cannot be installed: {str(error).splitlines()[-1]}")
    run(ROOT / "packaging" / "build.sh", python, directory, cwd=directory)
    build_from_sdist(directory, python)


def build_from_sdist(directory: Path, python: Path) -> None:
    """Build a wheel as pip does, but without a network and with nothing of the checkout."""
    [sdist] = directory.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(directory / "unpacked", filter=as_if_new)
    [source] = (directory / "unpacked").iterdir()
    options = ["--no-build-isolation", "--no-deps", "--no-index"]
    pip(
        python,
        *("wheel", *options, "--wheel-dir", directory / "from-sdist", source),
        CARGO_NET_OFFLINE="true",
        # cargo takes a workspace for the same one wherever it lies: with the checkout's target directory, nothing
        # would be compiled, and what the sdist lacks would not show.
        CARGO_TARGET_DIR=ROOT / "target" / "sdist",
        PATH=f"{python.parent}:{os.environ['PATH']}",  # for maturin
    )


def as_if_new(member: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Every file of an sdist has the same old time, and cargo takes an old file for one that it has compiled."""
    return tarfile.data_filter(member, path).replace(mtime=time.time())


WHEELS = {
    "platform": (rf"layerdisk-{VERSION}-cp311-abi3-\w+\.whl", "false", "rust"),
    "pure": (rf"layerdisk-{VERSION}-py3-none-any\.whl", "true", "python"),
    "sdist": (rf"layerdisk-{VERSION}-cp311-abi3-\w+\.whl", "false", "rust"),
}


@pytest.mark.parametrize(
    ("wheel", "name", "purelib"), [(wheel, *row[:2]) for wheel, row in WHEELS.items()], ids=WHEELS
)
def test_tags(published: Published, wheel: str, name: str, purelib: str) -> None:
    path = published.wheels[wheel]
    assert re.fullmatch(name, path.name)
    lines = contents(path)[f"layerdisk-{VERSION}.dist-info/WHEEL"].decode().splitlines()
    tags = path.stem.split("-", 2)[2]
    assert [line for line in lines if line.startswith("Tag: ")] == [f"Tag: {tags}"]
    assert f"Root-Is-Purelib: {purelib}" in lines


EXTENSION = {"layerdisk/_rust.abi3.so", "layerdisk/_rust.pyi"}


@pytest.mark.parametrize(
    ("wheel", "extension"), [("platform", EXTENSION), ("pure", set()), ("sdist", EXTENSION)], ids=WHEELS
)
def test_wheel_has_the_package_and_nothing_else(
    published: Published, wheel: str, extension: set[str]
) -> None:
    found = contents(published.wheels[wheel])
    modules = {f"layerdisk/{path.relative_to(PACKAGE)}" for path in PACKAGE.rglob("*.py")}
    information = f"layerdisk-{VERSION}.dist-info/"
    assert {name for name in found if not name.startswith(information)} == {
        *modules,
        *extension,
        "layerdisk/py.typed",
    }
    assert found[f"{information}licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    scripts = configparser.ConfigParser()
    scripts.read_string(found[f"{information}entry_points.txt"].decode())
    assert {section: dict(scripts[section]) for section in scripts.sections()} == {
        "console_scripts": PYPROJECT["project"]["scripts"]
    }


def test_sdist_has_what_a_build_needs_and_no_more(published: Published) -> None:
    with tarfile.open(published.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert names >= {"Cargo.lock", "Cargo.toml", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert {name.partition("/")[0] for name in names if "/" in name} == {"python", "rust"}
    assert not [name for name in names if re.search(r"\.so$|\.pyc$|(^|/)(tests|target|fuzz)/", name)]


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# Metadata

FIELDS = {
    "name": PYPROJECT["project"]["name"],
    "version": VERSION,
    "summary": PYPROJECT["project"]["description"],
    "description": (ROOT / "README.md").read_text().rstrip(),
    "license_expression": PYPROJECT["project"]["license"],
    "license_files": PYPROJECT["project"]["license-files"],
    "requires_python": PYPROJECT["project"]["requires-python"],
    "classifiers": PYPROJECT["project"]["classifiers"],
    "keywords": PYPROJECT["project"]["keywords"],
    "requires_dist": PYPROJECT["project"]["dependencies"],
}


@pytest.fixture(scope="session")
def metadata(published: Published) -> dict[str, RawMetadata]:
    name = f"layerdisk-{VERSION}.dist-info/METADATA"
    texts = {wheel: contents(path)[name] for wheel, path in published.wheels.items()}
    with tarfile.open(published.sdist) as archive:
        file = archive.extractfile(f"layerdisk-{VERSION}/PKG-INFO")
        assert file is not None
        texts["PKG-INFO"] = file.read()
    parsed = {wheel: parse_email(text) for wheel, text in texts.items()}
    assert not any(unparsed for _, unparsed in parsed.values())
    return {wheel: raw for wheel, (raw, _) in parsed.items()}


@pytest.mark.parametrize(("field", "expected"), FIELDS.items(), ids=FIELDS)
@pytest.mark.parametrize("wheel", [*WHEELS, "PKG-INFO"])
def test_metadata_are_those_of_the_project(
    metadata: dict[str, RawMetadata], wheel: str, field: str, expected: object
) -> None:
    found: Any = metadata[wheel].get(field)
    if field == "requires_dist":
        found, expected = meaning(found), meaning(expected)
    elif isinstance(expected, list):
        found, expected = sorted(found), sorted(expected)
    elif field == "description":
        found = found.rstrip()
    assert found == expected


MACHINES = [
    {"platform_python_implementation": python, "platform_machine": machine, "sys_platform": system}
    for python, machine, system in product(
        ["CPython", "PyPy"],
        ["x86_64", "AMD64", "aarch64", "arm64", "ARM64", "riscv64"],
        ["linux", "darwin", "win32"],
    )
]


def meaning(requirements: Any) -> list[list[str]]:
    """Give what is needed on each of MACHINES: the two build tools write the same markers in different ways."""
    parsed = [Requirement(text) for text in requirements]
    return [
        sorted(
            f"{requirement.name}{requirement.specifier}"
            for requirement in parsed
            if requirement.marker is None or requirement.marker.evaluate(machine)
        )
        for machine in MACHINES
    ]


# Installing and running


def interpreters() -> dict[str, str]:
    """Give the other CPythons from 3.11 on, by version: those of pyenv, then those in PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or os.path.expanduser("~/.pyenv"))
    found: dict[str, str] = {"{}.{}".format(*sys.version_info): sys.executable}
    for directory in [*sorted(pyenv.glob("versions/*/bin")), *map(Path, os.get_exec_path())]:
        for path in sorted(directory.glob("python3.??")):
            version = path.name.removeprefix("python")
            if re.fullmatch(r"3\.1[1-9]|3\.[2-9]\d", version) and version not in found and usable(path):
                found[version] = str(path)
    return dict(list(found.items())[1:])


def usable(python: Path) -> bool:
    """Neither a shim of a Python that is switched off, nor a preview, which what we depend on has no wheels for."""
    script = "import sys, venv; print(sys.implementation.name, sys.version_info.releaselevel + sys.abiflags)"
    done = subprocess.run([python, "-c", script], env=ENVIRONMENT, capture_output=True, text=True)
    return done.returncode == 0 and done.stdout.split() == ["cpython", "final"]


@dataclass(frozen=True)
class Installed:
    """A virtual environment that has one wheel."""

    directory: Path
    core: str

    @property
    def python(self) -> Path:
        return self.directory / "bin" / "python"


CASES = {wheel: (wheel, sys.executable) for wheel in WHEELS} | {
    f"{wheel}-{version}": (wheel, python)
    for version, python in interpreters().items()
    for wheel in ("platform", "pure")
}


@pytest.fixture(scope="session")
def install(
    once: Callable[[str, Callable[[Path], object]], Path], published: Published
) -> Callable[[str], Installed]:
    def install_once(case: str) -> Installed:
        wheel, python = CASES[case]

        def fill(directory: Path) -> None:
            # Only wheels: where something would have to be compiled, the promise is broken.
            requirements = ["--only-binary", ":all:", published.wheels[wheel]]
            pip(virtual_environment(directory, python), "install", *requirements)

        return Installed(once(f"installed-{case}", fill), WHEELS[wheel][2])

    return install_once


@pytest.fixture(params=CASES)
def installed(request: pytest.FixtureRequest, install: Callable[[str], Installed]) -> Installed:
    return install(request.param)


@pytest.fixture(scope="session")
def image(install: Callable[[str], Installed], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the Rust core of the platform wheel makes of the layer."""
    out = tmp_path_factory.mktemp("image") / "out"
    script = "import sys; from layerdisk.cli import main; sys.exit(main(sys.argv[1:]))"
    run(install("platform").python, "-c", script, "convert", LAYER, out, "--core", "rust")
    return out.read_bytes()


SCRIPT = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import layerdisk
    names = [layerdisk.core_name, layerdisk.core_name]
categories = [warning.category.__name__ for warning in caught]
print(json.dumps([layerdisk.__file__, layerdisk.__version__, names, categories]))
"""


def test_core_and_its_warning(installed: Installed, tmp_path: Path) -> None:
    file, *rest = json.loads(run(installed.python, "-c", SCRIPT, cwd=tmp_path).stdout)
    assert installed.directory in Path(file).parents
    warned = {"rust": [], "python": ["RuntimeWarning"]}[installed.core]
    assert rest == [VERSION, [installed.core, installed.core], warned]


def test_module_converts_where_every_warning_is_an_error(
    installed: Installed, tmp_path: Path, image: bytes
) -> None:
    # The pure core's one warning says that it was not asked for; here it is.
    chosen = {"LAYERDISK_CORE": "python"} if installed.core == "python" else {}
    command = [installed.python, "-W", "error", "-m", "layerdisk", "convert", LAYER, "out"]
    assert run(*command, cwd=tmp_path, **chosen).stderr == ""
    assert (tmp_path / "out").read_bytes() == image


def test_console_script_converts(installed: Installed, tmp_path: Path, image: bytes) -> None:
    done = run(installed.directory / "bin" / "layerdisk", "convert", LAYER, "out", cwd=tmp_path)
    warnings = re.findall(r"\w+Warning: .*", done.stderr)
    assert len(warnings) == {"rust": 0, "python": 1}[installed.core], done.stderr
    assert (tmp_path / "out").read_bytes() == image
