"""Finds ctd-decoder, the stream processor of containerd's imgcrypt: in PATH, or in Debian's package.

Older Debian releases lack the package; its program runs there too. So the package of a newer suite is taken
from the mirror that apt is set up with, through lists and a cache of its own, and is not installed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

PACKAGE = "imgcrypt"
PROGRAM = "ctd-decoder"
SUITES = ("trixie", "forky", "sid")


def find(cache: Path) -> str | None:
    """Give the path of the program; None where there is no apt, no mirror of Debian or no such package."""
    unpacked = cache / "root/usr/bin" / PROGRAM
    if not unpacked.exists() and not (found := shutil.which(PROGRAM)):
        mirror = debian_mirror()
        if mirror is None:
            return None
        for suite in SUITES:
            if package := download(cache / suite, mirror, suite):
                subprocess.run(["dpkg-deb", "-x", package, cache / "root"], check=True)
                break
    elif not unpacked.exists():
        return found
    return str(unpacked) if unpacked.exists() else None


def debian_mirror() -> str | None:
    """Give the address that apt gets Debian's main archive from."""
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


def download(root: Path, mirror: str, suite: str) -> Path | None:
    """Download the package of a suite; None if the suite has it not."""
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
    for command in ("update",), ("download", PACKAGE):
        if subprocess.run([*apt, *command], cwd=root, env=environment, capture_output=True).returncode != 0:
            return None
    return next(iter(root.glob(f"{PACKAGE}_*.deb")), None)
