"""A time as the pair of 32-bit fields that an inode holds: low = seconds, high = nanoseconds << 2 | epoch.

Here it is one 64-bit number, low in the low half.
Source: kernel, Documentation/filesystems/ext4/inodes.rst.
"""

from __future__ import annotations

from ...units import Time

# Seconds that ext4 can hold: 1901-12-13 to 2446-05-10.
MIN_SECONDS = -(1 << 31)
MAX_SECONDS = (1 << 34) - (1 << 31) - 1


def encode(time: Time) -> int:
    """Return the form that the kernel reads back as it was meant; the nearest there is for what ext4 cannot hold."""
    seconds, nanoseconds = time
    clamped = min(max(seconds, MIN_SECONDS), MAX_SECONDS)
    if clamped != seconds:
        nanoseconds = 0
    epoch = (clamped - MIN_SECONDS) >> 32
    return clamped & 0xFFFF_FFFF | (nanoseconds << 2 | epoch) << 32


def is_clamped(time: Time) -> bool:
    """Tell whether the time is too early or too late for ext4, so that another one is stored."""
    return not MIN_SECONDS <= time[0] <= MAX_SECONDS
