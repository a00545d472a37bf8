"""Stand-ins for what a caller may pass: readers, writers, exceptions."""

from __future__ import annotations

from pathlib import Path
from typing import IO, Any


class BytesReader:
    """The least that a reader must have: read(n), which may give less than asked for."""

    def __init__(self, data: bytes, piece: int | None = None) -> None:
        self._rest = memoryview(data)
        self._piece = piece or max(1, len(data))

    def read(self, size: int = -1) -> bytes:
        count = self._piece if size < 0 else min(size, self._piece)
        piece, self._rest = self._rest[:count], self._rest[count:]
        return bytes(piece)


class ReadintoReader:
    """A reader with readinto that fills at most `piece` bytes of the buffer."""

    def __init__(self, data: bytes, piece: int | None = None) -> None:
        self._rest = memoryview(data)
        self._piece = piece or max(1, len(data))

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        count = min(len(view), self._piece, len(self._rest))
        view[:count] = self._rest[:count]
        self._rest = self._rest[count:]
        return count


class _Methods:
    def __init__(self, **methods: Any) -> None:
        vars(self).update(methods)


def Methods(**methods: Any) -> Any:
    """Return an object with the given methods and nothing else."""
    return _Methods(**methods)


class Boom(BaseException):
    """No Exception even."""


def file(path: str | Path, mode: str, buffering: int = -1) -> Any:
    """A file that the test closes."""
    return open(path, mode, buffering)


def closed(file: IO[bytes]) -> IO[bytes]:
    file.close()
    return file
