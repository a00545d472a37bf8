"""A request to end work early, from another thread or a signal handler."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator

from .errdefs import Canceled

__all__ = ["Cancel", "Cancellation", "checker"]


class Cancellation:
    """A request to end work early, which those who work look at.

    One may be given to several pieces of work at once.

    >>> cancellation = Cancellation()
    >>> cancellation.cancel("the user left")
    >>> cancellation.check()
    Traceback (most recent call last):
    ...
    layerdisk.errdefs.Canceled: the user left
    """

    def __init__(self) -> None:
        self._reason: str | None = None
        self._callbacks: dict[object, Callable[[], object]] = {}
        self._guard = threading.RLock()  # a signal handler may cancel while its own thread is in here

    @property
    def is_canceled(self) -> bool:
        """Whether `cancel` was called."""
        return self._reason is not None

    @property
    def reason(self) -> str:
        """What `cancel` was called with, "" before that."""
        return self._reason or ""

    def cancel(self, reason: str = "canceled") -> None:
        """Ask for the end; only the first call counts.

        Args:
            reason: text of the exception with which the work ends.
        """
        with self._guard:
            if self._reason is None:
                self._reason = reason
                for callback in list(self._callbacks.values()):
                    callback()

    def check(self) -> None:
        """Raise Canceled if `cancel` was called."""
        if self._reason is not None:
            raise Canceled(self._reason)

    @contextlib.contextmanager
    def calling(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call back at `cancel`, in its thread, as long as the context lasts.

        Args:
            callback: ends what waits, such as a read; it must be quick and must not raise.

        Yields:
            Nothing. Leaving the context waits for a callback that is running.
        """
        key = object()
        with self._guard:
            self._callbacks[key] = callback
            if self._reason is not None:
                callback()
        try:
            yield
        finally:
            with self._guard:
                del self._callbacks[key]


Cancel = Cancellation | threading.Event | Callable[[], bool]


def checker(cancel: Cancel | None) -> Callable[[], None]:
    """Return a function that raises Canceled once the end was asked for.

    Args:
        cancel: a cancellation, an event that is set, or a function that returns True, to ask for the end; None if
            nobody will. Exceptions of the function pass through.
    """
    if cancel is None:
        return lambda: None
    if isinstance(cancel, Cancellation):
        return cancel.check
    is_wanted = cancel.is_set if isinstance(cancel, threading.Event) else cancel

    def check() -> None:
        if is_wanted():
            raise Canceled("canceled")

    return check
