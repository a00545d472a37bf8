"""Many images at a time, on one machine or as many as there are.

A job is a plain record that pickles, and so is its result: any `concurrent.futures.Executor` can run them, that of a
dask cluster (`client.get_executor()`) too. This process only hands jobs out and writes down what became of them.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import dataclasses
import hashlib
import heapq
import json
import os
import tempfile
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from .cache import Cache
from .cancel import Cancellation
from .errdefs import DeadlineExceeded, LayerdiskError, ResourceExhausted, Unavailable, from_exception
from .image import Image, apply_image
from .io import fsync_directory
from .lcow import LAYER_FILE, LcowDiffer
from .places import LocalPlace, Place, RemotePlace, open_place, write_all
from .sources import open_image

__all__ = ["FleetLayer", "Job", "JobResult", "convert_many"]

LAYER_RECORD = "layer.json"
_LOOK_SECONDS = 0.1  # how often a wait looks whether it was canceled
_UNKNOWN_EXECUTOR_JOBS = 4096  # handed out at a time to an executor that does not say how many workers it has
_JOBS_PER_WORKER = 2  # so that none has to wait for its next one
_FIRST_WAIT_SECONDS = 0.5  # before the first retry; each later one waits twice as long


@dataclass(frozen=True, slots=True)
class Job:
    """An image that is to become disks.

    Attributes:
        image: as in the table of `layerdisk.sources`, seen from where the job runs.
        to: folder or URL of fsspec (extra `remote`); each layer goes to `<diffID>/layer.vhd`, with "-" for ":".
        ref: as of `open_image`.
        platform: as text, "linux/arm64/v8"; None for Linux on the machine where the job runs.
        options: keywords of LcowDiffer, such as layout and maximum_disk_size.
        layers_at_a_time: of this image; jobs run side by side as well.
    """

    image: str
    to: str
    ref: str | None = None
    platform: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    layers_at_a_time: int = 1

    @property
    def key(self) -> str:
        """What the job is called in a manifest: a digest of all that makes its result."""
        spec = dataclasses.asdict(self)
        del spec["layers_at_a_time"]
        return hashlib.sha256(json.dumps(spec, sort_keys=True, default=repr).encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class FleetLayer:
    """A layer of an image that was converted.

    Attributes:
        diff_id: of the layer.
        size: of its plain tar in bytes.
        path: of the disk, or its URL.
        origin: "converted", "cache", or "there" where the destination had it.
    """

    diff_id: str
    size: int
    path: str
    origin: str


@dataclass(frozen=True, slots=True)
class JobResult:
    """What became of a job.

    Attributes:
        job: which it is.
        manifest: digest of the image's manifest, "" where it failed.
        layers: the lowest first; a blob that is there twice is there twice.
        error: why it failed, None where it did not.
        is_passing: the error may pass by itself.
        attempts: how often it was tried; 0 where the manifest of an earlier run has it.
        seconds: that the last attempt took.
    """

    job: Job
    manifest: str = ""
    layers: tuple[FleetLayer, ...] = ()
    error: LayerdiskError | None = None
    is_passing: bool = False
    attempts: int = 1
    seconds: float = 0.0


def convert_many(
    jobs: Iterable[Job],
    *,
    executor: Executor | Callable[[], Executor] | None = None,
    cache: Cache | str | os.PathLike[str] | None = None,
    retries: int = 2,
    manifest: str | os.PathLike[str] | None = None,
    cancel: Cancellation | None = None,
) -> Generator[JobResult, None, None]:
    """Convert the layers of many images; one that fails does not stop the others.

    A layer that several images share is converted once for each cache, and not at all where the destination has it.
    Work begins with the first result that is asked for, and what is not done ends when the iterator is closed.

    Args:
        jobs: in the order in which they begin; equal ones are done once.
        executor: runs the jobs; by default threads of this process, one for each processor. A function makes one,
            which is shut down at the end and replaced when it breaks, as a pool of processes does when one of them is
            killed; an executor that is handed in stays open and cannot be replaced.
        cache: where results are shared; its path or URL must lead to the same place from wherever jobs run.
        retries: attempts after the first, for what fails for a passing reason: the registry is not available or limits
            the rate, a time-out, a worker that was lost.
        manifest: path of a file of JSON lines, one for each job that ended; jobs that it has as done are not done
            again. It is not asked whether a tag still means the same image.
        cancel: ends it within half a second where the jobs run on threads of this process; elsewhere what has begun
            ends by itself.

    Yields:
        Results as they come, first those that the manifest has.

    Raises:
        Canceled: `cancel` was canceled.
        OSError: the manifest cannot be read or written.
    """
    wanted = list({job.key: job for job in jobs}.values())
    where = cache.where if isinstance(cache, Cache) else None if cache is None else os.fspath(cache)
    with contextlib.ExitStack() as stack:
        written = stack.enter_context(_Manifest(manifest)) if manifest is not None else None
        done = written.done if written is not None else {}
        for job in wanted:
            if job.key in done:
                yield _resumed(job, done[job.key])
        dispatcher = stack.enter_context(_Dispatcher(executor, where, retries, cancel))
        for result in dispatcher.run([job for job in wanted if job.key not in done]):
            if written is not None:
                written.append(result)
            yield result


def run_job(job: Job, cache: str | None, cancel: Cancellation | None = None) -> JobResult:
    """Do one job, wherever this is called; errors are part of the result."""
    started = time.monotonic()
    try:
        with open_image(job.image, job.ref, job.platform) as opened:
            layers = _convert(job, opened.image, LcowDiffer(opened.source, **job.options), cache, cancel)
        return JobResult(
            job, opened.image.manifest.digest, layers, seconds=round(time.monotonic() - started, 3)
        )
    except Exception as error:
        typed = from_exception(error, f"failed to convert {job.image}")
        seconds = round(time.monotonic() - started, 3)
        return JobResult(job, error=typed, is_passing=_is_passing(error, typed), seconds=seconds)


def _is_passing(error: Exception, typed: LayerdiskError) -> bool:
    if isinstance(typed, (Unavailable, DeadlineExceeded)):
        return True
    # A registry's rate limit; a full disk has a cause, and a layer that is too large another class.
    return type(typed) is ResourceExhausted and typed is error and error.__cause__ is None


def _convert(
    job: Job, image: Image, differ: LcowDiffer, cache: str | None, cancel: Cancellation | None
) -> tuple[FleetLayer, ...]:
    place = open_place(job.to)
    conversion = json.loads(
        json.dumps(dict(differ.conversion), default=repr)
    )  # as it comes back from a record
    done: dict[str, FleetLayer] = {}
    for diff_id in {layer.diff_id for layer in image.layers}:
        if (there := _layer_there(place, diff_id, conversion)) is not None:
            done[diff_id] = there
        else:  # what it says is not true from when the disk is replaced
            place.remove(f"{_folder_name(diff_id)}/{LAYER_RECORD}")
    missing = tuple(layer for layer in image.layers if layer.diff_id not in done)
    with _folder_for(place) as folder:
        applied = apply_image(
            dataclasses.replace(image, layers=missing),
            folder,
            lambda: differ,
            workers=job.layers_at_a_time,
            cache=None if cache is None else Cache(cache),
            cancel=cancel,
        )
        for layer, result in zip(missing, applied, strict=True):
            if layer.diff_id in done:
                continue
            disk = f"{_folder_name(layer.diff_id)}/{LAYER_FILE}"
            if isinstance(place, RemotePlace):
                place.put(disk, result.path)
            record = {
                "diff_id": layer.diff_id,
                "size": result.applied.size,
                "disk_size": os.stat(result.path).st_size,
                "conversion": conversion,
            }
            place.write(f"{_folder_name(layer.diff_id)}/{LAYER_RECORD}", json.dumps(record).encode())
            origin = "cache" if result.is_cached else "converted"
            done[layer.diff_id] = FleetLayer(layer.diff_id, result.applied.size, place.path(disk), origin)
    return tuple(done[layer.diff_id] for layer in image.layers)


def _layer_there(place: LocalPlace | RemotePlace, diff_id: str, conversion: Any) -> FleetLayer | None:
    """Return a layer that the destination has, as the record says that is written after the disk."""
    folder = _folder_name(diff_id)
    try:
        with place.open(f"{folder}/{LAYER_RECORD}") as file:
            record = json.loads(file.read())
        with place.open(f"{folder}/{LAYER_FILE}") as file:
            disk_size = file.seek(0, os.SEEK_END)
        if (record["conversion"], record["disk_size"]) != (conversion, disk_size):
            return None
        return FleetLayer(diff_id, int(record["size"]), place.path(f"{folder}/{LAYER_FILE}"), "there")
    except (OSError, ValueError, LookupError, TypeError):  # not there, or not ours
        return None


@contextlib.contextmanager
def _folder_for(place: Place) -> Iterator[str]:
    """Give the folder in which disks are made: the destination itself, or one from which they are sent there."""
    if isinstance(place, LocalPlace):
        yield place.where
        return
    with tempfile.TemporaryDirectory(prefix="layerdisk-") as folder:
        yield folder


def _folder_name(diff_id: str) -> str:
    return diff_id.replace(":", "-")


@dataclass(slots=True)
class _Task:
    """A job on its way.

    Attributes:
        attempts: begun so far.
        is_suspect: it was running when an executor broke, and may be what broke it.
    """

    job: Job
    attempts: int = 0
    is_suspect: bool = False


class _Dispatcher:
    """Hands jobs to an executor, and again where they failed for a passing reason."""

    def __init__(
        self,
        executor: Executor | Callable[[], Executor] | None,
        cache: str | None,
        retries: int,
        cancel: Cancellation | None,
    ) -> None:
        self._cache = cache
        self._retries = retries
        self._outer = cancel
        self._stop = Cancellation()
        self._is_local = executor is None
        self._make = _threads if executor is None else None if isinstance(executor, Executor) else executor
        self._executor = executor if isinstance(executor, Executor) else None
        self._running: dict[Future[JobResult], _Task] = {}
        self._ready: deque[_Task] = deque()
        self._suspects: deque[_Task] = deque()
        self._later: list[tuple[float, int, _Task]] = []  # a heap: when, a number, what
        self._count = 0

    def __enter__(self) -> _Dispatcher:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.cancel("ended early")
        for future in self._running:
            future.cancel()
        if self._running and self._make is not None and self._executor is not None:
            _end_processes(self._executor)
        self._shut_down(wait=True)  # threads end at once when they are canceled

    def run(self, jobs: Iterable[Job]) -> Iterator[JobResult]:
        """Yield the results as they come."""
        self._ready.extend(_Task(job) for job in jobs)
        while self._ready or self._suspects or self._later or self._running:
            if self._outer is not None:
                self._outer.check()
            yield from self._submit()
            if not self._running:
                time.sleep(_LOOK_SECONDS if self._later else 0)
                continue
            done, _ = concurrent.futures.wait(
                self._running, _LOOK_SECONDS, concurrent.futures.FIRST_COMPLETED
            )
            for future in done:
                yield from self._finish(self._running.pop(future), future)

    def _submit(self) -> Iterator[JobResult]:
        """Hand out what there is room for; suspects one by one, with nothing else beside them."""
        while self._later and self._later[0][0] <= time.monotonic():
            self._ready.append(heapq.heappop(self._later)[2])
        while True:
            if self._suspects and not self._running:
                task = self._suspects.popleft()
            elif self._ready and not self._suspects and not self._is_full():
                task = self._ready.popleft()
            else:
                return
            task.attempts += 1
            try:
                future = self._start(task.job)
            except Exception as error:
                yield from self._lost(task, error)
            else:
                self._running[future] = task

    def _is_full(self) -> bool:
        if any(task.is_suspect for task in self._running.values()):
            return True
        workers = getattr(self._executor, "_max_workers", None)
        limit = workers * _JOBS_PER_WORKER if isinstance(workers, int) else _UNKNOWN_EXECUTOR_JOBS
        return len(self._running) >= (limit if self._executor is not None else 1)

    def _start(self, job: Job) -> Future[JobResult]:
        if self._executor is None:
            if self._make is None:
                raise Unavailable(
                    "the executor is broken; convert_many can replace one if it is given a function"
                )
            self._executor = self._make()
        if self._is_local:
            return self._executor.submit(run_job, job, self._cache, self._stop)
        return self._executor.submit(run_job, job, self._cache)

    def _finish(self, task: _Task, future: Future[JobResult]) -> Iterator[JobResult]:
        try:
            result = future.result()
        except (Exception, concurrent.futures.CancelledError) as error:
            yield from self._lost(task, error)
            return
        task.is_suspect = False
        if result.error is not None and result.is_passing and task.attempts <= self._retries:
            wait = _FIRST_WAIT_SECONDS * 2 ** (task.attempts - 1)
            self._count += 1
            heapq.heappush(self._later, (time.monotonic() + wait, self._count, task))
            return
        yield dataclasses.replace(result, attempts=task.attempts)

    def _lost(self, task: _Task, error: BaseException) -> Iterator[JobResult]:
        """Try again what ended without a result: `run_job` raises nothing, so a worker or the executor was lost."""
        if isinstance(error, concurrent.futures.BrokenExecutor) and self._executor is not None:
            self._shut_down(wait=False)
        if task.attempts <= self._retries and (self._executor is not None or self._make is not None):
            task.is_suspect = True
            self._suspects.append(task)
            return
        lost = Unavailable(f"{task.job.image}: the worker was lost: {type(error).__name__}: {error}")
        yield JobResult(task.job, error=lost, is_passing=True, attempts=task.attempts)

    def _shut_down(self, *, wait: bool) -> None:
        if self._executor is not None and self._make is not None:
            self._executor.shutdown(wait=wait, cancel_futures=True)
        self._executor = None


def _end_processes(executor: Executor) -> None:
    """End the processes of a pool; left to themselves they would outlive this one. What they write is temporary."""
    processes = getattr(executor, "_processes", None)  # terminate_workers of Python 3.14, for older ones too
    for process in list((processes or {}).values()):
        process.terminate()


def _threads() -> Executor:
    return concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1, "layerdisk-fleet")


class _Manifest:
    """What became of the jobs of all runs, a line each.

    Attributes:
        done: lines of the jobs that succeeded, by the jobs' keys.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.path.abspath(path)
        self.done: dict[str, dict[str, Any]] = {}
        self._file: BinaryIO

    def __enter__(self) -> _Manifest:
        is_new = not os.path.exists(self._path)
        self._file = open(self._path, "a+b", buffering=0)
        if is_new:
            fsync_directory(os.path.dirname(self._path))
        self._file.seek(0)
        content = self._file.read()
        for line in content.splitlines():
            with contextlib.suppress(ValueError, LookupError, TypeError):  # a crash may have cut the last one
                value = json.loads(line)
                if value["error"] is None:
                    self.done[value["key"]] = value
        if content and not content.endswith(b"\n"):
            write_all(self._file, b"\n")
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def append(self, result: JobResult) -> None:
        """Write down a result; it is on disk when this returns."""
        error = result.error
        line = {
            "key": result.job.key,
            "image": result.job.image,
            "to": result.job.to,
            "manifest": result.manifest,
            "layers": [dataclasses.asdict(layer) for layer in result.layers],
            "error": None if error is None else {"class": type(error).__name__, "text": str(error)},
            "attempts": result.attempts,
            "seconds": result.seconds,
        }
        write_all(self._file, json.dumps(line).encode() + b"\n")
        os.fsync(self._file.fileno())


def _resumed(job: Job, line: Mapping[str, Any]) -> JobResult:
    layers = tuple(FleetLayer(**layer) for layer in line["layers"])
    return JobResult(job, line["manifest"], layers, attempts=0)
