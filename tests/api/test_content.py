"""The local content store: what is on disk, and the rules of ingests and commits."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import io
import logging
import os
import resource
import stat
import subprocess
import sys
import warnings
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from common import digest_of
from layerdisk import errdefs
from layerdisk.content import LocalStore
from layerdisk.content import ingest as ingest_module
from layerdisk.descriptor import Descriptor

DATA = b"some content " * 1000


def ingest(store: LocalStore, data: bytes, ref: str = "ref") -> str:
    with store.writer(ref) as writer:
        writer.write(data)
        writer.commit(len(data), digest_of(data))
    return digest_of(data)


def read_all(store: LocalStore, digest: str) -> bytes:
    with store.reader(Descriptor("m", digest, 0)) as reader:
        return reader.readall()


@pytest.fixture
def store(tmp_path: Path) -> LocalStore:
    return LocalStore(tmp_path / "store")


def ingest_files(store: LocalStore, ref: str = "ref") -> set[str]:
    directory = store.ingest_path(ref)
    return set(os.listdir(directory)) if os.path.isdir(directory) else set()


def test_a_committed_blob_is_there_and_the_ingest_gone(store: LocalStore) -> None:
    digest = ingest(store, DATA)
    path = Path(store.root, "blobs", "sha256", digest.removeprefix("sha256:"))
    assert path.read_bytes() == DATA
    assert stat.S_IMODE(path.stat().st_mode) & 0o333 == 0
    assert os.listdir(Path(store.root, "ingest")) == []
    assert read_all(store, digest) == DATA


def test_an_ingest_on_disk_is_as_containerds(store: LocalStore) -> None:
    with store.writer("layer-1", size=len(DATA)) as writer:
        writer.write(DATA[:100])
    directory = Path(store.root, "ingest", hashlib.sha256(b"layer-1").hexdigest())
    files = {path.name: path.read_bytes() for path in directory.iterdir()}
    assert set(files) == {"ref", "startedat", "updatedat", "total", "data"}
    assert files["ref"] == b"layer-1"
    assert files["total"] == str(len(DATA)).encode()
    assert files["data"] == DATA[:100]
    assert datetime.fromisoformat(files["startedat"].decode()) <= datetime.now(UTC)


def test_an_unknown_total_is_not_written(store: LocalStore) -> None:
    with store.writer("ref"):
        assert ingest_files(store) == {"ref", "startedat", "updatedat", "data"}


def test_a_resumed_ingest_goes_on_where_it_was(store: LocalStore) -> None:
    with store.writer("ref", size=len(DATA)) as writer:
        writer.write(DATA[:5000])
    with store.writer("ref") as writer:
        assert (writer.status().offset, writer.status().total) == (5000, len(DATA))
        writer.write(DATA[5000:])
        writer.commit(len(DATA), digest_of(DATA))
    assert read_all(store, digest_of(DATA)) == DATA


@pytest.mark.parametrize("damage", ["total", "ref", "too long"])
def test_a_resume_that_fails_truncates(store: LocalStore, damage: str) -> None:
    with store.writer("ref", size=len(DATA)) as writer:
        writer.write(b"x" * len(DATA))
    if damage == "ref":
        Path(store.ingest_path("ref"), "ref").write_text("another")
    size = len(DATA) if damage == "ref" else len(DATA) - 10
    if damage == "too long":
        Path(store.ingest_path("ref"), "total").unlink()
    with store.writer("ref", size=size) as writer:
        assert writer.status().offset == 0
        writer.write(DATA[:10])
        writer.commit(10, digest_of(DATA[:10]))  # no longer tail of the old content
    assert read_all(store, digest_of(DATA[:10])) == DATA[:10]


def test_times_of_containerd_are_read(store: LocalStore) -> None:
    with store.writer("ref"):
        pass
    Path(store.ingest_path("ref"), "startedat").write_text("2026-08-01T10:00:00.123456789+02:00")
    assert store.status("ref").started_at == datetime(2026, 8, 1, 8, 0, 0, 123456, UTC)


def test_an_empty_ref_is_refused(store: LocalStore) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="ref must not be empty"):
        store.writer("")


def test_an_expected_blob_that_is_there_already_exists(store: LocalStore) -> None:
    digest = ingest(store, DATA)
    with pytest.raises(errdefs.AlreadyExists, match=digest):
        store.writer("other", expected=digest)


def test_a_ref_is_written_by_one_at_a_time(store: LocalStore) -> None:
    with store.writer("ref"), pytest.raises(errdefs.Unavailable, match='ref "ref" is being written'):
        store.writer("ref")
    store.writer("ref").close()


@pytest.mark.parametrize(
    ("size", "expected", "reason"),
    [
        (len(DATA) + 1, "", f"unexpected commit size {len(DATA)}, expected {len(DATA) + 1}"),
        (0, digest_of(b"x"), f"unexpected commit digest {digest_of(DATA)}, expected {digest_of(b'x')}"),
    ],
    ids=["size", "digest"],
)
def test_a_commit_that_fails_leaves_the_ingest(
    store: LocalStore, size: int, expected: str, reason: str
) -> None:
    writer = store.writer("ref")
    writer.write(DATA)
    with pytest.raises(errdefs.FailedPrecondition) as caught:
        writer.commit(size, expected)
    assert str(caught.value) == reason
    assert "data" in ingest_files(store)
    assert list(store.walk()) == []
    with pytest.raises(errdefs.FailedPrecondition, match="writer is closed"):
        writer.commit()
    store.writer("ref").close()  # the lock is released


def test_a_commit_of_another_algorithm_hashes_again(store: LocalStore) -> None:
    digest = digest_of(DATA, "sha512")
    with store.writer("ref") as writer:
        writer.write(DATA)
        writer.commit(expected=digest)
    assert [info.digest for info in store.walk()] == [digest]


def test_committing_what_is_there_already_exists_and_removes_the_ingest(store: LocalStore) -> None:
    ingest(store, DATA)
    writer = store.writer("again")
    writer.write(DATA)
    with pytest.raises(errdefs.AlreadyExists):
        writer.commit()
    assert ingest_files(store, "again") == set()


def test_truncate_starts_over_and_only_to_zero(store: LocalStore) -> None:
    with store.writer("ref") as writer:
        writer.write(b"wrong")
        with pytest.raises(errdefs.InvalidArgument):
            writer.truncate(1)
        writer.truncate(0)
        writer.write(DATA)
        assert writer.digest() == digest_of(DATA)
        writer.commit()
    assert read_all(store, digest_of(DATA)) == DATA


def test_an_aborted_ingest_is_gone(store: LocalStore) -> None:
    store.writer("ref").close()
    store.abort("ref")
    with pytest.raises(errdefs.NotFound):
        store.status("ref")
    with pytest.raises(errdefs.NotFound):
        store.abort("ref")


def test_an_ingest_aborted_while_it_is_written_makes_no_blob(store: LocalStore) -> None:
    writer = store.writer("ref")
    writer.write(DATA)
    store.abort("ref")
    with pytest.raises(errdefs.Aborted):
        writer.commit()
    assert list(store.walk()) == []


def test_info_gives_size_and_times(store: LocalStore) -> None:
    info = store.info(ingest(store, DATA))
    assert info.size == len(DATA)
    assert abs(info.created_at - datetime.now(UTC)) < timedelta(minutes=1)


def test_walk_skips_what_is_no_blob(store: LocalStore, caplog: pytest.LogCaptureFixture) -> None:
    digests = sorted(ingest(store, bytes([number])) for number in range(3))
    Path(store.root, "blobs", "sha256", "junk").touch()
    Path(store.root, "blobs", "md5").mkdir()
    with caplog.at_level(logging.WARNING):
        assert [info.digest for info in store.walk()] == digests
    assert "junk" in caplog.text


def test_a_missing_blob_is_not_found(store: LocalStore) -> None:
    digest = digest_of(b"")
    for action in (store.info, store.delete, lambda _: store.reader(Descriptor("m", digest, 0))):
        with pytest.raises(errdefs.NotFound) as caught:
            action(digest)
        assert str(caught.value) == (f"blob {digest} expected at {store.blob_path(digest)}: blob not found")


@pytest.mark.parametrize("digest", ["", "sha256:../../x", "md5:" + "0" * 32])
def test_no_digest_leads_out_of_the_store(store: LocalStore, digest: str) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        store.reader(Descriptor("m", digest, 0))


def test_a_deleted_blob_is_gone(store: LocalStore) -> None:
    digest = ingest(store, DATA)
    store.delete(digest)
    assert list(store.walk()) == []


# --- ingests that go wrong


@contextlib.contextmanager
def full_disk(size: int) -> Iterator[None]:
    """Files of this process may have this many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("before", [0, 50_000], ids=["first", "second"])
def test_a_write_that_failed_can_be_tried_again(store: LocalStore, before: int) -> None:
    data = os.urandom(300_000)
    writer = store.writer("ref")
    writer.write(data[:before])
    with full_disk(100_000), pytest.raises(errdefs.ResourceExhausted, match='cannot write ingest "ref"'):
        writer.write(data[before:])
    assert writer.status().offset == before
    assert Path(store.ingest_path("ref"), "data").read_bytes() == data[:before]
    writer.write(data[before:])
    writer.commit(len(data), digest_of(data))
    assert read_all(store, digest_of(data)) == data


def test_an_interrupt_while_writing_leaves_digest_and_file_as_one(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = store.writer("ref")
    writer.write(DATA)
    write = ingest_module._write_all

    def interrupted(*arguments: Any) -> None:
        write(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(ingest_module, "_write_all", interrupted)
    with pytest.raises(KeyboardInterrupt):
        writer.write(b"more")
    writer.commit(len(DATA), digest_of(DATA))
    assert read_all(store, digest_of(DATA)) == DATA


def test_a_file_that_cannot_be_restored_is_not_written_further(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(io.FileIO):
        def truncate(self, size: int | None = None) -> int:
            raise OSError(errno.EIO, "Input/output error")

        def write(self, data: Any) -> int:
            super().write(data[:10])
            raise OSError(errno.EIO, "Input/output error")

    writer = store.writer("ref")
    writer.write(DATA)
    whole = writer._file
    assert whole is not None
    writer._file = Broken(os.dup(whole.fileno()), "r+")
    for attempt in ("write", "commit"):
        with pytest.raises(errdefs.DataLoss if attempt == "write" else errdefs.FailedPrecondition):
            writer.write(b"y" * 100) if attempt == "write" else writer.commit()
    assert list(store.walk()) == []
    whole.close()


def test_a_file_that_somebody_changed_is_not_committed(store: LocalStore) -> None:
    writer = store.writer("ref")
    writer.write(DATA)
    with open(Path(store.ingest_path("ref"), "data"), "ab") as file:
        file.write(b"more")
    with pytest.raises(
        errdefs.Aborted, match=f"has {len(DATA) + 4} bytes on disk and {len(DATA)} were written"
    ):
        writer.commit()
    assert list(store.walk()) == []


def test_a_commit_on_a_full_disk_is_resource_exhausted(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    writer = store.writer("ref")
    writer.write(DATA)
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(errdefs.ResourceExhausted):
            writer.commit()
    assert "data" in ingest_files(store)
    with store.writer("ref") as writer:
        writer.commit(len(DATA), digest_of(DATA))


def test_a_commit_does_all_of_its_work_also_where_the_directory_cannot_be_synced(
    store: LocalStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_: str) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(ingest_module, "fsync_directory", broken)
    writer = store.writer("ref")
    writer.write(DATA)
    with pytest.raises(errdefs.DataLoss, match='cannot commit ingest "ref"'):
        writer.commit()
    blob = Path(store.blob_path(digest_of(DATA)))
    assert blob.read_bytes() == DATA
    assert stat.S_IMODE(blob.stat().st_mode) & 0o333 == 0
    assert os.listdir(Path(store.root, "ingest")) == []


def test_a_writer_that_was_dropped_is_not_in_the_way(store: LocalStore) -> None:
    writer = store.writer("ref")
    writer.write(DATA)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        del writer
        gc.collect()
    with store.writer("ref") as writer:
        assert writer.status().offset == len(DATA)


@pytest.mark.parametrize("text", ["abc", "-1", "\xff", "9" * 5000, "1.5"])
def test_a_total_that_cannot_be_read_starts_over(store: LocalStore, text: str) -> None:
    with store.writer("ref", size=len(DATA)) as writer:
        writer.write(DATA)
    Path(store.ingest_path("ref"), "total").write_text(text, encoding="latin-1")
    assert store.status("ref").total == 0
    with store.writer("ref", size=len(DATA)) as writer:
        assert (writer.status().offset, writer.status().total) == (0, len(DATA))


@pytest.mark.parametrize("ref", ["", "\ud800", "a\udcff"])
def test_a_ref_that_cannot_be_stored_is_refused(store: LocalStore, ref: str) -> None:
    for action in (store.writer, store.status, store.abort):
        with pytest.raises(errdefs.InvalidArgument, match="ref "):
            action(ref)


@pytest.mark.parametrize("name", ["data", "ref", "total"])
@pytest.mark.parametrize("kind", ["link", "dangling", "pipe"])
def test_only_regular_files_of_an_ingest_are_opened(
    store: LocalStore, tmp_path: Path, name: str, kind: str
) -> None:
    with store.writer("ref", size=5):
        pass
    victim, path = tmp_path / "victim", Path(store.ingest_path("ref"), name)
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim)
    if kind == "link":
        victim.write_text("precious")
    with pytest.raises(errdefs.FailedPrecondition, match=f'{name}" is not a regular file'):
        store.writer("ref", size=5)
    assert not victim.exists() if kind == "dangling" else True
    assert victim.read_text() == "precious" if kind == "link" else True


def test_temporary_files_are_new_ones(
    store: LocalStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "urandom", bytes)
    directory = Path(store.ingest_path("ref"))
    directory.mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("precious")
    (directory / f"ref.{bytes(8).hex()}.tmp").symlink_to(victim)
    with pytest.raises(errdefs.LayerdiskError):
        store.writer("ref")
    assert victim.read_text() == "precious"


@pytest.mark.parametrize("kind", ["pipe", "directory"])
def test_only_regular_files_are_blobs(store: LocalStore, kind: str) -> None:
    path = Path(store.blob_path(digest_of(DATA)))
    path.parent.mkdir(parents=True)
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    with pytest.raises(errdefs.InvalidArgument, match="is not a regular file"):
        store.reader(Descriptor("m", digest_of(DATA), 0))


WRITER = """
import sys, time
from layerdisk import errdefs
from layerdisk.content import LocalStore
store, ref, size = LocalStore(sys.argv[1]), sys.argv[2], int(sys.argv[3])
outcome = None
while outcome is None:
    try:
        writer = store.writer(ref, size=size)
        offset = writer.status().offset
        while offset < size:
            offset += writer.write(b"x" * min(65536, size - offset))
        writer.commit(size, sys.argv[4])
        outcome = "committed"
    except errdefs.Unavailable:
        time.sleep(0.001)
    except (errdefs.AlreadyExists, errdefs.Aborted) as error:
        outcome = type(error).__name__
print(outcome)
"""


@pytest.mark.parametrize("refs", [("same", "same"), ("one", "two")], ids=["same ref", "two refs"])
def test_two_processes_ingest_the_same_blob(store: LocalStore, refs: tuple[str, str]) -> None:
    data = b"x" * 4_000_000
    for _ in range(3):
        command = [sys.executable, "-c", WRITER, store.root]
        running = [
            subprocess.Popen([*command, ref, str(len(data)), digest_of(data)], stdout=subprocess.PIPE)
            for ref in refs
        ]
        outcomes = [process.communicate()[0].decode().strip() for process in running]
        assert [process.returncode for process in running] == [0, 0]
        assert "committed" in outcomes, outcomes
        assert set(outcomes) <= {"committed", "AlreadyExists", "Aborted"}, outcomes
        assert read_all(store, digest_of(data)) == data
        store.delete(digest_of(data))


KILLED = """
import os, signal, sys
from layerdisk.content import LocalStore
writer = LocalStore(sys.argv[1]).writer("ref", size=100)
writer.write(b"x" * 60)
writer.status()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_an_ingest_of_a_killed_process_is_resumed(store: LocalStore) -> None:
    subprocess.run([sys.executable, "-c", KILLED, store.root])
    with store.writer("ref") as writer:
        assert writer.status().offset == 60
        writer.write(b"y" * 40)
        writer.commit(100, digest_of(b"x" * 60 + b"y" * 40))
