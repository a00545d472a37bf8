"""`layerdisk roothash`: the dm-verity root hash that a layer's disk would have, without a disk."""

from __future__ import annotations

import argparse
import sys
from typing import Any

from ._input import follow, open_input
from ._options import CORES, add_command, add_json
from ._progress import Bars, bars
from ._show import findings_text, print_json

_EXAMPLE = """
# of the layers of an image, base first, for a policy
layerdisk roothash layer.tar.gz layer.tar
# with the diffID, the size and what is wrong with hcsshim's disk
layerdisk roothash layer.tar --json
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    text = "print the dm-verity root hash of each layer's disk, as hcsshim computes it, without a disk"
    roothash = add_command(commands, "roothash", _run, text, _EXAMPLE)
    roothash.add_argument(
        "layers", nargs="+", metavar="LAYER", help="plain, gzip or zstd; - for standard input"
    )
    roothash.add_argument(
        "--no-defects",
        action="store_true",
        help="of the disk that layerdisk writes, which differs where hcsshim's is wrong",
    )
    roothash.add_argument(
        "--jobs", type=int, metavar="N", help="layers at a time (default: one for each core)"
    )
    roothash.add_argument("--core", choices=CORES, help="implementation to use (default: auto)")
    add_json(roothash)


def _run(options: argparse.Namespace) -> None:
    import os
    from concurrent.futures import ThreadPoolExecutor

    jobs = max(1, min(options.jobs or os.cpu_count() or 1, len(options.layers)))
    with bars() as shown, ThreadPoolExecutor(jobs) as pool:
        roots = list(pool.map(lambda layer: _root(layer, options, shown), options.layers))
    if options.json:
        print_json(
            [{"layer": layer} | root._asdict() for layer, root in zip(options.layers, roots, strict=True)]
        )
        return
    for root in roots:
        print(root.root_hash)
    for layer, root in zip(options.layers, roots, strict=True):
        for line in findings_text(root.findings):
            print(f"layerdisk: {layer}: {line}", file=sys.stderr)


def _root(layer: str, options: argparse.Namespace, shown: Bars | None) -> Any:
    from ..decompress import decompress
    from ..tar2ext4 import convert_and_compute_root_digest

    with open_input(layer) as file:
        report = None if shown is None else follow(shown, layer, file)

        def reopen() -> Any:
            file.seek(0)
            return decompress(file)

        return convert_and_compute_root_digest(
            decompress(file),
            reproduce_defects=not options.no_defects,
            reopen=reopen if file.seekable() else None,
            progress=report,
            core=options.core,
        )
