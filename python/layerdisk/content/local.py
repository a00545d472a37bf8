"""A content store in a directory.

containerd's local store and an OCI image layout share its form::

    blobs/sha256/<hex>          a blob, never changed
    ingest/<sha256 of ref>/     one being written: ref, startedat, updatedat, total (if known), data

Source: containerd plugins/content/local; OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import logging
import os
import re
import shutil
import stat
from collections.abc import Iterator

from ..descriptor import DIGEST_HEX_LENGTHS, Descriptor, parse_digest
from ..errdefs import AlreadyExists, InvalidArgument, NotFound, from_os_error
from ..names import quote_text
from .ingest import LocalWriter
from .ingest_files import check_ref, ingest_status, utc_time
from .protocols import Info, Status

_log = logging.getLogger(__name__)


class LocalStore:
    """A content store in a directory.

    Args:
        root: the directory; it is made at the first write.

    Source: containerd plugins/content/local/store.go.
    """

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.fspath(root)

    def blob_path(self, digest: str) -> str:
        """Return the path of a blob, there or not; InvalidArgument for what is not a digest."""
        return os.path.join(self.root, "blobs", *parse_digest(digest))

    def reader(self, descriptor: Descriptor) -> io.FileIO:
        """Return a blob, opened for reading.

        Args:
            descriptor: only its digest counts; the data is not checked (`Verifier` does that).

        Raises:
            InvalidArgument: not a digest, or the blob is not a regular file.
            NotFound: no such blob.
        """
        path = self.blob_path(descriptor.digest)
        with _blob_errors(descriptor.digest, path):
            return open_regular(path)

    def info(self, digest: str) -> Info:
        """Return what is known about a blob.

        Raises:
            InvalidArgument: not a digest.
            NotFound: no such blob.
        """
        path = self.blob_path(digest)
        with _blob_errors(digest, path):
            return _info(digest, os.stat(path))

    def walk(self) -> Iterator[Info]:
        """Yield what is known about every blob, sorted by digest; other files are skipped."""
        for algorithm, length in sorted(DIGEST_HEX_LENGTHS.items()):
            directory = os.path.join(self.root, "blobs", algorithm)
            with contextlib.suppress(FileNotFoundError):
                for name in sorted(os.listdir(directory)):
                    if not re.fullmatch(f"[0-9a-f]{{{length}}}", name):
                        _log.warning("not a blob: %s", os.path.join(directory, name))
                        continue
                    with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                        yield _info(f"{algorithm}:{name}", os.stat(os.path.join(directory, name)))

    def delete(self, digest: str) -> None:
        """Delete a blob; NotFound if it is not there."""
        path = self.blob_path(digest)
        with _blob_errors(digest, path):
            os.unlink(path)

    def writer(self, ref: str, *, size: int = 0, expected: str = "") -> LocalWriter:
        """Begin an ingest, or resume the one of the same name.

        Args:
            ref: name of the ingest, the same for everybody who writes the same content.
            size: bytes to come, 0 if not known.
            expected: digest to come, "" if not known.

        Raises:
            InvalidArgument: the ref is empty or not UTF-8, or `expected` is not a digest.
            AlreadyExists: the expected blob is there.
            FailedPrecondition: a file of the ingest is not a regular file.
            Unavailable: somebody, in this process or another, is writing this ref.
        """
        check_ref(ref)
        if expected and os.path.exists(self.blob_path(expected)):
            raise AlreadyExists(f"content {expected}")
        return LocalWriter(self, ref, size, expected)

    def status(self, ref: str) -> Status:
        """Return the state of an ingest; NotFound if there is none of this name."""
        directory = self.ingest_path(ref)
        with _ingest_errors(ref):
            return ingest_status(directory, ref)

    def abort(self, ref: str) -> None:
        """Remove an ingest with what was written; NotFound if there is none of this name."""
        with _ingest_errors(ref):
            shutil.rmtree(self.ingest_path(ref))

    def ingest_path(self, ref: str) -> str:
        """Return the directory of an ingest, there or not; InvalidArgument for a name that cannot be one."""
        return os.path.join(self.root, "ingest", hashlib.sha256(check_ref(ref)).hexdigest())


def open_regular(path: str) -> io.FileIO:
    """Return a regular file, opened for reading; a pipe or a device is not opened, since that could wait or act.

    Raises:
        InvalidArgument: it is not a regular file.
        OSError: it cannot be opened.
    """
    _check_regular(path, os.stat(path))
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_CLOEXEC", 0)
    descriptor = os.open(path, flags | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOCTTY", 0))
    try:
        _check_regular(path, os.fstat(descriptor))
        return io.FileIO(descriptor)
    except BaseException:
        os.close(descriptor)
        raise


def _check_regular(path: str, found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise InvalidArgument(f"{quote_text(path)} is not a regular file")


@contextlib.contextmanager
def _blob_errors(digest: str, path: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"blob {digest} expected at {path}: blob not found") from error
    except OSError as error:
        raise from_os_error(error, f"blob {digest}") from error


@contextlib.contextmanager
def _ingest_errors(ref: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise NotFound(f"ingest {quote_text(ref)}") from error
    except OSError as error:
        raise from_os_error(error, f"ingest {quote_text(ref)}") from error


def _info(digest: str, stat: os.stat_result) -> Info:
    # A blob never changes: containerd too keeps the time of the last use in the access time.
    return Info(digest, stat.st_size, utc_time(stat.st_mtime), utc_time(stat.st_atime))
