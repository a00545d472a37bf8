"""Inputs of commands: files and standard input, and how much of them was read."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
from collections.abc import Callable, Iterator
from typing import BinaryIO

from ..errdefs import InvalidArgument
from ._progress import Bars


def follow(shown: Bars, path: str, file: BinaryIO) -> Callable[[int], None]:
    """Return a progress callback that shows how much of a file was read, or of a pipe's plain tar."""
    size = _size(file)
    report = shown.add(os.path.basename(path), size)
    return report if size is None else lambda _: report(file.tell())


def _size(file: BinaryIO) -> int | None:
    """Return the size of a regular file; a pipe does not tell."""
    status = os.fstat(file.fileno())
    return status.st_size if stat.S_ISREG(status.st_mode) else None


@contextlib.contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Open the input without a buffer of its own: it is read in large pieces."""
    if path == "-":
        if sys.stdin is None:
            raise InvalidArgument("standard input is closed")
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as file:
            yield file
    else:
        with open(path, "rb", buffering=0) as file:
            yield file
