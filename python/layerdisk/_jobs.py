"""Jobs on threads, of which a failed one, or an interrupt, ends all within a fraction of a second."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from .cancel import Cancellation
from .errdefs import ResourceExhausted

T = TypeVar("T")

_LOOK_SECONDS = 0.1  # Windows does not interrupt a wait that has no limit
_GRACE_SECONDS = 0.3  # for the jobs to end by themselves after they were canceled


class Jobs(Generic[T]):
    """Runs jobs, several at a time, until all are done or one has failed.

    A job that does not end when it is canceled, since it waits in a read that cannot be ended from outside, is left
    to itself: its thread does not keep the process alive.

    Args:
        jobs: called on threads of ours.
        workers: how many at a time.
        cancellation: is canceled as soon as a job has failed or the wait was interrupted.
    """

    def __init__(self, jobs: Sequence[Callable[[], T]], workers: int, cancellation: Cancellation) -> None:
        self._jobs = jobs
        self._workers = max(1, min(workers, len(jobs)))
        self._cancellation = cancellation
        self._changed = threading.Condition()
        self._next = 0
        self._running: set[int] = set()
        self._results: dict[int, T] = {}
        self._failure: BaseException | None = None

    @property
    def unfinished(self) -> frozenset[int]:
        """Numbers of the jobs that were left to themselves."""
        with self._changed:
            return frozenset(self._running)

    def run(self) -> list[T]:
        """Return the results in the order of the jobs.

        Raises:
            Canceled: somebody else canceled.
            ResourceExhausted: no thread can be started.
            Exception: the first one that a job raised.
        """
        try:
            self._start()
            self._wait()
        except BaseException:
            self._end("interrupted")
            raise
        if self._failure is not None or self._cancellation.is_canceled:
            self._end("another layer failed")
            if self._failure is not None:
                raise self._failure
            self._cancellation.check()
        return [self._results[number] for number in range(len(self._jobs))]

    def _start(self) -> None:
        for number in range(self._workers if self._jobs else 0):
            try:
                threading.Thread(target=self._work, daemon=True).start()
            except RuntimeError as error:
                if number == 0:
                    raise ResourceExhausted(f"cannot start a thread: {error}") from error
                return  # fewer do the work

    def _wait(self) -> None:
        with self._changed:
            while not self._is_over():
                self._changed.wait(_LOOK_SECONDS)

    def _is_over(self) -> bool:
        ended = self._failure is not None or self._cancellation.is_canceled
        return ended or len(self._results) == len(self._jobs)

    def _end(self, reason: str) -> None:
        self._cancellation.cancel(reason)
        deadline = time.monotonic() + _GRACE_SECONDS
        with self._changed:
            while self._running and (left := deadline - time.monotonic()) > 0:
                self._changed.wait(left)

    def _work(self) -> None:
        while (number := self._take()) is not None:
            try:
                result = self._jobs[number]()
            except BaseException as error:
                self._finish(number, failure=error)
                return
            self._finish(number, result)

    def _take(self) -> int | None:
        with self._changed:
            if self._next == len(self._jobs) or self._cancellation.is_canceled:
                return None
            self._next += 1
            self._running.add(self._next - 1)
            return self._next - 1

    def _finish(self, number: int, result: T | None = None, failure: BaseException | None = None) -> None:
        with self._changed:
            self._running.discard(number)
            if failure is None:
                self._results[number] = result  # type: ignore[assignment]  # T may be None
            elif self._failure is None and not self._cancellation.is_canceled:
                self._failure = failure
            self._changed.notify_all()
