"""A stream of bytes in chunks, and its digest."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

Buffer: TypeAlias = bytes | bytearray | memoryview
# Fetches the next chunk, never an empty one, which is only good until the next call; None at the end, and ever after.
Input: TypeAlias = Callable[[], Buffer | None]


class Digest(NamedTuple):
    """The stream's SHA-256 in hexadecimal digits and its length, to the last byte."""

    sha256: str
    size: int
