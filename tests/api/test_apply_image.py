"""All layers of an image at once: failures, interrupts and cancellation while others hang, and what stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layerdisk import media_types
from layerdisk._jobs import Jobs
from layerdisk.cancel import Cancellation
from layerdisk.content import LocalStore
from layerdisk.descriptor import Descriptor
from layerdisk.diff import BinaryProcessor, with_cancel
from layerdisk.errdefs import (
    Canceled,
    DataLoss,
    FailedPrecondition,
    LayerdiskError,
    NotFound,
    ResourceExhausted,
)
from layerdisk.image import Image, Layer, LayerProgress, apply_image, read_image
from layerdisk.lcow import LcowDiffer
from layerdisk.mount import Mount
from layouts import Layout

SOON = 1.0  # seconds: half of one is promised, and the machine may be busy
HANGS = "import time; time.sleep(60)"
ENCRYPTED = media_types.OCI_LAYER_GZIP + "+encrypted"


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


def program(code: str) -> BinaryProcessor:
    """A decoder that is a Python program."""
    return BinaryProcessor("decoder", (ENCRYPTED,), media_types.OCI_LAYER_GZIP, sys.executable, ("-c", code))


def encrypted(image: Image, *numbers: int) -> Image:
    """The same image, with layers that the decoder is asked for."""
    layers = list(image.layers)
    for number in numbers:
        blob = layers[number].descriptor
        layers[number] = Layer(Descriptor(ENCRYPTED, blob.digest, blob.size), layers[number].diff_id)
    return Image(image.manifest, image.platform, tuple(layers))


def apply(layout: Layout, image: Image, to: Path, code: str = HANGS, **options: Any) -> Any:
    store = LocalStore(layout.root)
    return apply_image(image, to, lambda: LcowDiffer(store, processors=[program(code)]), **options)


def folder(to: Path, layer: Layer) -> Path:
    return to / layer.diff_id.replace(":", "-")


class Hanging(LocalStore):
    """A store of which one blob cannot be read to its end, nor can the read be ended from outside."""

    def __init__(self, root: Path, digest: str) -> None:
        super().__init__(root)
        self.digest = digest
        self.waiting = threading.Event()
        self.go_on = threading.Event()

    def reader(self, descriptor: Descriptor) -> Any:
        if descriptor.digest != self.digest:
            return super().reader(descriptor)
        store = self

        class Reader:
            def read(self, size: int) -> bytes:
                store.waiting.set()
                store.go_on.wait(60)
                return b""

            def close(self) -> None:
                pass

        return Reader()


def test_a_failure_is_told_while_another_layer_waits_for_its_program(layout: Layout, tmp_path: Path) -> None:
    layout.index(layout.image(layers=2))
    image = encrypted(read_image(layout.root), 0, 1)
    code = (
        f"import os, sys, time\ntry: os.mkdir({str(tmp_path / 'first')!r})\nexcept OSError: time.sleep(60)\n"
    )
    started = time.monotonic()
    with pytest.raises(DataLoss, match="exit status 7"):
        apply(layout, image, tmp_path / "disks", code + "else: time.sleep(0.2); sys.exit(7)", workers=2)
    assert time.monotonic() - started < SOON + 0.7
    assert list((tmp_path / "disks").iterdir()) == []


def test_a_failure_is_told_while_another_layer_waits_for_its_store(layout: Layout, tmp_path: Path) -> None:
    layout.index(layout.image(layers=3))
    image = read_image(layout.root)
    store = Hanging(layout.root, image.layers[0].descriptor.digest)
    layout.path(image.layers[1].descriptor.digest).unlink()

    def options(blob: Descriptor) -> tuple[()]:
        if blob == image.layers[1].descriptor:
            store.waiting.wait(10)
        return ()

    threads, started = threading.active_count(), time.monotonic()
    with pytest.raises(NotFound, match="blob not found"):
        apply_image(image, tmp_path / "disks", lambda: LcowDiffer(store), options=options, workers=2)
    assert time.monotonic() - started < SOON
    assert not folder(tmp_path / "disks", image.layers[0]).exists()
    store.go_on.set()
    wait_for(lambda: threading.active_count() == threads)
    assert not folder(tmp_path / "disks", image.layers[0]).exists()


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


INTERRUPTED = """
import sys
from layerdisk.content import LocalStore
from layerdisk.diff import BinaryProcessor
from layerdisk.image import Image, Layer, apply_image, read_image
from layerdisk.lcow import LcowDiffer
from layerdisk.descriptor import Descriptor
root, to, kind, code = sys.argv[1:]
image = read_image(root)
layers = tuple(Layer(Descriptor(kind, l.descriptor.digest, l.descriptor.size), l.diff_id) for l in image.layers)
decoder = BinaryProcessor("x", (kind,), "application/vnd.oci.image.layer.v1.tar+gzip", sys.executable, ("-c", code))
print("begun", flush=True)
try:
    apply_image(Image(image.manifest, image.platform, layers), to,
                lambda: LcowDiffer(LocalStore(root), processors=[decoder]), workers=2)
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def test_an_interrupt_ends_layers_that_hang(layout: Layout, tmp_path: Path) -> None:
    layout.index(layout.image(layers=3))
    started = tmp_path / "started"
    code = f"import time; open({str(started)!r}, 'a').write('x'); time.sleep(60)"
    command = [sys.executable, "-c", INTERRUPTED, str(layout.root), str(tmp_path / "disks"), ENCRYPTED, code]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    wait_for(lambda: started.exists() and len(started.read_text()) == 2)
    process.send_signal(signal.SIGINT)
    begun = time.monotonic()
    assert process.communicate(timeout=10)[0].split() == ["begun", "interrupted"]
    assert time.monotonic() - begun < SOON
    assert process.returncode == 0
    assert list((tmp_path / "disks").iterdir()) == []


def test_a_cancellation_from_outside_ends_layers_that_hang(layout: Layout, tmp_path: Path) -> None:
    layout.index(layout.image(layers=2))
    cancel = Cancellation()
    threading.Timer(0.4, cancel.cancel, ["the user left"]).start()
    started = time.monotonic()
    with pytest.raises(Canceled, match=r"^the user left$"):
        apply(layout, encrypted(read_image(layout.root), 0, 1), tmp_path / "disks", cancel=cancel)
    assert time.monotonic() - started < 0.4 + SOON
    assert list((tmp_path / "disks").iterdir()) == []
    with pytest.raises(Canceled, match=r"^the user left$"):
        apply(layout, read_image(layout.root), tmp_path / "disks", cancel=cancel)


def test_one_layer_is_canceled(layout: Layout, tmp_path: Path) -> None:
    """With the text of the cancellation, and not of the program that was killed for it."""
    layout.index(layout.image())
    blob = encrypted(read_image(layout.root), 0).layers[0].descriptor
    cancel = Cancellation()
    threading.Timer(0.2, cancel.cancel).start()
    differ = LcowDiffer(LocalStore(layout.root), processors=[program(HANGS)])
    with pytest.raises(Canceled, match=r"^canceled$"):
        differ.apply(blob, [Mount("lcow-layer", str(tmp_path))], with_cancel(cancel))
    assert not (tmp_path / "layer.vhd").exists()


def test_folders_of_layers_that_failed_do_not_stay(layout: Layout, tmp_path: Path) -> None:
    layout.index(layout.image(layers=3))
    image = read_image(layout.root)
    layout.path(image.layers[1].descriptor.digest).write_bytes(b"x" * image.layers[1].descriptor.size)
    layout.path(image.layers[2].descriptor.digest).write_bytes(b"x" * image.layers[2].descriptor.size)
    older = folder(tmp_path, image.layers[2])
    older.mkdir()
    (older / "layer.vhd").write_bytes(b"older")
    with pytest.raises(LayerdiskError):
        apply(layout, image, tmp_path, workers=1)
    assert (folder(tmp_path, image.layers[0]) / "layer.vhd").exists()
    assert not folder(tmp_path, image.layers[1]).exists()
    assert (older / "layer.vhd").read_bytes() == b"older"


def two_blobs(layout: Layout) -> Image:
    """An image of one plain tar in two blobs: gzip twice, at different levels."""
    layout.index(layout.image())
    image = read_image(layout.root)
    layer = image.layers[0]
    import gzip

    plain = gzip.decompress(layout.path(layer.descriptor.digest).read_bytes())
    blob = layout.blob(plain, media_types.OCI_LAYER)
    return Image(image.manifest, image.platform, (Layer(Descriptor.from_json(blob), layer.diff_id), layer))


def test_blobs_with_the_same_diff_id_are_one_disk(layout: Layout, tmp_path: Path) -> None:
    image = two_blobs(layout)
    layers = apply(layout, image, tmp_path / "disks")
    assert [layer.source for layer in layers] == [layer.descriptor for layer in image.layers]
    assert len({layer.path for layer in layers}) == 1
    assert [path.name for path in (tmp_path / "disks").iterdir()] == [
        image.layers[0].diff_id.replace(":", "-")
    ]


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("damage", "cls"),
    [("gone", NotFound), ("other", FailedPrecondition)],
    ids=["missing", "of another diffID"],
)
def test_each_blob_must_give_its_diff_id(
    layout: Layout, tmp_path: Path, number: int, damage: str, cls: type[Exception]
) -> None:
    image = two_blobs(layout)
    layers = list(image.layers)
    if damage == "gone":
        layout.path(layers[number].descriptor.digest).unlink()
    else:
        other, _ = layout.layer(b"\0" * 1024)
        layers[number] = Layer(Descriptor.from_json(other), layers[number].diff_id)
    with pytest.raises(cls):
        apply(layout, Image(image.manifest, image.platform, tuple(layers)), tmp_path / "disks")


def test_progress_of_each_layer(layout: Layout, tmp_path: Path) -> None:
    layout.index(layout.image(layers=3))
    image = read_image(layout.root)
    seen: list[LayerProgress] = []
    layers = apply(layout, image, tmp_path / "disks", layer_progress=seen.append)
    for index, layer in enumerate(image.layers):
        of_layer = [progress for progress in seen if progress.index == index]
        assert of_layer[-1] == LayerProgress(
            index, layer, layer.descriptor.size, layers[index].applied.size, is_done=True
        )
        assert [progress.is_done for progress in of_layer].count(True) == 1
        assert [progress.blob_bytes for progress in of_layer] == sorted(
            progress.blob_bytes for progress in of_layer
        )


@pytest.mark.parametrize("option", ["progress", "layer_progress"])
def test_an_exception_of_a_callback_passes(layout: Layout, tmp_path: Path, option: str) -> None:
    def fail(_: object) -> None:
        raise ConnectionResetError("the market is closed")

    layout.index(layout.image(layers=2))
    options: dict[str, Any] = {option: fail}
    with pytest.raises(ConnectionResetError, match="the market is closed"):
        apply(layout, read_image(layout.root), tmp_path / "disks", **options)
    assert list((tmp_path / "disks").iterdir()) == []


def test_layers_are_applied_at_the_same_time(layout: Layout, tmp_path: Path) -> None:
    """Each waits until the other has begun."""
    layout.index(layout.image(layers=2))
    both = threading.Barrier(2, timeout=10)

    def differ() -> LcowDiffer:
        both.wait()
        return LcowDiffer(LocalStore(layout.root))

    assert len(apply_image(read_image(layout.root), tmp_path / "disks", differ, workers=2)) == 2


def test_without_a_thread_there_is_an_error(
    layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no)
    layout.index(layout.image())
    with pytest.raises(ResourceExhausted, match="cannot start a thread"):
        apply(layout, read_image(layout.root), tmp_path / "disks")


def test_with_one_thread_only_all_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    start = threading.Thread.start
    started: list[threading.Thread] = []

    def once(self: threading.Thread) -> None:
        if started:
            raise RuntimeError("can't start new thread")
        started.append(self)
        start(self)

    monkeypatch.setattr(threading.Thread, "start", once)
    assert Jobs([lambda n=n: n for n in range(5)], 4, Cancellation()).run() == [*range(5)]  # type: ignore[misc]


def test_no_jobs_are_done_at_once() -> None:
    assert Jobs([], 4, Cancellation()).run() == []


def test_a_cancellation_calls_back_as_long_as_asked_for() -> None:
    called: list[str] = []
    cancellation = Cancellation()
    with cancellation.calling(lambda: called.append("before")):
        pass
    with cancellation.calling(lambda: called.append("during")):
        cancellation.cancel("first")
        cancellation.cancel("second")
    with cancellation.calling(lambda: called.append("after")):
        pass
    assert called == ["during", "after"]
    with pytest.raises(Canceled, match=r"^first$"):
        cancellation.check()


def test_nothing_is_left_of_programs(layout: Layout, tmp_path: Path) -> None:
    layout.index(layout.image(layers=2))
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    threads, cancel = threading.active_count(), Cancellation()
    threading.Timer(0.3, cancel.cancel).start()
    with pytest.raises(Canceled):
        apply(layout, encrypted(read_image(layout.root), 0, 1), tmp_path / "disks", cancel=cancel)
    wait_for(lambda: threading.active_count() == threads)
    if before:
        assert len(os.listdir("/proc/self/fd")) == before
