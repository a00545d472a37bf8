"""The service itself: what it refuses, what it tells, how it starts and stops."""

from __future__ import annotations

import logging
import os
import signal
import socket
import stat
import subprocess
import sys
import tomllib
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import any_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from layerdisk.containerd.api.services.diff.v1 import diff_pb2, diff_pb2_grpc
from layerdisk.containerd.api.services.snapshots.v1 import snapshots_pb2, snapshots_pb2_grpc
from layerdisk.containerd.api.types import descriptor_pb2, mount_pb2
from layerdisk.containerd.config import ServeConfig, containerd_config, read_processors, systemd_unit
from layerdisk.containerd.logs import LogfmtFormatter
from layerdisk.containerd.server import Server
from layerdisk.containerd.service import redacted
from layerdisk.errdefs import AlreadyExists, InvalidArgument, LayerdiskError, NotFound

DIGEST = "sha256:" + "ab" * 32
LAYER = "application/vnd.oci.image.layer.v1.tar"


@pytest.fixture
def config(tmp_path: Path) -> ServeConfig:
    return ServeConfig(
        address=str(tmp_path / "s"),
        root=str(tmp_path / "root"),
        containerd_address=str(tmp_path / "none"),
        grace_seconds=1,
    )


@pytest.fixture
def channel(config: ServeConfig) -> Iterator[grpc.Channel]:
    server = Server(config)
    with grpc.insecure_channel(f"unix:{config.address}") as channel:
        yield channel
    server.stop()


def prepared(channel: grpc.Channel) -> mount_pb2.Mount:
    stub = snapshots_pb2_grpc.SnapshotsStub(channel)
    return stub.Prepare(snapshots_pb2.PrepareSnapshotRequest(key="a")).mounts[0]


def request(mounts: list[mount_pb2.Mount], **more: Any) -> diff_pb2.ApplyRequest:
    diff = descriptor_pb2.Descriptor(media_type=LAYER, digest=DIGEST, size=5)
    return diff_pb2.ApplyRequest(**{"diff": diff, "mounts": mounts, **more})


def refused(channel: grpc.Channel, request: diff_pb2.ApplyRequest, namespace: str = "ns") -> tuple[str, str]:
    with pytest.raises(grpc.RpcError) as caught:
        diff_pb2_grpc.DiffStub(channel).Apply(request, metadata=[("containerd-namespace", namespace)])
    return caught.value.code().name, caught.value.details() or ""


REFUSED: dict[str, tuple[dict[str, Any], str, str]] = {
    "no descriptor": ({"diff": None}, "INVALID_ARGUMENT", "the request has no descriptor"),
    "bad digest": (
        {"diff": descriptor_pb2.Descriptor(media_type=LAYER, digest="sha256:xyz", size=1)},
        "INVALID_ARGUMENT",
        "sha256 needs 64 lower-case hex digits",
    ),
    "negative size": (
        {"diff": descriptor_pb2.Descriptor(media_type=LAYER, digest=DIGEST, size=-1)},
        "INVALID_ARGUMENT",
        "size is -1",
    ),
    "long media type": (
        {"diff": descriptor_pb2.Descriptor(media_type="x" * 5000, digest=DIGEST, size=1)},
        "INVALID_ARGUMENT",
        "has 5000 characters, at most 4096",
    ),
    "no mount": ({"mounts": []}, "INVALID_ARGUMENT", "number of mounts should always be 1"),
    "many mounts": (
        {"mounts": [mount_pb2.Mount(type="lcow-layer")] * 20},
        "INVALID_ARGUMENT",
        "20 mounts, at most",
    ),
    "other type": (
        {"mounts": [mount_pb2.Mount(type="overlay", source="overlay")]},
        "UNIMPLEMENTED",
        "does not support mounts of type",
    ),
    "outside": (
        {"mounts": [mount_pb2.Mount(type="lcow-layer", source="/etc", options=["rw"])]},
        "INVALID_ARGUMENT",
        "not a snapshot of this snapshotter",
    ),
    "read-only": (
        {"mounts": [mount_pb2.Mount(type="lcow-layer", source="/etc", options=["ro"])]},
        "FAILED_PRECONDITION",
        "the mount is read-only",
    ),
    "bad parents": (
        {"mounts": [mount_pb2.Mount(type="lcow-layer", source="/etc", options=["parentLayerPaths=[1"])]},
        "INVALID_ARGUMENT",
        "parentLayerPaths",
    ),
    "many payloads": (
        {"payloads": {str(number): any_pb2.Any() for number in range(2000)}},
        "INVALID_ARGUMENT",
        "2000 payloads, at most 1024",
    ),
}


@pytest.mark.parametrize(("changed", "code", "message"), REFUSED.values(), ids=REFUSED)
def test_requests_that_cannot_be_are_refused(
    channel: grpc.Channel, changed: dict[str, Any], code: str, message: str
) -> None:
    found, details = refused(channel, request(**{"mounts": [prepared(channel)], **changed}))
    assert (found, message in details) == (code, True), details


def test_a_call_without_a_namespace_is_refused_unless_there_is_a_default(channel: grpc.Channel) -> None:
    assert refused(channel, request([prepared(channel)]), "") == (
        "FAILED_PRECONDITION",
        "namespace is required",
    )


def test_a_containerd_that_is_not_there_is_unavailable_and_leaves_nothing(
    channel: grpc.Channel, config: ServeConfig
) -> None:
    mount = prepared(channel)
    code, details = refused(channel, request([mount]))
    assert code == "UNAVAILABLE"
    assert config.root not in details
    assert os.listdir(mount.source) == []


def test_diff_of_other_mounts_is_left_to_others(channel: grpc.Channel) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        diff_pb2_grpc.DiffStub(channel).Diff(
            diff_pb2.DiffRequest(left=[], right=[mount_pb2.Mount(type="bind", source="/etc")]),
            metadata=[("containerd-namespace", "ns")],
        )
    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def test_snapshot_calls_over_the_wire(channel: grpc.Channel) -> None:
    stub = snapshots_pb2_grpc.SnapshotsStub(channel)
    for number in range(250):
        stub.Prepare(snapshots_pb2.PrepareSnapshotRequest(key=f"k{number:03}", labels={"n": str(number)}))
    infos = [info for part in stub.List(snapshots_pb2.ListSnapshotsRequest()) for info in part.info]
    assert [info.name for info in infos] == [f"k{number:03}" for number in range(250)]
    chosen = stub.List(snapshots_pb2.ListSnapshotsRequest(filters=["labels.n==7"]))
    assert [info.name for part in chosen for info in part.info] == ["k007"]
    update = snapshots_pb2.UpdateSnapshotRequest(info=snapshots_pb2.Info(name="k007", labels={"x": "y"}))
    update.update_mask.paths.append("labels.x")
    assert dict(stub.Update(update).info.labels) == {"n": "7", "x": "y"}
    stat_of = stub.Stat(snapshots_pb2.StatSnapshotRequest(key="k007")).info
    assert (stat_of.kind, stat_of.parent) == (snapshots_pb2.ACTIVE, "")
    assert stat_of.updated_at.ToNanoseconds() > stat_of.created_at.ToNanoseconds() > 0
    with pytest.raises(grpc.RpcError) as caught:
        list(stub.List(snapshots_pb2.ListSnapshotsRequest(filters=["=="])))
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_health_is_told_for_each_service(channel: grpc.Channel) -> None:
    stub = health_pb2_grpc.HealthStub(channel)
    for service in ("", "containerd.services.diff.v1.Diff", "containerd.services.snapshots.v1.Snapshots"):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=service))
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_only_the_owner_may_connect(channel: grpc.Channel, config: ServeConfig) -> None:
    assert stat.S_IMODE(os.stat(config.address).st_mode) == 0o600


def test_a_second_service_is_refused(channel: grpc.Channel, config: ServeConfig, tmp_path: Path) -> None:
    with pytest.raises(AlreadyExists, match="another service uses the root directory"):
        Server(config)
    with pytest.raises(AlreadyExists, match="another service answers on the address"):
        Server(ServeConfig(address=config.address, root=str(tmp_path / "other")))


def test_a_socket_that_nobody_answers_on_is_taken_over(config: ServeConfig) -> None:
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(config.address)
    Server(config).stop()
    assert not os.path.lexists(config.address)


def test_a_file_in_place_of_the_socket_stays(config: ServeConfig) -> None:
    Path(config.address).write_text("precious")
    with pytest.raises(LayerdiskError, match="something else than a socket"):
        Server(config)
    assert Path(config.address).read_text() == "precious"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"address": "/tmp/" + "x" * 110}, "a socket's path has at most 107 bytes"),
        ({"content": "local:"}, 'it must be "grpc" or "local:ROOT"'),
        ({"mode": "other"}, "mode is 'other', it must be one of lcow, overlay"),
        ({"metrics": "9999"}, "must be HOST:PORT"),
    ],
)
def test_options_that_cannot_be(config: ServeConfig, changed: dict[str, Any], message: str) -> None:
    fields = {name: getattr(config, name) for name in ServeConfig.__dataclass_fields__}
    with pytest.raises(InvalidArgument, match=message):
        Server(ServeConfig(**{**fields, **changed}))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_the_program_tells_systemd_answers_prometheus_and_stops_on_sigterm(tmp_path: Path) -> None:
    port = free_port()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        command = [sys.executable, "-m", "layerdisk", "serve", "--address", str(tmp_path / "s")]
        command += ["--root", str(tmp_path / "root"), "--metrics", f"127.0.0.1:{port}"]
        environment = {**os.environ, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
            try:
                assert manager.recv(100) == b"READY=1"
                with grpc.insecure_channel(f"unix:{tmp_path / 's'}") as channel:
                    refused(channel, diff_pb2.ApplyRequest())
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
                    text = answer.read().decode()
                assert 'layerdisk_errors_total{code="INVALID_ARGUMENT",method="Apply"} 1.0' in text
                process.send_signal(signal.SIGTERM)
                assert manager.recv(100) == b"STOPPING=1"
                _, log = process.communicate(timeout=60)
            finally:
                process.kill()
        assert process.returncode == 0, log
        assert [line.split("msg=")[1].split()[0] for line in log.splitlines()][::2] == ["serving", "stopped"]
        assert not os.path.lexists(tmp_path / "s")


def test_processors_are_read_as_containerd_writes_them(tmp_path: Path) -> None:
    path = tmp_path / "processors.toml"
    path.write_text("""
        [stream_processors]
          [stream_processors."io.containerd.ocicrypt.decoder.v1.tar.gzip"]
            accepts = ["application/vnd.oci.image.layer.v1.tar+gzip+encrypted"]
            returns = "application/vnd.oci.image.layer.v1.tar+gzip"
            path = "ctd-decoder"
            args = ["--decryption-keys-path", "/etc/keys"]
            env = ["OCICRYPT_KEYPROVIDER_CONFIG=/etc/conf"]
    """)
    [processor] = read_processors(path)
    assert processor.id == "io.containerd.ocicrypt.decoder.v1.tar.gzip"
    assert processor.accepts == ("application/vnd.oci.image.layer.v1.tar+gzip+encrypted",)
    assert (processor.path, processor.args[0]) == ("ctd-decoder", "--decryption-keys-path")
    assert processor.env == ("OCICRYPT_KEYPROVIDER_CONFIG=/etc/conf",)
    path.write_text('[stream_processors.x]\naccepts = ["a"]\nreturns = "b"\n')
    with pytest.raises(InvalidArgument, match="stream processor 'x': path must be a text"):
        read_processors(path)
    path.write_text("= 1")
    with pytest.raises(InvalidArgument, match="is not TOML"):
        read_processors(path)
    with pytest.raises(NotFound):
        read_processors(tmp_path / "none")


@pytest.mark.parametrize("version", [2, 3, 4])
def test_the_printed_configuration_names_both_plugins(version: Any) -> None:
    config = tomllib.loads(containerd_config(ServeConfig(address='/run/a "b"/s'), version))
    assert config["version"] == version
    proxies = config["proxy_plugins"]
    assert {name: proxy["type"] for name, proxy in proxies.items()} == {
        "layerdisk": "snapshot",
        "layerdisk-diff": "diff",
    }
    assert {proxy["address"] for proxy in proxies.values()} == {'/run/a "b"/s'}
    entries = config["plugins"]["io.containerd.transfer.v1.local"]["unpack_config"]
    assert [(entry["snapshotter"], entry["differ"]) for entry in entries] == [
        ("layerdisk", "layerdisk-diff"),
        ("overlayfs", "walking"),
    ]


def test_the_printed_unit_quotes_what_systemd_would_split() -> None:
    unit = systemd_unit(
        ServeConfig(root="/var/lib/with space", mode="overlay", verity=True), "/usr/bin/layerdisk"
    )
    assert "ExecStart=/usr/bin/layerdisk serve" in unit
    assert '--root "/var/lib/with space" --mode overlay --verity\n' in unit
    assert "Type=notify\n" in unit


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("[Errno 28] No space left: '/var/lib/x/y'", "[Errno 28] No space left: '<path>'"),
        ('tar entry "/etc/x" at byte 5: a\\b', 'tar entry "/etc/x" at byte 5: a\\b'),
        ("key -----BEGIN PRIVATE KEY-----\nabc", "key <key>"),
        (
            "application/vnd.oci.image.layer.v1.tar is plain",
            "application/vnd.oci.image.layer.v1.tar is plain",
        ),
        ("program /opt/keys/decoder failed", "program <path> failed"),
    ],
)
def test_details_hold_no_paths_and_no_keys(text: str, shown: str) -> None:
    assert redacted(text) == shown


def test_log_lines_are_logfmt() -> None:
    record = logging.LogRecord("layerdisk", logging.INFO, "", 0, "diff %s", ("applied",), None)
    record.digest, record.d, record.odd = DIGEST, 0.5, 'a "b"\n'
    line = LogfmtFormatter().format(record)
    assert (
        line.partition(" ")[2] == f'level=info msg="diff applied" digest={DIGEST} d=0.500 odd="a \\"b\\"\\n"'
    )
