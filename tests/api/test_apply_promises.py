"""What the docstring of `LcowDiffer.apply` promises about errors, cancellation and threads."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import io
import json
import lzma
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NoReturn

import pytest
from common import digest_of
from layerdisk import errdefs, media_types
from layerdisk.cancel import Cancellation
from layerdisk.cli import main
from layerdisk.content import LocalStore
from layerdisk.descriptor import Descriptor
from layerdisk.diff import ApplyConfig, BinaryProcessor, Payload, decryption_payloads, with_decryption
from layerdisk.lcow import LcowDiffer
from layerdisk.mount import Mount
from tarfiles import archive, regular

TAR = archive(regular("f", random.Random(1).randbytes(3_000_000)))
PACKED = gzip.compress(TAR, 1)
SOON_SECONDS = 10.0  # what hangs does so for a minute


class Blob:
    """A store of one blob, with a reader as the test wants it."""

    def __init__(
        self,
        data: bytes,
        read: Callable[[int], Any] | None = None,
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.read = read or io.BytesIO(data).read
        self.close = close

    def reader(self, _: Descriptor) -> Blob:
        return self


def described(data: bytes, media_type: str = media_types.OCI_LAYER_GZIP) -> Descriptor:
    return Descriptor(media_type, digest_of(data), len(data))


def mounts(path: Path) -> list[Mount]:
    return [Mount("lcow-layer", str(path))]


def program(code: str) -> BinaryProcessor:
    imports = "import sys, time, shutil; i, o = sys.stdin.buffer, sys.stdout.buffer\n"
    return BinaryProcessor("p", ("in",), media_types.OCI_LAYER, sys.executable, ("-c", imports + code))


COPY = program("shutil.copyfileobj(i, o)")


def raising(error: BaseException) -> Callable[..., NoReturn]:
    def fail(*_: object) -> NoReturn:
        raise error

    return fail


CALLBACK_ERRORS = [
    ConnectionResetError(104, "x"),
    TimeoutError("x"),
    PermissionError("x"),
    ValueError("the market is closed"),
    KeyError("x"),
    errdefs.NotFound("x"),
    KeyboardInterrupt("x"),
]


@pytest.mark.parametrize("error", CALLBACK_ERRORS, ids=repr)
@pytest.mark.parametrize("callback", ["progress", "blob_progress", "cancel"])
@pytest.mark.parametrize("media_type", [media_types.OCI_LAYER_GZIP, "in"], ids=["gzip", "program"])
def test_exceptions_of_callbacks_pass_through(
    tmp_path: Path, callback: str, error: BaseException, media_type: str
) -> None:
    data = TAR if media_type == "in" else PACKED
    differ = LcowDiffer(Blob(data), processors=[COPY])
    options: dict[str, Any] = {callback: raising(error)}
    with pytest.raises(type(error)) as caught:
        differ.apply(described(data, media_type), mounts(tmp_path), **options)
    assert caught.value is error
    assert os.listdir(tmp_path) == []


READER_ERRORS = {
    "EIO": (OSError(5, "Input/output error"), errdefs.DataLoss, "[Errno 5] Input/output error"),
    "time-out without a number": (TimeoutError("timed out"), errdefs.DeadlineExceeded, "timed out"),
    "connection": (ConnectionResetError("gone"), errdefs.Unavailable, "gone"),
    "not of the system": (KeyError("x"), errdefs.Unknown, "KeyError: 'x'"),
    "a word is no class": (
        ValueError("the market is closed"),
        errdefs.Unknown,
        "ValueError: the market is closed",
    ),
    "typed": (errdefs.Unavailable("try again"), errdefs.Unavailable, None),
}


@pytest.mark.parametrize(("error", "cls", "text"), READER_ERRORS.values(), ids=READER_ERRORS)
@pytest.mark.parametrize(
    "media_type", [media_types.OCI_LAYER, media_types.OCI_LAYER_GZIP, "in"], ids=["plain", "gzip", "program"]
)
def test_errors_of_the_store_are_typed(
    tmp_path: Path, error: Exception, cls: type[Exception], text: str | None, media_type: str
) -> None:
    differ = LcowDiffer(Blob(b"", raising(error)), processors=[COPY])
    desc = described(TAR, media_type)
    with pytest.raises(cls) as caught:
        differ.apply(desc, mounts(tmp_path))
    assert type(caught.value) is cls
    assert str(caught.value) == ("try again" if text is None else f"reading blob {desc.digest}: {text}")
    assert os.listdir(tmp_path) == []


def test_errors_of_opening_and_closing_are_typed(tmp_path: Path) -> None:
    class Unreachable:
        reader = staticmethod(raising(TimeoutError("timed out")))

    with pytest.raises(errdefs.DeadlineExceeded, match=r"failed to apply to .*: timed out"):
        LcowDiffer(Unreachable()).apply(described(PACKED), mounts(tmp_path))
    with pytest.raises(errdefs.DataLoss, match=r"failed to apply to .*: \[Errno 5\] EIO"):
        LcowDiffer(Blob(PACKED, close=raising(OSError(5, "EIO")))).apply(described(PACKED), mounts(tmp_path))


def hang(_: int) -> bytes:
    time.sleep(60)
    return b""


HANGING = {
    "a program": (TAR, "in", None, program("time.sleep(60)")),
    "the blob": (PACKED, media_types.OCI_LAYER_GZIP, hang, COPY),
    "a program's input": (TAR, "in", hang, COPY),
    "a program after its output": (
        TAR,
        "in",
        None,
        program("i.read(); o.write(b'x'); o.close(); time.sleep(2)"),
    ),
}


@pytest.mark.parametrize(("data", "media_type", "read", "link"), HANGING.values(), ids=HANGING)
@pytest.mark.parametrize("kind", ["cancellation", "event", "function"])
def test_a_cancel_ends_the_apply_wherever_it_waits(
    tmp_path: Path,
    kind: str,
    data: bytes,
    media_type: str,
    read: Callable[[int], bytes] | None,
    link: BinaryProcessor,
) -> None:
    cancellation, event = Cancellation(), threading.Event()
    cancel: Any = {"cancellation": cancellation, "event": event, "function": event.is_set}[kind]
    asked: list[float] = []

    def ask() -> None:
        asked.append(time.monotonic())
        cancellation.cancel("the user left")
        event.set()

    threading.Timer(0.5, ask).start()
    text = "the user left" if kind == "cancellation" else "canceled"
    with pytest.raises(errdefs.Canceled, match=f"^{text}$"):
        LcowDiffer(Blob(data, read), processors=[link]).apply(
            described(data, media_type), mounts(tmp_path), cancel=cancel
        )
    assert time.monotonic() - asked[0] < 2  # half a second, on a machine that has time
    assert os.listdir(tmp_path) == []


def test_a_cancel_ends_a_conversion_that_is_under_way(
    tmp_path: Path, core: Literal["rust", "python"]
) -> None:
    cancel = threading.Event()
    with pytest.raises(errdefs.Canceled):
        LcowDiffer(Blob(PACKED), core=core).apply(
            described(PACKED), mounts(tmp_path), cancel=cancel, progress=lambda _: cancel.set()
        )
    assert os.listdir(tmp_path) == []


def test_without_a_cancel_the_result_is_the_same_as_with_one(
    tmp_path: Path, core: Literal["rust", "python"]
) -> None:
    images = []
    for name, cancel in (("without", None), ("with", lambda: False)):
        (tmp_path / name).mkdir()
        LcowDiffer(Blob(PACKED), core=core).apply(described(PACKED), mounts(tmp_path / name), cancel=cancel)
        images.append((tmp_path / name / "layer.vhd").read_bytes())
    assert images[0] == images[1]


def test_several_threads_apply_with_one_differ(tmp_path: Path) -> None:
    layers = [archive(regular(f"f{n}", random.Random(n).randbytes(1_000_000))) for n in range(8)]
    store = LocalStore(tmp_path / "store")
    for n, layer in enumerate(layers):
        with store.writer(f"{n}") as writer:
            writer.write(layer)
            writer.commit()
        (tmp_path / f"{n}").mkdir()
    differ = LcowDiffer(store, processors=[COPY])
    with ThreadPoolExecutor(len(layers)) as pool:
        jobs = [
            pool.submit(differ.apply, described(layer, "in"), mounts(tmp_path / f"{n}"))
            for n, layer in enumerate(layers)
        ]
    assert [job.result().digest for job in jobs] == [digest_of(layer) for layer in layers]


@pytest.mark.parametrize("algorithm", ["sha256", "sha384", "sha512"])
def test_diff_ids_of_every_algorithm_are_compared(
    tmp_path: Path, algorithm: str, core: Literal["rust", "python"]
) -> None:
    right = f"{algorithm}:{hashlib.new(algorithm, TAR).hexdigest()}"
    wrong = f"{algorithm}:{hashlib.new(algorithm, b'other').hexdigest()}"
    differ = LcowDiffer(Blob(PACKED), core=core)
    assert differ.apply(described(PACKED), mounts(tmp_path), diff_id=right).digest == digest_of(TAR)
    with pytest.raises(errdefs.FailedPrecondition) as caught:
        LcowDiffer(Blob(PACKED), core=core).apply(described(PACKED), mounts(tmp_path), diff_id=wrong)
    assert str(caught.value) == f"wrong diff id: the layer is {right}, the image's config says {wrong}"


@pytest.mark.parametrize(
    "keywords", [{"diff_id": "sha256:1"}, {"payloads": {"p": b"x"}}], ids=["diff id", "payload"]
)
def test_bad_keywords_are_refused_before_anything_is_done(tmp_path: Path, keywords: dict[str, Any]) -> None:
    with pytest.raises(errdefs.InvalidArgument):
        LcowDiffer(Blob(PACKED, raising(AssertionError()))).apply(
            described(PACKED), mounts(tmp_path), **keywords
        )


def test_private_keys_show_nowhere() -> None:
    desc = Descriptor("t", digest_of(b""), 0)
    config = ApplyConfig()
    with_decryption(desc, [b"secret"])(config)
    payloads = decryption_payloads(desc, [b"secret"])
    assert config.processor_payloads == payloads
    assert json.loads(next(iter(payloads.values())).value)["DecryptConfig"]["Parameters"]["privkeys"]
    for shown in (repr(config), repr(payloads), repr(Payload("t", b"c2VjcmV0"))):
        assert "c2VjcmV0" not in shown
        assert "secret" not in shown


FOREIGN = {
    "xz": (lzma.compress(TAR), "xz-compressed data"),
    "bzip2": (bz2.compress(TAR[:10_000]), "bzip2-compressed data"),
    "HTML": (b"\n<!DOCTYPE html>\n<html><body>502 Bad Gateway</body></html>", "HTML"),
    "JSON": (b'{"errors":[{"code":"UNAUTHORIZED"}]}' + b" " * 1000, "JSON"),
    "zip": (b"PK\x03\x04" + bytes(1000), "a zip archive"),
}


@pytest.mark.parametrize(("blob", "name"), FOREIGN.values(), ids=FOREIGN)
def test_what_is_not_a_layer_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], blob: bytes, name: str
) -> None:
    message = f"the layer is {name}; it must be a tar, plain or compressed with gzip or zstd"
    with pytest.raises(errdefs.InvalidTar) as caught:
        LcowDiffer(Blob(blob)).apply(described(blob), mounts(tmp_path))
    assert str(caught.value) == message
    (tmp_path / "in").write_bytes(blob)
    assert main(["convert", str(tmp_path / "in"), str(tmp_path / "out")]) == 1
    assert capsys.readouterr().err == f"layerdisk: {message}\n"
    assert os.listdir(tmp_path) == ["in"]


@pytest.mark.parametrize("name", ["{x", "[x]", "<html>", "BZh91AY", "PK\x03\x04"])
def test_a_tar_whose_first_name_looks_like_something_else_is_a_tar(tmp_path: Path, name: str) -> None:
    tar = archive(regular(name, b"x"))
    for media_type in (media_types.OCI_LAYER, media_types.OCI_LAYER_GZIP):
        applied = LcowDiffer(Blob(tar)).apply(described(tar, media_type), mounts(tmp_path))
        assert applied.digest == digest_of(tar)
