"""What a header block says, in any of the formats."""

from __future__ import annotations

import copy

from ...errdefs import InvalidTar
from ..units import Time
from .block import GNU_TAIL, HEADER_BLOCK, POSIX_TAIL, STAR_TAIL, Format, check_sum, format_of, number, text

_V7, _STAR, _GNU = Format.V7, Format.STAR, Format.GNU


class Header:
    """A header's fields."""

    __slots__ = (
        "atime",
        "ctime",
        "devmajor",
        "devminor",
        "format",
        "gid",
        "linkname",
        "mode",
        "mtime",
        "name",
        "size",
        "typeflag",
        "uid",
    )

    def __init__(self, block: bytes) -> None:
        (
            name,
            mode,
            uid,
            gid,
            size,
            mtime,
            checksum,
            typeflag,
            linkname,
            magic,
            version,
            major,
            minor,
            tail,
        ) = HEADER_BLOCK.unpack(block)
        check_sum(block, checksum)
        self.mode = number(mode, "mode")
        self.uid = number(uid, "uid")
        self.gid = number(gid, "gid")
        self.size = number(size, "size")
        self.mtime: Time | None = (number(mtime, "mtime"), 0)
        self.name = text(name)
        self.typeflag: int = typeflag
        self.linkname = text(linkname)
        self.atime: Time | None = None
        self.ctime: Time | None = None
        self.devmajor = self.devminor = 0
        self.format = format = format_of(magic, version, tail)
        if format is _V7:
            return
        self.devmajor = number(major, "devmajor")
        self.devminor = number(minor, "devminor")
        if format is _GNU:
            prefix = self._gnu_times_or_prefix(tail)
        elif format is _STAR:
            prefix, atime, ctime, _ = STAR_TAIL.unpack(tail)
            self.atime = (number(atime, "atime"), 0)
            self.ctime = (number(ctime, "ctime"), 0)
        elif not tail[0]:  # most of them
            return
        else:
            (prefix,) = POSIX_TAIL.unpack(tail)
        prefix = text(prefix)
        if prefix:
            self.name = prefix + b"/" + self.name

    @property
    def is_header_only(self) -> bool:
        """Whether the type has no data, whatever the size says."""
        return 0x31 <= self.typeflag <= 0x36

    def normalise_type(self) -> None:
        """NUL, of old archives, is a regular file, or a directory if the name says so."""
        if not self.typeflag:
            self.typeflag = 0x35 if self.name.endswith(b"/") else 0x30

    def copy(self) -> Header:
        """Return a copy."""
        return copy.copy(self)

    def _gnu_times_or_prefix(self, tail: bytes) -> bytes:
        """GNU keeps times where others keep the prefix; some writers of the GNU format keep a prefix all the same."""
        atime, ctime, _, _, _ = GNU_TAIL.unpack(tail)
        try:
            times = [
                (number(field, name), 0) if field[0] else None
                for field, name in ((atime, "atime"), (ctime, "ctime"))
            ]
        except InvalidTar:
            (prefix,) = POSIX_TAIL.unpack(tail)
            prefix = text(prefix)
            return prefix if prefix.isascii() else b""
        self.atime, self.ctime = times
        return b""
