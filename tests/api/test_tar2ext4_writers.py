"""Writers of convert: what will do, what is refused, and what passes through."""

from __future__ import annotations

import contextlib
import errno
import gzip
import io
import os
import re
import resource
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any, cast

import pytest
from common import LAYER, assert_untouched, image_of
from doubles import Boom, Methods, closed, file
from layerdisk import errdefs
from layerdisk.decompress import decompress
from layerdisk.decompress.stream import Pushback
from layerdisk.io import open_sink
from layerdisk.tar2ext4 import convert
from tarfiles import archive, regular

LONGER = bytes(range(256)) * 4096


@contextlib.contextmanager
def older(path: Path, mode: str, buffering: int = -1) -> Iterator[IO[bytes]]:
    """A file that holds more than the image will, open somewhere in its midst."""
    path.write_bytes(LONGER)
    with open(path, mode, buffering) as file:
        file.seek(1000)
        yield file


@contextlib.contextmanager
def older_object(path: Path) -> Iterator[IO[bytes]]:
    image = io.BytesIO(LONGER)
    image.seek(1000)
    yield image
    path.write_bytes(image.getvalue())


@contextlib.contextmanager
def least(path: Path) -> Iterator[Any]:
    """Only what a writer must have; it takes at most 1000 bytes at once."""
    image = io.BytesIO(LONGER)
    yield Methods(
        seek=image.seek,
        tell=image.tell,
        truncate=image.truncate,
        write=lambda data: image.write(data[:1000]),
    )
    path.write_bytes(image.getvalue())


WRITERS: dict[str, Callable[[Path], Any]] = {
    "path": lambda path: contextlib.nullcontext(path),
    "text of a path": lambda path: contextlib.nullcontext(str(path)),
    "file": lambda path: older(path, "r+b"),
    "unbuffered file": lambda path: older(path, "r+b", 0),
    "file for writing only": lambda path: file(path, "wb"),
    "BytesIO": older_object,
    "the least": least,
}


@pytest.mark.parametrize("make", WRITERS.values(), ids=WRITERS)
@pytest.mark.parametrize("footer", [False, True], ids=["image", "vhd"])
def test_any_writer_gets_the_same(
    core: str, tmp_path: Path, make: Callable[[Path], Any], footer: bool
) -> None:
    path = tmp_path / "image"
    expected = image_of(LAYER, core, append_vhd_footer=footer)
    with make(path) as writer:
        convert(io.BytesIO(LAYER), writer, append_vhd_footer=footer, core=core)
        if not isinstance(writer, (str, Path)):
            assert writer.tell() == len(expected)
    assert path.read_bytes() == expected


def test_zeros_that_are_not_written_are_there(core: str) -> None:
    """Also those of an object with other bytes in their place before."""
    content = bytes(40_000)
    image = io.BytesIO(LONGER)
    convert(io.BytesIO(content), image, only_append_vhd_footer=True, core=core)
    assert image.getvalue()[:-512] == content


def pipe(buffering: int) -> IO[bytes]:
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "wb", buffering)


def connection() -> IO[bytes]:
    one, other = socket.socketpair()
    with one, other:
        return one.makefile("wb")


def of_write(result: object) -> Callable[[], Any]:
    return lambda: Methods(
        seek=lambda *_: 0,
        truncate=lambda *_: 0,
        write=lambda data: result(data) if callable(result) else result,
    )


class Wrapper:
    """Hands on what it is asked to a file, but changes what is written."""

    def __init__(self, file: Any) -> None:
        self.file = file

    def write(self, data: bytes) -> int:
        return self.file.write(bytes(byte ^ 255 for byte in data))  # type: ignore[no-any-return]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.file, name)


APPENDING = os.O_RDWR | os.O_CREAT | os.O_APPEND
ANYWHERE = "it must be open for writing anywhere"
REFUSED_WRITERS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "pipe": (lambda: pipe(-1), errdefs.InvalidArgument, f"the writer is not seekable: {ANYWHERE}"),
    "unbuffered pipe": (lambda: pipe(0), errdefs.InvalidArgument, f"the writer is not seekable: {ANYWHERE}"),
    "socket": (connection, errdefs.InvalidArgument, f"the writer is not seekable: {ANYWHERE}"),
    "for reading": (
        lambda: file(os.devnull, "rb"),
        errdefs.InvalidArgument,
        f"the writer is not writable: {ANYWHERE}",
    ),
    "for appending": (
        lambda: file(os.devnull, "ab"),
        errdefs.InvalidArgument,
        f"the writer appends: {ANYWHERE}",
    ),
    "for appending, without saying so": (
        lambda: os.fdopen(os.open(tempfile.mktemp(), APPENDING), "w+b"),
        errdefs.InvalidArgument,
        f"the writer appends: {ANYWHERE}",
    ),
    "for appending, in a wrapper": (
        lambda: Wrapper(os.fdopen(os.open(tempfile.mktemp(), APPENDING), "w+b")),
        errdefs.InvalidArgument,
        f"the writer appends: {ANYWHERE}",
    ),
    "gzip": (
        lambda: gzip.GzipFile(fileobj=io.BytesIO(), mode="wb"),
        errdefs.InvalidArgument,
        rf"the writer cannot be emptied \(truncate\): {ANYWHERE}",
    ),
    "closed": (lambda: closed(io.BytesIO()), ValueError, "I/O operation on closed file."),
    "no file": (lambda: 5, AttributeError, "'int' object has no attribute 'seek'"),
    "None of write": (
        of_write(None),
        BlockingIOError,
        "the writer takes no data now: it must not be in non-blocking mode",
    ),
    "nothing written": (of_write(0), ValueError, r"write returned 0 for \d+ bytes"),
    "more than there is": (
        of_write(lambda data: 2 * len(data)),
        ValueError,
        r"write returned \d+ for \d+ bytes",
    ),
}


@pytest.mark.parametrize(("make", "cls", "message"), REFUSED_WRITERS.values(), ids=REFUSED_WRITERS)
def test_a_wrong_writer_is_refused(
    core: str, make: Callable[[], Any], cls: type[Exception], message: str
) -> None:
    writer = make()
    with contextlib.closing(writer) if hasattr(writer, "close") else contextlib.nullcontext():
        with pytest.raises(cls) as caught:
            convert(io.BytesIO(LAYER), writer, core=core)
        assert type(caught.value) is cls
        assert re.fullmatch(message, str(caught.value))


@pytest.mark.parametrize("method", ["seek", "truncate", "write", "flush"])
def test_an_exception_of_the_writer_passes_through_as_it_is(core: str, method: str) -> None:
    error = Boom()

    def fail(*_: object) -> None:
        raise error

    class Failing(io.BytesIO):
        pass

    setattr(Failing, method, fail)
    with pytest.raises(Boom) as caught:
        convert(io.BytesIO(LAYER), Failing(), core=core)
    assert caught.value is error


def test_an_error_of_the_operating_system_has_its_number(core: str, target: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(OSError) as caught:
            convert(io.BytesIO(LAYER), target, core=core)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (caught.value.errno, str(caught.value)) == (errno.EFBIG, "[Errno 27] File too large")
    assert_untouched(target)


class Sub(io.FileIO):
    def write(self, data: Any) -> int:
        return super().write(bytes(byte ^ 255 for byte in bytes(data)))


def patched(path: Path) -> Any:
    writer = file(path, "w+b")
    write = writer.write
    writer.write = lambda data: write(bytes(byte ^ 255 for byte in data))
    return writer


@pytest.mark.parametrize(
    "make",
    [
        lambda path: Wrapper(file(path, "w+b")),
        lambda path: Sub(path, "w+b"),
        lambda path: io.BufferedRandom(Sub(path, "w+b")),
        patched,
    ],
    ids=["wrapper", "subclass", "buffered subclass", "changed method"],
)
def test_nothing_goes_around_a_writer(core: str, tmp_path: Path, make: Callable[[Path], Any]) -> None:
    with contextlib.closing(make(tmp_path / "image")) as writer:
        convert(io.BytesIO(LAYER), writer, core=core)
    changed = bytes(byte ^ 255 for byte in (tmp_path / "image").read_bytes())
    expected = image_of(LAYER, core)
    # Holes were not written, and so not changed.
    assert all(
        changed[at : at + 4096] == expected[at : at + 4096] or not expected[at : at + 4096].strip(b"\0")
        for at in range(0, len(expected) - 4096, 4096)
    )
    assert len(changed) == len(expected)


def test_a_temporary_file_is_written_directly(core: str) -> None:
    with tempfile.NamedTemporaryFile() as writer:
        convert(io.BytesIO(LAYER), writer, core=core)
        assert isinstance(open_sink(writer), int)
        writer.seek(0)
        assert writer.read() == image_of(LAYER, core)


WRONG: dict[str, Callable[[Any, str], object]] = {
    "layout": lambda writer, core: convert(io.BytesIO(LAYER), writer, layout=cast("Any", "typo"), core=core),
    "unique id": lambda writer, core: convert(io.BytesIO(LAYER), writer, vhd_unique_id=b"short", core=core),
    "core": lambda writer, core: convert(io.BytesIO(LAYER), writer, core=core + "?"),
    "reader": lambda writer, core: convert(None, writer, core=core),  # type: ignore[arg-type]
    "progress": lambda writer, core: convert(io.BytesIO(LAYER), writer, progress=5, core=core),  # type: ignore[arg-type]
    "size": lambda writer, core: convert(io.BytesIO(LAYER), writer, maximum_disk_size=1e9, core=core),  # type: ignore[arg-type]
    "reader without a method": lambda writer, core: convert(Methods(read=5), writer, core=core),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG)
@pytest.mark.parametrize("kind", ["file", "object"])
def test_a_writer_is_not_touched_before_all_else_is_right(
    core: str, tmp_path: Path, kind: str, call: Callable[[Any, str], object]
) -> None:
    (tmp_path / "image").write_bytes(b"precious")
    with file(tmp_path / "image", "r+b") if kind == "file" else io.BytesIO(b"precious") as writer:
        with pytest.raises((errdefs.InvalidArgument, AttributeError, TypeError)):
            call(writer, core)
        writer.seek(0)
        assert writer.read() == b"precious"


READ_FROM_ITSELF: dict[str, Callable[[Any], Any]] = {
    "object": lambda writer: writer,
    "inflated": lambda writer: decompress(writer),
    "wrapped": lambda writer: Pushback(b"", writer),
}


@pytest.mark.parametrize("make", READ_FROM_ITSELF.values(), ids=READ_FROM_ITSELF)
@pytest.mark.parametrize("kind", ["file", "object"])
def test_a_file_is_not_converted_into_itself(
    core: str, tmp_path: Path, kind: str, make: Callable[[Any], Any]
) -> None:
    """It would be emptied before it is read, and an empty image be the result."""
    layer = gzip.compress(LAYER) if make is READ_FROM_ITSELF["inflated"] else LAYER
    (tmp_path / "image").write_bytes(layer)
    with file(tmp_path / "image", "r+b") if kind == "file" else io.BytesIO(layer) as writer:
        with pytest.raises(errdefs.InvalidArgument, match="the output is the input"):
            convert(make(writer), writer, core=core)
        writer.seek(0)
        assert writer.read() == layer


def test_a_file_that_is_opened_twice_is_not_converted_into_itself(core: str, tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(LAYER)
    os.link(path, tmp_path / "other name")
    with file(tmp_path / "other name", "rb") as reader:
        with pytest.raises(errdefs.InvalidArgument, match="the output is the input"):
            convert(reader, path, in_place=True, core=core)
        assert path.read_bytes() == LAYER
        convert(reader, path, core=core)  # it is another file that takes its place
    assert path.read_bytes() != LAYER


def test_a_file_that_is_closed_under_the_conversion_is_no_other(core: str, tmp_path: Path) -> None:
    """Whose number another file may have got."""
    writer = file(tmp_path / "image", "w+b")
    number = writer.fileno()
    layer = io.BytesIO(LAYER)
    with contextlib.ExitStack() as stack:

        def read(size: int) -> bytes:
            if not writer.closed:
                writer.close()
                other = stack.enter_context(file(tmp_path / "other", "w+b"))
                assert other.fileno() == number
                other.write(b"precious")
                other.flush()
            return layer.read(size)

        with pytest.raises(ValueError, match="closed file"):
            convert(Methods(read=read), writer, core=core)
    assert (tmp_path / "other").read_bytes() == b"precious"


def test_a_writer_is_called_where_convert_was(core: str) -> None:
    """As is the reader: both may belong to a thread, as one of sqlite3 does."""
    threads = set()

    class Writer(io.BytesIO):
        def write(self, data: Any) -> int:
            threads.add(threading.get_ident())
            return super().write(data)

        def seek(self, *where: int) -> int:
            threads.add(threading.get_ident())
            return super().seek(*where)

    writer = Writer()
    tar = archive(regular("f", os.urandom(3_000_000)), *(regular(f"{i}", b"x" * 500) for i in range(3000)))
    convert(io.BytesIO(tar), writer, core=core)
    assert writer.getvalue() == image_of(tar, core)
    assert threads == {threading.get_ident()}
