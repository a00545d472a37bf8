"""zstd streams.

Source: RFC 8878.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from ..errdefs import DataLoss, Internal, InvalidArgument, ResourceExhausted, TruncatedStream
from ..io import Readable
from .stream import INPUT_BYTES, PieceStream, read_piece

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

MAGIC = b"\x28\xb5\x2f\xfd"  # RFC 8878, 3.1.1
SKIPPABLE_MAGIC = 0x184D2A50  # RFC 8878, 3.1.2: the lowest 4 bits are free
MAX_WINDOW_BYTES = 1 << 29  # what containerd's decoder allows; zstandard alone stops at 1 << 27

_MANY_BLOCKS = 64  # in a piece; then they may be tiny

_Read = TypeVar("_Read")


def is_zstd(start: bytes) -> bool:
    """Tell whether a stream that starts with these bytes is zstd's."""
    if start.startswith(MAGIC):
        return True
    # A skippable frame is recognised with its length field only, as in containerd.
    return len(start) >= 8 and int.from_bytes(start[:4], "little") & ~0xF == SKIPPABLE_MAGIC


@functools.cache
def _tiny_blocks() -> re.Pattern[bytes]:
    """Return a pattern for blocks that are not the last, of one repeated byte or of few bytes (RFC 8878, 3.1.1.2)."""
    repeated = b"[%s]..." % b"".join(b"\\x%02x" % (length << 3 | 2) for length in range(32))
    others = [
        b"[\\x%02x\\x%02x]\\0\\0%s" % (length << 3, length << 3 | 4, b"." * length) for length in range(16)
    ]
    return re.compile(b"(?>%s)*+" % b"|".join([*others, repeated]), re.DOTALL)


class ZstdReader(PieceStream):
    """The plain content of a zstd stream.

    Args:
        reader: binary file object with the compressed stream.
        max_window_bytes: largest window that a frame may ask for.

    Source: RFC 8878.
    """

    def __init__(self, reader: Readable, max_window_bytes: int = MAX_WINDOW_BYTES) -> None:
        import zstandard

        if not 1024 <= max_window_bytes <= 1 << 31:
            raise InvalidArgument(f"zstd window limit is {max_window_bytes} bytes: must be 1024 to {1 << 31}")
        self._max_window_bytes = max_window_bytes

        self._error = zstandard.ZstdError
        self.reads_from = reader
        self._walker = ZstdFrameWalker(reader)
        source: Any = self._walker  # of a file it needs `read` only
        self._plain = zstandard.ZstdDecompressor(max_window_size=max_window_bytes).stream_reader(
            source, read_size=INPUT_BYTES, read_across_frames=True, closefd=False
        )

    def readinto(self, buffer: WriteableBuffer, /) -> int:
        """Fill a buffer; return the number of bytes, 0 at the end."""
        if self.closed:
            raise ValueError("read of closed stream")
        with memoryview(buffer).cast("B") as view:
            count = self._checked(lambda: self._plain.readinto(view)) if len(view) else 0
            self._check_end(count or not len(view))
        return count

    def _piece(self, size: int) -> bytes:
        piece = self._checked(lambda: self._plain.read(size))
        self._check_end(piece)
        return piece

    def _checked(self, read: Callable[[], _Read]) -> _Read:
        try:
            return read()
        except self._error as error:
            if "too much memory" in str(error):
                message = f"zstd window is larger than {self._max_window_bytes} bytes: {error}"
                raise ResourceExhausted(message) from error
            raise DataLoss(f"zstd stream is damaged before byte {self._walker.position}: {error}") from error

    def _check_end(self, got: object) -> None:
        if not got and not self._walker.at_end:
            raise Internal(f"zstd library ends at byte {self._walker.position}, before the stream does")


class ZstdFrameWalker:
    """Passes a zstd stream on and follows its frames, so that a cut stream is noticed.

    The library gives short data and no error then. Only headers are looked at, a few bytes in every block.

    Args:
        reader: binary file object with the compressed stream.

    Attributes:
        position: bytes handed on.
        at_end: True after the end of a whole stream.

    Source: RFC 8878, 3.1.
    """

    def __init__(self, reader: Readable) -> None:
        self._reader = reader
        self._field: Callable[[bytes], None] = self._magic  # what reads the next header field
        self._wanted = 4  # its length
        self._partial = b""  # the part of it that has been seen
        self._skip = 0  # bytes between here and that field
        self._has_checksum = False
        self.position = 0
        self.at_end = False

    def read(self, size: int) -> bytes:
        """Return up to `size` bytes of the compressed stream.

        Raises:
            TruncatedStream: the stream ends inside a frame.
            DataLoss: something other than a frame follows one.
        """
        piece = read_piece(self._reader, size)
        if piece:
            self._walk(piece)
        elif self._skip or self._partial or self._field != self._magic:
            raise TruncatedStream(f"zstd stream ends early, at byte {self.position}")
        else:
            self.at_end = True
        return piece

    def _walk(self, piece: bytes) -> None:
        at, end = 0, len(piece)
        while True:
            step = min(self._skip, end - at)
            at += step
            self._skip -= step
            if at == end:
                break
            if self._field == self._block_header and not self._partial:
                at = self._walk_blocks(piece, at)
                if self._skip or at == end:
                    continue
            # Here is a field, perhaps with its first part in the piece before.
            part = piece[at : at + self._wanted - len(self._partial)]
            at += len(part)
            self._partial += part
            if len(self._partial) == self._wanted:
                field, self._partial = self._partial, b""
                self._at = self.position + at - len(field)
                self._field(field)
        self.position += end

    def _walk_blocks(self, piece: bytes, at: int) -> int:
        """Skip the blocks that are whole in this piece, except the last of a frame; return where the next is.

        The same as `_block_header`, several times as fast; where blocks are tiny, a hundred times.
        """
        last_header = len(piece) - 3
        blocks = 0
        while at <= last_header:
            header = piece[at] | piece[at + 1] << 8 | piece[at + 2] << 16
            if header & 1:
                return at
            at += 4 if header & 6 == 2 else 3 + (header >> 3)
            blocks += 1
            if blocks % _MANY_BLOCKS == 0 and (run := _tiny_blocks().match(piece, at)):
                at = run.end()
        if at > len(piece):
            self._skip = at - len(piece)
            return len(piece)
        return at

    def _expect(self, field: Callable[[bytes], None], length: int, *, skip: int = 0) -> None:
        self._field, self._wanted, self._skip = field, length, skip

    def _magic(self, field: bytes) -> None:
        if field == MAGIC:
            self._expect(self._frame_header_descriptor, 1)
        elif int.from_bytes(field, "little") & ~0xF == SKIPPABLE_MAGIC:
            self._expect(self._skippable_length, 4)
        else:
            raise DataLoss(
                f"zstd stream: bytes {field.hex(' ')} at byte {self._at} do not start a frame (28 b5 2f fd)"
            )

    def _skippable_length(self, field: bytes) -> None:
        self._expect(self._magic, 4, skip=int.from_bytes(field, "little"))

    def _frame_header_descriptor(self, field: bytes) -> None:
        descriptor = field[0]
        single_segment = descriptor >> 5 & 1
        self._has_checksum = bool(descriptor >> 2 & 1)
        window = 1 - single_segment
        dictionary_id = (0, 1, 2, 4)[descriptor & 3]
        content_size = (single_segment, 2, 4, 8)[descriptor >> 6]
        self._expect(self._block_header, 3, skip=window + dictionary_id + content_size)

    def _block_header(self, field: bytes) -> None:
        header = int.from_bytes(field, "little")
        is_last, kind, size = header & 1, header >> 1 & 3, header >> 3
        content = 1 if kind == 1 else size  # kind 1 is one byte, repeated `size` times
        if not is_last:
            self._expect(self._block_header, 3, skip=content)
        else:
            self._expect(self._magic, 4, skip=content + (4 if self._has_checksum else 0))
