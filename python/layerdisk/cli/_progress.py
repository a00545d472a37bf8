"""How far a command is, for whoever watches."""

from __future__ import annotations

import contextlib
import sys
import time
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def progress() -> Iterator[Callable[[int], None] | None]:
    """Show how far it is, on a terminal only."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    started = shown = time.monotonic()

    def report(bytes_read: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= 0.1:
            shown = now
            megabytes = bytes_read / 1e6
            rate = megabytes / (now - started)
            print(f"\r\x1b[K{megabytes:.0f} MB, {rate:.0f} MB/s", end="", file=sys.stderr, flush=True)

    try:
        yield report
    finally:
        if shown != started:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
