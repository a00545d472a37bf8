"""What a row of the tables is, and the bytes that rows have in common."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from layerdisk.errdefs import LayerdiskError
from layerdisk.tar2ext4 import ConvertResult
from tarfiles import END, archive, pax_body

MIB = 1 << 20


# Findings of these codes never change the bytes.
ALWAYS_IDENTICAL = {"B4b", "B13", "B24", "N15", "N16", "N17"}


@dataclass(frozen=True)
class Layer:
    """One layer: its archive (made when asked for) and what the default mode says of it.

    `findings` has pairs of a code and whether the bytes are hcsshim's all the same.
    """

    name: str
    parts: Callable[[], Iterable[bytes]]
    findings: frozenset[tuple[str, bool]] = frozenset()
    refusal: str | None = None

    @property
    def tar(self) -> bytes:
        return b"".join(self.parts())

    def write(self, path: Path) -> None:
        """Write the archive to a file; what is large need not be in memory at once."""
        with open(path, "wb") as file:
            file.writelines(self.parts())


def layer(
    name: str, *parts: bytes, findings: str = "", refusal: str | None = None, end: bytes | None = None
) -> Layer:
    """A row. What it says is what the default mode does, with whiteouts converted and no other option.

    Args:
        name: of the row; it starts with the code of the fault that the layer triggers, if any.
        parts: of the archive.
        findings: codes, separated by spaces; `B7=` where B7's bytes are hcsshim's (as they always are for
            those of ALWAYS_IDENTICAL).
        refusal: where the layer is refused: the code, or the exception's class if it has no code.
        end: what ends the archive, if that is not two blocks of zeros.
    """
    return made(name, lambda: [archive(*parts, end=END if end is None else end)], findings, refusal)


def made(
    name: str, parts: Callable[[], Iterable[bytes]], findings: str = "", refusal: str | None = None
) -> Layer:
    """As `layer`, for an archive that is too large to be made before it is asked for; `parts` gives its end too."""
    codes = frozenset(
        (code.rstrip("="), code.endswith("=") or code in ALWAYS_IDENTICAL) for code in findings.split()
    )
    return Layer(name, parts, codes, refusal)


def outcome_of(
    result: ConvertResult | None, error: LayerdiskError | None
) -> tuple[frozenset[tuple[str, bool]], str | None]:
    """What a conversion said, in the words of a row: findings, refusal."""
    if result is None:
        return frozenset(), getattr(error, "code", None) or type(error).__name__
    return frozenset((one.code, one.identical) for one in result.findings), None


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
