"""How far a command is, for whoever watches: a bar for each input, on a terminal only."""

from __future__ import annotations

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import rich.progress

    from ..descriptor import Descriptor
    from ..image import Layer, LayerProgress

_QUIET_SECONDS = 0.3  # a short run shows nothing, and does not load rich
_REFRESH_SECONDS = 0.1


@contextlib.contextmanager
def bars() -> Iterator[Bars | None]:
    """Show bars while the body runs, and clear them at its end; None where nobody watches."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    shown = Bars()
    try:
        yield shown
    finally:
        shown.close()


class Bars:
    """The bars on the screen. It may be called from several threads."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._due = time.monotonic() + _QUIET_SECONDS
        self._screen: rich.progress.Progress | None = None
        self._closed = False

    def add(self, name: str, total: int | None) -> Callable[[int], None]:
        """Add a bar that appears when it first has something to show.

        Args:
            name: what is shown before the bar.
            total: bytes of the input; None where they are not known.

        Returns:
            A function to be called often, with the number of bytes so far; a complete bar goes away.
        """
        bar: Any = None
        shown_at = 0.0

        def report(completed: int) -> None:
            nonlocal bar, shown_at
            now = time.monotonic()
            complete = completed == total
            if now < self._due or (now - shown_at < _REFRESH_SECONDS and not complete):
                return
            shown_at = now
            with self._guard:
                if (screen := self._started()) is None:
                    return
                if bar is None:
                    bar = screen.add_task(name, total=total)
                screen.update(bar, completed=completed, visible=not complete)

        return report

    def close(self) -> None:
        """Clear the bars; nothing is shown from then on."""
        with self._guard:
            self._closed = True
            if self._screen is not None:
                self._screen.stop()

    def _started(self) -> rich.progress.Progress | None:
        if self._closed:
            return None
        if self._screen is None:
            try:
                self._screen = _screen()
            except ImportError:  # installed without what it depends on: then nothing is shown
                self._closed = True
                return None
            self._screen.start()
        return self._screen


def _screen() -> rich.progress.Progress:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        DownloadColumn,
        Progress,
        TaskProgressColumn,
        TextColumn,
        TimeRemainingColumn,
        TransferSpeedColumn,
    )

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(bar_width=None),
        TaskProgressColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
        console=Console(file=sys.stderr),
        transient=True,
        expand=True,
    )


class LayerBars:
    """A bar for each layer that is being read, and one for all together where there are several."""

    def __init__(self, shown: Bars, layers: Sequence[Layer]) -> None:
        self._shown = shown
        self._reports: dict[int, Callable[[int], None]] = {}
        self._read: dict[int, int] = {}
        size = sum(layer.descriptor.size for layer in dict.fromkeys(layers))
        self._report = shown.add("all layers", size) if len(layers) > 1 else None

    def __call__(self, progress: LayerProgress) -> None:
        """Show how far a layer is."""
        index, blob = progress.index, progress.layer.descriptor
        if index not in self._reports:
            self._reports[index] = self._shown.add(blob_name(blob), blob.size)
        self._read[index] = progress.blob_bytes
        if self._report is not None:  # first, so that it stays on top
            self._report(sum(self._read.values()))
        self._reports[index](progress.blob_bytes)


def blob_name(blob: Descriptor) -> str:
    """Return the start of a blob's digest, as people know it from other tools."""
    return blob.digest.partition(":")[2][:12]
