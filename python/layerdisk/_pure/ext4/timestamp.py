"""A time as the pair of 32-bit fields that an inode holds: low = seconds, high = nanoseconds << 2 | epoch.

Kept as one 64-bit number, low in the low half; 0 is "no time".
Source: kernel, Documentation/filesystems/ext4/inodes.rst.
"""

from __future__ import annotations

# Seconds that ext4 can hold: 1901-12-13 to 2446-05-10.
MIN_SECONDS = -(1 << 31)
MAX_SECONDS = (1 << 34) - (1 << 31) - 1

# Seconds below this are the same in every form.
PLAIN_SECONDS = 1 << 31

# Go's zero time, 0001-01-01, which hcsshim takes for "no time".
_GO_ZERO_SECONDS = -62_135_596_800

# What hcsshim writes below MIN_SECONDS.
_HCSSHIM_TOO_EARLY = 0x8000_0000

_U64_MAX = 2**64 - 1


def exact(seconds: int, nanoseconds: int) -> int:
    """Give the form that the kernel reads back as it was meant."""
    if seconds == _GO_ZERO_SECONDS and nanoseconds == 0:
        return 0
    clamped = min(max(seconds, MIN_SECONDS), MAX_SECONDS)
    if clamped != seconds:
        nanoseconds = 0
    epoch = (clamped + (1 << 31)) >> 32
    return clamped & 0xFFFF_FFFF | (nanoseconds << 2 | epoch) << 32


def hcsshim(seconds: int, nanoseconds: int) -> int:
    """Give the form that hcsshim writes: sign and bit 31 leak into the epoch bits (B3, B4, B4b)."""
    if seconds == _GO_ZERO_SECONDS and nanoseconds == 0:
        return 0
    if seconds < MIN_SECONDS:
        return _HCSSHIM_TOO_EARLY
    if seconds > MAX_SECONDS:
        return MAX_SECONDS
    return (seconds | nanoseconds << 34) & _U64_MAX


def hcsshim_copy(encoded: int) -> int:
    """Give what hcsshim makes of a time when it copies it from one inode to another (N3)."""
    if encoded == 0:
        return 0
    seconds = encoded & 0x3_FFFF_FFFF
    if 0x8000_0000 <= seconds < 0x1_0000_0000:
        seconds -= 1 << 32
    carry, nanoseconds = divmod(encoded >> 34, 1_000_000_000)
    return hcsshim(seconds + carry, nanoseconds)


def is_clamped(encoded: int, seconds: int) -> bool:
    """Tell whether so many seconds were too many or too few."""
    return encoded != 0 and not MIN_SECONDS <= seconds <= MAX_SECONDS


def survives_hcsshim_copy(encoded: int) -> bool:
    """Tell whether hcsshim keeps the time when it copies it: all but those with bit 31 of the seconds set."""
    return not encoded & 0x8000_0000
