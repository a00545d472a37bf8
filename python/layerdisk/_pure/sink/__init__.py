"""Where the image goes: positional writes of what is not zero, and a length at the end."""

from __future__ import annotations

from typing import Protocol


class ImageSink(Protocol):
    """A sink that is told what may change."""

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the bytes."""

    def may_change(self, offset: int, length: int) -> None:
        """Take note that a range will be written, or may be written again, after what follows it."""


class Sink(Protocol):
    """A place for bytes that starts empty; what is never written reads as zeros."""

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the bytes."""

    def finish(self, length: int, sync: bool) -> None:
        """Set the length, and with `sync` return only when everything is on stable storage."""
