"""What a conversion has to tell: where hcsshim is known to be wrong, and what became of it here."""

from __future__ import annotations

from ._record import Record


class Finding(Record):
    """A place where hcsshim is known to write wrong data, or to refuse a valid layer.

    Attributes:
        code: of the fault, as docs/format.md lists them ("B3").
        entry: name of the tar entry (UTF-8 with surrogateescape); empty for the layer as a whole. A long one is cut.
        offset: byte offset of the entry's first header in the tar.
        message: what the fault is.
        identical: True where the bytes written are hcsshim's all the same.
        count: how many findings it stands for: 1, or more for the last of a code that many entries have.
    """

    _fields = ("code", "entry", "offset", "message", "identical", "count")
    __slots__ = _fields

    code: str
    entry: str
    offset: int
    message: str
    identical: bool
    count: int

    def __init__(
        self, *, code: str, entry: str, offset: int, message: str, identical: bool, count: int = 1
    ) -> None:
        self._fill(code=code, entry=entry, offset=offset, message=message, identical=identical, count=count)
