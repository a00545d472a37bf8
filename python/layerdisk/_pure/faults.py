"""The faults of hcsshim, in one table; which of them a conversion reproduces, and what it found of them.

A fault is a place where hcsshim writes wrong data, refuses a valid layer, or where nothing better can be written.
Wherever behaviour forks, the fork names its fault: `faults.reproduces(Fault.B11)`. Codes are those of
docs/format.md, section 6; where hcsshim errs in several ways under one code, there is a row for each.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass


class Report(enum.Enum):
    """What becomes of a layer that has the fault, unless the fault is reproduced."""

    DIFFERS = "finding"  # the image differs from hcsshim's, or hcsshim writes none
    IDENTICAL = "identical"  # a finding, though the bytes are hcsshim's
    REFUSED = "refused"  # the entry is refused, with the fault's code


_DIFFERS, _IDENTICAL, _REFUSED = Report


class Fault(enum.Enum):
    """A row of the table.

    Attributes:
        code: of docs/format.md.
        report: what becomes of a layer that has it.
        text: what a finding says, `{}` being its detail; of a refusal what is wrong.
    """

    B1 = "B1", _DIFFERS, "hcsshim points the extents after the first 340 to wrong blocks"
    B2 = "B2", _DIFFERS, "hcsshim orders the entries of the xattr block so that the kernel misses some"
    B3 = "B3", _DIFFERS, "hcsshim stores a wrong time for {} s"
    B4 = "B4", _DIFFERS, "hcsshim stores a wrong time for {} s"
    B4b = "B4b", _IDENTICAL, "the time {} s is outside of what ext4 can hold: the nearest is stored"
    B5 = "B5", _DIFFERS, "hcsshim stores POSIX ACLs in a form that the kernel refuses"
    B5Malformed = "B5", _REFUSED, "a POSIX ACL is malformed"
    B5OnSymlink = "B5", _DIFFERS, "the POSIX ACL of a symlink is left out: Linux has none there"
    B6 = "B6", _DIFFERS, "hcsshim loses xattrs of the directory after one with an empty stored name"
    B7GlobalHeader = "B7", _DIFFERS, "hcsshim makes a file of a global header"
    B7VolumeLabel = "B7", _DIFFERS, "hcsshim makes a file of a volume label"
    B7DumpDirectory = "B7", _DIFFERS, "hcsshim makes a file of a GNU dump directory"
    B7UnknownType = "B7", _IDENTICAL, "unknown type flag {}: taken as a regular file"
    B8KeptXattrs = "B8", _DIFFERS, "hcsshim keeps xattrs of an earlier entry of this name"
    B8LostMarker = "B8", _DIFFERS, "hcsshim loses the opaque marker that came before this entry"
    B9ChangedType = (
        "B9",
        _DIFFERS,
        "hcsshim refuses to replace a directory with a file or a file with a directory",
    )
    B9ReplacedData = "B9", _DIFFERS, "hcsshim refuses to replace a file with data blocks"
    B9ReplacingLink = "B9", _DIFFERS, "hcsshim refuses a link in place of an earlier entry"
    B9LinkToItself = "B9", _DIFFERS, "hcsshim refuses a link to the name itself"
    B9WhiteoutOfDirectory = (
        "B9",
        _DIFFERS,
        "hcsshim refuses a whiteout beside a directory of its own layer",
    )
    B9WhiteoutOfFile = (
        "B9",
        _DIFFERS,
        "hcsshim lets the whiteout replace or collide with its own layer's file",
    )
    B9PathThroughWhiteout = "B9", _DIFFERS, "hcsshim refuses a path through a whiteout of the same layer"
    B10 = "B10", _REFUSED, "an opaque marker is below something that is not a directory"
    B11 = "B11", _DIFFERS, "hcsshim refuses a path through a symlink"
    B13 = "B13", _IDENTICAL, "{} not in the layer: made like the one above"
    B14 = "B14", _REFUSED, "the name of an xattr is too long"
    B15 = "B15", _REFUSED, "the xattrs do not fit in the inode and one block"
    B16 = "B16", _REFUSED, "a symlink's target is empty or too long"
    B17 = "B17", _REFUSED, "uid or gid is outside of 32 bits"
    B18 = "B18", _DIFFERS, "hcsshim keeps the bookkeeping files of AUFS"
    B19KeptData = "B19", _DIFFERS, "hcsshim keeps the system.data of an earlier entry of this name"
    B19GivenData = "B19", _DIFFERS, "hcsshim stores an xattr system.data, which is ext4's own"
    B22 = "B22", _DIFFERS, "hcsshim cuts the size of the inode tables to 32 bits"
    B23 = "B23", _DIFFERS, "hcsshim refuses a directory with more than 65000 links"
    B24NoMarker = "B24", _IDENTICAL, "the archive ends without its end marker: it may be cut short"
    B24CutPadding = "B24", _REFUSED, "the archive ends in the padding of an entry"
    B24CutHeaders = "B24", _REFUSED, "the archive ends between an extended header and its entry"
    N1 = "N1", _DIFFERS, "hcsshim crashes when it reads the directory's xattrs again"
    N2 = "N2", _DIFFERS, "hcsshim computes a wrong number of groups for this many inodes"
    N3Marker = "N3", _DIFFERS, "hcsshim changes the directory's times when it marks it as opaque"
    N3Parent = "N3", _DIFFERS, "hcsshim changes the times that it copies to a parent directory"
    N4 = "N4", _REFUSED, "hcsshim names the file that it makes of a global header at random"
    N5 = "N5", _REFUSED, "a device number is outside of what ext4 can hold"
    N6 = "N6", _DIFFERS, "xattr {} has a prefix that Linux does not know: left out"
    N6NoName = "N6", _DIFFERS, "xattr {} has a prefix and no name, which Linux refuses: left out"
    N7 = "N7", _DIFFERS, "hcsshim stores xattr {} as a part of an ACL"
    N11 = "N11", _REFUSED, "a name holds a NUL byte"
    N12 = "N12", _DIFFERS, "xattr {} is left out: Linux has user xattrs on files and directories only"
    N13 = "N13", _REFUSED, "a security.capability is malformed"
    N14 = "N14", _DIFFERS, "xattr {} is left out: it would steer the overlay that the image becomes a part of"
    N15 = "N15", _IDENTICAL, "an opaque marker in the root directory has no effect"
    N16 = "N16", _IDENTICAL, "{} ends in a slash: it is an ordinary entry, not a whiteout"
    N17 = (
        "N17",
        _IDENTICAL,
        "the input holds no entry, but more bytes after its end marker: it may not be a layer tar",
    )
    N18 = "N18", _REFUSED, "a path is longer than 4095 bytes"

    __hash__ = object.__hash__  # by identity: that of Enum costs several times as much

    def __init__(self, code: str, report: Report, text: str) -> None:
        self.code = code
        self.report = report
        self.text = text

    @property
    def is_identical(self) -> bool:
        """Whether hcsshim writes the same bytes all the same."""
        return self.report is Report.IDENTICAL


# Faults of hcsshim that are wanted in an image.
FaultSet = frozenset[Fault]
NONE: FaultSet = frozenset()
ALL: FaultSet = frozenset(Fault)

# Longest entry name that a finding keeps, in bytes: names can have a megabyte each.
_MAX_ENTRY_LEN = 256
_ELLIPSIS = "…".encode()
# From this many findings of one code on, one more stands for all others.
_MAX_OF_A_CODE = 1000


@dataclass(slots=True)
class Finding:
    """Where the image differs from hcsshim's, or is faulty like hcsshim's.

    Attributes:
        entry: name of the tar entry, cut to 256 bytes; empty for the layer as a whole.
        offset: byte offset of the entry in the tar.
        count: how many there are of the fault's code from this one on that have no finding of their own; mostly 1.
    """

    fault: Fault
    entry: bytes
    offset: int
    message: str
    count: int = 1


class Faults:
    """The faults that a conversion reproduces, and what it found of the others.

    Attributes:
        findings: all, in the order in which they were made.
    """

    def __init__(self, reproduced: FaultSet) -> None:
        self.findings: list[Finding] = []
        self._reproduced = reproduced
        # The entry that findings are about, and those that it has already.
        self._entry = b""
        self._offset = 0
        self._found: set[Fault] = set()
        # How many findings of a code there are, and the last of them.
        self._codes: dict[str, tuple[int, Finding]] = {}

    def reproduces(self, fault: Fault) -> bool:
        """Tell whether hcsshim's bytes, or its refusal, are wanted where it has this fault."""
        return fault in self._reproduced

    def enter(self, name: bytes, offset: int) -> None:
        """From here on findings are about this entry; an empty name means the layer as a whole."""
        self._entry = name
        self._offset = offset
        if self._found:
            self._found.clear()

    def found(self, fault: Fault) -> None:
        """Record that the entry has the fault, once for each entry, unless the fault is reproduced."""
        self.found_with(fault, "")

    def found_with(self, fault: Fault, detail: object) -> None:
        """Do the same with a detail, which the text has a place for."""
        if fault in self._reproduced or fault in self._found:
            return
        self._found.add(fault)
        count, last = self._codes.get(fault.code, (0, None))
        if last is not None and count > _MAX_OF_A_CODE:
            last.count += 1
            return
        message = fault.text.replace("{}", str(detail), 1)
        finding = Finding(fault, _cut(self._entry), self._offset, message)
        self._codes[fault.code] = count + 1, finding
        self.findings.append(finding)


def _cut(name: bytes) -> bytes:
    """Return a name that is not too long, cut where no character of UTF-8 is."""
    if len(name) <= _MAX_ENTRY_LEN:
        return name
    longest = _MAX_ENTRY_LEN - len(_ELLIPSIS)
    starts = (at for at in range(longest, longest - 4, -1) if name[at] & 0xC0 != 0x80)
    return name[: next(starts, longest)] + _ELLIPSIS
