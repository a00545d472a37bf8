"""What an entry says of its inode: checked, and in the form in which the tree holds it."""

from __future__ import annotations

from dataclasses import dataclass, field

from ...errdefs import InvalidEntry, quote
from ..ext4.format import acl, capability, inode, timestamp, xattr
from ..ext4.hcsshim import times as hcsshim_times
from ..ext4.hcsshim import xattrs as hcsshim_xattrs
from ..faults import Fault, Faults
from ..tar import Entry
from ..tree import EPOCH, TYPE_MASK, FileType, Xattrs
from ..units import U32_MAX, Time

# The attribute of a directory in which nothing of the lower layers shows. Source: Linux, overlayfs.
OPAQUE = b"trusted.overlay.opaque"
OPAQUE_VALUE = b"y"
# Attributes by which overlayfs keeps its own books (N14).
_OVERLAY_PREFIX = b"trusted.overlay."
_USER_PREFIX = b"user."

# Ids below zero that stand for others, modulo 2^32; -1 is nobody's.
_NEGATIVE_IDS = range(-(1 << 31), -1)

_DIRECTORY = int(FileType.DIRECTORY)
_SYMLINK = int(FileType.SYMLINK)
_REGULAR = int(FileType.REGULAR)
_DEVICES = (int(FileType.CHARACTER_DEVICE), int(FileType.BLOCK_DEVICE))
_PERMISSIONS = 0xFFFF & ~TYPE_MASK
# Major and minor number of what is not a device, and of a whiteout.
NO_DEVICE = (0, 0)
# Seconds from 0 up to here need no thought.
_PLAIN_SECONDS = 1 << 31


@dataclass(slots=True)
class Attributes:
    """What an entry says of its inode.

    Attributes:
        mode: type and permissions; a type of 0 is written as a regular file.
        size: of a regular file, in bytes.
        target: of a symlink.
        device: major and minor number.
        opaque: a directory in which nothing of the lower layers shows, whatever later entries say of it.
    """

    mode: int
    uid: int = 0
    gid: int = 0
    atime: Time = EPOCH
    ctime: Time = EPOCH
    mtime: Time = EPOCH
    size: int = 0
    target: bytes = b""
    device: tuple[int, int] = NO_DEVICE
    xattrs: Xattrs = field(default_factory=dict)
    opaque: bool = False

    def give(self, name: bytes) -> bool:
        """Tell whether the xattr is among them."""
        return name in self.xattrs or (self.opaque and name == OPAQUE)

    @property
    def is_dir(self) -> bool:
        """Whether it is a directory."""
        return self.mode & TYPE_MASK == _DIRECTORY


def of_entry(entry: Entry, kind: int, target: bytes, faults: Faults) -> Attributes:
    """Return the attributes that an entry gives.

    Args:
        entry: of the tar.
        kind: type bits, 0 where the entry's type flag gives none.
        target: that of a symlink.
        faults: those that are reproduced, and found.
    """
    uid, gid = entry.uid, entry.gid
    if not (0 <= uid <= U32_MAX and 0 <= gid <= U32_MAX):
        for name, number in (("uid", uid), ("gid", gid)):
            if number not in _NEGATIVE_IDS:
                _check_range(name, number, U32_MAX, faults, Fault.B17)
    device = NO_DEVICE
    if kind in _DEVICES:
        _check_range("devmajor", entry.devmajor, inode.MAX_MAJOR, faults, Fault.N5)
        _check_range("devminor", entry.devminor, inode.MAX_MINOR, faults, Fault.N5)
        device = entry.devmajor & U32_MAX, entry.devminor & U32_MAX
    atime, ctime, mtime = entry.atime, entry.ctime, entry.mtime
    return Attributes(
        entry.mode & _PERMISSIONS | kind,
        uid & U32_MAX,
        gid & U32_MAX,
        EPOCH if atime is None else _time(atime, faults),
        EPOCH if ctime is None else _time(ctime, faults),
        mtime if mtime is not None and 0 <= mtime[0] < _PLAIN_SECONDS else _time(mtime, faults),
        entry.size,
        target,
        device,
        _xattrs(entry, kind, faults) if entry.xattrs else {},
    )


def _time(given: Time | None, faults: Faults) -> Time:
    time = hcsshim_times.or_unset(given)
    seconds = time[0]
    if timestamp.encode(time) != hcsshim_times.encode(time):
        faults.found_with(Fault.B3 if seconds < 0 else Fault.B4, seconds)
    elif timestamp.is_clamped(time):
        faults.found_with(Fault.B4b, seconds)
    return time


def _xattrs(entry: Entry, kind: int, faults: Faults) -> Xattrs:
    if faults.reproduces(Fault.B5):
        return dict(entry.xattrs)
    return {name: value for name, value in entry.xattrs if _is_kept(name, value, kind, faults)}


def _is_kept(name: bytes, value: bytes, kind: int, faults: Faults) -> bool:
    """Tell whether an xattr belongs on a node of that type; an error where it cannot be meant."""
    index, rest = xattr.split_name(name)
    if index == 0:
        faults.found_with(Fault.N6, quote(name))
        return False
    if name.endswith(b".") and not rest:
        faults.found_with(Fault.N6NoName, quote(name))
        return False
    xattr.check_name(name)
    if name == xattr.SYSTEM_DATA:
        faults.found(Fault.B19GivenData)
        return False
    if name.startswith(_OVERLAY_PREFIX):
        faults.found_with(Fault.N14, quote(name))
        return False
    if name.startswith(_USER_PREFIX) and kind not in (_REGULAR, 0, _DIRECTORY):
        faults.found_with(Fault.N12, quote(name))
        return False
    if index != hcsshim_xattrs.split_name(name)[0]:
        faults.found_with(Fault.N7, quote(name))
    if name == capability.NAME:
        capability.check(value)
    if name not in acl.NAMES:
        return True
    if kind == _SYMLINK:
        faults.found(Fault.B5OnSymlink)
        return False
    faults.found(Fault.B5)
    has_entries = acl.check(name, value)
    if has_entries and name == acl.DEFAULT_NAME and kind != _DIRECTORY:
        raise InvalidEntry(
            "a default POSIX ACL is on something that is not a directory", code=Fault.B5Malformed.code
        )
    return has_entries


def _check_range(field: str, value: int, largest: int, faults: Faults, fault: Fault) -> None:
    if not 0 <= value <= largest and not faults.reproduces(fault):
        raise InvalidEntry(f"{field} is {value}, it must be 0 to {largest}", code=fault.code)
