"""What the package reads from and writes to: readers, the output file, and file objects as sinks."""

from __future__ import annotations

import contextlib
import errno
import io
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
_O_TMPFILE: int | None = getattr(os, "O_TMPFILE", None)
_MOST_WRAPPERS = 8  # of a reader, as many as are looked into
_NO_FSYNC = (
    errno.EINVAL,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
)  # what some network and FUSE file systems say of a directory


@runtime_checkable
class Readable(Protocol):
    """A binary file object to read from; where it has `readinto`, that is used instead of `read`."""

    def read(self, size: int, /) -> bytes | None:
        """Give up to `size` bytes, none at the end."""


def may_wait(reader: object) -> bool:
    """Tell whether a read may wait for somebody who sends nothing.

    It does not in memory and on disk, nor in a reader of ours that names one of these as `reads_from`.
    """
    for _ in range(_MOST_WRAPPERS):
        if type(reader) is io.BytesIO:
            return False
        if is_systems_own(reader):
            return not stat.S_ISREG(os.fstat(reader.fileno()).st_mode)  # type: ignore[attr-defined]
        reader = getattr(reader, "reads_from", None)
    return True


def reads_what_is_written(reader: Any, writer: Any) -> bool:
    """Tell whether a reader, or what it reads from, is the file that is written: emptied, it would have nothing."""
    written = _file_identity(writer)
    for _ in range(_MOST_WRAPPERS):
        if reader is None:
            break
        if reader is writer or (written is not None and written == _file_identity(reader)):
            return True
        reader = getattr(reader, "reads_from", None)
    return False


def _file_identity(file: Any) -> tuple[object, ...] | None:
    """Return what names a regular file or block device of the system; None for everything else."""
    descriptor = _descriptor(file)
    if descriptor is None:
        return None
    status = os.fstat(descriptor)
    if stat.S_ISBLK(status.st_mode):
        return ("device", status.st_rdev)
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def is_systems_own(file: Any) -> bool:
    """Tell whether all that a file object is asked goes to its descriptor as it is: no class or method of others."""
    tempfile = sys.modules.get("tempfile")
    if tempfile is not None and type(file) is tempfile._TemporaryFileWrapper:
        file = file.file
    if type(file) in (io.BufferedReader, io.BufferedWriter, io.BufferedRandom) and not vars(file):
        file = file.raw
    return type(file) is FileIO and vars(file).keys() <= {"name"}


class OutputFile:
    """Context manager: a file that takes its place under the target's name at `commit`, complete and on disk.

    Where the file system can, the file has no name before that, so that even a killed process leaves nothing.
    Elsewhere it is `.NAME.<16 hex digits>.layerdisk-tmp` beside the target, and is locked (flock) while it is
    written, so that the next writer of the same target can tell what a killed process left from what another is
    writing. Leaving the context without `commit` removes it; the target is then as it was.

    A block device is written as it is, and so is a file with `in_place`; without `commit` it holds no image.

    Args:
        target: path of the file to make or replace, or of a block device, which nobody else may use. The system
            follows symbolic links. A file that is replaced hands on its mode, and its owner where that is allowed.
        in_place: write into the file itself, as where it is a mount point and cannot be replaced.

    Attributes:
        path: the target, links resolved.
        temporary_path: where the file is until `commit`; None where it has no name.
        file: to be written to, unbuffered, open for reading and writing (inside the context only).

    Raises:
        InvalidArgument: the target is no name of a file, or is there and neither a regular file nor a block device.
        OSError: as the operating system says, e.g. FileNotFoundError where the directory is missing.
    """

    file: FileIO
    temporary_path: str | None

    def __init__(self, target: str | os.PathLike[str], *, in_place: bool = False) -> None:
        self.path = os.fsdecode(target)
        if self.path == "-":
            raise InvalidArgument(
                "- as output: an image is not written from start to end, and so not to standard output;"
                " give the path of a file (./- for one of this name)"
            )
        if os.path.basename(self.path) in ("", os.curdir, os.pardir):
            raise InvalidArgument(f"{self.path!r} as output names a directory, not a file")
        self.temporary_path = None
        self._in_place = in_place
        self._is_new = True

    def __enter__(self) -> OutputFile:
        found = self._find()
        try:
            if self._in_place:
                self._open_in_place(found)
            else:
                self._remove_stale()
                if not self._create_nameless():
                    while not self._create():
                        pass
                if found is not None:
                    _hand_on(found, self.file.fileno())
            return self
        except BaseException:
            with contextlib.suppress(AttributeError):  # it came before the file
                self.__exit__(None, None, None)
            raise

    def commit(self) -> None:
        """Put the file in the target's place: data on disk first, then the name, then the directory.

        Raises:
            OSError: the target is as before, and leaving the context removes the file; except where the error says
                that the target was replaced.
        """
        if self.file.closed:
            raise RuntimeError("commit without a file to commit")
        os.fsync(self.file.fileno())
        if not self._in_place:
            self._take_place()
        if self._is_new or not self._in_place:
            self._is_new = False  # it stays
            try:
                fsync_directory(self._directory)
            except OSError as error:
                message = (
                    f"{error.strerror}: {self.path} is replaced, but its directory is perhaps not on disk"
                )
                raise OSError(error.errno, message) from error

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        path = self.path if self._in_place and self._is_new else self.temporary_path
        try:
            if path is not None and sys.platform != "win32":
                self._unlink(path)  # before the lock goes with the close
        finally:
            self.file.close()
            if path is not None and sys.platform == "win32":
                self._unlink(path)
            self.temporary_path = None

    def _find(self) -> os.stat_result | None:
        """Look at the target. The system follows links first, since it knows those that may not be followed."""
        found, given = None, self.path
        with contextlib.suppress(FileNotFoundError):
            found = os.stat(self.path)
        self.path = os.path.realpath(self.path)
        self._directory, name = os.path.split(self.path)
        self._stem = name if len(os.fsencode(name)) <= _LONGEST_NAME_BYTES else _short(name)
        self._is_new = found is None
        if self._is_new:
            os.stat(self._directory)  # it is said what is missing, and not of which file
        if found is not None and stat.S_ISBLK(found.st_mode):
            self._in_place = True
        elif found is not None and not stat.S_ISREG(found.st_mode):
            raise InvalidArgument(f"{given} exists and is not a regular file or a block device")
        return found

    def _open_in_place(self, found: os.stat_result | None) -> None:
        flags = os.O_CREAT | os.O_EXCL if found is None else 0
        if found is not None and stat.S_ISBLK(found.st_mode):
            flags = os.O_EXCL  # nobody else has it mounted or uses it so. Source: open(2)
        try:
            self.file = FileIO(self.path, "r+b", opener=lambda path, mode: os.open(path, mode | flags, 0o666))
        except OSError:
            self._is_new = False  # what is there, if anything, is not ours
            raise
        lock(self.file.fileno(), wait=True)

    def _create_nameless(self) -> bool:
        """Create a file without a name; False where the file system has no such, or it could get no name later."""
        if _O_TMPFILE is None:
            return False
        flags = _O_TMPFILE | os.O_RDWR | os.O_CLOEXEC
        try:
            self.file = FileIO(self._directory, "r+b", opener=lambda path, _: os.open(path, flags, 0o666))
        except OSError:
            return False
        lock(self.file.fileno(), wait=True)
        if os.path.exists(_name_in_proc(self.file)):
            return True
        self.file.close()
        return False

    def _create(self) -> bool:
        """Create and lock the temporary file; False if another process removed it between the two."""
        self.temporary_path = path = (
            self._new_path()
        )  # before it is there: an interrupt may come at any moment
        try:
            self.file = FileIO(path, "x+b")
        except OSError:
            self.temporary_path = None
            raise
        if not lock(self.file.fileno(), wait=True) or is_same_file(self.file.fileno(), path):
            return True
        self.file.close()
        return False

    def _new_path(self) -> str:
        return os.path.join(self._directory, f".{self._stem}.{os.urandom(8).hex()}{TEMPORARY_SUFFIX}")

    def _take_place(self) -> None:
        if self.temporary_path is None:
            if self._is_new and self._link(self.path):
                return
            self.temporary_path = self._new_path()
            self._link(self.temporary_path)  # a link cannot take the place of what is there
        if sys.platform == "win32":
            self.file.close()  # an open file cannot be renamed there
        try:
            os.replace(self.temporary_path, self.path)
        except OSError as error:
            if error.errno == errno.EBUSY:
                error.strerror = f"{error.strerror}: a mount point can only be written in place (--in-place)"
            raise
        self.temporary_path = None

    def _link(self, path: str) -> bool:
        """Give the nameless file a name; False if that is taken."""
        directory = os.open(
            self._directory, os.O_PATH | os.O_CLOEXEC
        )  # has the link in /proc followed by linkat
        try:
            os.link(_name_in_proc(self.file), path, src_dir_fd=directory, follow_symlinks=True)
        except FileExistsError:
            return False
        finally:
            os.close(directory)
        return True

    def _remove_stale(self) -> None:
        """Remove what killed processes left of the same target."""
        pattern = re.compile(rf"\.{re.escape(self._stem)}\.[0-9a-f]{{16}}{re.escape(TEMPORARY_SUFFIX)}")
        with contextlib.suppress(OSError):  # a directory that may not be read, or an error that comes again
            for name in os.listdir(self._directory):
                if pattern.fullmatch(name):
                    with contextlib.suppress(OSError):  # somebody else removes it, or may not be asked
                        remove_unless_locked(os.path.join(self._directory, name))

    @staticmethod
    def _unlink(path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)


def _name_in_proc(file: FileIO) -> str:
    return f"/proc/self/fd/{file.fileno()}"


def _short(name: str) -> str:
    import hashlib  # here, since it is seldom needed and takes a while to load

    return hashlib.sha256(os.fsencode(name)).hexdigest()


def _hand_on(replaced: os.stat_result, descriptor: int) -> None:
    """Give a file the owner and the mode of the one that it replaces."""
    if sys.platform != "win32":
        with contextlib.suppress(OSError):  # as for most users, or where the file system has no owners
            if (replaced.st_uid, replaced.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode))


def fsync_directory(path: str) -> None:
    """Bring a directory's names to disk, where the system has a way (Windows needs none)."""
    if sys.platform == "win32":
        return
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # names may be made in it, but it may not be read
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _NO_FSYNC:
            raise
    finally:
        os.close(descriptor)


def remove_unless_locked(path: str) -> None:
    """Remove a file, unless somebody has it locked.

    Raises:
        OSError: it cannot be opened or removed.
    """
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
    """Lock one byte far beyond the data, since a lock of Windows keeps others from reading what it covers."""
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
    """Return the best way to write to a file object. A core empties it once everything else is checked.

    Returns:
        The descriptor of a regular file or block device, which `writer` keeps open, where the object is the
        system's own; for everything else an ObjectSink, so that nothing goes around the object.

    Raises:
        InvalidArgument: the object cannot write anywhere.
    """
    for ability in ("writable", "seekable"):
        if not getattr(writer, ability, lambda: True)():
            raise InvalidArgument(f"the writer is not {ability}: it must be open for writing anywhere")
    descriptor = _descriptor(writer)
    if descriptor is None:
        return ObjectSink(writer)
    # The system's own word, since `mode` is what somebody wrote there.
    if sys.platform != "win32" and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_APPEND:
        raise InvalidArgument("the writer appends: it must be open for writing anywhere")
    mode = os.fstat(descriptor).st_mode
    if (
        sys.platform == "win32"
        or not is_systems_own(writer)
        or not (stat.S_ISREG(mode) or stat.S_ISBLK(mode))
    ):
        return ObjectSink(writer)  # no positional writes on Windows
    writer.flush()
    return descriptor


class ObjectSink:
    """Any seekable binary file object."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def start(self) -> None:
        """Empty it."""
        try:
            self._writer.seek(0)
            self._writer.truncate()
        except io.UnsupportedOperation as error:
            raise InvalidArgument(
                f"the writer cannot be emptied ({error}): it must be open for writing anywhere"
            ) from error

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
        self.flush()

    def flush(self) -> None:
        """Flush it, where it has something to flush."""
        if getattr(self._writer, "flush", None) is not None:
            self._writer.flush()


def append(writer: Any, size: int, data: bytes) -> None:
    """Write bytes at the end of a file object, all of them or none.

    Args:
        writer: to which they are written.
        size: of the file before, in bytes, which is its size again after a failure.
        data: what to write.
    """
    sink = open_sink(writer)
    try:
        if isinstance(sink, int):
            done = 0
            while done < len(data):
                done += os.pwrite(sink, data[done:], size + done)
        else:
            sink.write_at(size, data)
            sink.flush()
    except BaseException:
        if isinstance(sink, int):
            os.ftruncate(sink, size)
        else:
            writer.truncate(size)
        raise
    writer.seek(0, os.SEEK_END)


def _descriptor(file: Any) -> int | None:
    """Return the descriptor of the operating system's file that an object stands for, where it names one."""
    try:
        descriptor = file.fileno()
    except Exception:
        return None
    return descriptor if isinstance(descriptor, int) and descriptor >= 0 else None
