"""What a node is: the bits of its mode, its state, and its times in few bytes."""

from __future__ import annotations

import enum

from ..units import Time

# Type bits of a mode. Source: POSIX, sys/stat.h, with the values that Linux has.
TYPE_MASK = 0xF000


class FileType(enum.IntEnum):
    """What a node is, with the type bits of its mode."""

    FIFO = 0x1000
    CHARACTER_DEVICE = 0x2000
    DIRECTORY = 0x4000
    BLOCK_DEVICE = 0x6000
    REGULAR = 0x8000
    SYMLINK = 0xA000


# State of a node that is not in its mode.
USED = 1  # the number is in use
STORED = 2  # its data (a file's, a directory's, a symlink's target) is in the storage, from block `data` on
INLINE = 4  # its data is kept in the tree (a regular file's)
WHITEOUT = 8  # a whiteout made it, not an entry of its own
OPAQUE = 16  # an opaque marker was seen for it
FIXED = 32  # it was there before any entry, and cannot be replaced
ODD_TIMES = 64  # one of its times cannot be packed: `Tree` has all three apart

EPOCH: Time = (0, 0)

# A time from 1697 to 2242 in 8 bytes: 30 bits of nanoseconds, 34 of seconds in two's complement.
_SECONDS_BITS = 34
_SECONDS_MASK = (1 << _SECONDS_BITS) - 1
_SIGN = 1 << _SECONDS_BITS - 1


def pack_time(time: Time) -> int | None:
    """Return the packed form, None where there is none."""
    seconds, nanoseconds = time
    if not -_SIGN <= seconds < _SIGN:
        return None
    return nanoseconds << _SECONDS_BITS | seconds & _SECONDS_MASK


def unpack_time(packed: int) -> Time:
    """Return the time of a packed form."""
    seconds = packed & _SECONDS_MASK
    return (seconds - 2 * _SIGN if seconds & _SIGN else seconds), packed >> _SECONDS_BITS
