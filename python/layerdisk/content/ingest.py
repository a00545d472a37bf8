"""An ingest on its way to become a blob of a directory.

Source: containerd plugins/content/local/writer.go.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import shutil
import sys
import threading
import weakref
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

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
from ..names import quote_text
from . import ingest_files
from .protocols import Status

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

    from .local import LocalStore

_log = logging.getLogger(__name__)

CANONICAL_ALGORITHM = "sha256"
_HASH_BYTES = 1024 * 1024

# Writers of this process by directory: flock alone does not keep threads apart where the file system has no locks.
# One that is dropped without `close` is not in the way.
_writers: weakref.WeakValueDictionary[str, LocalWriter] = weakref.WeakValueDictionary()
_writers_guard = threading.Lock()


class _Written(NamedTuple):
    """What is in the file, replaced as a whole, so that an interrupt never parts digest and size."""

    hash: hashlib._Hash
    size: int


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
        self._data_path = os.path.join(self._directory, ingest_files.DATA)
        self._file: io.FileIO | None = None
        self._written = _nothing()
        self._claim()
        try:
            with self._errors("cannot begin"):
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
        """Append data: all of it, or after an error nothing.

        Raises:
            FailedPrecondition: the writer is closed, or the rest of a failed write cannot be removed.
            ResourceExhausted: the disk is full.
        """
        file = self._opened()
        written = self._written
        with memoryview(data).cast("B") as view, self._errors("cannot write"):
            digest = written.hash.copy()
            digest.update(view)
            try:
                _write_all(file, view)
                self._written = _Written(digest, written.size + len(view))
            except BaseException:
                self._restore(file)
                raise
            return len(view)

    def digest(self) -> str:
        """Return the digest of what was written."""
        return f"{CANONICAL_ALGORITHM}:{self._written.hash.hexdigest()}"

    def status(self) -> Status:
        """Return the state of the ingest."""
        self._opened()
        with self._errors("cannot tell the state of"):
            found = ingest_files.ingest_status(self._directory, self._ref)
        return Status(
            self._ref, self._written.size, self._total, self._expected, found.started_at, found.updated_at
        )

    def truncate(self, size: int) -> None:
        """Start over.

        Raises:
            InvalidArgument: `size` is not 0.
        """
        if size != 0:
            raise InvalidArgument(f"cannot truncate an ingest to {size} bytes, only to 0")
        file = self._opened()
        self._written = _nothing()
        with self._errors("cannot truncate"):
            self._restore(file)

    def commit(self, size: int = 0, expected: str = "") -> None:
        """Make a blob of what was written, and close the writer.

        Args:
            size: in bytes, 0 if not known.
            expected: digest, "" if not known; of any algorithm.

        Raises:
            FailedPrecondition: size or digest differ, and the ingest stays; or the writer is closed.
            AlreadyExists: the blob is there already, and the ingest is gone.
            Aborted: somebody removed or changed the ingest meanwhile.
            ResourceExhausted: the disk is full, and the ingest stays.
        """
        file = self._opened()
        try:
            with self._errors("cannot commit"):
                os.fsync(file.fileno())
                self._check(file, size)
                digest = self._digest_like(file, expected)
                if expected and digest != expected:
                    raise FailedPrecondition(f"unexpected commit digest {digest}, expected {expected}")
                self._publish(file, digest)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the ingest; what was written stays, unless it was committed."""
        if self._file is None:
            return
        try:
            self._file.close()
            with self._errors("cannot close"), contextlib.suppress(FileNotFoundError):
                ingest_files.write_time(self._directory, ingest_files.UPDATED_AT)  # not there once committed
        finally:
            self._file = None
            self._release()

    def _opened(self) -> io.FileIO:
        if self._file is None:
            raise FailedPrecondition("writer is closed")
        return self._file

    @contextlib.contextmanager
    def _errors(self, doing: str) -> Iterator[None]:
        """Give errors of the system a class of ours."""
        try:
            yield
        except OSError as error:
            raise from_os_error(error, f"{doing} ingest {quote_text(self._ref)}") from error

    def _restore(self, file: io.FileIO) -> None:
        """Cut the file to what is in digest and size; where that fails, nobody may go on with it."""
        try:
            file.truncate(self._written.size)
            file.seek(self._written.size)
        except BaseException:
            file.close()
            self._file = None
            self._release()
            raise

    def _check(self, file: io.FileIO, size: int) -> None:
        written, on_disk = self._written.size, os.fstat(file.fileno()).st_size
        if size > 0 and size != written:
            raise FailedPrecondition(f"unexpected commit size {written}, expected {size}")
        if on_disk != written:
            raise Aborted(
                f"ingest {quote_text(self._ref)} has {on_disk} bytes on disk and {written} were written"
            )

    def _publish(self, file: io.FileIO, digest: str) -> None:
        target = self._store.blob_path(digest)
        if os.path.exists(target):
            shutil.rmtree(self._directory, ignore_errors=True)
            raise AlreadyExists(f"content {digest}")
        if not is_same_file(file.fileno(), self._data_path):
            raise Aborted(f"ingest {quote_text(self._ref)} was removed while it was written")
        os.makedirs(os.path.dirname(target), 0o755, exist_ok=True)
        if sys.platform == "win32":
            file.close()  # an open file cannot be renamed there
        os.rename(self._data_path, target)
        with contextlib.ExitStack() as rest:  # the blob is there: whatever fails now, the rest is done
            rest.callback(_make_read_only, target)
            rest.callback(shutil.rmtree, self._directory, ignore_errors=True)  # the ref may be taken up again
            rest.callback(os.utime, target)
            fsync_directory(os.path.dirname(target))

    def _digest_like(self, file: io.FileIO, expected: str) -> str:
        """Return the digest with the algorithm of another one."""
        algorithm = parse_digest(expected)[0] if expected else CANONICAL_ALGORITHM
        if algorithm == CANONICAL_ALGORITHM:
            return self.digest()
        file.seek(0)
        return f"{algorithm}:{hashlib.file_digest(file, algorithm).hexdigest()}"

    def _claim(self) -> None:
        with _writers_guard:
            if self._directory in _writers:
                raise Unavailable(f"ref {quote_text(self._ref)} is being written in this process")
            _writers[self._directory] = self

    def _release(self) -> None:
        with _writers_guard:
            if _writers.get(self._directory) is self:
                del _writers[self._directory]

    def _open(self) -> None:
        """Open the data under a lock, and take up what is there if it belongs to the same content."""
        os.makedirs(self._directory, 0o755, exist_ok=True)
        file = ingest_files.open_own(self._data_path, os.O_RDWR | os.O_CREAT)
        try:
            # Whoever commits renames the file: the lock is worth something only if the name still leads to it.
            if not lock(file.fileno(), wait=False) or not is_same_file(file.fileno(), self._data_path):
                raise Unavailable(f"ref {quote_text(self._ref)} is being written by another process")
            self._file = file
            self._resume(file)
        except BaseException:
            self._file = None
            file.close()
            raise

    def _resume(self, file: io.FileIO) -> None:
        ref = ingest_files.read_text(self._directory, ingest_files.REF)
        total = ingest_files.read_total(self._directory)
        # A resume that fails truncates: a longer rest of other content must not get into the blob.
        if ref != self._ref or total is None or (self._total and total and total != self._total):
            if ref:
                _log.warning(
                    "ingest %s was begun as %s: starting over", quote_text(self._ref), quote_text(ref)
                )
            self.truncate(0)
            self._begin()
            return
        self._total = self._total or total
        digest, size = _nothing()
        while piece := file.read(_HASH_BYTES):
            digest.update(piece)
            size += len(piece)
        self._written = _Written(digest, size)
        if self._total and size > self._total:
            _log.warning(
                "ingest %s has %d of %d bytes: starting over", quote_text(self._ref), size, self._total
            )
            self.truncate(0)

    def _begin(self) -> None:
        ingest_files.write_text(self._directory, ingest_files.REF, self._ref)
        ingest_files.write_time(self._directory, ingest_files.STARTED_AT)
        ingest_files.write_time(self._directory, ingest_files.UPDATED_AT)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(os.path.join(self._directory, ingest_files.TOTAL))
        if self._total > 0:
            ingest_files.write_text(self._directory, ingest_files.TOTAL, str(self._total))


def _nothing() -> _Written:
    return _Written(hashlib.new(CANONICAL_ALGORITHM), 0)


def _write_all(file: io.FileIO, view: memoryview) -> None:
    while view:
        count = file.write(view)
        if not count:
            raise OSError("short write")
        view = view[count:]


def _make_read_only(path: str) -> None:
    os.chmod(path, os.stat(path).st_mode & 0o444)
