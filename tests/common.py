"""What many tests need: a layer where any will do, its image, and a target that must survive a failure."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path
from typing import Any

from layerdisk.tar2ext4 import convert
from tarfiles import archive, directory, regular, symlink

OLDER = b"older image"


def digest_of(data: bytes, algorithm: str = "sha256") -> str:
    return f"{algorithm}:{hashlib.new(algorithm, data).hexdigest()}"


LAYER = archive(directory("usr"), regular("usr/f", b"data" * 100_000), symlink("l", "usr"))
DIGEST = digest_of(LAYER)


def image_of(tar: bytes, core: str | None = None, **options: Any) -> bytes:
    """The image of a layer, in memory."""
    image = io.BytesIO()
    convert(io.BytesIO(tar), image, core=core, **options)
    return image.getvalue()


def assert_untouched(target: Path) -> None:
    """What the fixture `target` made is as it was, and nothing is beside it."""
    assert os.listdir(target.parent) == [target.name]
    assert target.read_bytes() == OLDER
