"""What is published is built once for all tests here, and installed once for each Python."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from published import CASES, LAYER, WHEELS, Installed, Published, build, pip, run, virtual_environment


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


@pytest.fixture(scope="session")
def published(once: Callable[[str, Callable[[Path], object]], Path]) -> Published:
    directory = once("published", build)
    [sdist] = directory.glob("*.tar.gz")
    [pure] = directory.glob("*-none-any.whl")
    [platform] = set(directory.glob("*.whl")) - {pure}
    [from_sdist] = (directory / "from-sdist").glob("*.whl")
    wheels = {"platform": platform, "pure": pure, "sdist": from_sdist}
    return Published(wheels, sdist, directory / "tools" / "bin" / "python")


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


@pytest.fixture(scope="session")
def image(install: Callable[[str], Installed], tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the Rust core of the platform wheel makes of the layer."""
    out = tmp_path_factory.mktemp("image") / "out"
    script = "import sys; from layerdisk.cli import main; sys.exit(main(sys.argv[1:]))"
    run(install("platform").python, "-c", script, "convert", LAYER, out, "--core", "rust")
    return out.read_bytes()
