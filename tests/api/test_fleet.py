"""Many images at a time: each layer once, one bad image, lost workers, what is tried again, and a second run."""

from __future__ import annotations

import concurrent.futures
import contextlib
import fcntl
import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from layerdisk import errdefs, fleet
from layerdisk.cache import Cache
from layerdisk.cancel import Cancellation
from layerdisk.cli import main
from layerdisk.errdefs import (
    Canceled,
    DataLoss,
    LayerdiskError,
    NotFound,
    ResourceExhausted,
    Unavailable,
)
from layerdisk.fleet import Job, JobResult, convert_many, run_job
from layerdisk.image import read_image
from layouts import Layout
from tarfiles import archive, regular


def image_with(layout: Layout, name: str, layers: list[bytes]) -> dict[str, Any]:
    """Write an image of these layers."""
    made = [layout.layer(tar) for tar in layers]
    rootfs = {"type": "layers", "diff_ids": [diff_id for _, diff_id in made]}
    return layout.image(
        config={"rootfs": rootfs},
        manifest={"layers": [blob for blob, _ in made]},
        annotations={"org.opencontainers.image.ref.name": name},
    )


@pytest.fixture
def many(tmp_path: Path) -> Layout:
    """40 images of 12 distinct layers, 4 in each."""
    layout = Layout(tmp_path / "many")
    layers = [archive(regular(f"f{number}", os.urandom(1000))) for number in range(12)]
    images = [
        image_with(layout, f"i{number}", [layers[(number + step) % 12] for step in (0, 1, 3, 6)])
        for number in range(40)
    ]
    layout.index(*images)
    return layout


def jobs_of(layout: Layout, to: Path | str, count: int = 40) -> list[Job]:
    return [Job(f"oci:{layout.root}", str(to), f"i{number}") for number in range(count)]


def spawned(workers: int) -> Executor:
    return ProcessPoolExecutor(workers, multiprocessing.get_context("spawn"))


def two_processes() -> Executor:
    return spawned(2)


def origins(results: list[JobResult]) -> list[str]:
    return [layer.origin for result in results for layer in result.layers]


def assert_complete(results: list[JobResult], to: Path) -> None:
    assert [result.error for result in results] == [None] * len(results)
    for result in results:
        for layer in result.layers:
            assert layer.path == str(to / layer.diff_id.replace(":", "-") / "layer.vhd")
            assert os.path.exists(layer.path)


@pytest.mark.parametrize("executor", [None, two_processes], ids=["threads", "processes"])
def test_every_layer_is_converted_once(
    executor: Callable[[], Executor] | None, many: Layout, tmp_path: Path
) -> None:
    jobs = jobs_of(many, tmp_path / "disks")
    results = list(convert_many(jobs, executor=executor, cache=tmp_path / "cache"))
    assert sorted(result.job.key for result in results) == sorted(job.key for job in jobs)
    assert_complete(results, tmp_path / "disks")
    assert origins(results).count("converted") == 12
    assert len(list((tmp_path / "disks").iterdir())) == 12


@pytest.mark.parametrize("scheme", ["memory", "local", "file"])
def test_disks_go_where_fsspec_leads(scheme: str, many: Layout, tmp_path: Path) -> None:
    import fsspec

    url = f"{scheme}://{tmp_path}/far"
    results = list(convert_many(jobs_of(many, url, 8), cache=f"{scheme}://{tmp_path}/cache"))
    list(convert_many(jobs_of(many, tmp_path / "near", 8)))
    files = fsspec.filesystem(scheme)
    found = files.find(f"{tmp_path}/far")
    assert sorted(path.rpartition("far/")[2] for path in found) == sorted(
        str(path.relative_to(tmp_path / "near")) for path in (tmp_path / "near").glob("*/*")
    )
    for result in results:
        assert result.error is None
        for layer in result.layers:
            folder = layer.diff_id.replace(":", "-")
            near = tmp_path / "near" / folder / "layer.vhd"
            assert files.cat_file(f"{tmp_path}/far/{folder}/layer.vhd") == near.read_bytes()
    if scheme == "memory":
        assert results[0].layers[0].path.startswith(f"{url}/sha256-")
        files.store.clear()


def test_what_is_there_is_not_done_again(many: Layout, tmp_path: Path) -> None:
    jobs = jobs_of(many, tmp_path / "disks", 1)
    [first] = convert_many(jobs)
    assert origins([first]) == ["converted"] * 4
    os.truncate(first.layers[0].path, 100)
    os.unlink(first.layers[1].path)
    [second] = convert_many(jobs)
    assert origins([second]) == ["converted", "converted", "there", "there"]
    other = Job(jobs[0].image, jobs[0].to, jobs[0].ref, options={"maximum_disk_size": 1 << 30})
    assert origins(list(convert_many([other]))) == ["converted"] * 4


def test_one_bad_image_does_not_stop_the_others(many: Layout, tmp_path: Path) -> None:
    broken = read_image(many.root, "i3").layers[0].descriptor
    many.path(broken.digest).write_bytes(b"x" * broken.size)
    jobs = [*jobs_of(many, tmp_path / "disks", 8), Job("nowhere", str(tmp_path))]
    errors = {result.job.ref: result.error for result in convert_many(jobs)}
    assert {ref for ref, error in errors.items() if error is None} == {"i1", "i4", "i5", "i6", "i7"}
    assert type(errors["i3"]) is DataLoss
    assert type(errors[None]) is NotFound


def test_equal_jobs_are_done_once(many: Layout, tmp_path: Path) -> None:
    assert len(list(convert_many(jobs_of(many, tmp_path, 1) * 3))) == 1


def test_results_come_while_others_work(many: Layout, tmp_path: Path) -> None:
    with held(tmp_path / "cache", many, "i0"):
        results = convert_many(jobs_of(many, tmp_path / "disks", 2), cache=tmp_path / "cache")
        results2 = convert_many([jobs_of(many, tmp_path / "disks", 3)[2]], cache=tmp_path / "cache")
        assert next(results2).error is None
        first = next(results)
        assert first.job.ref == "i1"
    assert [result.job.ref for result in results] == ["i0"]


@contextlib.contextmanager
def held(cache: Path, layout: Layout, ref: str) -> Iterator[None]:
    """Keep the first layer of an image from being converted by whoever uses the cache."""
    image = read_image(layout.root, ref)
    diff_id = image.layers[0].diff_id
    probe = Cache(cache.with_name("probe"))
    name = next(iter(_entry_names(probe, layout, ref, diff_id)))
    path = cache / f"{name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _entry_names(probe: Cache, layout: Layout, ref: str, diff_id: str) -> Iterator[str]:
    job = Job(f"oci:{layout.root}", str(Path(probe.where) / "disks"), ref)
    run_job(job, probe.where)
    yield from (entry.name for entry in probe.entries() if entry.diff_id == diff_id)


# What is tried again


class Scripted(ThreadPoolExecutor):
    """Gives the results that it is told to, in place of doing jobs."""

    def __init__(self, *outcomes: Exception | None) -> None:
        super().__init__(1)
        self.outcomes = list(outcomes)

    def submit(self, function: Any, job: Job, *arguments: Any) -> Any:  # type: ignore[override]
        return super().submit(self._next, job)

    def _next(self, job: Job) -> JobResult:
        outcome = self.outcomes.pop(0)
        if outcome is None:
            return JobResult(job, "sha256:0")
        if not isinstance(outcome, LayerdiskError):
            raise outcome
        return JobResult(job, error=outcome, is_passing=fleet._is_passing(outcome, outcome))


@pytest.mark.parametrize(
    ("outcomes", "attempts", "error"),
    [
        ([None], 1, None),
        ([Unavailable("503"), None], 2, None),
        ([ResourceExhausted("429"), Unavailable("503"), None], 3, None),
        ([errdefs.DeadlineExceeded("slow"), None], 2, None),
        ([Unavailable("1"), Unavailable("2"), Unavailable("3")], 3, "3"),
        ([DataLoss("bad")], 1, "bad"),
        ([errdefs.DiskSizeExceeded("large")], 1, "large"),
        ([RuntimeError("lost"), None], 2, None),
        ([RuntimeError("lost")] * 3, 3, "x: the worker was lost: RuntimeError: lost"),
        ([concurrent.futures.CancelledError(), None], 2, None),
    ],
    ids=[
        "at once",
        "unavailable",
        "rate limit",
        "time-out",
        "too often",
        "damaged",
        "too large",
        "lost",
        "lost too often",
        "canceled by the cluster",
    ],
)
def test_what_passes_is_tried_again(
    outcomes: list[Exception | None], attempts: int, error: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "_FIRST_WAIT_SECONDS", 0.01)
    with Scripted(*outcomes) as executor:
        [result] = convert_many([Job("x", "y")], executor=executor)
        assert executor.outcomes == []
    assert (result.attempts, None if result.error is None else str(result.error)) == (attempts, error)


def test_a_full_disk_is_not_tried_again(
    many: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("layerdisk.lcow.tar2ext4.convert", full)
    [result] = convert_many(jobs_of(many, tmp_path, 1))
    assert (type(result.error), result.is_passing, result.attempts) == (ResourceExhausted, False, 1)


def kill_when(find: Callable[[], int | None], done: threading.Event) -> None:
    """Kill the process that is found, once there is one."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        pid = find()
        if pid is not None:
            os.kill(pid, signal.SIGKILL)
            break
        time.sleep(0.05)
    done.set()


def test_a_killed_process_costs_one_retry(many: Layout, tmp_path: Path) -> None:
    pools: list[ProcessPoolExecutor] = []

    def make() -> Executor:
        pools.append(ProcessPoolExecutor(1, multiprocessing.get_context("spawn")))
        return pools[-1]

    def find() -> int | None:
        folder = Path(tmp_path / "disks")
        begun = folder.exists() and any(folder.iterdir())
        return next(iter(pools[0]._processes), None) if begun and pools else None

    killed = threading.Event()
    with contextlib.ExitStack() as stack:
        lock = stack.enter_context(contextlib.ExitStack())
        lock.enter_context(held(tmp_path / "cache", many, "i0"))

        def kill() -> None:
            kill_when(find, killed)
            lock.close()

        thread = threading.Thread(target=kill)
        thread.start()
        results = list(
            convert_many(jobs_of(many, tmp_path / "disks", 6), executor=make, cache=tmp_path / "cache")
        )
        thread.join()
    assert killed.is_set()
    assert len(pools) == 2
    assert_complete(results, tmp_path / "disks")
    attempts = {result.job.ref: result.attempts for result in results}
    assert attempts["i0"] == 2
    assert max(attempts.values()) == 2
    assert len({layer.path for result in results for layer in result.layers}) == origins(results).count(
        "converted"
    )


def die(job: Job, cache: str | None) -> JobResult:
    """A job that kills its worker, where it is the bad one."""
    if job.ref == "i1":
        os._exit(9)
    return run_job(job, cache)


def test_who_kills_workers_fails_alone(many: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet, "run_job", die)
    results = list(convert_many(jobs_of(many, tmp_path, 6), executor=two_processes))
    failed = [result for result in results if result.error is not None]
    assert [(result.job.ref, type(result.error), result.attempts) for result in failed] == [
        ("i1", Unavailable, 3)
    ]
    assert len(results) == 6


def test_an_executor_that_was_handed_in_is_not_replaced(
    many: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fleet, "run_job", die)
    with spawned(1) as executor:
        results = list(convert_many(jobs_of(many, tmp_path, 6), executor=executor))
    errors = [str(result.error) for result in results if result.error is not None]
    assert len(results) == 6
    assert any("convert_many can replace one if it is given a function" in error for error in errors)


# Cancel


def test_cancel_ends_it_within_half_a_second(many: Layout, tmp_path: Path) -> None:
    cancellation = Cancellation()
    with held(tmp_path / "cache", many, "i0"):
        threading.Timer(0.3, cancellation.cancel, ["enough"]).start()
        started = time.monotonic()
        with pytest.raises(Canceled, match="enough"):
            list(
                convert_many(
                    jobs_of(many, tmp_path / "disks", 1), cache=tmp_path / "cache", cancel=cancellation
                )
            )
        assert time.monotonic() - started < 0.3 + 0.5 + 0.5  # the machine may be busy


def test_closing_the_iterator_ends_what_works(many: Layout, tmp_path: Path) -> None:
    with held(tmp_path / "cache", many, "i0"):
        results = convert_many(jobs_of(many, tmp_path / "disks", 2), cache=tmp_path / "cache")
        assert next(results).job.ref == "i1"
        started = time.monotonic()
        results.close()
        assert time.monotonic() - started < 1
    assert list(results) == []


def test_an_end_by_signal_leaves_no_processes(many: Layout, tmp_path: Path) -> None:
    (tmp_path / "images").write_text(f"oci:{many.root}:i0\n")
    command = [sys.executable, "-m", "layerdisk", "fleet", str(tmp_path / "images"), "--processes", "1"]
    where = ["--to", str(tmp_path / "disks"), "--cache", str(tmp_path / "cache")]
    with held(tmp_path / "cache", many, "i0"):
        process = subprocess.Popen([*command, *where], stderr=subprocess.PIPE, start_new_session=True)
        try:
            deadline = time.monotonic() + 30
            while not (tmp_path / "disks").exists() and time.monotonic() < deadline:
                time.sleep(0.05)
            process.terminate()
            started = time.monotonic()
            _, err = process.communicate(timeout=30)  # to the end of what its children have open too
            assert time.monotonic() - started < 3
        finally:
            process.kill()
    assert process.returncode == 143
    assert b"layerdisk: ended by SIGTERM" in err


# The manifest


def test_a_second_run_resumes(many: Layout, tmp_path: Path) -> None:
    manifest = tmp_path / "done.jsonl"
    first = convert_many(jobs_of(many, tmp_path / "disks", 10), manifest=manifest)
    done = {next(first).job.ref for _ in range(4)}
    first.close()
    results = list(convert_many(jobs_of(many, tmp_path / "disks", 10), manifest=manifest))
    assert {result.job.ref for result in results if result.attempts == 0} == done
    assert len(results) == 10
    assert_complete(results, tmp_path / "disks")
    assert len(manifest.read_text().splitlines()) == 10
    again = list(convert_many(jobs_of(many, tmp_path / "disks", 10), manifest=manifest))
    assert [result.attempts for result in again] == [0] * 10
    assert {result.layers for result in again} == {result.layers for result in results}


def test_a_line_that_a_crash_cut_is_done_again(many: Layout, tmp_path: Path) -> None:
    manifest = tmp_path / "done.jsonl"
    list(convert_many(jobs_of(many, tmp_path / "disks", 2), manifest=manifest))
    os.truncate(manifest, manifest.stat().st_size - 20)
    results = list(convert_many(jobs_of(many, tmp_path / "disks", 2), manifest=manifest))
    assert sorted(result.attempts for result in results) == [0, 1]
    assert [json.loads(line)["error"] for line in manifest.read_text().splitlines()[::2]] == [None, None]


def test_failures_are_written_down_and_tried_by_the_next_run(tmp_path: Path) -> None:
    manifest = tmp_path / "done.jsonl"
    job = Job(str(tmp_path / "later"), str(tmp_path / "disks"))
    [failed] = convert_many([job], manifest=manifest)
    [line] = manifest.read_text().splitlines()
    assert json.loads(line)["error"] == {"class": "NotFound", "text": str(failed.error)}
    layout = Layout(tmp_path / "later")
    layout.index(layout.image())
    [result] = convert_many([job], manifest=manifest)
    assert (result.error, result.attempts) == (None, 1)


def test_other_options_are_another_job(tmp_path: Path) -> None:
    job = Job("x", "y")
    others = [
        Job("z", "y"),
        Job("x", "z"),
        Job("x", "y", "ref"),
        Job("x", "y", None, "linux/arm64"),
        Job("x", "y", options={"reproduce_defects": True}),
    ]
    assert len({job.key, *(other.key for other in others)}) == 6
    assert Job("x", "y", layers_at_a_time=4).key == job.key


# A dask cluster


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=4, threads_per_worker=1, processes=True, dashboard_address=None) as made,
        Client(made) as client,
    ):
        yield client


@pytest.mark.filterwarnings("ignore")
def test_a_dask_cluster_converts_each_layer_once_though_a_worker_is_killed(
    cluster: Any, many: Layout, tmp_path: Path
) -> None:
    pids = cluster.run(os.getpid)
    killed = threading.Event()

    def find() -> int | None:
        busy = [address for address, keys in cluster.processing().items() if keys]
        return pids[busy[0]] if len(busy) == 1 else None

    with contextlib.ExitStack() as lock:
        lock.enter_context(held(tmp_path / "cache", many, "i0"))

        def kill() -> None:
            kill_when(find, killed)
            lock.close()

        thread = threading.Thread(target=kill)
        thread.start()
        executor = cluster.get_executor()
        [first] = convert_many(
            jobs_of(many, tmp_path / "disks", 1), executor=executor, cache=tmp_path / "cache"
        )
        thread.join()
        results = [
            first,
            *convert_many(jobs_of(many, tmp_path / "disks")[1:], executor=executor, cache=tmp_path / "cache"),
        ]
    assert killed.is_set()
    assert len(results) == 40
    assert_complete(results, tmp_path / "disks")
    assert origins(results).count("converted") == 12


# The command


def test_the_command_takes_a_list_and_resumes(
    many: Layout, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    images = tmp_path / "images.txt"
    images.write_text(f"# all\noci:{many.root}:i0\n\noci:{many.root}:i1  # a comment\nnowhere\n")
    arguments = ["fleet", str(images), "--to", str(tmp_path / "disks"), "--manifest", str(tmp_path / "done")]
    assert main([*arguments, "--retries", "0", "--cache", str(tmp_path / "cache")]) == 1
    out, err = capsys.readouterr()
    assert sorted(line.partition(": ")[0] for line in out.splitlines()) == [
        f"oci:{many.root}:i0",
        f"oci:{many.root}:i1",
    ]
    assert err.startswith("layerdisk: nowhere: ")
    assert err.endswith("\nlayerdisk: 1 of 3 images failed\n")
    images.write_text(f"oci:{many.root}:i0\noci:{many.root}:i2\n")
    assert main([*arguments, "--json", "--processes", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["job"]["image"].rpartition(":")[2], line["attempts"]) for line in lines] == [
        ("i0", 0),
        ("i2", 1),
    ]
    assert lines[1]["layers"][0]["origin"] in ("there", "converted")
    assert lines[1]["error"] is None
