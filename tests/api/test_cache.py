"""Results that are kept: what is a hit, who converts when several want the same, and what is done about damage."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from common import DIGEST, LAYER, image_of
from layerdisk import media_types
from layerdisk.cache import Cache, CacheEntry
from layerdisk.cancel import Cancellation
from layerdisk.cli import main
from layerdisk.content import LocalStore
from layerdisk.dmverity import Verity
from layerdisk.errdefs import Canceled, InvalidArgument
from layerdisk.image import Image, Layer, apply_image, read_image
from layerdisk.lcow import DEFAULT_MAXIMUM_DISK_SIZE, LcowDiffer
from layerdisk.places import LocalPlace, RemotePlace, open_place
from layouts import Layout

OPTIONS = {"layout": "hcsshim", "kind": "disk"}
DISK = b"disk" * 1_000_000


class Maker:
    """Makes a disk, and counts how often."""

    def __init__(self, path: Path, content: bytes = DISK) -> None:
        self.path = path
        self.content = content
        self.count = 0

    def __call__(self) -> dict[str, int]:
        self.count += 1
        self.path.write_bytes(self.content)
        return {"size": len(self.content)}


def other(number: int) -> str:
    return f"sha256:{number:064x}"


def files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.rglob(f"*{suffix}"))


@pytest.fixture(params=["path", "file URL", "memory", "fsspec's local files"])
def cache(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    """A cache of each kind of place."""
    if request.param == "path":
        yield Cache(tmp_path / "cache")
    elif request.param == "file URL":
        yield Cache(f"file://{tmp_path}/cache")
    elif request.param == "memory":
        import fsspec

        yield Cache(f"memory://{tmp_path}/cache")
        fsspec.filesystem("memory").store.clear()
    else:
        made = Cache(tmp_path)
        made._place = RemotePlace(f"file://{tmp_path}/cache")
        yield made


def test_a_disk_is_made_once(cache: Cache, tmp_path: Path) -> None:
    make = Maker(tmp_path / "one")
    made = cache.result(DIGEST, OPTIONS, make, disk=tmp_path / "one")
    again = cache.result(DIGEST, OPTIONS, make, disk=tmp_path / "two")
    assert (made.is_hit, again.is_hit, make.count) == (False, True, 1)
    assert made.result == again.result == {"size": len(DISK)}
    assert (tmp_path / "two").read_bytes() == DISK
    [entry] = cache.entries()
    assert (entry.diff_id, entry.used > 0) == (DIGEST, True)


@pytest.mark.parametrize(
    ("diff_id", "options"),
    [(other(1), OPTIONS), (DIGEST, OPTIONS | {"maximum_disk_size": 1}), (DIGEST, OPTIONS | {"kind": "hash"})],
    ids=["layer", "option", "kind"],
)
def test_what_makes_another_result_is_another_entry(
    tmp_path: Path, diff_id: str, options: dict[str, Any]
) -> None:
    cache = Cache(tmp_path / "cache")
    cache.result(DIGEST, OPTIONS, lambda: 1)
    assert cache.result(diff_id, options, lambda: 2).result == 2
    assert len(cache.entries()) == 2


def test_a_new_version_of_the_layout_is_another_entry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(tmp_path / "cache")
    cache.result(DIGEST, OPTIONS, lambda: 1)
    monkeypatch.setattr("layerdisk.cache.LAYOUT_VERSIONS", {"hcsshim": 2})
    assert cache.result(DIGEST, OPTIONS, lambda: 2).result == 2


def test_a_result_without_its_disk_is_made_anew_where_the_disk_is_wanted(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    cache.result(DIGEST, OPTIONS, lambda: "no disk")
    make = Maker(tmp_path / "disk")
    assert not cache.result(DIGEST, OPTIONS, make, disk=tmp_path / "disk").is_hit
    assert cache.result(DIGEST, OPTIONS, make, disk=tmp_path / "disk").is_hit


@pytest.mark.parametrize(
    ("diff_id", "options", "message"),
    [
        (DIGEST, {}, "a layout of hcsshim, not sha256 and None"),
        ("sha512:" + "0" * 128, OPTIONS, "not sha512 and hcsshim"),
        ("sha256:0", OPTIONS, "needs 64 lower-case hex digits"),
    ],
    ids=["no layout", "sha512", "short"],
)
def test_a_key_that_is_not_one_is_refused(
    tmp_path: Path, diff_id: str, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message):
        Cache(tmp_path).result(diff_id, options, lambda: 1)


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def change_result(path: Path) -> None:
    record = json.loads(path.read_text())
    record["result"] = {"size": 1}
    path.write_text(json.dumps(record))


@pytest.mark.parametrize(
    ("suffix", "damage"),
    [
        (".disk", flip),
        (".disk", lambda path: os.truncate(path, 100)),
        (".disk", os.unlink),
        (".json", change_result),
        (".json", lambda path: os.truncate(path, 10)),
        (".json", lambda path: path.write_bytes(b"[]")),
        (".json", lambda path: path.write_bytes(b"\xff")),
        (".json", os.unlink),
    ],
    ids=["bit", "cut disk", "no disk", "other result", "cut record", "list", "not text", "no record"],
)
def test_a_damaged_entry_is_made_anew(tmp_path: Path, suffix: str, damage: Any) -> None:
    cache = Cache(tmp_path / "cache")
    target = tmp_path / "disk"
    make = Maker(target)
    cache.result(DIGEST, OPTIONS, make, disk=target)
    [path] = files(tmp_path / "cache", suffix)
    damage(path)
    target.write_bytes(b"older")
    assert cache.result(DIGEST, OPTIONS, make, disk=target).result == {"size": len(DISK)}
    assert (make.count, target.read_bytes()) == (2, DISK)
    assert cache.result(DIGEST, OPTIONS, make, disk=target).is_hit


def test_nothing_is_stored_of_a_failure(cache: Cache) -> None:
    def fail() -> None:
        raise KeyError("x")

    with pytest.raises(KeyError):
        cache.result(DIGEST, OPTIONS, fail)
    assert cache.entries() == []


def test_a_cache_that_cannot_be_written_does_no_harm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(LocalPlace, "put", full)
    make = Maker(tmp_path / "disk")
    cache = Cache(tmp_path / "cache")
    assert not cache.result(DIGEST, OPTIONS, make, disk=tmp_path / "disk").is_hit
    assert (tmp_path / "disk").read_bytes() == DISK
    assert "cannot be stored: [Errno 28] No space left on device" in caplog.text


def test_threads_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    counts = []

    def make() -> str:
        counts.append(1)
        time.sleep(0.2)
        return "made"

    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: cache.result(DIGEST, OPTIONS, make), range(8)))
    assert len(counts) == 1
    assert sorted(result.is_hit for result in results) == [False] + [True] * 7


def make_slowly(where: str, log: str) -> bool:
    def make() -> str:
        with open(log, "a") as file:
            file.write("made\n")
        time.sleep(0.3)
        return "made"

    return Cache(where).result(DIGEST, OPTIONS, make).is_hit


def test_processes_that_want_the_same_make_it_once(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4, multiprocessing.get_context("spawn")) as pool:
        arguments = [str(tmp_path / "cache")] * 8, [str(tmp_path / "log")] * 8
        hits = list(pool.map(make_slowly, *arguments))
    assert (tmp_path / "log").read_text() == "made\n"
    assert hits.count(False) == 1


def test_who_waits_for_a_process_that_is_killed_makes_it(tmp_path: Path) -> None:
    code = (
        "import sys, time; from layerdisk.cache import Cache\n"
        f"Cache({str(tmp_path / 'cache')!r}).result({DIGEST!r}, {OPTIONS!r}, "
        "lambda: (print('in', flush=True), time.sleep(60)))"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"in\n"
        timer = threading.Timer(0.3, process.kill)
        timer.start()
        started = time.monotonic()
        assert Cache(tmp_path / "cache").result(DIGEST, OPTIONS, lambda: "mine").result == "mine"
        assert 0.2 < time.monotonic() - started < 5
    finally:
        process.kill()
        process.communicate()


def test_a_wait_for_another_is_canceled(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    inside, leave, cancellation = threading.Event(), threading.Event(), Cancellation()

    def make() -> str:
        inside.set()
        leave.wait(30)
        return "made"

    with ThreadPoolExecutor() as pool:
        first = pool.submit(cache.result, DIGEST, OPTIONS, make)
        inside.wait(10)
        threading.Timer(0.1, cancellation.cancel).start()
        try:
            started = time.monotonic()
            with pytest.raises(Canceled):
                cache.result(DIGEST, OPTIONS, make, cancel=cancellation)
            assert time.monotonic() - started < 0.6
        finally:
            leave.set()
        assert first.result().result == "made"


def test_a_file_system_without_locks_makes_it_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("layerdisk.places.lock", lambda *_, **__: False)
    cache = Cache(tmp_path / "cache")
    barrier = threading.Barrier(2, timeout=10)

    def make() -> str:
        barrier.wait()
        return "made"

    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: cache.result(DIGEST, OPTIONS, make), range(2)))
    assert [result.result for result in results] == ["made", "made"]


def test_the_least_recently_used_is_pruned(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache")
    for number in range(3):
        cache.result(other(number), OPTIONS, Maker(tmp_path / "disk"), disk=tmp_path / "disk")
        [record] = [
            path for path in files(tmp_path / "cache", ".json") if path.name.startswith(other(number)[7:])
        ]
        os.utime(record, (number + 1, number + 1))
    cache.result(other(0), OPTIONS, lambda: None, disk=tmp_path / "disk")
    sizes = [entry.size for entry in cache.entries()]
    assert [entry.diff_id for entry in cache.prune(sum(sizes) - 1)] == [other(1)]
    assert [entry.diff_id for entry in cache.entries()] == [other(2), other(0)]
    assert [entry.diff_id for entry in cache.prune(0)] == [other(2), other(0)]
    assert [path for path in files(tmp_path / "cache", "") if path.is_file()] == []


def test_what_a_killed_process_left_is_pruned(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    (tmp_path / "00").mkdir()
    left = tmp_path / "00" / ".x.disk.0123456789abcdef.layerdisk-tmp"
    left.write_bytes(b"half")
    orphan = tmp_path / "00" / ("0" * 64 + "-0123456789abcdef.disk")
    orphan.write_bytes(b"whole")
    cache.result(DIGEST, OPTIONS, lambda: 1)
    assert [entry.size for entry in cache.prune(1000)] == []
    assert not left.exists()
    assert [entry.diff_id for entry in cache.prune(cache.entries()[-1].size)] == [other(0)]
    assert not orphan.exists()


def test_pruning_beside_use_does_no_harm(tmp_path: Path) -> None:
    cache, stop = Cache(tmp_path / "cache"), threading.Event()

    def prune() -> int:
        count = 0
        while not stop.is_set():
            count += len(cache.prune(0))
        return count

    with ThreadPoolExecutor() as pool:
        pruned = pool.submit(prune)
        for number in range(50):
            target = tmp_path / f"disk{number}"
            cache.result(DIGEST, OPTIONS, Maker(target, b"small" * 1000), disk=target)
            assert target.read_bytes() == b"small" * 1000
        stop.set()
        assert pruned.result(10) > 0


def test_prune_works_on_every_place(cache: Cache, tmp_path: Path) -> None:
    for number in range(3):
        cache.result(other(number), OPTIONS, lambda: "x" * 1000)
    size = cache.entries()[0].size
    assert len(cache.prune(size * 2)) == 1
    assert len(cache.entries()) == 2
    with pytest.raises(InvalidArgument, match="max_size is -1, not 0 or more"):
        cache.prune(-1)


def test_a_cache_pickles_as_where_it_is(tmp_path: Path) -> None:
    Cache(tmp_path).result(DIGEST, OPTIONS, lambda: 1)
    assert pickle.loads(pickle.dumps(Cache(tmp_path))).result(DIGEST, OPTIONS, lambda: 2).result == 1


def test_an_unknown_url_is_refused() -> None:
    with pytest.raises(InvalidArgument, match='"nothing://x": Protocol not known: nothing'):
        open_place("nothing://x")


# Images


def apply(layout: Layout, image: Image, to: Path, cache: Cache, **options: Any) -> list[bool]:
    store = LocalStore(layout.root)
    applied = apply_image(image, to, lambda: LcowDiffer(store, **options), cache=cache)
    for layer in applied:
        assert Path(layer.path).parent.name == layer.applied.digest.replace(":", "-")
    return [layer.is_cached for layer in applied]


def test_an_image_comes_from_the_cache_byte_by_byte(tmp_path: Path) -> None:
    layout, cache = Layout(tmp_path / "layout"), Cache(tmp_path / "cache")
    blob, diff_id = layout.layer(LAYER)
    descriptor = read_image(layout.index(layout.image())).layers[0].descriptor.from_json(blob)
    image = Image(descriptor, read_image(layout.root).platform, (Layer(descriptor, diff_id),))
    assert apply(layout, image, tmp_path / "one", cache) == [False]
    layout.path(descriptor.digest).unlink()
    assert apply(layout, image, tmp_path / "two", cache) == [True]
    [disk] = (tmp_path / "two").glob("*/layer.vhd")
    options: dict[str, Any] = {"convert_whiteout": True, "append_vhd_footer": True}
    assert disk.read_bytes() == image_of(LAYER, maximum_disk_size=DEFAULT_MAXIMUM_DISK_SIZE, **options)


def test_other_options_are_not_a_hit(tmp_path: Path) -> None:
    layout, cache = Layout(tmp_path / "layout"), Cache(tmp_path / "cache")
    image = read_image(layout.index(layout.image(layers=2)))
    assert apply(layout, image, tmp_path / "one", cache) == [False, False]
    assert apply(layout, image, tmp_path / "two", cache, maximum_disk_size=1 << 30) == [False, False]
    assert apply(layout, image, tmp_path / "two", cache, reproduce_defects=True) == [False, False]
    assert apply(layout, image, tmp_path / "two", cache, core="python") == [True, True]


def test_options_that_are_not_json_make_another_entry(tmp_path: Path) -> None:
    layout, cache = Layout(tmp_path / "layout"), Cache(tmp_path / "cache")
    image = read_image(layout.index(layout.image()))
    for salt in (bytes(32), b"salt"):
        verity = Verity(salt=salt)
        assert apply(layout, image, tmp_path / "one", cache, append_dm_verity=verity) == [False]
        assert apply(layout, image, tmp_path / "two", cache, append_dm_verity=verity) == [True]


def test_encrypted_layers_are_not_cached(tmp_path: Path) -> None:
    layout, cache = Layout(tmp_path / "layout"), Cache(tmp_path / "cache")
    image = read_image(layout.index(layout.image()))
    [layer] = image.layers
    encrypted = layer.descriptor.from_json(
        layer.descriptor.to_json() | {"mediaType": media_types.OCI_LAYER_GZIP + "+encrypted"}
    )
    apply(layout, image, tmp_path / "one", cache)
    with pytest.raises(Exception, match="encrypted"):
        apply(
            layout,
            Image(image.manifest, image.platform, (Layer(encrypted, layer.diff_id),)),
            tmp_path / "two",
            cache,
        )


# Commands


def test_apply_takes_a_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    layout = Layout(tmp_path / "layout")
    root = layout.index(layout.image(layers=2))
    where = str(tmp_path / "cache")
    assert main(["apply", str(root), "--to", str(tmp_path / "one"), "--cache", where]) == 0
    monkeypatch.setenv("LAYERDISK_CACHE", where)
    for layer in read_image(root).layers:
        layout.path(layer.descriptor.digest).unlink()
    assert main(["apply", str(root), "--to", str(tmp_path / "two")]) == 0
    capsys.readouterr()
    assert main(["cache", "ls", "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 2


def test_ls_and_prune_say_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cache = Cache(tmp_path)
    cache.result(other(1), OPTIONS, lambda: "x" * 2000)
    [record] = files(tmp_path, ".json")
    os.utime(record, (86400, 86400))
    size = f"2.2 KiB ({record.stat().st_size:,} bytes)"
    assert main(["cache", "ls", "--cache", str(tmp_path)]) == 0
    line = f"{other(1)} 1970-01-02 00:00:00 UTC {size}\n"
    assert capsys.readouterr().out == f"{line}1 entry in the cache, {size}\n"
    assert main(["cache", "prune", "--cache", str(tmp_path), "--max-size", "1MiB"]) == 0
    assert capsys.readouterr().out == "0 entries removed, 0 bytes\n"
    assert main(["cache", "prune", "--cache", str(tmp_path), "--max-size", "100"]) == 0
    assert capsys.readouterr().out == f"{line}1 entry removed, {size}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["ls"], "which cache is not said: --cache or LAYERDISK_CACHE must"),
        (["prune", "--cache", "x"], "--max-size is needed by prune, and by nothing else"),
        (["ls", "--cache", "x", "--max-size", "1"], "--max-size is needed by prune, and by nothing else"),
    ],
    ids=["no cache", "no size", "size for nothing"],
)
def test_what_is_missing_is_told(
    arguments: list[str],
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.delenv("LAYERDISK_CACHE", raising=False)
    assert main(["cache", *arguments]) == 1
    assert capsys.readouterr().err == f"layerdisk: {message}\n"


def test_an_entry_is_a_plain_record() -> None:
    entry = CacheEntry("00/x", DIGEST, 1, 0.0, ())
    assert pickle.loads(pickle.dumps(entry)) == entry
