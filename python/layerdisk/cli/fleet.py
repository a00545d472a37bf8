"""`layerdisk fleet`: many images to disks, on this machine or a cluster."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ._options import CONVERSION_OPTIONS, add_cache, add_command, add_conversion_options, add_json, given
from ._show import as_json, printable

if TYPE_CHECKING:
    from concurrent.futures import Executor

    from ..fleet import Job, JobResult

_EXAMPLE = """
# every image of a list, a line each, with a cache for the layers that they share
layerdisk fleet IMAGES.txt --to DISKS --cache CACHE
# the same on two processes; a second run goes on where this one stopped
layerdisk fleet IMAGES.txt --to DISKS --cache CACHE --manifest DONE.jsonl --processes 2
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    fleet = add_command(commands, "fleet", _run, "apply all layers of many images, many at a time", _EXAMPLE)
    fleet.add_argument(
        "images",
        metavar="IMAGES",
        help="file with an image on each line, as `apply` takes it, - for standard input; # starts a comment",
    )
    fleet.add_argument(
        "--to", metavar="URL", required=True, help="where the disks go: a folder, or a URL that fsspec knows"
    )
    fleet.add_argument(
        "--platform",
        metavar="OS/ARCH[/VARIANT]",
        help="platform of the images (default: Linux on this machine)",
    )
    fleet.add_argument(
        "--manifest", metavar="FILE", help="JSON lines of what is done; a second run goes on from it"
    )
    fleet.add_argument(
        "--retries", type=int, metavar="N", default=2, help="after an error that may pass (default: 2)"
    )
    where = fleet.add_mutually_exclusive_group()
    where.add_argument("--processes", type=int, metavar="N", help="run on N processes (default: threads)")
    where.add_argument("--dask", metavar="SCHEDULER", help="run on the dask cluster with this scheduler")
    add_cache(fleet)
    add_conversion_options(fleet)
    add_json(fleet)


def _run(options: argparse.Namespace) -> None:
    from ..errdefs import Unknown
    from ..fleet import convert_many

    jobs = list(_jobs(options))
    failed = count = 0
    with _executor(options) as executor:
        for result in convert_many(
            jobs,
            executor=executor,
            cache=options.cache or os.environ.get("LAYERDISK_CACHE") or None,
            retries=options.retries,
            manifest=options.manifest,
        ):
            count += 1
            failed += result.error is not None
            _print(result, options.json)
    if failed:
        raise Unknown(f"{failed} of {count} images failed")


def _jobs(options: argparse.Namespace) -> Iterator[Job]:
    from ..fleet import Job

    with contextlib.nullcontext(sys.stdin) if options.images == "-" else open(options.images) as lines:
        for line in lines:
            image = line.partition(" #")[0].strip()
            if image and not image.startswith("#"):
                yield Job(
                    image, options.to, platform=options.platform, options=given(options, CONVERSION_OPTIONS)
                )


@contextlib.contextmanager
def _executor(options: argparse.Namespace) -> Iterator[Executor | Callable[[], Executor] | None]:
    if options.dask is not None:
        from distributed import Client

        with Client(options.dask) as client:
            yield client.get_executor()
    elif options.processes is not None:
        import multiprocessing
        from concurrent.futures import ProcessPoolExecutor

        # No fork: the cores have threads.
        yield lambda: ProcessPoolExecutor(options.processes, multiprocessing.get_context("spawn"))
    else:
        yield None


def _print(result: JobResult, is_json: bool) -> None:
    if is_json:
        import json

        error = (
            None
            if result.error is None
            else {"class": type(result.error).__name__, "text": str(result.error)}
        )
        value = {**as_json(result), "seconds": result.seconds, "error": error}
        print(json.dumps(value), flush=True)
    elif result.error is not None:
        print(f"layerdisk: {printable(result.job.image)}: {printable(str(result.error))}", file=sys.stderr)
    else:
        origins = [layer.origin for layer in result.layers]
        kinds = ", ".join(f"{origins.count(kind)} {kind}" for kind in dict.fromkeys(origins))
        again = " (by an earlier run)" if result.attempts == 0 else ""
        print(f"{printable(result.job.image)}: {len(origins)} layers: {kinds}{again}", flush=True)
