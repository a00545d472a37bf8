"""What a row of the tables is, and the bytes that rows have in common."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from tarfiles import archive, pax_body

MIB = 1 << 20


@dataclass(frozen=True)
class Layer:
    """One layer: its archive (made when asked for) and what the default mode says of it."""

    name: str
    make: Callable[[], bytes]
    findings: frozenset[str] | None = frozenset()
    refusal: str | None = None

    @property
    def tar(self) -> bytes:
        return self.make()


def layer(
    name: str, *parts: bytes, findings: str | None = "", refusal: str | None = None, **end: bytes
) -> Layer:
    """`findings`: codes, separated by spaces; None where it is not of interest here."""
    codes = None if findings is None else frozenset(findings.split())
    return Layer(name, lambda: archive(*parts, **end), codes, refusal)


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes without long repetitions, cheap to make."""
    unit = bytes((i * 7 + seed * 13 + (i >> 8)) & 0xFF for i in range(4099))
    return (unit * (size // len(unit) + 1))[:size]


def pax_body_of(size: int) -> bytes:
    """One record of so many bytes (a few digits of length are assumed)."""
    body = pax_body({"comment": b"x" * (size - 17)})
    assert len(body) == size, len(body)
    return body


def signed_checksum(block: bytes) -> bytes:
    """The checksum field as old tars made it, with bytes taken as signed."""
    values = block[:148] + b" " * 8 + block[156:]
    return b"%06o\0 " % sum(struct.unpack("512b", values))
