"""The layer tar as a stream of entries: bytes in, entries and their data out; twin of rust/core/src/tar.

Reads as Go's archive/tar does (USTAR, PAX, GNU, STAR, V7; sparse files in all four forms); docs/format.md gives the
rules. Knows no file system.
"""

from __future__ import annotations

import enum

from ...errdefs import ConversionError, InvalidTar, TruncatedTar
from ..faults import Fault
from ..stream import Input
from . import map as maps
from .block import BLOCK_LEN, ZERO_BLOCK, text
from .header import Header
from .pax import Records, SparseForm
from .sparse import Sparse
from .stream import Stream

# A piece of an entry's data: bytes, or the length of a hole.
Content = memoryview | int

# Longest body of an extended header or long name in bytes. Source: Go, archive/tar.
_MAX_META_LEN = 1 << 20


class CutEnd(enum.Enum):
    """What becomes of an archive that ends inside an entry's padding or after an extended header (B24)."""

    ACCEPTED = enum.auto()
    REFUSED = enum.auto()


class Entry(Header):
    """One entry: what its headers come to; a size is that of the content.

    Attributes:
        offset: of its first header block.
        xattrs: by full name, sorted.
        global_unstable: a global header to which hcsshim gives a random name (N4).
    """

    __slots__ = ("global_unstable", "offset", "xattrs")

    offset: int
    xattrs: list[tuple[bytes, bytes]]
    global_unstable: bool


class Reader(Stream):
    """Reads entries from chunks.

    Args:
        read_chunk: where the archive comes from.
        cut_end: whether such an archive is one.
    """

    def __init__(self, read_chunk: Input, cut_end: CutEnd) -> None:
        super().__init__(read_chunk)
        self._cut_end = cut_end
        self._left = 0
        self._padding = 0
        self._sparse: Sparse | None = None
        self._ended = False
        self._without_marker = False

    def ended_without_marker(self) -> bool:
        """Whether the stream ended between entries, or after one of the two zero blocks of the end marker."""
        return self._without_marker

    def has_trailing_data(self) -> bool:
        """Tell whether anything but zeros follows the end of the archive; read the stream to its end."""
        return self._rest_has_data()

    def next_entry(self) -> Entry | None:
        """Return the next entry; what is left of the current one's data is skipped."""
        start: int | None = None
        records: Records | None = None
        name = linkname = b""
        while True:
            found = self._next_header(start)
            if found is None:
                return None
            offset, block = found
            if start is None:
                start = offset
            try:
                header = Entry(block)
                self._set_stored_size(header)
                typeflag = header.typeflag
                if typeflag in b"xgLK" and typeflag:
                    if typeflag == 0x4C:
                        name = text(self._meta_body("long name"))
                    elif typeflag == 0x4B:
                        linkname = text(self._meta_body("long link"))
                    else:
                        parsed = Records.parse(self._meta_body("extended header"))
                        if typeflag == 0x67:
                            return _global_entry(header, parsed, offset)
                        records = parsed
                    continue
                if records:
                    records.apply(header)
                if name:
                    header.name = name
                if linkname:
                    header.linkname = linkname
                if not typeflag:
                    header.normalise_type()
                self._set_stored_size(header)
                if records or typeflag == 0x53:
                    self._read_sparse_map(header, records, block)
            except ConversionError as error:
                if error.offset is None:
                    error.offset = offset
                    error.args = (error.message, error.entry, offset, error.code)
                raise
            header.offset = start
            header.xattrs = records.xattrs() if records else []
            header.global_unstable = False
            if 0x31 <= header.typeflag <= 0x36:
                header.size = 0
            return header

    def data(self) -> Content | None:
        """Return the next piece of the content: bytes, or the length of a hole; None at its end.

        The bytes are valid until the next call of the reader.
        """
        want = self._left
        sparse = self._sparse
        if sparse is not None:
            piece = sparse.next(want)
            if piece is None:
                return None
            is_hole, length = piece
            if is_hole:
                return length
            want = min(length, want)
        elif not want:
            return None
        available = min(self._available(), want)
        if not available:
            raise _ends_in_data(self._left)
        self._left -= available
        if sparse is not None:
            sparse.advance(available)
        start = self._at
        self._at = start + available
        return self._chunk[start : start + available]

    def _next_header(self, pending: int | None) -> tuple[int, bytes] | None:
        """Return the next header block that is not zero, and its offset; None at the end of the archive."""
        if self._ended:
            return None
        self._skip_entry()
        if self._ended:
            self._end(pending)
            return None
        offset = self._before + self._at
        block = self._read(BLOCK_LEN)
        if len(block) < BLOCK_LEN:
            if block:
                raise _cut_header(len(block), offset)
            self._without_marker = True
            self._end(pending)
            return None
        if block != ZERO_BLOCK:
            return offset, block
        block = self._read(BLOCK_LEN)
        if not block:
            self._without_marker = True
        elif len(block) < BLOCK_LEN:
            raise _cut_header(len(block), offset + BLOCK_LEN)
        elif block != ZERO_BLOCK:
            raise InvalidTar(
                "a block of zeros is followed by one that is not zero: two end an archive", None, offset
            )
        self._end(pending)
        return None

    def _end(self, pending: int | None) -> None:
        self._ended = True
        if pending is not None and self._cut_end is CutEnd.REFUSED:
            raise TruncatedTar(
                "the archive ends after an extended header, before the entry that it is for",
                None,
                pending,
                Fault.B24CutHeaders.code,
            )

    def _skip_entry(self) -> None:
        self._sparse = None
        left, padding = self._left, self._padding
        self._left = self._padding = 0
        at = self._at + left + padding
        if at <= self._length:
            self._at = at
            return
        skipped = self._skip(left)
        if skipped < left:
            error = _ends_in_data(left - skipped)
            raise TruncatedTar(error.message, None, self.position())
        skipped = self._skip(padding)
        if skipped < padding:
            self._ended = True
            if self._cut_end is CutEnd.REFUSED:
                raise TruncatedTar(
                    f"the archive ends in the padding after data, {padding - skipped} bytes short",
                    None,
                    self.position(),
                    Fault.B24CutPadding.code,
                )

    def _set_stored_size(self, header: Header) -> None:
        size = 0 if header.is_header_only else header.size
        if size < 0:
            raise InvalidTar(f"the size is {size}, less than 0")
        self._left = size
        self._padding = -size % BLOCK_LEN

    def _meta_body(self, what: str) -> bytes:
        left = self._left
        self._left = 0
        if left > _MAX_META_LEN:
            if self._skip(_MAX_META_LEN + 1) > _MAX_META_LEN:
                raise InvalidTar(f"the {what} has {left} bytes, at most {_MAX_META_LEN} are allowed")
            raise TruncatedTar(f"the archive ends in the {what}")
        body = self._read(left)
        if len(body) < left:
            raise TruncatedTar(f"the archive ends in the {what}")
        return body

    def _read_sparse_map(self, header: Header, records: Records | None, block: bytes) -> None:
        if header.typeflag == 0x53:
            found = maps.old_gnu(header, block, self._block)
        else:
            form = records.sparse(header) if records else SparseForm.NONE
            if form is SparseForm.NONE:
                return
            found = maps.in_data(self._data_block) if isinstance(form, SparseForm) else form
        self._sparse = Sparse(found, header)

    def _data_block(self) -> bytes:
        if self._left < BLOCK_LEN:
            raise TruncatedTar("the data ends in the sparse map")
        self._left -= BLOCK_LEN
        return self._block()


def _global_entry(header: Entry, records: Records, offset: int) -> Entry:
    """Return a `g` header: only its name and its own records count."""
    path = records.get(b"path")
    try:
        records.apply(header.copy())
        valid = True
    except InvalidTar:
        valid = False
    header.linkname = b""
    header.size = header.mode = header.uid = header.gid = header.devmajor = header.devminor = 0
    header.mtime = header.atime = header.ctime = None
    header.offset = offset
    header.xattrs = records.xattrs() if valid else []
    header.name = path or header.name
    header.global_unstable = bool(path) and not valid
    return header


def _ends_in_data(missing: int) -> TruncatedTar:
    return TruncatedTar(f"the archive ends in the entry's data, {missing} bytes short")


def _cut_header(length: int, offset: int) -> TruncatedTar:
    return TruncatedTar(f"the archive ends in a header, after {length} of {BLOCK_LEN} bytes", None, offset)
