"""Unpacking an image in a real containerd: layerdisk's snapshotter beside overlayfs with the walking differ.

    python -m benches.containerd [--rounds N] [--workload NAME]

Needs root, as the tests of tests/containerd do. What is compared takes turns; the import without unpacking, which is
the same for all, is measured too and taken off.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from .workloads import WORKLOADS

if TYPE_CHECKING:
    from stack import Stack

TESTS = Path(__file__).parents[1] / "tests"
IMAGE = "example.test/bench:1"


def seconds(stack: Stack, archive: Path, *arguments: str) -> float:
    """Import the image once, and remove it again."""
    started = time.monotonic()
    stack.ctr("image", "import", "--local", *arguments, archive)
    taken = time.monotonic() - started
    stack.ctr("image", "rm", "--sync", IMAGE)
    return taken


def main() -> None:
    sys.path[:0] = [str(TESTS), str(TESTS / "containerd")]
    from oci import oci_archive
    from stack import Stack, containerd_programs, running

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--workload", default="debian")
    options = parser.parse_args()
    kinds = {
        "no unpacking": ("--no-unpack",),
        "layerdisk": ("--snapshotter", "layerdisk"),
        "overlayfs": ("--snapshotter", "overlayfs"),
    }
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}
    with tempfile.TemporaryDirectory(prefix="layerdisk-bench-") as scratch:
        archive = Path(scratch, "image.tar")
        oci_archive(archive, IMAGE, [WORKLOADS[options.workload].path().read_bytes()])
        with running(Stack(containerd_programs("2.1"), "overlay")) as stack:
            for turn in range(options.rounds + 1):  # the first one warms up
                for kind, arguments in kinds.items():
                    found = seconds(stack, archive, *arguments)
                    if turn:
                        taken[kind].append(found)
    base = median(taken["no unpacking"])
    print("| unpacked by | seconds | of overlayfs |\n|---|---|---|")
    overlayfs = median(taken["overlayfs"]) - base
    for kind in ("layerdisk", "overlayfs"):
        own = median(taken[kind]) - base
        print(f"| {kind} | {own:.2f} | {own / overlayfs:.2f} |")


if __name__ == "__main__":
    main()
