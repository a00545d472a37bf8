"""Take the checkout's path out of a wheel: maturin's list of components names the folders that the crates lie in.

    python packaging/without_paths.py WHEEL

The wheel is replaced; what else is in it, and in which order, stays as it is.
"""

from __future__ import annotations

import base64
import hashlib
import os
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCE = b"/layerdisk"  # as packaging/build.sh has the compiler call it


def main(wheel: Path) -> None:
    """Rewrite a wheel."""
    part = wheel.with_suffix(".part")
    with zipfile.ZipFile(wheel) as old, zipfile.ZipFile(part, "w", zipfile.ZIP_DEFLATED) as new:
        entries = {info.filename: (info, old.read(info)) for info in old.infolist()}
        changed = {
            name: data.replace(os.fsencode(ROOT), SOURCE)
            for name, (_, data) in entries.items()
            if name.partition(".dist-info/")[2].startswith("sboms/")
        }
        for name, (info, data) in entries.items():
            if name.endswith(".dist-info/RECORD"):
                data = record(data, changed)
            new.writestr(info, changed.get(name, data))
    part.replace(wheel)


def record(text: bytes, changed: dict[str, bytes]) -> bytes:
    """Return a RECORD with the hashes and sizes of what was changed.

    Source: PyPA specifications, Recording installed projects (the RECORD file).
    """
    lines = []
    for line in text.decode().splitlines():
        name, digest, size = line.rsplit(",", 2)
        if name in changed:
            hashed = base64.urlsafe_b64encode(hashlib.sha256(changed[name]).digest()).rstrip(b"=").decode()
            digest, size = f"sha256={hashed}", str(len(changed[name]))
        lines.append(f"{name},{digest},{size}\n")
    return "".join(lines).encode()


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: packaging/without_paths.py WHEEL")
    main(Path(sys.argv[1]))
