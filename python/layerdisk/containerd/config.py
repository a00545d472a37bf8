"""What `layerdisk serve` is asked for, and the configuration that containerd and systemd need to use it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from ..descriptor import linux_platform
from ..diff import BinaryProcessor
from ..errdefs import InvalidArgument, NotFound
from .snapshots.snapshotter import Mode

NAME = "layerdisk"
DEFAULT_ADDRESS = "/run/layerdisk/layerdisk.sock"
DEFAULT_ROOT = "/var/lib/layerdisk"
DEFAULT_CONTAINERD_ADDRESS = "/run/containerd/containerd.sock"
MAX_SOCKET_PATH_BYTES = 107  # sun_path less its NUL

ConfigVersion = Literal[2, 3, 4]


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Options of the service.

    Attributes:
        address: path of the socket to answer on.
        root: directory of snapshots and disks; nobody else may use it.
        containerd_address: path of containerd's socket.
        content: "grpc", or "local:ROOT" for the directory of containerd's content store.
        default_namespace: for calls that name none; "" refuses them.
        processors: TOML file with stream_processors as containerd has them.
        mode: as in Snapshotter.
        verity: each disk carries a dm-verity tree and is checked before its first mount.
        metrics: HOST:PORT to answer Prometheus on; "" for none.
        concurrency: layers that are converted at the same time.
        grace_seconds: how long running calls may take after the service was asked to stop.
        differ_options: keywords of LcowDiffer.
    """

    address: str = DEFAULT_ADDRESS
    root: str = DEFAULT_ROOT
    containerd_address: str = DEFAULT_CONTAINERD_ADDRESS
    content: str = "grpc"
    default_namespace: str = ""
    processors: str | None = None
    mode: Mode = "lcow"
    verity: bool = False
    metrics: str = ""
    concurrency: int = field(default_factory=lambda: (os.cpu_count() or 1) + 1)
    grace_seconds: float = 30.0
    differ_options: Mapping[str, Any] = field(default_factory=dict)


def read_processors(path: str | os.PathLike[str]) -> list[BinaryProcessor]:
    """Read stream processors from a TOML file: the table stream_processors of a containerd configuration.

    Args:
        path: of the file; other tables in it are ignored.

    Returns:
        The processors in the order of the file.

    Raises:
        NotFound: there is no such file.
        InvalidArgument: it is not TOML, or a processor lacks `accepts`, `returns` or `path`.

    Source: containerd cmd/containerd/server/config (StreamProcessor).
    """
    import tomllib

    try:
        with open(path, "rb") as file:
            tables = tomllib.load(file).get("stream_processors", {})
    except FileNotFoundError:
        raise NotFound("the file of stream processors does not exist") from None
    except ValueError as error:
        raise InvalidArgument(f"the file of stream processors is not TOML: {error}") from None
    if not isinstance(tables, dict):
        raise InvalidArgument("stream_processors is not a table")
    return [_processor(name, table) for name, table in tables.items()]


def _processor(name: str, table: object) -> BinaryProcessor:
    fields: dict[str, Any] = {}
    for key, kind in (("accepts", list), ("returns", str), ("path", str), ("args", list), ("env", list)):
        value = table.get(key) if isinstance(table, dict) else None
        if value is None and key in ("args", "env"):
            value = []
        is_texts = isinstance(value, list) and all(isinstance(item, str) for item in value)
        if not (is_texts if kind is list else isinstance(value, str)) or (
            not value and key not in ("args", "env")
        ):
            raise InvalidArgument(
                f"stream processor {name!r}: {key} must be {'texts' if kind is list else 'a text'}"
            )
        fields[key] = value
    return BinaryProcessor(
        name,
        tuple(fields["accepts"]),
        fields["returns"],
        fields["path"],
        tuple(fields["args"]),
        env=tuple(fields["env"]),
    )


def containerd_config(config: ServeConfig, version: ConfigVersion = 3) -> str:
    """Return what containerd's configuration needs so that it uses the service.

    Args:
        config: of the service.
        version: of containerd's configuration: 2 for 1.7, 3 for 2.0 to 2.2, 4 from 2.3 on.

    Raises:
        InvalidArgument: another version.
    """
    if version not in get_args(ConfigVersion):
        raise InvalidArgument(f"configuration version is {version}, it must be 2, 3 or 4")
    own = linux_platform()
    name = f"linux/{own.architecture}"
    address = _toml_text(config.address)
    # The differ's order counts for clients, the transfer service's entries for servers; defining one of the
    # latter replaces the defaults, so that the stock snapshotter is named as well.
    return f"""\
version = {version}

[proxy_plugins.{NAME}]
  type = "snapshot"
  address = {address}

[proxy_plugins.{NAME}-diff]
  type = "diff"
  address = {address}

[plugins."io.containerd.service.v1.diff-service"]
  default = ["{NAME}-diff", "walking"]

[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "{name}"
  snapshotter = "{NAME}"
  differ = "{NAME}-diff"

[[plugins."io.containerd.transfer.v1.local".unpack_config]]
  platform = "{name}"
  snapshotter = "overlayfs"
  differ = "walking"
"""


def systemd_unit(config: ServeConfig, program: str) -> str:
    """Return a unit that runs the service before containerd.

    Args:
        config: of the service.
        program: absolute path of `layerdisk`.
    """
    words = [program, "serve", "--address", config.address, "--root", config.root, "--mode", config.mode]
    if config.verity:
        words.append("--verity")
    command = " ".join(_unit_word(word) for word in words)
    return f"""\
[Unit]
Description=layerdisk differ and snapshotter for containerd
Before=containerd.service

[Service]
Type=notify
ExecStart={command}
RuntimeDirectory=layerdisk
Restart=on-failure
KillMode=mixed
TimeoutStopSec={int(config.grace_seconds) + 15}
LimitNOFILE=infinity
# containerd must see the disks that the service mounts: no private mounts here.

[Install]
WantedBy=multi-user.target
"""


def _toml_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _unit_word(word: str) -> str:
    escaped = word.replace("%", "%%").replace("$", "$$")
    if escaped and not set(escaped) & set(" \t\"'\\"):
        return escaped
    return '"' + escaped.replace("\\", "\\\\").replace('"', '\\"') + '"'
