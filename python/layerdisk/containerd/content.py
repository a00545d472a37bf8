"""containerd's content store over gRPC: blobs as streams, never whole in memory.

Source: containerd api/services/content/v1/content.proto; plugins/services/content/contentserver.
"""

from __future__ import annotations

import contextlib
import hashlib
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from ..content import Info
from ..descriptor import Descriptor, parse_digest
from ..errdefs import AlreadyExists, DataLoss, LayerdiskError, from_grpc
from .api.services.content.v1 import content_pb2, content_pb2_grpc
from .api.services.images.v1 import images_pb2, images_pb2_grpc
from .api.services.leases.v1 import leases_pb2, leases_pb2_grpc

NAMESPACE_HEADER = "containerd-namespace"
LEASE_HEADER = "containerd-lease"
# Source: containerd core/metadata/gc.go, core/leases.
_EXPIRE_LABEL = "containerd.io/gc.expire"
_LEASE_SECONDS = 3600
MAX_MESSAGE_BYTES = 16 << 20  # containerd's own limit
_CALL_SECONDS = 60
# containerd takes up to 16 MiB in a message; smaller ones keep memory low.
_WRITE_BYTES = 1 << 20


class ContentClient:
    """The content store of a running containerd, in one namespace.

    Args:
        channel: to containerd's socket, as `connect` gives it.
        namespace: whose blobs are meant.

    A Provider: its readers are those of `LcowDiffer`, which checks digest and size.
    """

    def __init__(self, channel: grpc.Channel, namespace: str) -> None:
        self._stub = content_pb2_grpc.ContentStub(channel)  # type: ignore[no-untyped-call]
        self._leases = leases_pb2_grpc.LeasesStub(channel)  # type: ignore[no-untyped-call]
        self._metadata = ((NAMESPACE_HEADER, namespace),)

    def info(self, digest: str) -> Info:
        """Return what is known of a blob.

        Raises:
            NotFound: there is no such blob in the namespace.
            LayerdiskError: of the class that containerd answers with.
        """
        with _errors():
            request = content_pb2.InfoRequest(digest=digest)
            info = self._stub.Info(request, metadata=self._metadata, timeout=_CALL_SECONDS).info
        return Info(
            info.digest,
            info.size,
            info.created_at.ToDatetime(UTC),
            info.updated_at.ToDatetime(UTC),
            dict(info.labels),
        )

    def reader(self, desc: Descriptor) -> ContentReader:
        """Open a blob; raises as `info`."""
        parse_digest(desc.digest)
        size = self.info(desc.digest).size
        request = content_pb2.ReadContentRequest(digest=desc.digest)
        return ContentReader(self._stub.Read(request, metadata=self._metadata), desc.digest, size)

    def write(
        self, ref: str, pieces: Iterable[bytes], labels: Callable[[], Mapping[str, str]]
    ) -> tuple[str, int]:
        """Write a blob under a ref and commit it.

        Args:
            ref: name of the ingest; one that was begun is started over.
            pieces: the bytes.
            labels: called after the last of the bytes for the labels of the blob.

        Returns:
            Its digest, and its size in bytes; a blob that is there already is as good.

        Raises:
            LayerdiskError: of the class that containerd answers with.
        """
        digest = hashlib.sha256()
        size = 0
        failed: list[
            BaseException
        ] = []  # gRPC iterates on a thread of its own, and forgets what was raised there

        def requests() -> Iterator[content_pb2.WriteContentRequest]:
            nonlocal size
            yield content_pb2.WriteContentRequest(action=content_pb2.STAT, ref=ref)
            try:
                for data in _cut(pieces):
                    digest.update(data)
                    yield content_pb2.WriteContentRequest(
                        action=content_pb2.WRITE, ref=ref, offset=size, data=data
                    )
                    size += len(data)
                final = dict(labels())
            except BaseException as error:
                failed.append(error)
                raise
            expected = f"sha256:{digest.hexdigest()}"
            yield content_pb2.WriteContentRequest(
                action=content_pb2.COMMIT, ref=ref, offset=size, total=size, expected=expected, labels=final
            )

        metadata = (*self._metadata, (LEASE_HEADER, self._lease()))
        try:
            with _errors():
                for _ in self._stub.Write(requests(), metadata=metadata):
                    pass
        except AlreadyExists:
            self._label(f"sha256:{digest.hexdigest()}", labels())
        except LayerdiskError:
            if failed:
                raise failed[0] from None
            raise
        return f"sha256:{digest.hexdigest()}", size

    def _lease(self) -> str:
        """Return a lease that keeps a new blob until the client has named it, and then expires by itself.

        The client's own lease does not reach a proxy plugin.
        """
        expires = datetime.now(UTC) + timedelta(seconds=_LEASE_SECONDS)
        labels = {_EXPIRE_LABEL: expires.strftime("%Y-%m-%dT%H:%M:%SZ")}
        request = leases_pb2.CreateRequest(id=f"layerdisk-{uuid.uuid4()}", labels=labels)
        with _errors():
            answer = self._leases.Create(request, metadata=self._metadata, timeout=_CALL_SECONDS)
        return str(answer.lease.id)

    def abort(self, ref: str) -> None:
        """Give an ingest up; nothing happens where there is none."""
        with contextlib.suppress(LayerdiskError), _errors():
            self._stub.Abort(
                content_pb2.AbortRequest(ref=ref), metadata=self._metadata, timeout=_CALL_SECONDS
            )

    def _label(self, digest: str, labels: Mapping[str, str]) -> None:
        if not labels:
            return
        request = content_pb2.UpdateRequest(info=content_pb2.Info(digest=digest, labels=dict(labels)))
        request.update_mask.paths.extend(f"labels.{key}" for key in labels)
        with _errors():
            self._stub.Update(request, metadata=self._metadata, timeout=_CALL_SECONDS)


class ContentReader:
    """One blob as a binary file object."""

    def __init__(self, call: Any, digest: str, size: int) -> None:
        self._call = call
        self._digest = digest
        self._size = size
        self._position = 0
        self._piece = memoryview(b"")

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes, none at the end; all that is left for a negative size.

        Raises:
            DataLoss: the stream ends before the blob does.
            LayerdiskError: of the class that containerd answers with.
        """
        if size < 0:
            return b"".join(iter(lambda: self.read(_WRITE_BYTES), b""))
        while not self._piece:
            if not self._next():
                return b""
        taken, self._piece = bytes(self._piece[:size]), self._piece[size:]
        return taken

    def close(self) -> None:
        """End the call."""
        self._call.cancel()

    def _next(self) -> bool:
        """Take the next message; its offsets count from the start of the call, and a short stream ends silently."""
        with _errors():
            message = next(self._call, None)
        if message is None:
            if self._position != self._size:
                raise DataLoss(
                    f"blob {self._digest} ends after {self._position} bytes, its size is {self._size}"
                )
            return False
        if message.offset != self._position:
            raise DataLoss(
                f"blob {self._digest}: bytes at {message.offset} came, those at {self._position} are next"
            )
        self._piece = memoryview(message.data)
        self._position += len(message.data)
        return True


def image_target(channel: grpc.Channel, namespace: str, name: str) -> Descriptor:
    """Return what the name of an image stands for.

    Raises:
        NotFound: there is no such image in the namespace.
        LayerdiskError: of the class that containerd answers with.
    """
    stub = images_pb2_grpc.ImagesStub(channel)  # type: ignore[no-untyped-call]
    with _errors():
        answer = stub.Get(
            images_pb2.GetImageRequest(name=name),
            metadata=((NAMESPACE_HEADER, namespace),),
            timeout=_CALL_SECONDS,
        )
    target = answer.image.target
    return Descriptor(target.media_type, target.digest, target.size, annotations=dict(target.annotations))


def _cut(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Give the bytes in messages of a limited size."""
    for piece in pieces:
        for start in range(0, len(piece), _WRITE_BYTES):
            yield piece[start : start + _WRITE_BYTES]


def connect(address: str) -> grpc.Channel:
    """Return a channel to containerd's socket; it connects when it is used.

    Args:
        address: path of the socket, or a gRPC target.
    """
    target = address if ":" in address else f"unix:{address}"
    limit = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.enable_http_proxy", 0)]
    # The name that Go's servers expect where the target is a path.
    return grpc.insecure_channel(target, [*limit, ("grpc.default_authority", "localhost")])


@contextlib.contextmanager
def _errors() -> Iterator[None]:
    """Turn gRPC's errors into those of the class that containerd means."""
    try:
        yield
    except grpc.RpcError as error:
        code = error.code().value[0]
        raise from_grpc(code, f"containerd: {error.details()}") from None
