"""A directory that an overlay changed, as a layer tar: OCI whiteouts, xattrs, hard links, opaque directories.

Source: OCI image-spec, layer.md; Linux, Documentation/filesystems/overlayfs.rst; containerd pkg/archive (ChangeWriter).
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import tarfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Protocol

from ..errdefs import DataLoss, InvalidArgument
from ..media_types import OCI_LAYER, OCI_LAYER_GZIP, OCI_LAYER_ZSTD

_COPY_BYTES = 1 << 20
_END = bytes(2 * tarfile.BLOCKSIZE)
_OPAQUE = "trusted.overlay.opaque"
_WHITEOUT_PREFIX = ".wh."
_OPAQUE_MARKER = ".wh..wh..opq"
# Of the overlay and of the host's policy: no part of a layer.
_HOST_XATTRS = ("trusted.", "security.selinux", "security.ima", "security.evm")
_GZIP_WINDOW = 16 + zlib.MAX_WBITS


class Compressor(Protocol):
    """What zlib and zstandard have in common."""

    def compress(self, data: bytes, /) -> bytes:
        """Take data; return what is ready of the compressed form."""

    def flush(self) -> bytes:
        """Return the rest."""


class _Plain:
    def compress(self, data: bytes, /) -> bytes:
        return data

    def flush(self) -> bytes:
        return b""


def _gzip() -> Compressor:
    return zlib.compressobj(wbits=_GZIP_WINDOW)


def _zstd() -> Compressor:
    import zstandard

    return zstandard.ZstdCompressor(write_checksum=True).compressobj()


COMPRESSORS: dict[str, Callable[[], Compressor]] = {
    OCI_LAYER: _Plain,
    OCI_LAYER_GZIP: _gzip,
    OCI_LAYER_ZSTD: _zstd,
}


class LayerStream:
    """A layer blob made of a directory, piece by piece.

    Args:
        directory: the upper directory of an overlay, or a whole tree.
        media_type: of the blob: an OCI layer, plain, +gzip or +zstd.
        latest: times after this one are written as this one; in nanoseconds since 1970, None for no limit.

    Attributes:
        diff_id: digest of the plain tar, once all pieces were taken.
        size: of the plain tar in bytes, once all pieces were taken.

    Raises:
        InvalidArgument: another media type.
    """

    def __init__(self, directory: str, media_type: str = OCI_LAYER, latest: int | None = None) -> None:
        make = COMPRESSORS.get(media_type)
        if make is None:
            known = ", ".join(COMPRESSORS)
            raise InvalidArgument(f"media type {media_type!r} of a diff must be one of {known}")
        self._compressor = make()
        self._directory = directory
        self._latest = latest
        self.diff_id = ""
        self.size = 0

    def __iter__(self) -> Iterator[bytes]:
        """Give the blob; OSError if the directory cannot be read, DataLoss if a file changes under the reader."""
        digest = hashlib.sha256()
        for piece in layer_tar(self._directory, self._latest):
            digest.update(piece)
            self.size += len(piece)
            if compressed := self._compressor.compress(piece):
                yield compressed
        if rest := self._compressor.flush():
            yield rest
        self.diff_id = f"sha256:{digest.hexdigest()}"


class PiecesReader:
    """Pieces of bytes as a binary file object, for a conversion."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self._pieces = iter(pieces)
        self._rest = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        while not self._rest:
            piece = next(self._pieces, None)
            if piece is None:
                return b""
            self._rest = memoryview(piece)
        taken, self._rest = bytes(self._rest[:size]), self._rest[size:]
        return taken


def layer_tar(directory: str, latest: int | None = None) -> Iterator[bytes]:
    """Give the plain tar of a directory, its names sorted, without the directory itself.

    Args:
        directory: as in LayerStream.
        latest: as in LayerStream.
    """
    links: dict[tuple[int, int], str] = {}
    for path, name in _walk(directory):
        status = os.lstat(path)
        if stat.S_ISSOCK(status.st_mode):
            continue
        if stat.S_ISCHR(status.st_mode) and status.st_rdev == 0:
            above, last = os.path.split(name)
            yield _marker(os.path.join(above, _WHITEOUT_PREFIX + last))
            continue
        yield from _entry(path, name, status, links, latest)
        if stat.S_ISDIR(status.st_mode) and _xattr(path, _OPAQUE) == b"y":
            yield _marker(os.path.join(name, _OPAQUE_MARKER))
    yield _END


def _walk(top: str) -> Iterator[tuple[str, str]]:
    """Give path and name of all that is below, a directory before what is in it."""
    pending = [""]
    while pending:
        above = pending.pop()
        names = sorted(os.listdir(os.path.join(top, above)), reverse=True)
        found = [os.path.join(above, name) for name in names]
        if above:
            yield os.path.join(top, above), above
        pending += [name for name in found if _is_directory(os.path.join(top, name))]
        for name in reversed(found):
            if not _is_directory(os.path.join(top, name)):
                yield os.path.join(top, name), name


def _is_directory(path: str) -> bool:
    return stat.S_ISDIR(os.lstat(path).st_mode)


def _entry(
    path: str, name: str, status: os.stat_result, links: dict[tuple[int, int], str], latest: int | None
) -> Iterator[bytes]:
    info = tarfile.TarInfo(name)
    info.mode = stat.S_IMODE(status.st_mode)
    info.uid, info.gid = status.st_uid, status.st_gid
    time_ns = status.st_mtime_ns if latest is None else min(status.st_mtime_ns, latest)
    info.mtime = time_ns // 10**9
    headers = {"mtime": _decimal(time_ns)} if time_ns % 10**9 else {}
    info.pax_headers = headers
    file_type = stat.S_IFMT(status.st_mode)
    if file_type == stat.S_IFDIR:
        info.type, info.name = tarfile.DIRTYPE, name + "/"
    elif status.st_nlink > 1 and (status.st_dev, status.st_ino) in links:
        info.type, info.linkname = tarfile.LNKTYPE, links[status.st_dev, status.st_ino]
        yield _header(info)
        return
    elif file_type == stat.S_IFLNK:
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(path)
    elif file_type in _DEVICES:
        info.type = _DEVICES[file_type]
        info.devmajor, info.devminor = os.major(status.st_rdev), os.minor(status.st_rdev)
    else:
        info.size = status.st_size
    if file_type != stat.S_IFDIR:
        links[status.st_dev, status.st_ino] = name
    for xattr in _xattrs(path):
        headers[f"SCHILY.xattr.{xattr}"] = _text(_xattr(path, xattr) or b"")
    yield _header(info)
    if info.isreg():
        yield from _data(path, name, info.size)


_DEVICES = {stat.S_IFCHR: tarfile.CHRTYPE, stat.S_IFBLK: tarfile.BLKTYPE, stat.S_IFIFO: tarfile.FIFOTYPE}


def _data(path: str, name: str, size: int) -> Iterator[bytes]:
    left = size
    with open(path, "rb", buffering=0) as file:
        while left:
            piece = file.read(min(left, _COPY_BYTES))
            if not piece:
                raise DataLoss(
                    f"{name!r} became shorter while it was read: {left} of {size} bytes are missing"
                )
            left -= len(piece)
            yield piece
    if size % tarfile.BLOCKSIZE:
        yield bytes(-size % tarfile.BLOCKSIZE)


def _marker(name: str) -> bytes:
    """An empty file whose name is its meaning; without a time, as in containerd since 2.0."""
    info = tarfile.TarInfo(name)
    info.mode = 0
    return _header(info)


def _header(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


def _xattrs(path: str) -> list[str]:
    try:
        names = os.listxattr(path, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENOTSUP, errno.EPERM):
            return []
        raise
    return sorted(name for name in names if not name.startswith(_HOST_XATTRS))


def _xattr(path: str, name: str) -> bytes | None:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        if error.errno in (errno.ENODATA, errno.ENOTSUP, errno.EPERM):
            return None
        raise


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")


def _decimal(time_ns: int) -> str:
    """Seconds with nine digits after the point; the sign is that of the whole number."""
    seconds, nanoseconds = divmod(abs(time_ns), 10**9)
    return f"{'-' if time_ns < 0 else ''}{seconds}.{nanoseconds:09d}"
