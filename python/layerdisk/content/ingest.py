"""An ingest on its way to become a blob of a directory.

Source: containerd plugins/content/local/writer.go.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import sys
import threading
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, BinaryIO

from ..descriptor import parse_digest
from ..errdefs import (
    Aborted,
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    Unavailable,
    from_os_error,
)
from ..io import fsync_directory, is_same_file, lock
from .protocols import Status

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from .local import LocalStore

_log = logging.getLogger(__name__)

CANONICAL_ALGORITHM = "sha256"
_HASH_BYTES = 1024 * 1024

# Refs that this process writes: flock alone does not keep threads apart where locks are not to be had.
_refs_in_use: set[str] = set()
_refs_guard = threading.Lock()


class LocalWriter:
    """An ingest of a LocalStore, as a context manager that closes it; made by `LocalStore.writer`.

    Source: containerd plugins/content/local/writer.go.
    """

    def __init__(self, store: LocalStore, ref: str, size: int, expected: str) -> None:
        self._store = store
        self._ref = ref
        self._total = size
        self._expected = expected
        self._directory = store.ingest_path(ref)
        self._data_path = os.path.join(self._directory, "data")
        self._file: BinaryIO | None = None
        self._hash: hashlib._Hash = hashlib.new(CANONICAL_ALGORITHM)
        self._offset = 0
        self._claim()
        try:
            self._open()
        except BaseException:
            self._release()
            raise

    def __enter__(self) -> LocalWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def write(self, data: ReadableBuffer, /) -> int:
        """Append data.

        Raises:
            FailedPrecondition: the writer is closed.
            ResourceExhausted: the disk is full.
        """
        file = self._opened()
        with memoryview(data).cast("B") as view:
            try:
                file.write(view)
            except OSError as error:
                raise from_os_error(error, f"cannot write ingest {self._ref!r}") from error
            self._hash.update(view)
            self._offset += len(view)
            return len(view)

    def digest(self) -> str:
        """Give the digest of what was written."""
        return f"{CANONICAL_ALGORITHM}:{self._hash.hexdigest()}"

    def status(self) -> Status:
        """Give the state."""
        self._opened().flush()
        status = ingest_status(self._directory, self._ref)
        return Status(
            self._ref, self._offset, self._total, self._expected, status.started_at, status.updated_at
        )

    def truncate(self, size: int) -> None:
        """Start over.

        Raises:
            InvalidArgument: `size` is not 0.
        """
        if size != 0:
            raise InvalidArgument(f"cannot truncate an ingest to {size} bytes, only to 0")
        file = self._opened()
        file.seek(0)
        file.truncate()
        self._hash = hashlib.new(CANONICAL_ALGORITHM)
        self._offset = 0

    def commit(self, size: int = 0, expected: str = "") -> None:
        """Make a blob of what was written, and close the writer.

        Args:
            size: in bytes, 0 if not known.
            expected: digest, "" if not known; of any algorithm.

        Raises:
            FailedPrecondition: size or digest differ, and the ingest stays; or the writer is closed.
            AlreadyExists: the blob is there already, and the ingest is gone.
        """
        file = self._opened()
        try:
            file.flush()
            os.fsync(file.fileno())
            if size > 0 and size != self._offset:
                raise FailedPrecondition(f"unexpected commit size {self._offset}, expected {size}")
            digest = self._digest_like(expected)
            if expected and digest != expected:
                raise FailedPrecondition(f"unexpected commit digest {digest}, expected {expected}")
            self._publish(digest)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the ingest; what was written stays, unless it was committed."""
        if self._file is None:
            return
        try:
            self._file.close()
            with contextlib.suppress(FileNotFoundError):  # committed, or aborted by somebody
                _write_time(self._directory, "updatedat")
        finally:
            self._file = None
            self._release()

    def _opened(self) -> BinaryIO:
        if self._file is None:
            raise FailedPrecondition("writer is closed")
        return self._file

    def _publish(self, digest: str) -> None:
        target = self._store.blob_path(digest)
        if os.path.exists(target):
            shutil.rmtree(self._directory, ignore_errors=True)
            raise AlreadyExists(f"content {digest}")
        if not is_same_file(self._opened().fileno(), self._data_path):
            raise Aborted(f"ingest {self._ref!r} was removed while it was written")
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if sys.platform == "win32":
            self._opened().close()  # an open file cannot be renamed there
        os.rename(self._data_path, target)
        fsync_directory(os.path.dirname(target))
        os.utime(target)
        shutil.rmtree(self._directory, ignore_errors=True)  # somebody may be taking the ref up again
        os.chmod(target, os.stat(target).st_mode & 0o444)

    def _digest_like(self, expected: str) -> str:
        """Give the digest with the algorithm of another one."""
        algorithm = parse_digest(expected)[0] if expected else CANONICAL_ALGORITHM
        if algorithm == CANONICAL_ALGORITHM:
            return self.digest()
        with open(self._data_path, "rb") as file:
            return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"

    def _claim(self) -> None:
        with _refs_guard:
            if self._directory in _refs_in_use:
                raise Unavailable(f"ref {self._ref!r} is being written in this process")
            _refs_in_use.add(self._directory)

    def _release(self) -> None:
        with _refs_guard:
            _refs_in_use.discard(self._directory)

    def _open(self) -> None:
        """Open the data under a lock, and take up what is there if it belongs to the same content."""
        try:
            os.makedirs(self._directory, 0o755, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
            file = open(os.open(self._data_path, flags, 0o666), "r+b")  # noqa: SIM115
        except OSError as error:
            raise from_os_error(error, f"cannot begin ingest {self._ref!r}") from error
        try:
            # Who commits renames the file: the lock is worth something only if the name still leads to it.
            if not lock(file.fileno(), wait=False) or not is_same_file(file.fileno(), self._data_path):
                raise Unavailable(f"ref {self._ref!r} is being written by another process")
            self._file = file
            self._resume()
        except BaseException:
            self._file = None
            file.close()
            raise

    def _resume(self) -> None:
        ref, total = _read_text(self._directory, "ref"), _read_text(self._directory, "total")
        # A resume that fails truncates: a longer rest of other content must not get into the blob.
        if ref != self._ref or (self._total and total and total != str(self._total)):
            if ref:
                _log.warning("ingest %r was begun as %r of %s bytes: starting over", self._ref, ref, total)
            self.truncate(0)
            self._begin()
            return
        self._total = self._total or int(total or 0)
        file = self._opened()
        while piece := file.read(_HASH_BYTES):
            self._hash.update(piece)
            self._offset += len(piece)
        if self._total and self._offset > self._total:
            _log.warning("ingest %r has %d of %d bytes: starting over", self._ref, self._offset, self._total)
            self.truncate(0)

    def _begin(self) -> None:
        _write_text(self._directory, "ref", self._ref)
        _write_time(self._directory, "startedat")
        _write_time(self._directory, "updatedat")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._directory, "total"))
        if self._total > 0:
            _write_text(self._directory, "total", str(self._total))


def ingest_status(directory: str, ref: str) -> Status:
    """Return the state of the ingest in a directory."""
    data = os.stat(os.path.join(directory, "data"))
    started = _read_time(directory, "startedat") or utc_time(data.st_mtime)
    updated = max(_read_time(directory, "updatedat") or started, utc_time(data.st_mtime))
    return Status(ref, data.st_size, int(_read_text(directory, "total") or 0), "", started, updated)


def _read_text(directory: str, name: str) -> str:
    try:
        with open(os.path.join(directory, name), encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return ""


def _write_text(directory: str, name: str, text: str) -> None:
    """Write a small file that is whole or not there."""
    path = os.path.join(directory, name)
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(temporary, "w", encoding="utf-8", newline="") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def _write_time(directory: str, name: str) -> None:
    _write_text(directory, name, datetime.now(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z"))


def _read_time(directory: str, name: str) -> datetime | None:
    """Read a time as Go writes it: RFC 3339 with up to nine digits of a second, of which we keep six."""
    text = re.sub(r"(\.\d{6})\d+", r"\1", _read_text(directory, name))
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def utc_time(seconds: float) -> datetime:
    """Return the time of this many seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
