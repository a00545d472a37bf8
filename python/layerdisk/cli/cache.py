"""`layerdisk cache`: what a cache has, and how large it may be."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._options import add_cache, add_command, add_json
from ._show import print_json, size_text

if TYPE_CHECKING:
    from ..cache import CacheEntry

_EXAMPLE = """
# what is in a cache, the least recently used first
layerdisk cache ls --cache CACHE
# remove what was not used for longest, until the rest has at most 20 GiB
layerdisk cache prune --cache CACHE --max-size 20GiB
"""
_UNITS = {"KIB": 1024, "MIB": 1024**2, "GIB": 1024**3, "TIB": 1024**4}


def add(commands: Any) -> None:
    """Add the command's parser."""
    cache = add_command(commands, "cache", _run, "list or prune a cache of disks", _EXAMPLE)
    cache.add_argument("action", choices=("ls", "prune"), help="list what there is, or remove what is old")
    add_cache(cache)
    cache.add_argument(
        "--max-size",
        type=_size,
        metavar="SIZE",
        help="of what stays: a number of bytes, or as 500MiB or 20GiB",
    )
    add_json(cache)


def _run(options: argparse.Namespace) -> None:
    from ..cache import Cache
    from ..errdefs import InvalidArgument

    where = options.cache or os.environ.get("LAYERDISK_CACHE")
    if not where:
        raise InvalidArgument("which cache is not said: --cache or LAYERDISK_CACHE must")
    if (options.action == "prune") != (options.max_size is not None):
        raise InvalidArgument("--max-size is needed by prune, and by nothing else")
    cache = Cache(where)
    entries = cache.entries() if options.action == "ls" else cache.prune(options.max_size)
    if options.json:
        print_json(entries)
    else:
        _print(entries, "in the cache" if options.action == "ls" else "removed")


def _print(entries: Sequence[CacheEntry], what: str) -> None:
    import datetime

    for entry in entries:
        used = datetime.datetime.fromtimestamp(entry.used, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        print(f"{entry.diff_id} {used if entry.used else '-':<23} {size_text(entry.size)}")
    count = "1 entry" if len(entries) == 1 else f"{len(entries):,} entries"
    print(f"{count} {what}, {size_text(sum(entry.size for entry in entries))}")


def _size(text: str) -> int:
    number, factor = text, 1
    if text.upper()[-3:] in _UNITS:
        number, factor = text[:-3], _UNITS[text.upper()[-3:]]
    if not (number.isascii() and number.isdigit()):
        units = ", ".join(("KiB", "MiB", "GiB", "TiB"))
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number of bytes, or one of {units}")
    return int(number) * factor
