"""Readers of convert: what will do, what is refused, and what passes through."""

from __future__ import annotations

import collections
import contextlib
import gzip
import io
import os
import random
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from common import DIGEST, LAYER, assert_untouched, digest_of, image_of
from doubles import Boom, BytesReader, Methods, ReadintoReader, closed, file
from layerdisk import errdefs
from layerdisk.decompress import decompress
from layerdisk.io import may_wait
from layerdisk.tar2ext4 import convert
from tarfiles import regular


def no_read(size: int) -> bytes:
    raise AssertionError("read is called although there is readinto")


def all_at_once(path: Path) -> Any:
    pieces = iter([path.read_bytes(), b""])
    return Methods(read=lambda size: next(pieces))


class Liar(bytes):
    """Bytes whose buffer has other bytes, and fewer (from Python 3.12 on, PEP 688)."""

    def __buffer__(self, flags: int) -> memoryview:
        return memoryview(b"short")

    def __len__(self) -> int:
        return 5

    def __getitem__(self, key: Any) -> Any:
        return b"short"


class Liars:
    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return Liar(self._data.read(size))


class Keeper:
    """A reader that writes into the last buffers that it got before, with its next read, while they are in use."""

    def __init__(self, data: bytes, keep: Callable[[Any], Any] = lambda buffer: buffer) -> None:
        self._data = io.BytesIO(data)
        self._keep = keep
        self._kept: collections.deque[Any] = collections.deque(maxlen=8)

    def readinto(self, buffer: Any) -> int:
        for kept in self._kept:
            kept[:10_000] = b"!" * 10_000
        self._kept.append(self._keep(buffer))
        return self._data.readinto(buffer)


READERS: dict[str, Callable[[Path], Any]] = {
    "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
    "file": lambda path: file(path, "rb"),
    "unbuffered file": lambda path: file(path, "rb", 0),
    "readinto before read": lambda path: Methods(
        readinto=io.BytesIO(path.read_bytes()).readinto, read=no_read
    ),
    "read only": lambda path: BytesReader(path.read_bytes()),
    "short reads": lambda path: BytesReader(path.read_bytes(), 1000),
    "short readinto": lambda path: ReadintoReader(path.read_bytes(), 61),
    "more than asked for": all_at_once,
    "readinto that is None": lambda path: Methods(readinto=None, read=io.BytesIO(path.read_bytes()).read),
    "bytes that say something else of themselves": lambda path: Methods(read=Liars(path.read_bytes()).read),
    "keeps what it is given": lambda path: Methods(readinto=Keeper(path.read_bytes()).readinto),
    "keeps a view of what it is given": lambda path: Methods(
        readinto=Keeper(path.read_bytes(), memoryview).readinto
    ),
}


@pytest.mark.parametrize("make", READERS.values(), ids=READERS)
def test_any_reader_will_do(core: str, tmp_path: Path, make: Callable[[Path], Any]) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(LAYER)
    image = io.BytesIO()
    reader = make(path)
    with reader if hasattr(reader, "__exit__") else contextlib.nullcontext():
        assert convert(reader, image, core=core).digest == DIGEST
    assert image.getvalue() == image_of(LAYER, core)


def text_file() -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(LAYER), encoding="latin-1")


# What is matched is the whole message; where the sizes of the buffers show, they differ between the cores.
REFUSED_READERS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "text file": (text_file, TypeError, "read returned str, not bytes"),
    "StringIO": (lambda: io.StringIO("text"), TypeError, "read returned str, not bytes"),
    "bytearray": (
        lambda: Methods(read=lambda size: bytearray(9)),
        TypeError,
        "read returned bytearray, not bytes",
    ),
    "no number": (lambda: Methods(readinto=lambda buffer: "9"), TypeError, ".*str.*"),
    "None of read": (
        lambda: Methods(read=lambda size: None),
        BlockingIOError,
        "the reader has no data now: it must not be in non-blocking mode",
    ),
    "None of readinto": (
        lambda: Methods(readinto=lambda buffer: None),
        BlockingIOError,
        "the reader has no data now: it must not be in non-blocking mode",
    ),
    "more than there is room": (
        lambda: Methods(readinto=lambda buffer: len(buffer) + 1),
        ValueError,
        r"readinto returned \d+ for a buffer of \d+ bytes",
    ),
    "fewer than none": (
        lambda: Methods(readinto=lambda buffer: -1),
        ValueError,
        r"readinto returned -1 for a buffer of \d+ bytes",
    ),
    "more than any number of the machine": (
        lambda: Methods(readinto=lambda buffer: 10**30),
        ValueError,
        r"readinto returned 10{30} for a buffer of \d+ bytes",
    ),
    "no method": (lambda: Methods(read=5), TypeError, "the reader's method is not callable"),
    "None": (lambda: None, AttributeError, "'NoneType' object has no attribute 'read'"),
    "no file": (lambda: b"bytes", AttributeError, "'bytes' object has no attribute 'read'"),
    "closed": (lambda: closed(io.BytesIO()), ValueError, "I/O operation on closed file."),
}


@pytest.mark.parametrize(("make", "cls", "message"), REFUSED_READERS.values(), ids=REFUSED_READERS)
def test_a_wrong_reader_is_refused(
    core: str, target: Path, make: Callable[[], Any], cls: type[Exception], message: str
) -> None:
    with pytest.raises(cls) as caught:
        convert(make(), target, core=core)
    assert type(caught.value) is cls
    assert re.fullmatch(message, str(caught.value))
    assert_untouched(target)


def test_a_pipe_in_non_blocking_mode_is_refused(core: str, target: Path) -> None:
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    with open(reading, "rb", buffering=0) as reader, open(writing, "wb", buffering=0) as writer:
        writer.write(LAYER[:2000])
        with pytest.raises(BlockingIOError, match="the reader has no data now"):
            convert(reader, target, core=core)
    assert_untouched(target)


RAISED = [
    OSError(5, "of the reader"),
    Boom(),
    KeyboardInterrupt(),
    SystemExit(3),
    errdefs.TruncatedStream("x"),
]


@pytest.mark.parametrize("method", ["read", "readinto"])
@pytest.mark.parametrize("reads", [0, 3])
@pytest.mark.parametrize("error", RAISED, ids=lambda error: type(error).__name__)
def test_an_exception_of_the_reader_passes_through_as_it_is(
    core: str, target: Path, method: str, reads: int, error: BaseException
) -> None:
    layer = io.BytesIO(LAYER)
    calls = []

    def read(argument: Any) -> Any:
        calls.append(argument)
        if len(calls) > reads:
            raise error
        return layer.read(1000) if method == "read" else layer.readinto(memoryview(argument)[:1000])

    reader: Any = Methods(**{method: read})
    with pytest.raises(type(error)) as caught:
        convert(reader, target, core=core)
    assert caught.value is error
    assert len(calls) == reads + 1
    assert_untouched(target)


@pytest.mark.parametrize("may_wait", [True, False], ids=["may wait", "never waits"])
def test_what_a_reader_does_to_its_buffers_later_does_not_count(core: str, may_wait: bool) -> None:
    """Neither in the image nor in the digest, which are made at different times; a reader that never waits is ahead."""
    content = bytes(range(256)) * 80_000
    image = io.BytesIO()
    methods: dict[str, Any] = {"readinto": Keeper(content).readinto}
    reader = Methods(**methods) if may_wait else Methods(**methods, reads_from=io.BytesIO())
    result = convert(reader, image, only_append_vhd_footer=True, core=core)
    assert image.getvalue()[:-512] == content
    assert result.digest == digest_of(content)


class Stalls:
    """A reader that gives bytes and then nothing, until it is closed."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)
        self.closed = threading.Event()
        self.stalled = False

    def readinto(self, buffer: Any) -> int:
        count = self._data.readinto(buffer)
        if count == 0:
            self.stalled = True
            assert self.closed.wait(60)
        return count


def garbage_in_a_pipe(data: bytes) -> Iterator[Any]:
    reading, writing = os.pipe()
    with open(writing, "wb", buffering=0) as writer, open(reading, "rb", buffering=0) as reader:
        writer.write(data)
        yield reader


def garbage_of_an_object(data: bytes) -> Iterator[Any]:
    yield Stalls(data)


@pytest.mark.parametrize(
    ("stall", "before"),
    [
        (garbage_in_a_pipe, 0),
        (garbage_in_a_pipe, 20_000),  # a pipe takes 65,536
        (garbage_of_an_object, 0),
        (garbage_of_an_object, 2_000_000),
    ],
)
def test_an_error_is_told_while_the_reader_has_nothing(
    core: str, target: Path, stall: Callable[[bytes], Iterator[Any]], before: int
) -> None:
    rest = b"\1" * 4096 + bytes(1 << 20 if before > 30_000 else 0)
    data = regular("f", random.Random(1).randbytes(before)) + rest
    with contextlib.contextmanager(stall)(data) as reader:
        done: list[BaseException] = []

        def run() -> None:
            try:
                convert(reader, target, core=core)
            except BaseException as error:
                done.append(error)

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        thread.join(20)
        assert [type(error) for error in done] == [errdefs.InvalidTar]
        assert not getattr(reader, "stalled", False), "it waited for more"
    assert_untouched(target)


# What is known not to wait is read ahead of the conversion; all else is only read when nothing is left to do.
WAITING: dict[str, tuple[Callable[[Path], Any], bool]] = {
    "BytesIO": (lambda path: io.BytesIO(), False),
    "file": (lambda path: file(path, "rb"), False),
    "unbuffered file": (lambda path: file(path, "rb", 0), False),
    "temporary file": (lambda path: tempfile.NamedTemporaryFile(), False),  # noqa: SIM115
    "gzip of a file": (lambda path: decompress(file(path, "rb")), False),
    "device": (lambda path: file("/dev/zero", "rb"), True),
    "subclass of BytesIO": (lambda path: type("Sub", (io.BytesIO,), {})(), True),
    "gzip of something": (lambda path: decompress(Methods(read=io.BytesIO(path.read_bytes()).read)), True),
    "object": (lambda path: Methods(read=len), True),
}


@pytest.mark.parametrize(("make", "waits"), WAITING.values(), ids=WAITING)
def test_what_may_wait_is_known(tmp_path: Path, make: Callable[[Path], Any], waits: bool) -> None:
    path = tmp_path / "layer.tar.gz"
    path.write_bytes(gzip.compress(LAYER))
    with contextlib.ExitStack() as stack:
        inner = reader = make(path)
        while inner is not None:  # what decompresses leaves closing to others
            if hasattr(inner, "close"):
                stack.callback(inner.close)
            inner = getattr(inner, "reads_from", None)
        assert may_wait(reader) is waits
