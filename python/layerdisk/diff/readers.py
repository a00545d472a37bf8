"""Readers that can be left: when the work is not wanted any more, also while the reader under them blocks."""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable
from io import BufferedReader, BytesIO, FileIO
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any

from ..errdefs import Canceled, ResourceExhausted
from ..io import Readable

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

    from ..content import ContentReader

_LOOK_SECONDS = 0.1
_CLOSE_SECONDS = 0.1  # for a read that is under way when its reader is closed


class CancelableTar:
    """A reader that asks at each read whether the work is still wanted.

    Args:
        reader: what to read from.
        check: raises Canceled to end it.
    """

    def __init__(self, reader: Readable, check: Callable[[], None]) -> None:
        self._reader = self.reads_from = reader
        self._check = check
        readinto = getattr(reader, "readinto", None)
        if readinto is not None:
            self.readinto = self._asking(readinto)

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none at the end."""
        self._check()
        return self._reader.read(size)

    def _asking(self, readinto: Callable[[Any], int | None]) -> Callable[[Any], int | None]:
        def asked(buffer: WriteableBuffer, /) -> int | None:
            self._check()
            return readinto(buffer)

        return asked


def may_hang(reader: object) -> bool:
    """Tell whether reading may take as long as somebody else likes: from all but memory and regular files."""
    if type(reader) is BytesIO:
        return False
    if type(reader) is FileIO or type(reader) is BufferedReader:
        try:
            return not stat.S_ISREG(os.fstat(reader.fileno()).st_mode)
        except (OSError, ValueError):  # closed, or a reader over something else
            return True
    return True


class AbandonableReader:
    """A reader that can be left while the reader under it blocks: a thread of its own reads from that one.

    Args:
        reader: what to read from and to close; only that thread does.
        check: called at least every 0.1 s while `read` waits; raises Canceled to end it.

    Raises:
        ResourceExhausted: no thread can be started.
    """

    def __init__(self, reader: ContentReader, check: Callable[[], None]) -> None:
        self._reader = reader
        self._check = check
        self._is_closed = False
        self._close_error: BaseException | None = None
        self._wanted: SimpleQueue[int | None] = SimpleQueue()
        self._pieces: SimpleQueue[bytes | BaseException | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._serve, name="layerdisk blob", daemon=True)
        try:
            self._thread.start()
        except RuntimeError as error:
            raise ResourceExhausted(f"reading the blob: {error}") from error

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none at the end."""
        self._check()
        self._wanted.put(size)
        while True:
            try:
                piece = self._pieces.get(timeout=_LOOK_SECONDS)
            except Empty:
                self._check()
                if self._is_closed:
                    raise Canceled("the blob was closed") from None
                continue
            if isinstance(piece, BaseException):
                raise piece
            return piece

    def close(self) -> None:
        """Close the reader under it; while that blocks, it is left to be closed after that."""
        self._is_closed = True
        self._wanted.put(None)
        self._thread.join(_CLOSE_SECONDS)
        if self._close_error is not None:
            raise self._close_error

    def _serve(self) -> None:
        while (size := self._wanted.get()) is not None:
            try:
                self._pieces.put(self._reader.read(size))
            except BaseException as error:
                self._pieces.put(error)
        try:
            self._reader.close()
        except BaseException as error:
            self._close_error = error
