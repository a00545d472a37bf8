"""The small files of an ingest: ref, total, and the times.

Source: containerd plugins/content/local/store.go.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import stat
from datetime import UTC, datetime

from ..errdefs import FailedPrecondition, InvalidArgument
from ..names import quote_text
from .protocols import Status

DATA = "data"
REF = "ref"
TOTAL = "total"
STARTED_AT = "startedat"
UPDATED_AT = "updatedat"

_MAX_TEXT_BYTES = 64 * 1024
_NO_WAIT = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)  # a pipe or a device must not hold us up
_FLAGS = _NO_WAIT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)


def open_own(path: str, flags: int) -> io.FileIO:
    """Return a file of an ingest, which is a regular one and not reached by a symbolic link.

    Args:
        path: of the file.
        flags: of os.open, for reading or for reading and writing; new files get mode 0666 without the umask's bits.

    Raises:
        FailedPrecondition: it is something else.
        OSError: it cannot be opened.
    """
    with contextlib.suppress(FileNotFoundError):
        _check_regular(path, os.lstat(path))
    descriptor = os.open(path, flags | _FLAGS, 0o666)
    try:
        _check_regular(path, os.fstat(descriptor))
        return io.FileIO(descriptor, "r" if flags & (os.O_WRONLY | os.O_RDWR) == 0 else "r+")
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise FailedPrecondition(f"{quote_text(path)} is not a regular file")


def check_ref(ref: str) -> bytes:
    """Return the name of an ingest as it is stored.

    Raises:
        InvalidArgument: it is empty, or not text that UTF-8 can hold.
    """
    if not ref:
        raise InvalidArgument("ref must not be empty")
    try:
        return ref.encode()
    except UnicodeEncodeError as error:
        raise InvalidArgument(f"ref {quote_text(ref)} must be text that UTF-8 can hold") from error


def ingest_status(directory: str, ref: str) -> Status:
    """Return the state of the ingest in a directory."""
    data = os.stat(os.path.join(directory, DATA), follow_symlinks=False)
    started = _read_time(directory, STARTED_AT) or utc_time(data.st_mtime)
    updated = max(_read_time(directory, UPDATED_AT) or started, utc_time(data.st_mtime))
    return Status(ref, data.st_size, read_total(directory) or 0, "", started, updated)


def read_text(directory: str, name: str) -> str:
    """Return the text of a small file, "" if it is not there; what is not UTF-8 is replaced."""
    try:
        with open_own(os.path.join(directory, name), os.O_RDONLY) as file:
            return (file.read(_MAX_TEXT_BYTES) or b"").decode(errors="replace")
    except FileNotFoundError:
        return ""


def read_total(directory: str) -> int | None:
    """Return the size that an ingest is to have, 0 if it is not known, None if the file is damaged."""
    text = read_text(directory, TOTAL)
    return int(text or 0) if re.fullmatch(r"[0-9]{0,19}", text, re.ASCII) else None


def write_text(directory: str, name: str, text: str) -> None:
    """Write a small file that is whole or not there."""
    path = os.path.join(directory, name)
    temporary = f"{path}.{os.urandom(8).hex()}.tmp"
    try:
        with open_own(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as file:
            data = text.encode()
            if file.write(data) != len(data):
                raise OSError(f"short write to {temporary}")
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def write_time(directory: str, name: str) -> None:
    """Write the time of now."""
    text = datetime.now(UTC).isoformat(timespec="microseconds")
    write_text(directory, name, text.replace("+00:00", "Z"))


def _read_time(directory: str, name: str) -> datetime | None:
    """Return a time as Go writes it: RFC 3339 with up to nine digits of a second, of which we keep six."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", read_text(directory, name))
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else None


def utc_time(seconds: float) -> datetime:
    """Return the time of this many seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
