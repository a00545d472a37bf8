"""The block and inode bitmaps of a group, with the counts that go into its descriptor."""

from __future__ import annotations

from ...units import BLOCK_SIZE

_BITS = BLOCK_SIZE * 8


class Bitmap:
    """One bitmap block, and the number of bits set less those cleared.

    The count is a u16 and blind to a bit's former state, as hcsshim counts (not the true count in N2 only).
    """

    __slots__ = ("_bits", "used")

    def __init__(self) -> None:
        self._bits = 0  # as one number, whose lowest bit is the first
        self.used = 0

    def set(self, start: int, end: int) -> None:
        """Set the bits from start up to end."""
        end = min(end, _BITS)
        if start < end:
            self._bits |= (1 << end) - (1 << start)
            self.used = self.used + end - start & 0xFFFF

    def set_flags(self, flags: bytes) -> None:
        """Set the bits, from the first on, whose flag is the digit 1; the others have the digit 0."""
        self._bits |= int(flags[::-1], 2) if flags else 0
        self.used = self.used + flags.count(b"1") & 0xFFFF

    def clear(self, start: int, end: int) -> None:
        """Clear the bits from start up to end."""
        end = min(end, _BITS)
        if start < end:
            self._bits &= ~((1 << end) - (1 << start))
            self.used = self.used - (end - start) & 0xFFFF

    def as_bytes(self) -> bytes:
        """Return the block."""
        return self._bits.to_bytes(BLOCK_SIZE, "little")
