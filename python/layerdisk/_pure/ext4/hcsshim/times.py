"""B3, B4, N3: times whose sign and bit 31 leak into the epoch bits, and drift when they are copied."""

from __future__ import annotations

from ...units import Time
from ..format import timestamp
from ..format.timestamp import MAX_SECONDS, MIN_SECONDS

_EPOCH: Time = (0, 0)
# Go's zero time, 0001-01-01, which hcsshim takes for "no time".
_GO_ZERO: Time = (-62_135_596_800, 0)
# What hcsshim writes for a time before MIN_SECONDS.
_TOO_EARLY = 0x8000_0000
_U64_MAX = 2**64 - 1


def or_unset(time: Time | None) -> Time:
    """Return the time of an entry, or of one that has none: 1970."""
    return _EPOCH if time is None or time == _GO_ZERO else time


def encode(time: Time) -> int:
    """Return the form that hcsshim writes."""
    seconds, nanoseconds = time
    if seconds < MIN_SECONDS:
        return _TOO_EARLY
    if seconds > MAX_SECONDS:
        return MAX_SECONDS
    return (seconds | nanoseconds << 34) & _U64_MAX


def copy(time: Time) -> Time:
    """Return what hcsshim makes of a time when it copies it from one inode to another (N3)."""
    bits = encode(time)
    seconds = bits & 0x3_FFFF_FFFF
    if 0x8000_0000 <= seconds < 0x1_0000_0000:
        seconds -= 1 << 32
    carry, nanoseconds = divmod(bits >> 34, 1_000_000_000)
    return or_unset((seconds + carry, nanoseconds))


def survives_copy(time: Time) -> bool:
    """Tell whether hcsshim keeps the time when it copies it: all except those with bit 31 of the seconds set."""
    return not timestamp.encode(time) & 0x8000_0000
