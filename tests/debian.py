"""Programs of newer Debian suites than this machine's, which run here too: unpacked into a cache, not installed.

A package is taken from the mirror that apt is set up with, through lists and a cache of its own.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from machine import missing
from oracle_client import CACHE


def ctd_decoder() -> str:
    """Return the path of the stream processor of containerd's imgcrypt: in PATH, or in Debian's package."""
    found = shutil.which("ctd-decoder")
    return found or str(unpacked("imgcrypt", ("trixie", "forky", "sid"), "usr/bin/ctd-decoder"))


def unpacked(package: str, suites: Sequence[str], program: str) -> Path:
    """Return the path of a program in a package of the first suite that has it; skips without (CI: fails)."""
    cache = CACHE / "debian" / f"{package}-{suites[0]}"
    cache.mkdir(parents=True, exist_ok=True)
    with open(cache / "lock", "w") as lock:  # tests run in several processes
        fcntl.flock(lock, fcntl.LOCK_EX)
        path = cache / "root" / program
        mirror = None if path.exists() else debian_mirror()
        for suite in suites if mirror else ():
            if archive := download(cache / suite, str(mirror), suite, package):
                subprocess.run(["dpkg-deb", "-x", archive, cache / "root"], check=True)
                break
    return path if path.exists() else missing(f"{package} of {' or '.join(suites)} is not to be found")


def debian_layer() -> Path:
    """Return the tar of a Debian root file system, made at the first call."""
    if os.geteuid() != 0 or not shutil.which("mmdebstrap"):
        missing("a Debian root needs mmdebstrap and root")
    return made("debian", "debian.sh")


def made(name: str, script: str) -> Path:
    """Return the tar that a script of tests/oracle makes, kept under .cache/real."""
    directory = CACHE / "real"
    directory.mkdir(parents=True, exist_ok=True)
    tar = directory / f"{name}.tar"
    with open(directory / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not tar.exists():
            subprocess.run([Path(__file__).parent / "oracle" / script, tar], check=True)
    return tar


def debian_mirror() -> str | None:
    """Return the address that apt gets Debian's main archive from."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        return None
    targets = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL) $(COMPONENT) $(REPO_URI)", "Created-By: Packages"],
        capture_output=True,
        text=True,
    ).stdout
    for line in targets.splitlines():
        label, component, address = line.split(" ", 2)
        if (label, component) == ("Debian", "main"):
            return address
    return None


def download(root: Path, mirror: str, suite: str, package: str) -> Path | None:
    """Download the package of a suite; None if the suite does not have it."""
    for folder in ("lists/partial", "cache/archives/partial", "parts"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    (root / "sources.list").write_text(f"deb {mirror} {suite} main\n")
    options = {
        "Dir::Etc::SourceList": root / "sources.list",
        "Dir::Etc::SourceParts": root / "parts",
        "Dir::State::Lists": root / "lists",
        "Dir::Cache": root / "cache",
        "APT::Sandbox::User": "",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-qq", *(f"-o{name}={value}" for name, value in options.items())]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ("update",), ("download", package):
        if subprocess.run([*apt, *command], cwd=root, env=environment, capture_output=True).returncode != 0:
            return None
    return next(iter(root.glob(f"{package}_*.deb")), None)
