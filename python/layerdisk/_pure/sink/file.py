"""A regular file, written by position so that its own offset does not matter."""

from __future__ import annotations

import os


class FileSink:
    """A regular file that is empty.

    Args:
        descriptor: of the file, which the caller keeps open.
    """

    def __init__(self, descriptor: int) -> None:
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
