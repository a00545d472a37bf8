"""The Snapshots service: gRPC messages around a Snapshotter.

Source: containerd api/services/snapshots/v1/snapshots.proto, core/snapshots/proxy.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc
from google.protobuf import empty_pb2

from ..errdefs import InvalidArgument
from ..mount import Mount
from .api.services.snapshots.v1 import snapshots_pb2, snapshots_pb2_grpc
from .api.types import mount_pb2
from .metrics import Metrics
from .service import Service, answers
from .snapshots.database import Snapshot
from .snapshots.filters import compile_filters
from .snapshots.snapshotter import Snapshotter

_INFOS_PER_MESSAGE = 100
_MAX_FILTERS = 1024


class SnapshotService(snapshots_pb2_grpc.SnapshotsServicer, Service):
    """Answers for one snapshotter, whatever name containerd gives it."""

    def __init__(self, snapshotter: Snapshotter, metrics: Metrics) -> None:
        Service.__init__(self, metrics)
        self._snapshotter = snapshotter

    @answers
    def Prepare(
        self, request: snapshots_pb2.PrepareSnapshotRequest, context: grpc.ServicerContext
    ) -> snapshots_pb2.PrepareSnapshotResponse:
        """Make an active snapshot."""
        mounts = self._snapshotter.prepare(request.key, request.parent, request.labels)
        return snapshots_pb2.PrepareSnapshotResponse(mounts=_mounts(mounts))

    @answers
    def View(
        self, request: snapshots_pb2.ViewSnapshotRequest, context: grpc.ServicerContext
    ) -> snapshots_pb2.ViewSnapshotResponse:
        """Make a read-only snapshot."""
        mounts = self._snapshotter.view(request.key, request.parent, request.labels)
        return snapshots_pb2.ViewSnapshotResponse(mounts=_mounts(mounts))

    @answers
    def Mounts(
        self, request: snapshots_pb2.MountsRequest, context: grpc.ServicerContext
    ) -> snapshots_pb2.MountsResponse:
        """Return the mounts of an active snapshot or view."""
        return snapshots_pb2.MountsResponse(mounts=_mounts(self._snapshotter.mounts(request.key)))

    @answers
    def Commit(
        self, request: snapshots_pb2.CommitSnapshotRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Turn an active snapshot into a committed one."""
        if request.parent:
            raise InvalidArgument("a commit cannot change the snapshot's parent here")
        self._snapshotter.commit(request.name, request.key, request.labels)
        return empty_pb2.Empty()

    @answers
    def Remove(
        self, request: snapshots_pb2.RemoveSnapshotRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Remove a snapshot."""
        self._snapshotter.remove(request.key)
        return empty_pb2.Empty()

    @answers
    def Stat(
        self, request: snapshots_pb2.StatSnapshotRequest, context: grpc.ServicerContext
    ) -> snapshots_pb2.StatSnapshotResponse:
        """Return what is known of a snapshot."""
        return snapshots_pb2.StatSnapshotResponse(info=_info(self._snapshotter.stat(request.key)))

    @answers
    def Update(
        self, request: snapshots_pb2.UpdateSnapshotRequest, context: grpc.ServicerContext
    ) -> snapshots_pb2.UpdateSnapshotResponse:
        """Change labels."""
        if not request.HasField("info"):
            raise InvalidArgument("the request has no info")
        paths = list(request.update_mask.paths)
        updated = self._snapshotter.update(request.info.name, request.info.labels, paths)
        return snapshots_pb2.UpdateSnapshotResponse(info=_info(updated))

    def List(
        self, request: snapshots_pb2.ListSnapshotsRequest, context: grpc.ServicerContext
    ) -> Iterator[snapshots_pb2.ListSnapshotsResponse]:
        """Stream the snapshots that fit one of the filters."""
        infos = self._list(request, context)
        for start in range(0, len(infos), _INFOS_PER_MESSAGE):
            yield snapshots_pb2.ListSnapshotsResponse(info=infos[start : start + _INFOS_PER_MESSAGE])

    @answers
    def _list(
        self, request: snapshots_pb2.ListSnapshotsRequest, context: grpc.ServicerContext
    ) -> list[snapshots_pb2.Info]:
        if len(request.filters) > _MAX_FILTERS:
            raise InvalidArgument(f"{len(request.filters)} filters, at most {_MAX_FILTERS} are allowed")
        fits = compile_filters(request.filters)
        return [_info(snapshot) for snapshot in self._snapshotter.all() if fits(snapshot)]

    @answers
    def Usage(
        self, request: snapshots_pb2.UsageRequest, context: grpc.ServicerContext
    ) -> snapshots_pb2.UsageResponse:
        """Return what a snapshot takes on disk."""
        usage = self._snapshotter.usage(request.key)
        return snapshots_pb2.UsageResponse(size=usage.size, inodes=usage.inodes)

    @answers
    def Cleanup(
        self, request: snapshots_pb2.CleanupRequest, context: grpc.ServicerContext
    ) -> empty_pb2.Empty:
        """Put away what no snapshot names."""
        self._snapshotter.cleanup()
        return empty_pb2.Empty()


def _mounts(mounts: Sequence[Mount]) -> list[mount_pb2.Mount]:
    return [
        mount_pb2.Mount(type=mount.type, source=mount.source, target=mount.target, options=mount.options)
        for mount in mounts
    ]


def _info(snapshot: Snapshot) -> snapshots_pb2.Info:
    info = snapshots_pb2.Info(
        name=snapshot.key,
        parent=snapshot.parent,
        kind=snapshots_pb2.Kind.Name(snapshot.kind),
        labels=snapshot.labels,
    )
    info.created_at.FromNanoseconds(snapshot.created_ns)
    info.updated_at.FromNanoseconds(snapshot.updated_ns)
    return info
