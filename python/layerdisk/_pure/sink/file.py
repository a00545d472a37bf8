"""Files: a regular one by position, so that its own offset does not matter, and any seekable file object."""

from __future__ import annotations

import os
import stat
import sys
from typing import Any

from . import Sink


def open_sink(writer: Any) -> Sink:
    """Empty the file object and give the best way to write to it."""
    descriptor = _descriptor(writer)
    if descriptor is not None:
        if getattr(writer, "flush", None) is not None:
            writer.flush()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
            return FileSink(writer, descriptor)
    return ObjectSink(writer)


class FileSink:
    """A regular file."""

    def __init__(self, writer: Any, descriptor: int) -> None:
        self._writer = writer  # keeps the descriptor open
        self._descriptor = descriptor

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the bytes."""
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            data = data[written:]
            offset += written
            written = os.pwrite(self._descriptor, data, offset)

    def finish(self, length: int, sync: bool) -> None:
        """Set the length."""
        os.ftruncate(self._descriptor, length)
        if sync:
            os.fsync(self._descriptor)


class ObjectSink:
    """Any seekable binary file object."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        writer.seek(0)
        writer.truncate()

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the bytes."""
        self._writer.seek(offset)
        while data:
            # A copy, since the object may keep what it is given and the buffer is used again.
            written = self._writer.write(bytes(data))
            if written is None:
                raise BlockingIOError("the writer takes no data now: it must not be in non-blocking mode")
            if not 0 < written <= len(data):
                raise ValueError(f"write returned {written} for {len(data)} bytes")
            data = data[written:]

    def finish(self, length: int, sync: bool) -> None:
        """Set the length. Syncing is for files of the operating system."""
        end = self._writer.seek(0, os.SEEK_END)
        if length > 0 and length - 1 >= end:
            self.write_at(length - 1, memoryview(b"\0"))  # truncate does not lengthen every kind of file
        if getattr(self._writer, "flush", None) is not None:
            self._writer.flush()


def _descriptor(writer: Any) -> int | None:
    """Give the descriptor of the operating system's file behind the object, where there is one to be had."""
    if sys.platform == "win32":
        return None  # no positional writes there
    try:
        descriptor = writer.fileno()
    except Exception:
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None
