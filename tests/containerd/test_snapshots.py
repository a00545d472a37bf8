"""Snapshots without containerd: keys, kinds, parents, labels, filters, and what a crash leaves."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from layerdisk.containerd.snapshots import Database, Kind, Snapshotter, compile_filters
from layerdisk.containerd.snapshots.database import Disk
from layerdisk.errdefs import (
    AlreadyExists,
    FailedPrecondition,
    InvalidArgument,
    LayerdiskError,
    NotFound,
    NotImplemented,
)
from layerdisk.mount import Mount


@pytest.fixture
def snapshotter(tmp_path: Path) -> Iterator[Snapshotter]:
    made = Snapshotter(tmp_path / "root")
    yield made
    made.close()


def committed(snapshotter: Snapshotter, name: str, parent: str = "", disk: bytes = b"disk") -> None:
    """Do what containerd and the differ do for a layer."""
    [mount] = snapshotter.prepare(f"extract-1 {name}", parent)
    Path(mount.source, "layer.vhd").write_bytes(disk)
    snapshotter.commit(name, f"extract-1 {name}", {"made": "yes"})


def test_mounts_are_those_of_containerds_lcow_snapshotter(snapshotter: Snapshotter) -> None:
    top = f"{snapshotter.root}/snapshots"
    assert snapshotter.prepare("a") == [
        Mount("lcow-layer", f"{top}/1", options=("rw", "parentLayerPaths=null"))
    ]
    committed(snapshotter, "one")
    committed(snapshotter, "two", "one")
    assert snapshotter.prepare("b", "two") == [
        Mount("lcow-layer", f"{top}/4", options=("rw", f'parentLayerPaths=["{top}/3","{top}/2"]'))
    ]
    view = Mount("lcow-layer", f"{top}/3", options=("ro", f'parentLayerPaths=["{top}/2"]'))
    assert snapshotter.view("v", "two") == [view]
    assert snapshotter.mounts("v") == [view]
    assert snapshotter.view("w") == [Mount("lcow-layer", f"{top}/6", options=("ro", "parentLayerPaths=null"))]


def test_infos_are_what_was_asked_for(snapshotter: Snapshotter) -> None:
    committed(snapshotter, "one", disk=bytes(8192))
    snapshotter.prepare("a", "one", {"k": "v"})
    active, one = snapshotter.stat("a"), snapshotter.stat("one")
    assert (active.kind, active.parent, active.labels) == (Kind.ACTIVE, "one", {"k": "v"})
    assert (one.kind, one.parent, one.labels) == (Kind.COMMITTED, "", {"made": "yes"})
    assert active.created_ns == active.updated_ns > one.created_ns
    assert snapshotter.usage("one") == one.usage
    assert one.usage.inodes == 1
    assert [snapshot.key for snapshot in snapshotter.all()] == ["a", "one"]
    assert snapshotter.all()[0] == active


def test_labels_change_by_field_paths(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("a", "", {"one": "1", "two": "2"})
    assert snapshotter.update("a", {"one": "9"}, ["labels.one"]).labels == {"one": "9", "two": "2"}
    assert snapshotter.update("a", {}, ["labels.one"]).labels == {"two": "2"}
    assert snapshotter.update("a", {"x": "y", "gone": ""}, ["labels"]).labels == {"x": "y"}
    assert snapshotter.update("a", {"z": "z"}).labels == {"z": "z"}
    with pytest.raises(InvalidArgument, match="cannot update field 'parent' of snapshot 'a': only labels"):
        snapshotter.update("a", {}, ["parent"])


# What fails, in words of (call, arguments), after snapshots one <- two (committed), a (active on two), v (a view).
FAILURES = {
    "prepare again": ("prepare", ("a",), AlreadyExists, "snapshot 'a' exists"),
    "parent unknown": ("prepare", ("b", "x"), NotFound, "snapshot 'x' does not exist"),
    "parent active": ("prepare", ("b", "a"), InvalidArgument, "parent 'a' is not a committed snapshot"),
    "key empty": ("prepare", ("",), InvalidArgument, "the snapshot's key is empty or has a NUL byte"),
    "key long": ("prepare", ("k" * 5000,), InvalidArgument, "more than 4096 bytes"),
    "label long": ("prepare", ("b", "", {"k": "v" * 4096}), InvalidArgument, "greater than maximum size"),
    "commit unknown": ("commit", ("n", "x"), NotFound, "snapshot 'x' does not exist"),
    "commit view": ("commit", ("n", "v"), FailedPrecondition, "snapshot 'v' is not active"),
    "commit nothing": ("commit", ("n", "a"), FailedPrecondition, "snapshot 'a' has no layer.vhd"),
    "commit twice": ("commit", ("one", "full"), AlreadyExists, "snapshot 'one' exists"),
    "remove parent": ("remove", ("one",), FailedPrecondition, "cannot remove snapshot 'one' with child"),
    "remove unknown": ("remove", ("x",), NotFound, "snapshot 'x' does not exist"),
    "mounts of committed": ("mounts", ("one",), FailedPrecondition, "snapshot 'one' is not active"),
    "stat unknown": ("stat", ("x",), NotFound, "snapshot 'x' does not exist"),
    "usage unknown": ("usage", ("x",), NotFound, "snapshot 'x' does not exist"),
    "update unknown": ("update", ("x", {}), NotFound, "snapshot 'x' does not exist"),
}


@pytest.mark.parametrize(("call", "arguments", "error", "message"), FAILURES.values(), ids=FAILURES)
def test_calls_fail_as_containerds_snapshotters(
    snapshotter: Snapshotter,
    call: str,
    arguments: tuple[object, ...],
    error: type[LayerdiskError],
    message: str,
) -> None:
    committed(snapshotter, "one")
    committed(snapshotter, "two", "one")
    snapshotter.prepare("a", "two")
    snapshotter.view("v", "one")
    [full] = snapshotter.prepare("full")
    Path(full.source, "layer.vhd").write_bytes(b"d")
    before = snapshotter.all()
    with pytest.raises(error, match=message):
        getattr(snapshotter, call)(*arguments)
    assert snapshotter.all() == before


def test_removal_takes_the_files_too(snapshotter: Snapshotter) -> None:
    committed(snapshotter, "one")
    committed(snapshotter, "two", "one")
    snapshotter.remove("two")
    assert os.listdir(f"{snapshotter.root}/snapshots") == ["1"]
    snapshotter.remove("one")
    assert os.listdir(f"{snapshotter.root}/snapshots") == []


def test_numbers_are_never_given_twice(snapshotter: Snapshotter) -> None:
    snapshotter.prepare("a")
    snapshotter.remove("a")
    assert snapshotter.prepare("b")[0].source.endswith("/snapshots/2")


def test_a_start_puts_away_what_a_crash_left(tmp_path: Path) -> None:
    first = Snapshotter(tmp_path)
    committed(first, "one")
    [active] = first.prepare("a", "one")
    first.close()
    Path(active.source, ".layer.vhd.1234.tmp").write_bytes(b"half")
    for name in ("7", "8.removed"):  # a creation that was not committed, a removal that was not finished
        Path(tmp_path, "snapshots", name, "fs").mkdir(parents=True)
    Path(tmp_path, "disks/default/ab").mkdir(parents=True)
    Path(tmp_path, f"disks/default/ab/sha256-{'ab' * 32}.vhd").write_bytes(b"nobody's")
    second = Snapshotter(tmp_path)
    assert sorted(os.listdir(tmp_path / "snapshots")) == ["1", "2"]
    assert os.listdir(active.source) == []
    assert list(tmp_path.rglob("sha256-*")) == []
    assert [snapshot.key for snapshot in second.all()] == ["a", "one"]
    second.close()


def test_a_database_of_another_schema_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "snapshots.db") as connection:
        connection.execute("PRAGMA user_version = 99")
    with pytest.raises(FailedPrecondition, match="has schema 99, this version knows 1"):
        Snapshotter(tmp_path)


def test_a_transaction_that_fails_changes_nothing(tmp_path: Path) -> None:
    database = Database(tmp_path / "db")

    def fails() -> None:
        with database.writing() as connection:
            database.create(connection, Kind.ACTIVE, "a", "", {"k": "v"})
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fails()
    assert database.all() == []
    database.close()


def test_many_threads_at_once(snapshotter: Snapshotter) -> None:
    failed: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(10):
                committed(snapshotter, f"{number}-{turn}", f"{number}-{turn - 1}" if turn else "")
            for turn in reversed(range(10)):
                snapshotter.remove(f"{number}-{turn}")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failed == []
    assert snapshotter.all() == []
    assert os.listdir(f"{snapshotter.root}/snapshots") == []


@pytest.mark.parametrize(
    "source", ["/etc", "ROOT", "ROOT/snapshots", "ROOT/snapshots/1/fs", "ROOT/snapshots/../snapshots/x"]
)
def test_a_directory_elsewhere_is_no_snapshot(snapshotter: Snapshotter, source: str) -> None:
    snapshotter.prepare("a")
    with pytest.raises(InvalidArgument, match="not a snapshot of this snapshotter"):
        snapshotter.active_of_directory(source.replace("ROOT", snapshotter.root))


def test_mounts_of_others_are_left_to_others(snapshotter: Snapshotter) -> None:
    for mounts in ([], [Mount("bind", "/etc")], [Mount("overlay", "overlay", options=("upperdir=/x/fs",))]):
        with pytest.raises(NotImplemented):
            snapshotter.layer_directories(mounts)


def test_disks_of_one_diff_id_are_one_file(snapshotter: Snapshotter) -> None:
    paths = []
    for number in range(3):
        [mount] = snapshotter.prepare(f"a{number}")
        path = Path(mount.source, "layer.vhd")
        path.write_bytes(b"same")
        snapshotter.disks.add(f"sha256:{number:064x}", Disk("sha256:" + "ab" * 32, 4), str(path))
        snapshotter.set_disk(number + 1, "sha256:" + "ab" * 32, "")
        paths.append(path)
    assert len({path.stat().st_ino for path in paths}) == 1
    [mount] = snapshotter.prepare("linked")
    linked = os.path.join(mount.source, "layer.vhd")
    assert snapshotter.disks.link_known(f"sha256:{1:064x}", linked) == Disk("sha256:" + "ab" * 32, 4)
    assert snapshotter.disks.link_known(f"sha256:{9:064x}", linked) is None
    assert sorted(os.listdir(mount.source)) == ["layer.vhd"]
    for key in ("a0", "a1", "a2"):
        snapshotter.remove(key)
    assert Path(linked).read_bytes() == b"same"
    os.unlink(linked)
    snapshotter.cleanup()
    assert list(Path(snapshotter.root).rglob("*.vhd")) == []
    assert snapshotter.disks.link_known(f"sha256:{1:064x}", linked) is None


FITTING = {
    "": {"a", "b", "one"},
    "name==a": {"a"},
    "name!=a": {"b", "one"},
    "kind==active": {"a", "b"},
    "kind==committed,name==one": {"one"},
    "kind==active,name==one": set(),
    "parent==one": {"b"},
    "labels.k==v": {"a"},
    'labels."a.b/c"==d': {"b"},
    'labels."a.b/c"': {"b"},
    "labels.k": {"a"},
    "name~=^[ab]$": {"a", "b"},
    "name~=/^o/": {"one"},
    'name=="one"': {"one"},
    "labels.x!=y": {"a", "b", "one"},
}


@pytest.mark.parametrize("text", list(FITTING))
def test_filters_choose(snapshotter: Snapshotter, text: str) -> None:
    committed(snapshotter, "one")
    snapshotter.prepare("a", "", {"k": "v"})
    snapshotter.prepare("b", "one", {"a.b/c": "d"})
    fits = compile_filters([text] if text else [])
    assert {snapshot.key for snapshot in snapshotter.all() if fits(snapshot)} == FITTING[text]


def test_one_of_several_filters_is_enough(snapshotter: Snapshotter) -> None:
    for key in "abc":
        snapshotter.prepare(key)
    fits = compile_filters(["name==a", "name==c"])
    assert [snapshot.key for snapshot in snapshotter.all() if fits(snapshot)] == ["a", "c"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name==", "character 6: expected a value"),
        ("==a", "character 0: expected a field"),
        ("name==a,", "character 8: a selector is missing after ','"),
        ("name==a name==b", "expected ',' between selectors"),
        ("name=a", "character 4: unexpected character '='"),
        ("name~=/(/", "is not a regular expression"),
        ('labels."k', "unexpected character"),
        ("labels.", "character 7: expected a field"),
    ],
)
def test_malformed_filters_are_refused(text: str, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        compile_filters([text])
    assert message in str(caught.value)
