"""The parts of a content store: who gives blobs, who takes them, who knows what is there.

Source: containerd core/content.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from ..descriptor import Descriptor

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


@dataclass(frozen=True, slots=True)
class Info:
    """A blob of a store."""

    digest: str
    size: int
    created_at: datetime
    updated_at: datetime
    labels: Mapping[str, str] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Status:
    """An ingest of a store.

    Attributes:
        ref: name under which it was begun.
        offset: bytes written so far.
        total: bytes expected, 0 if not known.
        expected: digest expected, "" if not known.
        started_at: when it was begun.
        updated_at: when it was last written.
    """

    ref: str
    offset: int
    total: int
    expected: str
    started_at: datetime
    updated_at: datetime


class ContentReader(Protocol):
    """A binary file object over one blob."""

    def read(self, size: int, /) -> bytes | None:
        """Return up to `size` bytes, none at the end."""

    def close(self) -> None:
        """Let go of the blob."""


class IngestWriter(Protocol):
    """Writes one blob; `close` without `commit` keeps what was written, to be resumed."""

    def write(self, data: ReadableBuffer, /) -> int:
        """Append data."""

    def digest(self) -> str:
        """Return the digest of what was written."""

    def status(self) -> Status:
        """Return the state of the ingest."""

    def truncate(self, size: int) -> None:
        """Start over; `size` is 0."""

    def commit(self, size: int = 0, expected: str = "") -> None:
        """Make a blob of what was written, if it has this size and digest (as far as given)."""

    def close(self) -> None:
        """Let go of the ingest."""


class Provider(Protocol):
    """Gives blobs: all that the differ needs of a store."""

    def reader(self, descriptor: Descriptor, /) -> ContentReader:
        """Return a blob by its descriptor's digest; NotFound if it is not there."""


class Ingester(Protocol):
    """Takes blobs."""

    def writer(self, ref: str, /, *, size: int = 0, expected: str = "") -> IngestWriter:
        """Begin or resume an ingest."""


class InfoStore(Protocol):
    """Knows which blobs are there."""

    def info(self, digest: str, /) -> Info:
        """Return what is known about a blob; NotFound if it is not there."""

    def walk(self) -> Iterator[Info]:
        """Yield what is known about every blob."""


class ContentStore(Provider, Ingester, InfoStore, Protocol):
    """All three in one, as `LocalStore` is."""
