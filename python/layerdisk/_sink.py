"""The caller's file object as a place to write to by position, for either core."""

from __future__ import annotations

import os
import stat
import sys
from typing import Any


def open_sink(writer: Any) -> int | ObjectSink:
    """Empty a file object and give the best way to write to it.

    Returns:
        The descriptor of a regular file of the operating system, which `writer` keeps open; for everything
        else an ObjectSink.
    """
    descriptor = _descriptor(writer)
    if descriptor is not None:
        if getattr(writer, "flush", None) is not None:
            writer.flush()
        if stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.ftruncate(descriptor, 0)
            return descriptor
    return ObjectSink(writer)


class ObjectSink:
    """Any seekable binary file object."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        writer.seek(0)
        writer.truncate()

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of the bytes."""
        self._writer.seek(offset)
        while data:
            # A copy of a view, since the object may keep what it is given and the buffer is used again.
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
            self.write_at(length - 1, b"\0")  # truncate does not lengthen every kind of file
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
