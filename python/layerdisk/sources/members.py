"""The members of a tar archive, found once and then read in place.

Source: POSIX pax; docker and OCI archives, which hold blobs as plain members.
"""

from __future__ import annotations

import io
import os
import posixpath
import tarfile
import threading
from typing import Any

from ..errdefs import InvalidArgument, NotFound, TruncatedStream
from ..names import quote_text
from .document import MAX_DOCUMENT_BYTES, check_size

_MAX_MEMBERS = 100_000
_MAX_HEADER_BYTES = 1024 * 1024  # of one pax record or long name
_MAX_HOPS = 10  # of a link to a link


class Members:
    """The regular files of an archive by name, links followed.

    Args:
        file: the archive, plain and seekable; closed with this.
        where: what the archive is called, for messages.

    Raises:
        InvalidArgument: not a tar archive, or one with too many members.
        TruncatedStream: a member goes on after the end of the archive.
    """

    def __init__(self, file: io.FileIO, where: str) -> None:
        self.where = where
        self._file = file
        self._guard = threading.Lock()  # for systems without positional reads
        self._places: dict[str, tuple[int, int]] = {}
        self._links: dict[str, str] = {}
        self._scan()

    def close(self) -> None:
        """Close the archive; windows that were opened can still be read."""
        self._file.close()

    def find(self, name: str) -> tuple[int, int] | None:
        """Return offset and size in bytes of a member, None if it is not there."""
        for _ in range(_MAX_HOPS):
            if name in self._places:
                return self._places[name]
            if name not in self._links:
                return None
            name = self._links[name]
        return None

    def open(self, name: str) -> Window:
        """Return a reader of a member; NotFound if it is not there."""
        return self.window(*self._place(name))

    def window(self, offset: int, size: int) -> Window:
        """Return a reader of a part of the archive."""
        return Window(self._file, self._guard, offset, size)

    def read(self, name: str) -> bytes:
        """Return a document of the archive; InvalidArgument if it is too large, NotFound if it is not there."""
        _, size = self._place(name)
        check_size(f"{self.where}: {name}", size)
        with self.open(name) as window:
            return b"".join(iter(lambda: window.read(MAX_DOCUMENT_BYTES), b""))

    def _place(self, name: str) -> tuple[int, int]:
        place = self.find(name)
        if place is None:
            raise NotFound(f"{self.where} has no member {quote_text(name)}")
        return place

    def _scan(self) -> None:
        size = self._file.seek(0, os.SEEK_END)
        self._file.seek(0)
        try:
            with tarfile.open(fileobj=_bounded(self._file), mode="r:", errorlevel=2) as archive:
                members: Any = archive
                for count, member in enumerate(archive):
                    if count == _MAX_MEMBERS:
                        raise InvalidArgument(f"{self.where} has more than {_MAX_MEMBERS} members")
                    members.members = []  # else it keeps all of them
                    self._take(member, size)
        except (tarfile.TarError, ValueError, OverflowError, RecursionError, EOFError) as error:
            if isinstance(error, (InvalidArgument, TruncatedStream)):
                raise
            raise InvalidArgument(f"{self.where} is not a tar archive: {error}") from error

    def _take(self, member: tarfile.TarInfo, size: int) -> None:
        name = _inside(member.name)
        self._places.pop(name, None)  # the last of a name counts
        self._links.pop(name, None)
        if member.issym():
            self._links[name] = _inside(posixpath.join(posixpath.dirname(name), member.linkname))
        elif member.islnk():
            self._links[name] = _inside(member.linkname)
        elif member.isreg() and not member.issparse():
            end = member.offset_data + member.size
            if end > size:
                raise TruncatedStream(
                    f"{self.where} ends at byte {size}, and {quote_text(name)} goes on to byte {end}"
                )
            self._places[name] = (member.offset_data, member.size)


def _inside(name: str) -> str:
    """Return a name relative to the archive's root, without what leads out of it."""
    return posixpath.normpath("/" + name).lstrip("/")


class Window:
    """A reader of a part of a file, as a context manager that closes it; any number may be read at once.

    Args:
        file: duplicated, so that it may be closed meanwhile.
        guard: taken around seek and read on systems without positional reads.
        offset: in bytes.
        size: in bytes.
    """

    def __init__(self, file: io.FileIO, guard: threading.Lock, offset: int, size: int) -> None:
        self._file = io.FileIO(os.dup(file.fileno()))
        self._guard = guard
        self._offset = offset
        self._left = size

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end.

        Raises:
            TruncatedStream: the file has become shorter.
        """
        wanted = min(size, self._left)
        if wanted <= 0:
            return b""
        if hasattr(os, "pread"):
            piece = os.pread(self._file.fileno(), wanted, self._offset)
        else:
            with self._guard:
                self._file.seek(self._offset)
                piece = self._file.read(wanted) or b""
        if not piece:
            raise TruncatedStream(
                f"the archive ends at byte {self._offset}, {self._left} bytes before its member"
            )
        self._offset += len(piece)
        self._left -= len(piece)
        return piece

    def close(self) -> None:
        """Close the reader."""
        self._file.close()


def _bounded(file: io.FileIO) -> Any:
    return _Bounded(file)


class _Bounded:
    """A file that is not read in large pieces: headers that claim a large size end the search."""

    def __init__(self, file: io.FileIO) -> None:
        self._file = file

    def read(self, size: int = -1, /) -> bytes:
        if not 0 <= size <= _MAX_HEADER_BYTES:
            raise InvalidArgument(
                f"a header has {size} bytes, and must not have more than {_MAX_HEADER_BYTES}"
            )
        return self._file.read(size) or b""

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()
