"""Readers of convert: what will do, what is refused, and what passes through."""

from __future__ import annotations

import contextlib
import io
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from common import DIGEST, LAYER, assert_untouched, image_of
from doubles import Boom, BytesReader, Methods, ReadintoReader, closed, file
from layerdisk import errdefs
from layerdisk.tar2ext4 import convert


def no_read(size: int) -> bytes:
    raise AssertionError("read is called although there is readinto")


def all_at_once(path: Path) -> Methods:
    pieces = iter([path.read_bytes(), b""])
    return Methods(read=lambda size: next(pieces))


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
    "fewer than none": (lambda: Methods(readinto=lambda buffer: -1), OverflowError, ".+"),
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
