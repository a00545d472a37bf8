"""The LCOW differ: what it writes, what it refuses, and that nothing is left of what failed."""

from __future__ import annotations

import gzip
import io
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from common import digest_of
from layerdisk import errdefs, lcow, media_types
from layerdisk.content import ContentStore, LocalStore
from layerdisk.descriptor import Descriptor, linux_platform
from layerdisk.diff import (
    BinaryProcessor,
    Payload,
    with_blob_check,
    with_diff_id,
    with_payloads,
    with_progress,
    with_sync_fs,
)
from layerdisk.lcow import LcowDiffer
from layerdisk.mount import Mount
from layerdisk.tar2ext4 import convert
from machine import has_nameless_files, missing
from tarfiles import archive, directory, regular

LAYER = archive(directory("a"), regular("a/f", b"data" * 5000), regular("a/.wh.gone"), directory("b"))
OTHER = archive(regular("other", b"x"))
OLD = b"an older image"


class Setup:
    """A store, and a snapshot with an older layer.vhd in it."""

    def __init__(self, root: Path) -> None:
        self.store = LocalStore(root / "store")
        self.snapshot = root / "snapshot"
        self.snapshot.mkdir()
        self.vhd = self.snapshot / "layer.vhd"
        self.vhd.write_bytes(OLD)
        self.mounts = [Mount("lcow-layer", str(self.snapshot), options=("rw", "parentLayerPaths=null"))]

    def add(self, blob: bytes, media_type: str = media_types.OCI_LAYER_GZIP) -> Descriptor:
        with self.store.writer("ref") as writer:
            writer.write(blob)
            writer.commit()
        return Descriptor(media_type, digest_of(blob), len(blob))

    def assert_untouched(self) -> None:
        assert os.listdir(self.snapshot) == ["layer.vhd"]
        assert self.vhd.read_bytes() == OLD


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    return Setup(tmp_path)


def expected_image(tar: bytes, path: Path, **options: Any) -> bytes:
    options = {"maximum_disk_size": 128 << 30} | options
    convert(io.BytesIO(tar), path, convert_whiteout=True, append_vhd_footer=True, **options)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("media_type", "blob"),
    [
        (media_types.OCI_LAYER, LAYER),
        (media_types.OCI_LAYER_GZIP, gzip.compress(LAYER)),
        (media_types.DOCKER_LAYER_GZIP, gzip.compress(LAYER)),
    ],
    ids=["plain", "gzip", "docker"],
)
def test_a_layer_becomes_the_image_that_convert_makes(
    setup: Setup, tmp_path: Path, media_type: str, blob: bytes, core: Literal["rust", "python"]
) -> None:
    applied = LcowDiffer(setup.store, core=core).apply(setup.add(blob, media_type), setup.mounts)
    assert applied == Descriptor(media_types.OCI_LAYER, digest_of(LAYER), len(LAYER))
    assert setup.vhd.read_bytes() == expected_image(LAYER, tmp_path / "image")
    assert os.listdir(setup.snapshot) == ["layer.vhd"]


def test_the_tail_behind_the_end_marker_counts(setup: Setup) -> None:
    tar = LAYER + b"tail" * 100_000
    applied = LcowDiffer(setup.store).apply(setup.add(gzip.compress(tar)), setup.mounts)
    assert (applied.digest, applied.size) == (digest_of(tar), len(tar))


def test_what_the_constructor_sets_reaches_the_conversion(setup: Setup, tmp_path: Path) -> None:
    differ = LcowDiffer(setup.store, maximum_disk_size=1 << 30, reproduce_defects=True, core="rust")
    differ.apply(setup.add(gzip.compress(LAYER)), setup.mounts)
    expected = expected_image(LAYER, tmp_path / "image", maximum_disk_size=1 << 30, reproduce_defects=True)
    assert setup.vhd.read_bytes() == expected
    with pytest.raises(errdefs.DiskSizeExceeded):
        LcowDiffer(setup.store, maximum_disk_size=4096).apply(setup.add(gzip.compress(OTHER)), setup.mounts)
    wrong: Any = "none"
    with pytest.raises(errdefs.InvalidArgument):
        LcowDiffer(setup.store, layout=wrong).apply(setup.add(LAYER), setup.mounts)


MOUNTS = {
    "none": (
        [],
        errdefs.InvalidArgument,
        "number of mounts should always be 1 for Windows lcow-layers, but there are 0",
    ),
    "two": (
        [Mount("lcow-layer", "/a"), Mount("lcow-layer", "/b")],
        errdefs.InvalidArgument,
        "number of mounts should always be 1 for Windows lcow-layers, but there are 2",
    ),
    "another type": (
        [Mount("overlay", "/a")],
        errdefs.NotImplemented,
        'lcow does not support mounts of type "overlay"',
    ),
    "bad parents": (
        [Mount("lcow-layer", "/a", options=("parentLayerPaths=[",))],
        errdefs.InvalidArgument,
        'mount option "parentLayerPaths=[" is not JSON: Expecting value: line 1 column 2 (char 1)',
    ),
}


@pytest.mark.parametrize(("mounts", "cls", "message"), MOUNTS.values(), ids=MOUNTS)
def test_mounts_are_checked(setup: Setup, mounts: list[Mount], cls: type[Exception], message: str) -> None:
    with pytest.raises(cls) as caught:
        LcowDiffer(setup.store).apply(setup.add(LAYER), mounts)
    assert str(caught.value) == message


def program(code: str, returns: str = media_types.OCI_LAYER) -> BinaryProcessor:
    imports = "import os, sys, shutil, time; i, o = sys.stdin.buffer, sys.stdout.buffer\n"
    return BinaryProcessor("test", ("in",), returns, sys.executable, ("-c", imports + code))


def failures() -> Iterator[Any]:
    packed = gzip.compress(LAYER)
    damaged = packed[:-5] + bytes([packed[-5] ^ 1]) + packed[-4:]
    size, tar = len(packed), media_types.OCI_LAYER_GZIP
    copy = "shutil.copyfileobj(i, o)\n"

    def case(
        name: str,
        cls: type[Exception],
        message: str,
        blob: bytes = packed,
        desc: Descriptor | None = None,
        processors: tuple[BinaryProcessor, ...] = (),
        opts: tuple[Any, ...] = (),
    ) -> Any:
        described = desc or Descriptor(tar, digest_of(blob), len(blob))
        return pytest.param(blob, described, processors, opts, cls, message, id=name)

    yield case("corrupt gzip", errdefs.DataLoss, "gzip stream is damaged", damaged)
    yield case("cut gzip", errdefs.TruncatedStream, "gzip stream ends early", packed[:-1])
    yield case("cut tar", errdefs.TruncatedTar, "byte", gzip.compress(LAYER[:2000]))
    yield case("malformed tar", errdefs.InvalidTar, "tar header at byte 0", gzip.compress(b"x" * 1024))
    yield case(
        "larger size",
        errdefs.TruncatedStream,
        f"ends at byte {size} of {size + 1}",
        desc=Descriptor(tar, digest_of(packed), size + 1),
    )
    yield case(
        "smaller size",
        errdefs.DataLoss,
        f"is longer than its {size - 1} bytes",
        desc=Descriptor(tar, digest_of(packed), size - 1),
    )
    yield case(
        "unknown type",
        errdefs.NoProcessor,
        'no processor for media type "text/plain"',
        desc=Descriptor("text/plain", digest_of(packed), size),
    )
    yield case(
        "encrypted",
        errdefs.NoProcessor,
        "no processor for media type",
        desc=Descriptor(tar + "+encrypted", digest_of(packed), size),
    )
    yield case(
        "missing blob",
        errdefs.NotFound,
        "blob not found",
        desc=Descriptor(tar, digest_of(b"none"), size),
    )
    yield case("no digest", errdefs.InvalidArgument, 'digest "x"', desc=Descriptor(tar, "x", size))
    for name, code in (("a clean prefix", copy), ("nothing", "")):
        yield case(
            f"decrypter fails after {name}",
            errdefs.DataLoss,
            "stream processor test: exit status 1: wrong key",
            LAYER,
            Descriptor("in", digest_of(LAYER), len(LAYER)),
            (program(code + "o.flush(); sys.exit('wrong key')"),),
        )
    yield case(
        "wrong size through a program",
        errdefs.TruncatedStream,
        f"ends at byte {len(LAYER)} of {len(LAYER) + 1}",
        LAYER,
        Descriptor("in", digest_of(LAYER), len(LAYER) + 1),
        (program(copy),),
    )
    yield case(
        "wrong size and a program that leaves the end",
        errdefs.TruncatedStream,
        f"ends at byte {len(LAYER)} of {len(LAYER) + 1}",
        LAYER,
        Descriptor("in", digest_of(LAYER), len(LAYER) + 1),
        (program(f"o.write({OTHER!r})"),),
    )
    yield case(
        "wrong diff id",
        errdefs.FailedPrecondition,
        f"wrong diff id: the layer is {digest_of(LAYER)}, the image's config says {digest_of(OTHER)}",
        opts=(with_diff_id(digest_of(OTHER)),),
    )
    yield case(
        "bad payload",
        errdefs.InvalidArgument,
        "payload of processor 'x' is not a Payload",
        opts=(with_payloads({"x": b""}),),  # type: ignore[dict-item]
    )


@pytest.mark.parametrize(("blob", "desc", "processors", "opts", "cls", "message"), [*failures()])
def test_failures_are_typed_and_leave_the_older_image(
    setup: Setup,
    blob: bytes,
    desc: Descriptor,
    processors: tuple[BinaryProcessor, ...],
    opts: tuple[Any, ...],
    cls: type[Exception],
    message: str,
) -> None:
    setup.add(blob)
    with pytest.raises(cls) as caught:
        LcowDiffer(setup.store, processors=processors).apply(desc, setup.mounts, *opts)
    assert message in str(caught.value)
    setup.assert_untouched()


def test_a_blob_of_another_digest_is_data_loss(setup: Setup) -> None:
    """The store has other bytes of the same length under the digest: a disk that lies."""
    desc = setup.add(LAYER, media_types.OCI_LAYER)
    path = Path(setup.store.blob_path(desc.digest))
    path.chmod(0o644)
    path.write_bytes(LAYER.replace(b"data", b"dada"))
    with pytest.raises(errdefs.DataLoss, match="has the digest"):
        LcowDiffer(setup.store).apply(desc, setup.mounts)
    setup.assert_untouched()


def test_the_check_of_the_blob_can_be_turned_off(setup: Setup) -> None:
    desc = setup.add(gzip.compress(LAYER))
    wrong = Descriptor(desc.media_type, desc.digest, desc.size + 1)
    applied = LcowDiffer(setup.store).apply(wrong, setup.mounts, with_blob_check(False), with_sync_fs(True))
    assert applied.digest == digest_of(LAYER)


def test_payloads_reach_the_processor(setup: Setup) -> None:
    code = f"assert open(3, 'rb').read() == {Payload('t', b'key').encode()!r}\nshutil.copyfileobj(i, o)"
    desc = setup.add(LAYER, "in")
    differ = LcowDiffer(setup.store, processors=[program(code)])
    applied = differ.apply(desc, setup.mounts, with_payloads({"test": Payload("t", b"key")}))
    assert applied.digest == digest_of(LAYER)


def test_progress_grows_to_the_size_of_the_tar(setup: Setup, core: Literal["rust", "python"]) -> None:
    tar = archive(regular("f", random.Random(1).randbytes(5_000_000)))
    seen: list[int] = []
    LcowDiffer(setup.store, core=core).apply(
        setup.add(gzip.compress(tar, 1)), setup.mounts, with_progress(seen.append)
    )
    assert seen == sorted(seen)
    assert seen[-1] == len(tar)


def test_an_exception_of_the_progress_callback_ends_the_apply(setup: Setup) -> None:
    def cancel(_: int) -> None:
        raise errdefs.Canceled("enough")

    tar = archive(regular("f", bytes(5_000_000)))
    with pytest.raises(errdefs.Canceled, match="enough"):
        LcowDiffer(setup.store).apply(setup.add(gzip.compress(tar)), setup.mounts, with_progress(cancel))
    setup.assert_untouched()


def test_a_missing_directory_is_not_found(setup: Setup, tmp_path: Path) -> None:
    mounts = [Mount("lcow-layer", str(tmp_path / "no"))]
    with pytest.raises(errdefs.NotFound, match="failed to apply to"):
        LcowDiffer(setup.store).apply(setup.add(gzip.compress(LAYER)), mounts)


def test_a_closed_reader_is_a_failed_precondition(setup: Setup) -> None:
    class Closing(LocalStore):
        def reader(self, descriptor: Descriptor) -> io.FileIO:
            reader = super().reader(descriptor)
            reader.close()
            return reader

    desc = setup.add(LAYER, media_types.OCI_LAYER)
    store: ContentStore = Closing(setup.store.root)
    with pytest.raises(errdefs.FailedPrecondition, match="closed file"):
        LcowDiffer(store).apply(desc, setup.mounts)
    setup.assert_untouched()


def test_errors_of_the_store_while_reading_are_typed(setup: Setup) -> None:
    class Failing:
        def read(self, size: int, /) -> bytes:
            raise OSError(5, "Input/output error")

        def close(self) -> None: ...

    class Store(LocalStore):
        def reader(self, descriptor: Descriptor) -> Any:
            return Failing()

    desc = Descriptor(media_types.OCI_LAYER, digest_of(LAYER), len(LAYER))
    with pytest.raises(errdefs.DataLoss, match="Input/output error"):
        LcowDiffer(Store(setup.store.root)).apply(desc, setup.mounts)
    setup.assert_untouched()


def test_access_for_virtual_machines_is_given_before_the_name(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    granted: list[str] = []

    def grant(path: str) -> None:
        assert setup.vhd.read_bytes() == OLD
        granted.append(path)

    monkeypatch.setattr(lcow, "grant_vm_group_access", grant)
    LcowDiffer(setup.store).apply(setup.add(gzip.compress(LAYER)), setup.mounts)
    assert len(granted) == 1
    assert os.path.dirname(granted[0]) == os.path.realpath(setup.snapshot)


def test_no_access_no_image(setup: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(path: str) -> None:
        raise errdefs.PermissionDenied("GrantVmGroupAccess: no")

    monkeypatch.setattr(lcow, "grant_vm_group_access", refuse)
    with pytest.raises(errdefs.PermissionDenied):
        LcowDiffer(setup.store).apply(setup.add(gzip.compress(LAYER)), setup.mounts)
    setup.assert_untouched()


def test_a_record_of_what_was_applied(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    desc = setup.add(gzip.compress(LAYER))
    with caplog.at_level(logging.DEBUG, "layerdisk.lcow"):
        LcowDiffer(setup.store).apply(desc, setup.mounts)
    (record,) = caplog.records
    fields = vars(record)
    assert (record.levelname, record.message) == ("DEBUG", "diff applied")
    assert (fields["digest"], fields["size"], fields["media"]) == (desc.digest, desc.size, desc.media_type)
    assert fields["d"] > 0


def test_compare_is_not_implemented(setup: Setup) -> None:
    for cls in (errdefs.NotImplemented, NotImplementedError):
        with pytest.raises(cls):
            LcowDiffer(setup.store).compare([], [])


def test_the_registration_is_the_plugins(setup: Setup) -> None:
    registration = lcow.REGISTRATION
    assert (registration.type, registration.id) == ("io.containerd.differ.v1", "windows-lcow")
    assert registration.requires == ("io.containerd.metadata.v1",)
    assert registration.platforms == (linux_platform(),)
    differ = registration.init(setup.store)
    assert differ.apply(setup.add(gzip.compress(LAYER)), setup.mounts).digest == digest_of(LAYER)


APPLY = """
import sys
from layerdisk.content import LocalStore
from layerdisk.descriptor import Descriptor
from layerdisk.diff import with_blob_check, with_progress
from layerdisk.lcow import LcowDiffer
from layerdisk.mount import Mount
store, digest, size, snapshot = sys.argv[1:]
def progress(count):
    print(count, flush=True)
    sys.stdin.read(1)
desc = Descriptor("application/vnd.oci.image.layer.v1.tar+gzip", digest, int(size))
LcowDiffer(LocalStore(store)).apply(desc, [Mount("lcow-layer", snapshot)], with_progress(progress))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("number", ["SIGKILL", "SIGINT"])
def test_a_kill_in_the_middle_leaves_the_older_image(setup: Setup, number: str) -> None:
    desc = setup.add(gzip.compress(archive(regular("f", random.Random(1).randbytes(8_000_000))), 1))
    command = [
        sys.executable,
        "-c",
        APPLY,
        setup.store.root,
        desc.digest,
        str(desc.size),
        str(setup.snapshot),
    ]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    process.stdin.write(b"g")  # one progress call may go by
    process.stdin.flush()
    assert int(process.stdout.readline()) > 0
    time.sleep(0.05)
    process.send_signal(getattr(signal, number))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode != 0
    assert setup.vhd.read_bytes() == OLD
    if number == "SIGINT":
        assert b"KeyboardInterrupt" in stderr
        setup.assert_untouched()
    else:
        assert len(os.listdir(setup.snapshot)) == 1 + (not has_nameless_files(setup.snapshot))
    LcowDiffer(setup.store).apply(setup.add(gzip.compress(OTHER)), setup.mounts)
    assert os.listdir(setup.snapshot) == ["layer.vhd"]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MiB."""
    if sys.platform != "linux" or os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        missing("mounting needs Linux, root and loop devices")
    image, point = tmp_path / "disk", tmp_path / "point"
    point.mkdir()
    with open(image, "wb") as file:
        file.truncate(8 << 20)
    path = os.environ["PATH"] + ":/usr/sbin:/sbin"
    environment = {**os.environ, "PATH": path}
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True, env=environment)
    subprocess.run(["mount", "-o", "loop", image, point], check=True, env=environment)
    try:
        yield point
    finally:
        subprocess.run(["umount", point], check=True, env=environment)


def test_a_full_disk_is_an_error_and_leaves_the_older_image(
    setup: Setup, small_disk: Path, core: Literal["rust", "python"]
) -> None:
    (small_disk / "layer.vhd").write_bytes(OLD)
    before = sorted(os.listdir(small_disk))
    large = archive(regular("f", random.Random(1).randbytes(20_000_000)))
    mounts = [Mount("lcow-layer", str(small_disk))]
    differ = LcowDiffer(setup.store, core=core)
    with pytest.raises(errdefs.ResourceExhausted, match="No space left on device"):
        differ.apply(setup.add(gzip.compress(large, 1)), mounts)
    assert sorted(os.listdir(small_disk)) == before
    assert (small_disk / "layer.vhd").read_bytes() == OLD
    differ.apply(setup.add(gzip.compress(LAYER)), mounts)
    assert sorted(os.listdir(small_disk)) == before
