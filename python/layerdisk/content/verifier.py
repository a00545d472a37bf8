"""Checks a blob against its descriptor while it streams."""

from __future__ import annotations

import hashlib

from ..descriptor import Descriptor, parse_digest
from ..errdefs import DataLoss, TruncatedStream
from ..io import Readable

_DRAIN_BYTES = 1024 * 1024


class Verifier:
    """A reader that makes sure that a blob is what its descriptor says, while it streams.

    Reading raises TruncatedStream where the blob is shorter than its descriptor says, and DataLoss where it
    is longer or its digest differs; the last bytes are not handed out then.

    Args:
        reader: binary file object over the blob.
        descriptor: with the digest and size that it must have.
    """

    def __init__(self, reader: Readable, descriptor: Descriptor) -> None:
        self._algorithm, _ = parse_digest(descriptor.digest)
        self._reader = self.reads_from = reader
        self._descriptor = descriptor
        self._hash: hashlib._Hash = hashlib.new(self._algorithm)
        self._seen = 0

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end."""
        piece = self._reader.read(size)
        if piece is None:
            raise BlockingIOError("the store's reader is in non-blocking mode and has no data now")
        self._hash.update(piece)
        self._seen += len(piece)
        if self._seen >= self._descriptor.size or not piece:
            self._check()
        return piece

    def drain(self) -> None:
        """Read what is left, so that all of the blob is checked."""
        while self.read(_DRAIN_BYTES):
            pass

    def _check(self) -> None:
        wanted = self._descriptor
        if self._seen > wanted.size:
            raise DataLoss(f"blob {wanted.digest} is longer than its {wanted.size} bytes")
        if self._seen < wanted.size:
            raise TruncatedStream(f"blob {wanted.digest} ends at byte {self._seen} of {wanted.size}")
        digest = f"{self._algorithm}:{self._hash.hexdigest()}"
        if digest != wanted.digest:
            raise DataLoss(f"blob {wanted.digest} has the digest {digest}")
