"""Archives as plain, seekable files: opened in place, or spooled where they are compressed or a pipe."""

from __future__ import annotations

import io
import os
import stat
import sys
import tempfile

from ..decompress import decompress, detect
from ..errdefs import InvalidArgument, NotFound, ResourceExhausted, from_os_error
from ..io import Readable

STANDARD_INPUT = "-"
MAX_SPOOL_BYTES = 64 * 1024**3
_PIECE_BYTES = 1024 * 1024
_PEEK_BYTES = 10


def open_archive(path: str, max_spool_bytes: int = MAX_SPOOL_BYTES) -> io.FileIO:
    """Return an archive as a plain file that can seek.

    A plain archive is read in place. One that is compressed with gzip or zstd, and one that cannot seek, is copied to
    a temporary file without a name, in the directory of TMPDIR.

    Args:
        path: of the archive, "-" for standard input.
        max_spool_bytes: how large the temporary file may grow.

    Raises:
        NotFound: there is no such file.
        InvalidArgument: it is a directory or a device.
        ResourceExhausted: it is larger than allowed, or the disk is full.
        DataLoss: the compressed archive is damaged.
    """
    try:
        file = _opened(path)
        if _is_in_place(file):
            return file
        with file:
            return _spooled(path, file, max_spool_bytes)
    except FileNotFoundError as error:
        raise NotFound(f"no such archive: {path}") from error
    except OSError as error:
        raise from_os_error(error, f"cannot read the archive {path}") from error


def _opened(path: str) -> io.FileIO:
    if path == STANDARD_INPUT:
        if sys.stdin is None:
            raise InvalidArgument("standard input is closed")
        return io.FileIO(os.dup(sys.stdin.fileno()))
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISFIFO(mode):
        raise InvalidArgument(f"{path} is not a file")
    return io.FileIO(path)


def _is_in_place(file: io.FileIO) -> bool:
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode) or file.tell() != 0:
        return False
    start = file.read(_PEEK_BYTES) or b""
    file.seek(0)
    return detect(start) is None


def _spooled(path: str, file: Readable, limit: int) -> io.FileIO:
    reader = decompress(file)
    with tempfile.TemporaryFile() as spool:
        size = 0
        while piece := reader.read(_PIECE_BYTES):
            size += len(piece)
            if size > limit:
                raise ResourceExhausted(
                    f"{path} has more than {limit} bytes, which is all that may be spooled"
                )
            spool.write(piece)
        spool.flush()
        spool.seek(0)
        return io.FileIO(os.dup(spool.fileno()), "r")
