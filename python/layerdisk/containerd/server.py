"""The service: a gRPC server with the differ, the snapshotter and health on one socket."""

from __future__ import annotations

import contextlib
import errno
import functools
import logging
import os
import signal
import socket
import stat
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from ..content import LocalStore
from ..errdefs import AlreadyExists, DataLoss, FailedPrecondition, InvalidArgument
from .api.services.diff.v1 import diff_pb2_grpc
from .api.services.snapshots.v1 import snapshots_pb2_grpc
from .config import MAX_SOCKET_PATH_BYTES, ServeConfig, read_processors
from .content import MAX_MESSAGE_BYTES, ContentClient, connect
from .diff_service import DiffService, Stores
from .metrics import Metrics
from .snapshot_service import SnapshotService
from .snapshots.snapshotter import Snapshotter
from .upper import PiecesReader, layer_tar

_log = logging.getLogger(__name__)
# Applies that wait for their turn hold a thread each; snapshot calls must not wait for them.
_THREADS = 256
_SERVICES = ("containerd.services.diff.v1.Diff", "containerd.services.snapshots.v1.Snapshots")


class Server:
    """The running service.

    Args:
        config: what it is asked for.

    Raises:
        InvalidArgument: an option that cannot be.
        AlreadyExists: another service answers on the address, or uses the root.
    """

    def __init__(self, config: ServeConfig) -> None:
        if len(os.fsencode(config.address)) > MAX_SOCKET_PATH_BYTES:
            raise InvalidArgument(
                f"a socket's path has at most {MAX_SOCKET_PATH_BYTES} bytes: {config.address!r}"
            )
        self._config = config
        self._resources = contextlib.ExitStack()
        try:
            self._start()
        except BaseException:
            self._resources.close()
            raise

    def _start(self) -> None:
        config = self._config
        self._resources.enter_context(_sole_user(config.root))
        options = dict(config.differ_options)
        if config.verity:
            options["append_dm_verity"] = True
        snapshotter = Snapshotter(
            config.root,
            config.mode,
            form=_form(options),
            convert_upper=_convert_upper(options),
            check_disk=check_disk if config.verity else None,
        )
        self._resources.callback(snapshotter.close)
        channel = connect(config.containerd_address)
        self._resources.callback(channel.close)
        metrics = Metrics()
        if config.metrics:
            metrics.serve(config.metrics)
        limit = [("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)]
        self._executor = ThreadPoolExecutor(_THREADS, "layerdisk-call")
        self._server = grpc.server(self._executor, options=limit)
        diff = DiffService(
            snapshotter,
            _stores(config, channel),
            functools.partial(ContentClient, channel),
            differ_options=options,
            processors=read_processors(config.processors) if config.processors else (),
            default_namespace=config.default_namespace,
            concurrency=config.concurrency,
            metrics=metrics,
        )
        diff_pb2_grpc.add_DiffServicer_to_server(diff, self._server)  # type: ignore[no-untyped-call]
        snapshots_pb2_grpc.add_SnapshotsServicer_to_server(  # type: ignore[no-untyped-call]
            SnapshotService(snapshotter, metrics), self._server
        )
        self._health = health.HealthServicer()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        _listen(self._server, config.address)
        self._server.start()
        for service in ("", *_SERVICES):
            self._health.set(service, health_pb2.HealthCheckResponse.SERVING)
        _log.info("serving", extra={"address": config.address, "mode": config.mode})

    def stop(self) -> None:
        """Take no new calls, let those that run end within the grace period, then undo the rest."""
        self._health.enter_graceful_shutdown()
        self._server.stop(self._config.grace_seconds).wait()
        self._executor.shutdown(wait=True)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._config.address)
        self._resources.close()
        _log.info("stopped")


def serve(config: ServeConfig) -> None:
    """Run the service until SIGTERM or SIGINT; tells systemd when it is ready."""
    stopping = threading.Event()
    server = Server(config)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    notify_systemd("READY=1")
    while not stopping.wait(3600):
        pass
    notify_systemd("STOPPING=1")
    server.stop()


def notify_systemd(state: str) -> None:
    """Tell the service manager a state; nothing happens where there is none. Source: sd_notify(3)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.connect("\0" + address[1:] if address.startswith("@") else address)
        manager.send(state.encode())


def _stores(config: ServeConfig, channel: grpc.Channel) -> Stores:
    if config.content == "grpc":
        return functools.partial(ContentClient, channel)
    kind, _, directory = config.content.partition(":")
    if kind != "local" or not directory:
        raise InvalidArgument(f'content is {config.content!r}, it must be "grpc" or "local:ROOT"')
    return lambda _: LocalStore(directory)


def _form(options: dict[str, Any]) -> str:
    """Return a name for all that makes other bytes of one layer."""
    words = [f"{name}-{value}" for name, value in sorted(options.items()) if name != "core"]
    return "_".join(words) or "default"


def _convert_upper(options: dict[str, Any]) -> Callable[[str, str], str]:
    def convert_upper(directory: str, disk: str) -> str:
        from ..lcow import DEFAULT_MAXIMUM_DISK_SIZE
        from ..tar2ext4 import convert

        keywords = {"maximum_disk_size": DEFAULT_MAXIMUM_DISK_SIZE, **options}
        convert(
            PiecesReader(layer_tar(directory)),
            disk,
            convert_whiteout=True,
            append_vhd_footer=True,
            **keywords,
        )
        return ""

    return convert_upper


def check_disk(disk: str, root_hash: str) -> None:
    """Check a disk before its first mount, without a device of the kernel's: every block against the root hash.

    Raises:
        DataLoss: the disk is not the one that was made; the message names the first bad block.
    """
    from ..dmverity import verify

    if not root_hash:
        raise DataLoss("the disk has no root hash: it was made without --verity")
    verify(disk, root_hash)


@contextlib.contextmanager
def _sole_user(root: str) -> Iterator[None]:
    """Keep a lock on the root, so that no second service works in it."""
    import fcntl

    os.makedirs(root, mode=0o711, exist_ok=True)
    with open(os.path.join(root, "lock"), "ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyExists("another service uses the root directory") from None
        yield


def _listen(server: grpc.Server, address: str) -> None:
    """Bind the socket, for its owner only, in place of one that nobody answers on."""
    os.makedirs(os.path.dirname(os.path.abspath(address)), mode=0o711, exist_ok=True)
    if os.path.lexists(address):
        if not stat.S_ISSOCK(os.lstat(address).st_mode):
            raise FailedPrecondition("there is something else than a socket at the address")
        with socket.socket(socket.AF_UNIX) as probe:
            if probe.connect_ex(address) != errno.ECONNREFUSED:
                raise AlreadyExists("another service answers on the address")
        os.unlink(address)
    before = os.umask(0o177)
    try:
        server.add_insecure_port(f"unix:{address}")
    finally:
        os.umask(before)
