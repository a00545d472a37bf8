"""Folders on this machine or behind a URL, in which a file appears only when it is complete."""

from __future__ import annotations

import contextlib
import datetime
import os
import posixpath
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, BinaryIO, NamedTuple, Protocol

from .errdefs import InvalidArgument
from .io import TEMPORARY_SUFFIX, OutputFile, is_same_file, lock, remove_unless_locked
from .names import quote_text

_PIECE_BYTES = 1024 * 1024
_LOOK_SECONDS = 0.05  # how often a lock that somebody else has is asked for
_LOCAL = ("file", "local")
# File systems of fsspec where a file that is being written appears when it is closed; elsewhere it is renamed.
_APPEARS_WHOLE = frozenset({"s3", "s3a", "gs", "gcs", "az", "abfs", "abfss", "adl", "oci", "oss", "hf"})


class PlaceFile(NamedTuple):
    """A file of a place.

    Attributes:
        name: from the place's root, with "/" between folders.
        size: in bytes.
        used: when it was last used or made, in seconds since 1970; 0 where that is not known.
    """

    name: str
    size: int
    used: float


class Place(Protocol):
    """A folder. Names are relative to it, with "/" between folders; FileNotFoundError says that one is not there."""

    @property
    def where(self) -> str:
        """What the place is called."""

    def open(self, name: str) -> BinaryIO:
        """Open a file to read."""

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file."""

    def put(self, name: str, path: str) -> None:
        """Make or replace a file with the content of a file of this machine."""

    def remove(self, name: str) -> None:
        """Remove a file; it need not be there."""

    def touch(self, name: str) -> None:
        """Note that a file was used, where that is possible."""

    def files(self) -> Iterator[PlaceFile]:
        """List all files."""

    def locked(self, name: str, check: Callable[[], None]) -> AbstractContextManager[None]:
        """Wait until nobody else is in a context of the same name, where that is possible.

        Args:
            name: of a file that is made for it.
            check: called often; its exceptions end the wait.
        """

    def remove_lock(self, name: str) -> None:
        """Remove the file that was made for `locked`, unless somebody has it locked."""

    def clean(self) -> None:
        """Remove what processes that were killed left."""


def open_place(where: str | os.PathLike[str]) -> LocalPlace | RemotePlace:
    """Return the place of a path or URL.

    Args:
        where: a path of this machine, "file://" and a path, or any URL that fsspec knows (extra `remote`).

    Raises:
        InvalidArgument: fsspec does not know such a URL.
        ImportError: fsspec, or what it needs for the URL, is not installed.
    """
    text = os.fspath(where)
    scheme, separator, rest = text.partition("://")
    if not separator or os.path.exists(text):
        return LocalPlace(text)
    return LocalPlace(rest) if scheme in _LOCAL else RemotePlace(text)


class LocalPlace:
    """A folder of this machine, or one that it shares with others; it is made when a file is."""

    def __init__(self, root: str) -> None:
        self.where = os.path.abspath(root)
        self._has_locks: bool | None = None

    def path(self, name: str) -> str:
        """Return the path of a file."""
        return os.path.join(self.where, *name.split("/"))

    def open(self, name: str) -> BinaryIO:
        """Open a file to read."""
        return open(self.path(name), "rb")

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file."""
        with self._output(name) as output:
            write_all(output.file, content)
            output.commit()

    def put(self, name: str, path: str) -> None:
        """Make or replace a file with the content of another."""
        with open(path, "rb") as source, self._output(name) as output:
            while piece := source.read(_PIECE_BYTES):
                write_all(output.file, piece)
            output.commit()

    def remove(self, name: str) -> None:
        """Remove a file; it need not be there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(name))

    def touch(self, name: str) -> None:
        """Note that a file was used."""
        with contextlib.suppress(OSError):  # as where the folder may only be read
            os.utime(self.path(name))

    def files(self) -> Iterator[PlaceFile]:
        """List all files."""
        for folder, _, names in os.walk(self.where):
            for name in names:
                path = os.path.join(folder, name)
                with contextlib.suppress(FileNotFoundError):  # somebody else has removed it
                    state = os.stat(path, follow_symlinks=False)
                    relative = os.path.relpath(path, self.where).replace(os.sep, "/")
                    yield PlaceFile(relative, state.st_size, state.st_mtime)

    @contextlib.contextmanager
    def locked(self, name: str, check: Callable[[], None]) -> Iterator[None]:
        """Wait until nobody else is in a context of the same name; a process that ends lets go."""
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        while True:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o666)
            try:
                self._wait_for_lock(descriptor, check)
                if is_same_file(descriptor, path):  # else it was removed in the meantime
                    yield
                    return
            finally:
                os.close(descriptor)

    def remove_lock(self, name: str) -> None:
        """Remove the file that was made for `locked`, unless somebody has it locked."""
        with contextlib.suppress(OSError):  # it is not there, or somebody else removes it
            remove_unless_locked(self.path(name))

    def clean(self) -> None:
        """Remove what processes that were killed left."""
        for file in self.files():
            if file.name.endswith(TEMPORARY_SUFFIX):
                with contextlib.suppress(OSError):  # somebody else removes it
                    remove_unless_locked(self.path(file.name))

    def _output(self, name: str) -> OutputFile:
        path = self.path(name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        return OutputFile(path)

    def _wait_for_lock(self, descriptor: int, check: Callable[[], None]) -> None:
        while not lock(descriptor, wait=False):
            check()
            if self._has_locks is None:
                with tempfile.TemporaryFile(dir=self.where) as probe:
                    self._has_locks = lock(probe.fileno(), wait=False)
            if not self._has_locks:
                return  # work may be done twice, and the results are the same
            time.sleep(_LOOK_SECONDS)


class RemotePlace:
    """A folder behind a URL of fsspec.

    There are no locks: two that make the same file at the same time both do, and the last one stays.
    """

    def __init__(self, url: str) -> None:
        import fsspec

        self.where = url
        try:
            self._fs, self._root = fsspec.core.url_to_fs(url)
        except ValueError as error:
            raise InvalidArgument(f"{quote_text(url)}: {error}") from error
        self._root = self._root.rstrip("/")
        protocols = self._fs.protocol
        self._appears_whole = not _APPEARS_WHOLE.isdisjoint(
            (protocols,) if isinstance(protocols, str) else protocols
        )

    def path(self, name: str) -> str:
        """Return the URL of a file."""
        return f"{self.where.rstrip('/')}/{name}"

    def open(self, name: str) -> BinaryIO:
        """Open a file to read."""
        file: BinaryIO = self._fs.open(self._path(name), "rb")
        return file

    def write(self, name: str, content: bytes) -> None:
        """Make or replace a file."""
        self._publish(name, lambda path: self._fs.pipe_file(path, content))

    def put(self, name: str, path: str) -> None:
        """Make or replace a file with the content of a file of this machine."""
        self._publish(name, lambda target: self._fs.put_file(path, target))

    def remove(self, name: str) -> None:
        """Remove a file; it need not be there."""
        with contextlib.suppress(FileNotFoundError):
            self._fs.rm_file(self._path(name))

    def touch(self, name: str) -> None:
        """Do nothing: stores have no such call, and to copy a file for it would cost too much."""

    def files(self) -> Iterator[PlaceFile]:
        """List all files."""
        self._fs.invalidate_cache()
        found: dict[str, dict[str, Any]] = self._fs.find(self._root, detail=True)
        for path, info in found.items():
            yield PlaceFile(posixpath.relpath(path, self._root), int(info["size"] or 0), _used(info))

    def locked(self, name: str, check: Callable[[], None]) -> AbstractContextManager[None]:
        """Return a context that does not wait."""
        check()
        return contextlib.nullcontext()

    def remove_lock(self, name: str) -> None:
        """Do nothing: there are no locks."""

    def clean(self) -> None:
        """Remove temporary files that are older than a day, as nobody is still writing them."""
        for file in self.files():
            if file.name.endswith(TEMPORARY_SUFFIX) and 0 < file.used < time.time() - 86400:
                self.remove(file.name)

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def _publish(self, name: str, write: Callable[[str], object]) -> None:
        path = self._path(name)
        self._fs.makedirs(posixpath.dirname(path), exist_ok=True)
        if self._appears_whole:
            write(path)
            return
        temporary = f"{path}.{os.urandom(8).hex()}{TEMPORARY_SUFFIX}"
        try:
            write(temporary)
            self._fs.mv(temporary, path)
        except BaseException:
            with contextlib.suppress(Exception):  # the first error is the one to tell
                self._fs.rm_file(temporary)
            raise


def _used(info: dict[str, Any]) -> float:
    """Return when a file was made, under the names that the file systems of fsspec have for it."""
    for name in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(name)
        if isinstance(value, (int, float)):
            return float(value)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
    return 0.0


def write_all(file: Any, data: bytes) -> None:
    """Write all of the bytes to an unbuffered file, which may take fewer at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
