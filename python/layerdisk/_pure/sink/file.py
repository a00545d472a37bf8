"""A regular file or a block device, written by position so that its own offset does not matter."""

from __future__ import annotations

import os
import stat
import struct
import sys
from types import TracebackType

from ...errdefs import DiskSizeExceeded

# How much of a device is zeroed at once, in bytes: enough to make system calls rare.
_ZEROS_LEN = 1 << 20
# _IO(0x12, 127). Source: kernel, include/uapi/linux/fs.h.
_BLKZEROOUT = 0x127F


class FileSink:
    """Context manager: an open file, which is emptied, or a block device.

    Args:
        descriptor: of the file. It is duplicated: who closes theirs may have its number used for another file.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = os.dup(descriptor)
        # What a block device has and a file has not: a length of its own, and old bytes where nothing is written.
        self._device_len: int | None = None
        # Up to here all of a device is written, or zeros.
        self._end = 0

    def __enter__(self) -> FileSink:
        try:
            if stat.S_ISBLK(os.fstat(self._descriptor).st_mode):
                self._device_len = os.lseek(self._descriptor, 0, os.SEEK_END)
            else:
                os.ftruncate(self._descriptor, 0)
        except BaseException:
            os.close(self._descriptor)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._descriptor)

    def write_at(self, offset: int, data: bytes | memoryview) -> None:
        """Write all of the bytes."""
        if self._device_len is not None:
            self._fill(offset, offset + len(data))
        self._write(offset, data)

    def finish(self, length: int, sync: bool) -> None:
        """Set the length."""
        if self._device_len is not None:
            self._fill(length, length)
        else:
            os.ftruncate(self._descriptor, length)
        if sync:
            os.fsync(self._descriptor)

    def _write(self, offset: int, data: bytes | memoryview) -> None:
        written = os.pwrite(self._descriptor, data, offset)
        while written < len(data):
            data = data[written:]
            offset += written
            written = os.pwrite(self._descriptor, data, offset)

    def _fill(self, offset: int, end: int) -> None:
        """Zero what is left out of a device before `offset`, and take up to `end` as written."""
        assert self._device_len is not None
        if end > self._device_len:
            raise DiskSizeExceeded(
                f"the image needs at least {end} bytes, and the device has {self._device_len}"
            )
        start = self._end
        self._end = max(start, end)
        while start < offset:
            length = min(offset - start, _ZEROS_LEN)
            if length < _ZEROS_LEN or not _zero_range(self._descriptor, start, length):
                self._write(start, bytes(length))
            start += length


def _zero_range(descriptor: int, offset: int, length: int) -> bool:
    """Make a range of a device read as zeros without sending them; False where that is not possible."""
    if sys.platform != "linux":
        return False
    import fcntl  # here, since only a device needs it

    try:
        fcntl.ioctl(descriptor, _BLKZEROOUT, struct.pack("QQ", offset, length))
    except OSError:
        return False
    return True
