"""What is published, built as for a release, and the virtual environments that it is installed into."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import tarfile
import time
import tomllib
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import missing

ROOT = Path(__file__).parents[1]
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


def pip(python: Path, *arguments: object, **environment: Any) -> None:
    """Run this environment's pip for another one that has none."""
    command = [sys.executable, "-m", "pip", "--quiet", "--no-input", "--disable-pip-version-check"]
    run(*command, "--python", python, *arguments, **environment)


def virtual_environment(directory: Path, python: str) -> Path:
    run(python, "-m", "venv", "--without-pip", directory)
    return directory / "bin" / "python"


@dataclass(frozen=True)
class Published:
    """The paths of what was built; `wheels` has the one that comes from the sdist too, `tools` is the Python used."""

    wheels: dict[str, Path]
    sdist: Path
    tools: Path


def build(directory: Path) -> None:
    if shutil.which("cargo") is None:
        missing("cargo is not installed")
    if importlib.util.find_spec("pip") is None:
        missing("pip is not installed")
    python = virtual_environment(directory / "tools", sys.executable)
    tools = ["hatchling", "ziglang", "auditwheel"]
    try:
        pip(python, "install", *PYPROJECT["build-system"]["requires"], *tools)
    except AssertionError as error:
        missing(f"maturin, {' and '.join(tools)} cannot be installed: {str(error).splitlines()[-1]}")
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


def contents(wheel: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


# The tag for Linux has an old and a new name.
PORTABLE = r"manylinux2014_(\w+)\.manylinux_2_17_\1" if sys.platform == "linux" else r"\w+"
WHEELS = {
    "platform": (rf"layerdisk-{VERSION}-cp311-abi3-{PORTABLE}\.whl", "false", "rust"),
    "pure": (rf"layerdisk-{VERSION}-py3-none-any\.whl", "true", "python"),
    "sdist": (rf"layerdisk-{VERSION}-cp311-abi3-\w+\.whl", "false", "rust"),
}


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
