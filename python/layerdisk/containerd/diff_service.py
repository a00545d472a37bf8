"""The Diff service: Apply makes the disk of a snapshot, Diff makes a layer of what a container changed.

Source: containerd api/services/diff/v1/diff.proto, plugins/diff/lcow, core/diff.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grpc

from .. import errdefs
from ..cancel import Cancellation
from ..descriptor import Descriptor, parse_digest
from ..diff import Payload, Processor, decryption_payloads
from ..errdefs import Canceled, FailedPrecondition, InvalidArgument
from ..lcow import LcowDiffer, mount_and_parents
from ..media_types import OCI_LAYER, OCI_LAYER_GZIP, is_encrypted
from ..mount import Mount
from ..tar2ext4 import ConvertResult
from .api.services.diff.v1 import diff_pb2, diff_pb2_grpc
from .api.types import descriptor_pb2, mount_pb2
from .content import ContentClient
from .metrics import Metrics
from .service import Service, answers, namespace_of, stated_namespace
from .snapshots.database import Disk, check_labels
from .snapshots.snapshotter import Snapshotter
from .upper import LayerStream

_log = logging.getLogger(__name__)
UNCOMPRESSED_LABEL = "containerd.io/uncompressed"
_MAX_MOUNTS = 16
_MAX_MAP_ENTRIES = 1024
_MAX_TEXT_BYTES = 4096
_POLL_SECONDS = 0.2

# (namespace) -> where its blobs are
Stores = Callable[[str], Any]


class DiffService(diff_pb2_grpc.DiffServicer, Service):
    """Applies layers to snapshots of one snapshotter.

    Args:
        snapshotter: whose snapshots are meant; mounts of others are refused.
        stores: gives the content store of a namespace.
        uploads: gives the content store that diffs are written to.
        differ_options: keywords of LcowDiffer.
        processors: stream processors.
        default_namespace: for calls that name none; "" refuses them.
        concurrency: layers that are converted at the same time; more of them wait.
        metrics: where things are counted.
    """

    def __init__(
        self,
        snapshotter: Snapshotter,
        stores: Stores,
        uploads: Callable[[str], ContentClient],
        *,
        differ_options: Mapping[str, Any],
        processors: Sequence[Processor],
        default_namespace: str,
        concurrency: int,
        metrics: Metrics,
    ) -> None:
        Service.__init__(self, metrics)
        self._snapshotter = snapshotter
        self._stores = stores
        self._uploads = uploads
        self._differ_options = dict(differ_options)
        self._processors = tuple(processors)
        self._default_namespace = default_namespace
        self._slots = threading.BoundedSemaphore(concurrency)

    @answers
    def Apply(self, request: diff_pb2.ApplyRequest, context: grpc.ServicerContext) -> diff_pb2.ApplyResponse:
        """Make the disk of the snapshot that the mounts name."""
        started = time.monotonic()
        namespace = namespace_of(context, self._default_namespace)
        desc = _descriptor(request)
        mount = _lcow_mount(request.mounts)
        payloads = _payloads(request)
        snapshot = self._snapshotter.active_of_directory(mount.source)
        disk_path = self._snapshotter.paths(snapshot.id).disk
        known = self._known(desc, payloads, stated_namespace(context), disk_path)
        results: list[ConvertResult] = []
        if known is None:
            with self._slot(context), _canceled_with(context) as cancel:
                applied = self._convert(namespace, desc, mount, payloads, cancel, results.append)
            known = Disk(applied.digest, applied.size, root_hash_of(results[0]))
            self._snapshotter.disks.add(desc.digest, known, disk_path)
            how = "converted"
        else:
            how = "linked"
        self._snapshotter.set_disk(snapshot.id, known.diff_id, known.root_hash)
        findings = _counted(results)
        seconds = time.monotonic() - started
        self.metrics.applied(how, known.size, seconds, findings.items())
        _log.info(
            "diff applied",
            extra={
                "namespace": namespace,
                "digest": desc.digest,
                "diffid": known.diff_id,
                "how": how,
                "d": seconds,
                "findings": ",".join(f"{code}:{count}" for code, count in sorted(findings.items())),
            },
        )
        result = descriptor_pb2.Descriptor(media_type=OCI_LAYER, digest=known.diff_id, size=known.size)
        return diff_pb2.ApplyResponse(applied=result)

    @answers
    def Diff(self, request: diff_pb2.DiffRequest, context: grpc.ServicerContext) -> diff_pb2.DiffResponse:
        """Write what a snapshot changed as a layer into the content store."""
        namespace = namespace_of(context, self._default_namespace)
        if len(request.labels) > _MAX_MAP_ENTRIES:
            raise InvalidArgument(f"{len(request.labels)} labels, at most {_MAX_MAP_ENTRIES} are allowed")
        check_labels(request.labels)
        media_type = request.media_type or OCI_LAYER_GZIP
        directory = self._changed(request)
        latest = request.source_date_epoch.ToNanoseconds() if request.HasField("source_date_epoch") else None
        stream = LayerStream(directory, media_type, latest)
        ref = request.ref or f"layerdisk-diff-{uuid.uuid4()}"
        client = self._uploads(namespace)
        with self._slot(context):
            try:
                digest, size = client.write(
                    ref,
                    _while_active(stream, context),
                    lambda: {**request.labels, UNCOMPRESSED_LABEL: stream.diff_id},
                )
            except BaseException:
                client.abort(ref)
                raise
        result = descriptor_pb2.Descriptor(media_type=media_type, digest=digest, size=size)
        return diff_pb2.DiffResponse(diff=result)

    def _known(
        self, desc: Descriptor, payloads: Mapping[str, Payload], namespace: str, disk_path: str
    ) -> Disk | None:
        """Link the disk of a blob that was applied before to the snapshot, where the caller may have the blob."""
        if payloads or is_encrypted(desc.media_type):
            return None  # whoever cannot decrypt the blob gets nothing of it
        known = self._snapshotter.disks.link_known(desc.digest, disk_path)
        if known is not None and namespace:
            try:
                self._stores(namespace).info(desc.digest)
            except BaseException:
                os.unlink(disk_path)
                raise
        return known

    def _convert(
        self,
        namespace: str,
        desc: Descriptor,
        mount: Mount,
        payloads: Mapping[str, Payload],
        cancel: Cancellation,
        on_result: Callable[[ConvertResult], object],
    ) -> Descriptor:
        differ = LcowDiffer(
            _CancelableStore(self._stores(namespace), cancel),
            processors=self._processors,
            **self._differ_options,
        )
        # Decoders need to know what they decrypt, also where the client tells them nothing.
        payloads = {**decryption_payloads(desc), **payloads}
        return differ.apply(desc, [mount], payloads=payloads, cancel=cancel, on_result=on_result)

    def _changed(self, request: diff_pb2.DiffRequest) -> str:
        """Return the directory that holds what the right mounts have more than the left ones."""
        if self._snapshotter.mode != "overlay":
            raise errdefs.NotImplemented("the LCOW differ cannot compare")
        right = self._snapshotter.layer_directories([_mount(mount) for mount in request.right])
        left = self._snapshotter.layer_directories([_mount(mount) for mount in request.left])
        changed = right[: len(right) - len(left)] if right[len(right) - len(left) :] == left else []
        if len(changed) != 1:
            raise errdefs.NotImplemented("the right mounts are not the left ones with one layer more")
        return changed[0]

    @contextlib.contextmanager
    def _slot(self, context: grpc.ServicerContext) -> Iterator[None]:
        """Wait for a turn, as long as there is somebody to wait for it."""
        while not self._slots.acquire(timeout=_POLL_SECONDS):
            if not context.is_active():
                raise Canceled("the call was canceled while it waited for its turn")
        self.metrics.running.inc()
        try:
            yield
        finally:
            self.metrics.running.dec()
            self._slots.release()


class _CancelableStore:
    """A store whose readers end when the call is canceled, also where they wait for containerd."""

    def __init__(self, store: Any, cancel: Cancellation) -> None:
        self._store = store
        self._cancel = cancel

    def reader(self, descriptor: Descriptor) -> Any:
        reader = self._store.reader(descriptor)
        callbacks = contextlib.ExitStack()
        callbacks.enter_context(self._cancel.calling(reader.close))
        return reader


@contextlib.contextmanager
def _canceled_with(context: grpc.ServicerContext) -> Iterator[Cancellation]:
    """Give a cancellation for the time when the call's client goes away, or the service stops."""
    cancel = Cancellation()
    if not context.add_callback(functools.partial(cancel.cancel, "the call was canceled")):
        raise Canceled("the call was canceled")
    yield cancel


def root_hash_of(result: ConvertResult) -> str:
    """Return the root hash of a disk in hexadecimal digits, "" for one without a verity tree."""
    return "" if result.verity is None else result.verity.root_digest


def _counted(results: Sequence[ConvertResult]) -> Counter[str]:
    """Return how many findings there are of each code."""
    counted: Counter[str] = Counter()
    for result in results:
        for finding in result.findings:
            counted[finding.code] += finding.count
    return counted


def _while_active(pieces: LayerStream, context: grpc.ServicerContext) -> Iterator[bytes]:
    for piece in pieces:
        if not context.is_active():
            raise Canceled("the call was canceled")
        yield piece


def _descriptor(request: diff_pb2.ApplyRequest) -> Descriptor:
    if not request.HasField("diff"):
        raise InvalidArgument("the request has no descriptor")
    diff = request.diff
    parse_digest(diff.digest)
    if diff.size < 0:
        raise InvalidArgument(f"descriptor: size is {diff.size}, not 0 or more")
    for what, text in (("media type", diff.media_type), *diff.annotations.items()):
        if len(text) > _MAX_TEXT_BYTES:
            raise InvalidArgument(
                f"descriptor: {what[:100]!r} has {len(text)} characters, at most {_MAX_TEXT_BYTES}"
            )
    return Descriptor(diff.media_type, diff.digest, diff.size, annotations=dict(diff.annotations))


def _mount(mount: mount_pb2.Mount) -> Mount:
    return Mount(mount.type, mount.source, mount.target, tuple(mount.options))


def _lcow_mount(mounts: Sequence[mount_pb2.Mount]) -> Mount:
    if len(mounts) > _MAX_MOUNTS:
        raise InvalidArgument(f"{len(mounts)} mounts, at most {_MAX_MOUNTS} are allowed")
    mount, _ = mount_and_parents([_mount(mount) for mount in mounts])
    if "ro" in mount.options:
        raise FailedPrecondition("the mount is read-only")
    return mount


def _payloads(request: diff_pb2.ApplyRequest) -> dict[str, Payload]:
    if len(request.payloads) > _MAX_MAP_ENTRIES:
        raise InvalidArgument(f"{len(request.payloads)} payloads, at most {_MAX_MAP_ENTRIES} are allowed")
    return {name: Payload(payload.type_url, payload.value) for name, payload in request.payloads.items()}
