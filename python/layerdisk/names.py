"""Names from archives and documents, and what programs say, shown safely."""

from __future__ import annotations

QUOTE_LIMIT_BYTES = 255  # NAME_MAX of Linux: a name within it is shown whole
QUOTE_SHORTENED_BYTES = 200

# Ranges of characters above U+009F that show nothing, break the line, or change the order or place of others.
# The Rust core has the same table (error.rs).
INVISIBLE = (
    ("\u00ad", "\u00ad"),  # soft hyphen
    ("\u061c", "\u061c"),  # Arabic letter mark
    ("\u180e", "\u180e"),  # Mongolian vowel separator
    ("\u200b", "\u200f"),  # zero width, left-to-right and right-to-left marks
    ("\u2028", "\u202e"),  # line and paragraph separators, embeddings and overrides
    ("\u2060", "\u206f"),  # invisible operators, isolates, deprecated format characters
    ("\ufeff", "\ufeff"),  # byte order mark
    ("\ufff0", "\uffff"),  # interlinear annotations, specials, non-characters
    ("\U000e0000", "\U000e0fff"),  # tags, variation selectors
)


def quote(name: bytes) -> str:
    r"""Show a name from an archive safely, on one line and without control characters.

    Args:
        name: raw bytes.

    Returns:
        The name in double quotes: printable ASCII and valid UTF-8 from U+00A0 on as they are, except the
        characters of `INVISIBLE`; a backslash before `"` and `\`; every other byte as `\xNN`. A name of more
        than 255 bytes is cut at 200, with its length after it.

    >>> print(quote(b"usr/bin/\xff\x1b[31m"))
    "usr/bin/\xff\x1b[31m"
    """
    shown = name if len(name) <= QUOTE_LIMIT_BYTES else name[:QUOTE_SHORTENED_BYTES]
    text = "".join(map(_quote_char, shown.decode("utf-8", "surrogateescape")))
    return f'"{text}"' if shown is name else f'"{text}" ({len(name)} bytes)'


def quote_text(text: str) -> str:
    r"""Show text from a document as `quote` shows bytes: a media type, a reference, a path.

    >>> print(quote_text("text/\u202eplain"))
    "text/\xe2\x80\xaeplain"
    """
    return quote(text.encode("utf-8", "surrogatepass"))


def printable(text: str) -> str:
    r"""Return text without control characters and the like, not quoted and whole: what a program says.

    >>> printable('no key\x1b[0m in "a"')
    'no key\\x1b[0m in "a"'
    """
    return "".join(char if char in '"\\' else _quote_char(char) for char in text)


def _quote_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if " " <= char <= "~" or (char >= "\u00a0" and not _is_hidden(char)):
        return char
    try:
        raw = char.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raw = char.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)


def _is_hidden(char: str) -> bool:
    return "\ud800" <= char <= "\udfff" or any(first <= char <= last for first, last in INVISIBLE)
