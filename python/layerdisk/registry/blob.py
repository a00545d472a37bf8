"""Blobs as streams that go on where they broke off.

Source: OCI distribution-spec 1.1, "Pulling blobs"; RFC 9110, section 14 (Range).
"""

from __future__ import annotations

import contextlib
import threading

import urllib3

from ..descriptor import Descriptor, parse_digest
from ..errdefs import DataLoss, Unavailable
from .client import RegistryClient

_SKIP_BYTES = 1 << 20


class BlobReader:
    """One blob as a binary file object.

    Args:
        client: of the repository.
        descriptor: of the blob; no more than its size is read.
        attempts: how often a stream that breaks off is taken up again without a byte of progress.

    A server that ignores the range sends the blob from its start; what is known of it is skipped.
    """

    def __init__(self, client: RegistryClient, descriptor: Descriptor, attempts: int = 5) -> None:
        parse_digest(descriptor.digest)
        self._client = client
        self._descriptor = descriptor
        self._attempts = attempts
        self._position = 0
        self._fruitless = 0
        self._open: contextlib.ExitStack | None = None
        self._response: urllib3.BaseHTTPResponse | None = None
        self._closed = threading.Event()
        self._reading = threading.Lock()

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end; all that is left for a negative size.

        Raises:
            NotFound: there is no such blob.
            DataLoss: the blob is shorter than its descriptor says.
            LayerdiskError: as RegistryClient.request.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(_SKIP_BYTES), b""))
        with self._reading:
            left = self._descriptor.size - self._position
            while left > 0 and size > 0:
                piece = self._piece(min(size, left))
                if piece:
                    self._position += len(piece)
                    self._fruitless = 0
                    return piece
            return b""

    def close(self) -> None:
        """Let go of the connection; a read that waits on another thread ends."""
        self._closed.set()
        response = self._response
        if response is not None:
            with contextlib.suppress(Exception):
                response.shutdown()  # wakes a reader that waits, which then lets go of the connection
        if self._reading.acquire(blocking=False):
            self._release()
            self._reading.release()

    def _piece(self, size: int) -> bytes:
        """Return some bytes, or none after a broken stream that is to be taken up again."""
        try:
            response = self._stream()
            piece: bytes = response.read(size)
            if piece:
                return piece
            reason = "it ended early"
        except (urllib3.exceptions.HTTPError, OSError, AttributeError, ValueError) as error:
            # The latter two are what http.client makes of a connection that is shut down under it.
            if not self._closed.is_set() and isinstance(error, (AttributeError, ValueError)):
                raise
            reason = type(error).__name__
        self._release()
        if self._closed.is_set():
            raise Unavailable(f"blob {self._descriptor.digest}: the reader was closed")
        self._fruitless += 1
        if self._fruitless > self._attempts:
            raise DataLoss(
                f"blob {self._descriptor.digest} ends after {self._position} bytes, its size is"
                f" {self._descriptor.size}: {reason}"
            )
        return b""

    def _stream(self) -> urllib3.BaseHTTPResponse:
        if self._response is None:
            if self._closed.is_set():
                raise Unavailable(f"blob {self._descriptor.digest}: the reader was closed")
            headers = {"Range": f"bytes={self._position}-"} if self._position else {}
            with contextlib.ExitStack() as stack:
                response = stack.enter_context(
                    self._client.request(
                        "GET", f"blobs/{self._descriptor.digest}", headers=headers, expected=(200, 206)
                    )
                )
                if response.status == 200:
                    self._skip(response, self._position)
                self._open = stack.pop_all()
            self._response = response
        return self._response

    def _skip(self, response: urllib3.BaseHTTPResponse, count: int) -> None:
        while count:
            piece = response.read(min(count, _SKIP_BYTES))
            if not piece:
                raise urllib3.exceptions.ProtocolError("the stream ended before the part that is missing")
            count -= len(piece)

    def _release(self) -> None:
        stack, self._open, self._response = self._open, None, None
        if stack is not None:
            stack.close()
