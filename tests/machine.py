"""What the tests need of the machine that they run on."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path
from typing import NoReturn

import pytest

# Of tests/differential, those over which the layers of the profile `fuzz` are spread; all others get as many each.
LAYER_PROPERTIES = 6


def missing(what: str) -> NoReturn:
    """Skip the test for want of something on this machine; fail it in CI."""
    if os.environ.get("CI") == "true":
        pytest.fail(f"{what}, and CI=true")
    pytest.skip(what)


# What e2fsck says of a sound image of this layout: hcsshim never sets the padding of the inode bitmap (B0).
KNOWN = re.compile(
    r"Pass [1-5]: .*"
    r"|Padding at end of inode bitmap is not set\. +Fix\? no"
    r"|.*\*{10} WARNING: Filesystem still has errors \*{10}"
    r"|.*: \d+/\d+ files \(\d+\.\d+% non-contiguous\), \d+/\d+ blocks"
    r"|"
)


def complaints(e2fsck: str, image: Path) -> list[str]:
    """Check an image without changing it; gives the lines that are not expected."""
    done = subprocess.run([e2fsck, "-fn", str(image)], capture_output=True, text=True, errors="replace")
    lines = done.stdout.splitlines()
    assert any(line.startswith("Pass 5") for line in lines), done
    unknown = [line for line in lines if not KNOWN.fullmatch(line)]
    return unknown + [line for line in done.stderr.splitlines() if not line.startswith("e2fsck ")]


def has_nameless_files(directory: Path) -> bool:
    """Tell whether the directory's file system has files without a name (O_TMPFILE)."""
    try:
        os.close(os.open(directory, os.O_TMPFILE | os.O_WRONLY))
    except (AttributeError, OSError):
        return False
    return True
