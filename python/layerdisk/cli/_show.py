"""How results are printed."""

from __future__ import annotations

from typing import Any

from ..errdefs import quote


def print_json(value: object) -> None:
    """Print a result as JSON."""
    import json

    print(json.dumps(as_json(value), indent=2))


def as_json(value: Any) -> Any:
    """Return results as what JSON has: their fields by name, bytes as text where they are text, else in hex."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(type(value), "__dataclass_fields__"):
        value = {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    if isinstance(value, dict):
        return {name: as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(item) for item in value]
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        return text.decode() if text and text.isascii() and text.decode().isprintable() else value.hex()
    return value if value is None or isinstance(value, (int, str)) else str(value)


def shown(name: str) -> str:
    """Return a name from an archive as it can be printed: in quotes, on one line."""
    return quote(name.encode("utf-8", "surrogateescape"))
