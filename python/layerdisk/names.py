"""Names from archives and documents, shown safely."""

from __future__ import annotations

QUOTE_LIMIT_BYTES = 255  # NAME_MAX of Linux: a name within it is shown whole
QUOTE_SHORTENED_BYTES = 200


def quote(name: bytes) -> str:
    r"""Show a name from an archive safely, on one line and without control characters.

    Args:
        name: raw bytes.

    Returns:
        The name in double quotes: printable ASCII and valid UTF-8 from U+00A0 on as they are, a backslash
        before `"` and `\`, every other byte as `\xNN`. A name of more than 255 bytes is cut at 200, with its
        length behind.
    """
    shown = name if len(name) <= QUOTE_LIMIT_BYTES else name[:QUOTE_SHORTENED_BYTES]
    text = "".join(map(_quote_char, shown.decode("utf-8", "surrogateescape")))
    return f'"{text}"' if shown is name else f'"{text}" ({len(name)} bytes)'


def _quote_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if " " <= char <= "~" or (char >= "\u00a0" and not "\udc80" <= char <= "\udcff"):
        return char
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
