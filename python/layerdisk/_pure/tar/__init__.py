"""The layer tar as a stream of entries: bytes in, entries and their data out; twin of rust/core/src/tar.

Reads as Go's archive/tar does (USTAR, PAX, GNU, STAR, V7; sparse files in all four forms); docs/format.md gives the
rules. Knows no file system.
"""

from __future__ import annotations

from collections.abc import Callable

from ...errdefs import ConversionError, InvalidTar, TruncatedTar
from ..faults import Fault
from .header import BLOCK_LEN, ZERO_BLOCK, Header, text
from .pax import Records, parse_records
from .sparse import Sparse, map_in_data, old_gnu_map

Time = tuple[int, int]
Buffer = bytes | bytearray | memoryview
Content = memoryview | int

# Longest body of an extended header or long name in bytes. Source: Go, archive/tar.
_MAX_META_LEN = 1 << 20
_XATTR_PREFIX = b"SCHILY.xattr."


class Entry:
    """One entry; the fields are those of the Rust core's."""

    __slots__ = (
        "atime",
        "ctime",
        "devmajor",
        "devminor",
        "gid",
        "global_unstable",
        "linkname",
        "mode",
        "mtime",
        "name",
        "offset",
        "size",
        "typeflag",
        "uid",
        "xattrs",
    )

    def __init__(self, header: Header, xattrs: list[tuple[bytes, bytes]], offset: int) -> None:
        self.name = header.name
        self.linkname = header.linkname
        self.typeflag = header.typeflag
        self.size = 0 if header.is_header_only else header.size
        self.mode = header.mode
        self.uid = header.uid
        self.gid = header.gid
        self.mtime: Time | None = header.mtime
        self.atime = header.atime
        self.ctime = header.ctime
        self.devmajor = header.devmajor
        self.devminor = header.devminor
        self.xattrs = xattrs
        self.offset = offset
        self.global_unstable = False


class Reader:
    """Reads entries from chunks.

    Args:
        read_chunk: gives the next chunk, never an empty one; None at the end, and ever after.
        strict_end: refuse a stream that ends inside an entry's padding or behind an extended header (B24).
    """

    def __init__(self, read_chunk: Callable[[], Buffer | None], strict_end: bool) -> None:
        self._read_chunk = read_chunk
        self._strict_end = strict_end
        self._chunk = memoryview(b"")
        self._at = 0
        self._length = 0
        self._before = 0  # bytes of the stream before the chunk
        self._left = 0
        self._padding = 0
        self._sparse: Sparse | None = None
        self._ended = False
        self._without_marker = False

    def position(self) -> int:
        """Bytes taken from the stream so far."""
        return self._before + self._at

    def ended_without_marker(self) -> bool:
        """Whether the stream ended between entries, or after one of the two zero blocks of the end marker."""
        return self._without_marker

    def next_entry(self) -> Entry | None:
        """Give the next entry; what is left of the current one's data is skipped."""
        start: int | None = None
        records: Records = {}
        name = linkname = b""
        while True:
            found = self._next_header(start)
            if found is None:
                return None
            offset, block = found
            if start is None:
                start = offset
            try:
                header = Header(block)
                self._set_stored_size(header)
                typeflag = header.typeflag
                if typeflag in b"xgLK" and typeflag:
                    if typeflag == 0x4C:
                        name = text(self._meta_body("long name"))
                    elif typeflag == 0x4B:
                        linkname = text(self._meta_body("long link"))
                    else:
                        parsed = parse_records(self._meta_body("extended header"))
                        if typeflag == 0x67:
                            return _global_entry(header, parsed, offset)
                        records = parsed
                    continue
                if records:
                    header.apply(records)
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
            return Entry(header, _xattrs(records) if records else [], start)

    def data(self) -> Content | None:
        """Give the next piece of the content: bytes, or the length of a hole; None at its end.

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
        """Give the next header block that is not zero, and its offset; None at the end of the archive."""
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
        if pending is not None and self._strict_end:
            raise TruncatedTar(
                "the archive ends behind an extended header, before the entry that it is for",
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
            if self._strict_end:
                raise TruncatedTar(
                    f"the archive ends in the padding behind data, {padding - skipped} bytes short",
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

    def _read_sparse_map(self, header: Header, records: Records, block: bytes) -> None:
        if header.typeflag == 0x53:
            fragments = old_gnu_map(header, block, self._block)
        else:
            form = header.sparse_form(records)
            if form is None:
                return
            fragments = map_in_data(self._data_block) if isinstance(form, str) else form
        self._sparse = Sparse(fragments, header)

    def _block(self) -> bytes:
        block = self._read(BLOCK_LEN)
        if len(block) < BLOCK_LEN:
            raise TruncatedTar("the archive ends in the sparse map")
        return block

    def _data_block(self) -> bytes:
        if self._left < BLOCK_LEN:
            raise TruncatedTar("the data ends in the sparse map")
        self._left -= BLOCK_LEN
        return self._block()

    def _available(self) -> int:
        """Give the bytes left in the chunk, of the next one where there are none; 0 at the end."""
        left = self._length - self._at
        if left:
            return left
        self._before += self._length
        self._at = self._length = 0
        self._chunk = memoryview(b"")
        chunk = self._read_chunk()
        if chunk is None:
            return 0
        self._chunk = memoryview(chunk)
        self._length = len(self._chunk)
        return self._length

    def _read(self, length: int) -> bytes:
        """Read as far as the stream reaches."""
        at = self._at
        if at + length <= self._length:
            self._at = at + length
            return bytes(self._chunk[at : at + length])
        pieces = []
        while length:
            available = min(self._available(), length)
            if not available:
                break
            pieces.append(bytes(self._chunk[self._at : self._at + available]))
            self._at += available
            length -= available
        return b"".join(pieces)

    def _skip(self, length: int) -> int:
        skipped = 0
        while skipped < length:
            available = min(self._available(), length - skipped)
            if not available:
                break
            self._at += available
            skipped += available
        return skipped


def _global_entry(header: Header, records: Records, offset: int) -> Entry:
    """Give a `g` header: only its name and its own records count."""
    path = records.get(b"path")
    try:
        Header.apply(header.copy(), records)
        valid = True
    except InvalidTar:
        valid = False
    header.linkname = b""
    header.size = header.mode = header.uid = header.gid = header.devmajor = header.devminor = 0
    header.atime = header.ctime = None
    entry = Entry(header, _xattrs(records) if valid else [], offset)
    entry.mtime = None
    entry.name = path or header.name
    entry.global_unstable = bool(path) and not valid
    return entry


def _xattrs(records: Records) -> list[tuple[bytes, bytes]]:
    """Give the extended attributes, sorted by name."""
    length = len(_XATTR_PREFIX)
    return sorted((key[length:], value) for key, value in records.items() if key.startswith(_XATTR_PREFIX))


def _ends_in_data(missing: int) -> TruncatedTar:
    return TruncatedTar(f"the archive ends in the entry's data, {missing} bytes short")


def _cut_header(length: int, offset: int) -> TruncatedTar:
    return TruncatedTar(f"the archive ends in a header, after {length} of {BLOCK_LEN} bytes", None, offset)
