"""How results are printed: for people, and as JSON for programs."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ..errdefs import quote

_UNITS = ("KiB", "MiB", "GiB", "TiB")


def printable(text: str) -> str:
    """Return a text without what a terminal would obey: control characters, bidi marks, line separators."""
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii") for char in text
    )


def quoted(name: str) -> str:
    """Return a name from an archive as it can be printed: in quotes, on one line."""
    return printable(quote(name.encode("utf-8", "surrogateescape")))


def size_text(size: int) -> str:
    """Return a number of bytes for people, and exactly.

    >>> size_text(4096), size_text(1_610_612_736), size_text(513)
    ('4.0 KiB (4,096 bytes)', '1.5 GiB (1,610,612,736 bytes)', '513 bytes')
    """
    if size < 1024:
        return "1 byte" if size == 1 else f"{size} bytes"
    power = 1
    while size >= 999.95 * 1024**power and power < len(_UNITS):
        power += 1
    return f"{size / 1024**power:.1f} {_UNITS[power - 1]} ({size:,} bytes)"


def print_rows(rows: Iterable[tuple[str, str]]) -> None:
    """Print names and values in two columns."""
    for name, value in rows:
        print(f"{name:<12} {value}")


def findings_text(findings: Iterable[Any]) -> list[str]:
    """Return a line for each kind of finding: how many there are, and where the first one is."""
    gathered: dict[tuple[str, bool], list[Any]] = {}
    for finding in findings:
        gathered.setdefault((finding.code, finding.identical), []).append(finding)
    lines = []
    for (code, identical), found in gathered.items():
        count = sum(finding.count for finding in found)
        times = f" x {count:,}, first" if count > 1 else ""
        where = f"{quoted(found[0].entry)}: " if found[0].entry else ""
        same = " (the bytes are hcsshim's)" if identical else ""
        lines.append(f"{code}{times}: {where}{printable(found[0].message)}{same}")
    return lines


def print_json(value: object) -> None:
    """Print a result as JSON."""
    import json

    print(json.dumps(as_json(value), indent=2))


def as_json(value: Any) -> Any:
    """Return results as what JSON has: their fields by name, bytes in hex and, where they are text, as text too."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(type(value), "__dataclass_fields__"):
        value = {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, bytes):
        return {"hex": value.hex(), **({"text": text} if (text := as_text(value)) else {})}
    return value if value is None or isinstance(value, (int, str)) else str(value)


def as_text(value: bytes) -> str | None:
    """Return what bytes say, without the NUL bytes that fill them up; None where they are not printable ASCII."""
    text = value.rstrip(b"\0").decode("ascii", "replace")
    return text if text.isascii() and text.isprintable() else None
