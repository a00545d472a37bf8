"""Files and file objects as places that a core reads and writes by position."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from ..errdefs import InvalidArgument

# More parts between holes than this are taken as one: their list would need more memory than the holes save time.
_MOST_RANGES = 65536
NO_END = 2**64 - 1


class ObjectPlace:
    """Any binary file object; one that cannot seek is read in order."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self._seekable = bool(getattr(file, "seekable", lambda: hasattr(file, "seek"))())
        self._at = 0

    def read_at(self, offset: int, size: int) -> bytes:
        """Return this many bytes; fewer only at the end."""
        if self._seekable:
            self._file.seek(offset)
        elif offset != self._at:
            raise InvalidArgument(
                f"the reader cannot seek, and byte {offset} is wanted after byte {self._at}"
            )
        pieces = []
        left = size
        while left > 0:
            piece = self._file.read(left)
            if piece is None:
                raise BlockingIOError("the reader has no data now: it must not be in non-blocking mode")
            if not piece:
                break
            pieces.append(bytes(piece))
            left -= len(piece)
        self._at = offset + size - left
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of the bytes."""
        self._file.seek(offset)
        rest = memoryview(bytes(data))
        while rest:
            rest = rest[self._file.write(rest) :]


class MemorySink:
    """Bytes in memory."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of the bytes."""
        if offset > len(self.data):
            self.data += bytes(offset - len(self.data))
        self.data[offset : offset + len(data)] = data


class Spill:
    """A temporary file that is made when something is written, and has no name where systems allow that.

    Args:
        directory: where it is made; None: where temporary files belong.
    """

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of the bytes."""
        if self._file is None:
            self._file = tempfile.TemporaryFile(dir=self._directory)  # noqa: SIM115
        self._file.seek(offset)
        self._file.write(data)

    def read_at(self, offset: int, size: int) -> bytes:
        """Return this many bytes; what was never written is zeros."""
        if self._file is None:
            return bytes(size)
        self._file.seek(offset)
        return self._file.read(size).ljust(size, b"\0")

    def close(self) -> None:
        """Give the file up."""
        if self._file is not None:
            self._file.close()


@contextlib.contextmanager
def opened(image: str | os.PathLike[str] | BinaryIO, mode: str = "rb") -> Iterator[BinaryIO]:
    """Give an open file, without a buffer of its own where a path is given."""
    if isinstance(image, (str, os.PathLike)):
        with open(image, mode, buffering=0) as file:
            yield file  # type: ignore[misc]
    else:
        if getattr(image, "flush", None) is not None and getattr(image, "writable", lambda: False)():
            image.flush()
        yield image


def place(file: Any) -> int | ObjectPlace:
    """Return the descriptor of a regular file or block device of the operating system, or the object as a place."""
    if sys.platform != "win32":  # no positional reads there
        with contextlib.suppress(Exception):
            descriptor = file.fileno()
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISREG(mode) or stat.S_ISBLK(mode):
                return int(descriptor)
    return ObjectPlace(file)


def size_of(file: Any) -> int:
    """Return the size of a seekable file, also of a block device."""
    return int(file.seek(0, os.SEEK_END))


def data_ranges(file: Any, start: int, end: int) -> list[tuple[int, int]]:
    """Return the parts of a file between two offsets that are not holes, as far as the system says."""
    if not isinstance(place(file), int) or not hasattr(os, "SEEK_DATA"):
        return [(start, end)]
    ranges: list[tuple[int, int]] = []
    descriptor = file.fileno()
    at = start
    try:
        while at < end and len(ranges) < _MOST_RANGES:
            data = os.lseek(descriptor, at, os.SEEK_DATA)
            if data >= end:
                return ranges
            at = min(os.lseek(descriptor, data, os.SEEK_HOLE), end)
            ranges.append((data, at))
    except OSError as error:
        return ranges if error.errno == errno.ENXIO else [(start, end)]  # the former: only a hole is left
    return [*ranges, (at, end)] if at < end else ranges
