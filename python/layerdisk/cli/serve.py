"""`layerdisk serve`: a proxy differ and snapshotter for containerd."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ._options import CONVERSION_OPTIONS, add_command, add_conversion_options, given

_EXAMPLE = """
# what belongs into containerd's configuration, and a unit for systemd
layerdisk serve --print-config
layerdisk serve --print-unit
# run it
layerdisk serve --root /var/lib/layerdisk
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    text = "run as a differ and snapshotter that containerd uses (extra: layerdisk[containerd])"
    serve = add_command(commands, "serve", _run, text, _EXAMPLE)
    serve.add_argument(
        "--address", metavar="SOCK", help="socket to answer on (/run/layerdisk/layerdisk.sock)"
    )
    serve.add_argument(
        "--root", metavar="DIR", help="snapshots and disks, used by nobody else (/var/lib/layerdisk)"
    )
    serve.add_argument(
        "--containerd-address", metavar="SOCK", help="of containerd (/run/containerd/containerd.sock)"
    )
    serve.add_argument(
        "--content", metavar="grpc|local:ROOT", help="read blobs from containerd (grpc) or from its directory"
    )
    serve.add_argument("--default-namespace", metavar="NS", help="for a containerd that does not pass it on")
    serve.add_argument(
        "--processors", metavar="FILE", help="TOML with stream_processors, as containerd has them"
    )
    serve.add_argument(
        "--mode",
        choices=("lcow", "overlay"),
        help="disks for virtual machines (lcow) or mounted here (overlay)",
    )
    serve.add_argument(
        "--verity", action="store_true", default=None, help="disks with a dm-verity tree, checked"
    )
    serve.add_argument("--metrics", metavar="HOST:PORT", help="answer Prometheus there")
    serve.add_argument(
        "--concurrency", type=int, metavar="N", help="layers that are converted at the same time"
    )
    serve.add_argument(
        "--print-config",
        nargs="?",
        type=int,
        const=3,
        choices=(2, 3, 4),
        metavar="VERSION",
        help="print containerd's configuration, of version 2, 3 (the default) or 4, and end",
    )
    serve.add_argument("--print-unit", action="store_true", help="print a systemd unit, and end")
    serve.add_argument("--debug", action="store_true", help="log more")
    add_conversion_options(serve)


_OPTIONS = (
    "address",
    "root",
    "containerd_address",
    "content",
    "default_namespace",
    "processors",
    "mode",
    "verity",
    "metrics",
    "concurrency",
)


def _run(options: argparse.Namespace) -> None:
    from ..containerd.config import ServeConfig, containerd_config, systemd_unit

    config = ServeConfig(**given(options, _OPTIONS), differ_options=given(options, CONVERSION_OPTIONS))
    if options.print_config is not None:
        print(containerd_config(config, options.print_config), end="")
    if options.print_unit:
        print(systemd_unit(config, sys.argv[0]), end="")
    if options.print_config is not None or options.print_unit:
        return
    from ..containerd.logs import log_to_stderr
    from ..containerd.server import serve

    log_to_stderr(debug=options.debug)
    serve(config)
