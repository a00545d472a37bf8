"""What the package reads from and writes to: readers, the output file, and file objects as sinks."""

from __future__ import annotations

import contextlib
import os
import re
import stat
import sys
from io import FileIO
from types import TracebackType
from typing import Any, Protocol, runtime_checkable

from .errdefs import InvalidArgument

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

TEMPORARY_SUFFIX = ".layerdisk-tmp"
_LONGEST_NAME_BYTES = 200  # the temporary name adds 32 and file systems allow 255


@runtime_checkable
class Readable(Protocol):
    """A binary file object to read from; where it has `readinto`, that is used instead of `read`."""

    def read(self, size: int, /) -> bytes | None:
        """Give up to `size` bytes, none at the end."""


class OutputFile:
    """Context manager: writes beside the target and takes its place at `commit`.

    The temporary file is `.NAME.<16 hex digits>.layerdisk-tmp` and is locked (flock) while it is written, so
    that the next writer of the same target can tell what a killed process left from what another is writing.
    Leaving the context without `commit` removes it; the target is then as it was.

    Args:
        target: path of the file to make or replace; a symbolic link is followed.

    Attributes:
        path: the target, links resolved.
        temporary_path: where the file is until `commit` (inside the context only).
        file: the temporary file, unbuffered, open for reading and writing (inside the context only).

    Raises:
        InvalidArgument: the target exists and is not a regular file.
        OSError: as the operating system says, e.g. FileNotFoundError where the directory is missing.
    """

    file: FileIO
    temporary_path: str | None

    def __init__(self, target: str | os.PathLike[str]) -> None:
        self.path = os.path.realpath(target)
        self._directory, name = os.path.split(self.path)
        self._stem = name if len(os.fsencode(name)) <= _LONGEST_NAME_BYTES else _short(name)
        self.temporary_path = None

    def __enter__(self) -> OutputFile:
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(os.stat(self.path).st_mode):
                raise InvalidArgument(f"{self.path} exists and is not a regular file")
        self._remove_stale()
        try:
            while not self._create():
                pass
            return self
        except BaseException:
            if self.temporary_path is not None:  # an interrupt, and not that the file could not be made
                with contextlib.suppress(AttributeError):  # it came before the file
                    self.__exit__(None, None, None)
            raise

    def commit(self) -> None:
        """Put the file in the target's place: data on disk first, then the name, then the directory.

        Raises:
            OSError: the target is as before, and leaving the context removes the temporary file.
        """
        if self.temporary_path is None:
            raise RuntimeError("commit without a file to commit")
        os.fsync(self.file.fileno())
        if sys.platform == "win32":
            self.file.close()  # an open file cannot be renamed there
        os.replace(self.temporary_path, self.path)
        self.temporary_path = None
        fsync_directory(self._directory)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if self.temporary_path is not None and sys.platform != "win32":
                self._unlink(self.temporary_path)  # before the lock goes with the close
        finally:
            self.file.close()
            if self.temporary_path is not None and sys.platform == "win32":
                self._unlink(self.temporary_path)
            self.temporary_path = None

    def _create(self) -> bool:
        """Create and lock the temporary file; False if another process removed it between the two."""
        path = os.path.join(self._directory, f".{self._stem}.{os.urandom(8).hex()}{TEMPORARY_SUFFIX}")
        self.temporary_path = path  # before it is there, since an interrupt may come at any moment
        try:
            self.file = FileIO(path, "x+b")
        except OSError:
            self.temporary_path = None
            raise
        if not lock(self.file.fileno(), wait=True) or is_same_file(self.file.fileno(), path):
            return True
        self.file.close()
        return False

    def _remove_stale(self) -> None:
        """Remove what killed processes left of the same target."""
        pattern = re.compile(rf"\.{re.escape(self._stem)}\.[0-9a-f]{{16}}{re.escape(TEMPORARY_SUFFIX)}")
        for name in os.listdir(self._directory):
            if pattern.fullmatch(name):
                with contextlib.suppress(OSError):  # somebody else removes it, or may not be asked
                    _remove_unless_locked(os.path.join(self._directory, name))

    @staticmethod
    def _unlink(path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _short(name: str) -> str:
    import hashlib  # here, since it is seldom needed and takes a while to load

    return hashlib.sha256(os.fsencode(name)).hexdigest()


def fsync_directory(path: str) -> None:
    """Bring a directory's names to disk (Windows has no such call and needs none)."""
    if sys.platform == "win32":
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_unless_locked(path: str) -> None:
    if sys.platform == "win32":
        os.unlink(path)  # fails while somebody has it open
        return
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        if lock(descriptor, wait=False) and is_same_file(descriptor, path):
            os.unlink(path)
    finally:
        os.close(descriptor)


def lock(descriptor: int, *, wait: bool) -> bool:
    """Lock a file until it is closed; False if that is not to be had (locked elsewhere, or no locks here)."""
    try:
        if sys.platform != "win32":
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            _lock_byte(descriptor)
    except OSError:
        return False
    return True


def _lock_byte(descriptor: int) -> None:
    """Lock one byte far behind the data, since a lock of Windows keeps others from reading what it covers."""
    if sys.platform == "win32":
        at = os.lseek(descriptor, 0, os.SEEK_CUR)
        os.lseek(descriptor, 0x7FFFFFFE, os.SEEK_SET)  # the C library's locks reach 2 GiB
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        finally:
            os.lseek(descriptor, at, os.SEEK_SET)


def is_same_file(descriptor: int, path: str) -> bool:
    """Tell whether a path still leads to an open file."""
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path, follow_symlinks=False))
    except FileNotFoundError:
        return False


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
