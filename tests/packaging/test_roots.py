"""The Linux wheel in Debian's root file systems: with the Python that they have, and without a toolchain."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from machine import missing
from published import LAYER, Published, pip, run

SUITES = {"bookworm": "3.11", "trixie": "3.13"}
TOOLCHAIN = ("cc", "gcc", "rustc", "cargo", "make")


@pytest.fixture(scope="session", params=SUITES)
def root(
    request: pytest.FixtureRequest,
    once: Callable[[str, Callable[[Path], object]], Path],
    published: Published,
) -> Path:
    """A root file system whose folder /venv has the wheel, installed without a network."""
    if sys.platform != "linux" or platform.machine() != "x86_64" or os.geteuid() != 0:
        missing("a root file system needs Linux on x86-64, and root")
    if shutil.which("mmdebstrap") is None:
        missing("mmdebstrap is not installed")
    suite = request.param

    def fill(directory: Path) -> None:
        # The mirror is the one that this machine's apt is configured with.
        lists = subprocess.run(
            ["apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"],
            capture_output=True,
            text=True,
        )
        mirrors = [uri for uri in lists.stdout.split() if "security" not in uri]
        if not mirrors:
            missing("apt knows no Debian mirror: run apt-get update")
        options = ["--quiet", "--variant=minbase", "--include=python3,python3-venv"]
        run("mmdebstrap", *options, suite, directory / "root", f"deb {mirrors[0]} {suite} main")
        wheels = directory / "root" / "wheels"
        target = ["--python-version", SUITES[suite], "--platform", "manylinux_2_17_x86_64"]
        target += ["--platform", "manylinux2014_x86_64", "--platform", "manylinux_2_28_x86_64"]
        wheel = published.wheels["platform"]
        pip(Path(sys.executable), "download", "--only-binary", ":all:", *target, "--dest", wheels, wheel)
        inside(directory / "root", "python3", "-m", "venv", "/venv")
        inside(
            directory / "root",
            "/venv/bin/pip",
            "install",
            "--no-index",
            "--find-links",
            "/wheels",
            "layerdisk",
        )

    return once(f"root-{suite}", fill) / "root"


def inside(root: Path, *command: str) -> str:
    return run("chroot", root, *command, HOME="/", PATH="/usr/bin:/bin:/usr/sbin:/sbin").stdout


def test_the_wheel_converts_there(root: Path, image: bytes) -> None:
    shutil.copy(LAYER, root / "layer.tar.gz")
    inside(root, "/venv/bin/layerdisk", "convert", "/layer.tar.gz", "/image", "--core", "rust")
    assert (root / "image").read_bytes() == image


def test_there_is_no_toolchain(root: Path) -> None:
    assert [name for name in TOOLCHAIN if (root / "usr" / "bin" / name).exists()] == []


def test_python_is_the_suite_s_own(root: Path) -> None:
    version = inside(
        root, "/venv/bin/python", "-c", "import sys; print('%d.%d' % sys.version_info[:2])"
    ).strip()
    assert version in SUITES.values()
