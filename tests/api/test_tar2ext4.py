"""The public functions of tar2ext4: what they take, give, leave behind, and say when something is wrong."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import io
import os
import random
import re
import resource
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from comparison import BytesReader, ReadintoReader, assert_same
from layerdisk import errdefs
from layerdisk.tar2ext4 import (
    ConvertResult,
    Finding,
    convert,
    convert_to_vhd,
    ext4_file_system_size,
    is_device_ext4,
    read_ext4_superblock,
)
from layerdisk.vhd import read_footer
from oracle_client import Oracle
from tarfiles import (
    archive,
    base256,
    char_device,
    directory,
    gnu_sparse,
    hardlink,
    header,
    pax,
    regular,
    symlink,
)

GIB = 1 << 30
LAYER = archive(directory("usr"), regular("usr/f", b"data" * 100_000), symlink("l", "usr"))
DIGEST = "sha256:" + hashlib.sha256(LAYER).hexdigest()


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An image that is there already, alone in its directory; it must survive every failure."""
    path = tmp_path / "out" / "image"
    path.parent.mkdir()
    path.write_bytes(b"older image")
    return path


def file(path: str | Path, mode: str, buffering: int = -1) -> BinaryIO:
    """Open a file that the test closes."""
    return open(path, mode, buffering)  # type: ignore[return-value]


def assert_untouched(target: Path) -> None:
    assert os.listdir(target.parent) == [target.name]
    assert target.read_bytes() == b"older image"


def image_of(tar: bytes, core: str, **options: Any) -> bytes:
    image = io.BytesIO()
    convert(io.BytesIO(tar), image, core=core, **options)
    return image.getvalue()


# The result.


@pytest.mark.parametrize(
    "rest", [b"", b"\0" * 9000, b"any bytes" * 50_000], ids=["nothing", "zeros", "bytes"]
)
def test_digest_and_size_are_those_of_all_bytes(core: str, rest: bytes) -> None:
    tar = LAYER + rest
    result = convert(io.BytesIO(tar), io.BytesIO(), core=core)
    assert (result.digest, result.size) == ("sha256:" + hashlib.sha256(tar).hexdigest(), len(tar))


@pytest.mark.parametrize("footer", [False, True], ids=["image", "vhd"])
def test_the_result_counts_what_is_in_the_image(core: str, target: Path, footer: bool) -> None:
    result = convert(io.BytesIO(LAYER), target, append_vhd_footer=footer, core=core)
    size = target.stat().st_size - 512 * footer
    assert result == ConvertResult(
        digest=DIGEST,
        size=len(LAYER),
        image_size=size,
        blocks=size // 4096,
        inodes=5,  # root, lost+found and three entries
        directories=3,
        findings=(),
    )


def test_a_finding_tells_where_it_is(core: str) -> None:
    tar = archive(directory("d"), regular(b"d/\xff/f"))
    message = "1 parent directory not in the layer: made like the one above"
    assert convert(io.BytesIO(tar), io.BytesIO(), core=core).findings == (
        Finding("B13", "d/\udcff/f", 512, message, identical=True),
    )


def test_only_the_footer_has_the_input_before_it(core: str, target: Path) -> None:
    result = convert(io.BytesIO(LAYER), target, only_append_vhd_footer=True, core=core)
    assert result == ConvertResult(DIGEST, len(LAYER), len(LAYER), 0, 0, 0, ())
    assert target.read_bytes()[:-512] == LAYER


# Readers.


class Methods:
    """An object with the given methods and nothing else."""

    def __init__(self, **methods: Any) -> None:
        vars(self).update(methods)


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


def closed(file: BinaryIO) -> BinaryIO:
    file.close()
    return file


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


class Boom(BaseException):
    """No Exception even."""


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

    with pytest.raises(type(error)) as caught:
        convert(Methods(**{method: read}), target, core=core)
    assert caught.value is error
    assert len(calls) == reads + 1
    assert_untouched(target)


# Progress.


def test_progress_is_told_how_much_was_read(core: str) -> None:
    totals: list[int] = []
    convert(BytesReader(LAYER, 50_000), io.BytesIO(), progress=totals.append, core=core)
    growing = [*range(50_000, len(LAYER), 50_000), len(LAYER)]
    assert totals == [*growing, len(LAYER)]  # once more, for the read that found the end


def test_reader_and_progress_are_called_where_convert_was(core: str) -> None:
    threads = set()
    layer = io.BytesIO(LAYER)

    def read(size: int) -> bytes:
        threads.add(threading.get_ident())
        return layer.read(size)

    convert(
        Methods(read=read),
        io.BytesIO(),
        progress=lambda total: threads.add(threading.get_ident()),
        core=core,
    )
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("calls", [1, 4])
@pytest.mark.parametrize(
    "error", [Boom(), errdefs.Canceled("enough")], ids=lambda error: type(error).__name__
)
def test_an_exception_of_progress_ends_the_conversion(
    core: str, target: Path, calls: int, error: BaseException
) -> None:
    totals = []

    def progress(total: int) -> None:
        totals.append(total)
        if len(totals) == calls:
            raise error

    with pytest.raises(type(error)) as caught:
        convert(BytesReader(LAYER, 50_000), target, progress=progress, core=core)
    assert caught.value is error
    assert len(totals) == calls
    assert_untouched(target)


# Writers.

LONGER = bytes(range(256)) * 4096


@contextlib.contextmanager
def older(path: Path, mode: str, buffering: int = -1) -> Iterator[BinaryIO]:
    """A file that holds more than the image will, open somewhere in its midst."""
    path.write_bytes(LONGER)
    with open(path, mode, buffering) as file:
        file.seek(1000)
        yield file  # type: ignore[misc]


@contextlib.contextmanager
def older_object(path: Path) -> Iterator[BinaryIO]:
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


def pipe(buffering: int) -> BinaryIO:
    reading, writing = os.pipe()
    os.close(reading)
    return open(writing, "wb", buffering)  # type: ignore[return-value]


def connection() -> BinaryIO:
    one, other = socket.socketpair()
    with one, other:
        return one.makefile("wb")


def of_write(result: object) -> Callable[[], Any]:
    return lambda: Methods(
        seek=lambda *_: 0,
        truncate=lambda *_: 0,
        write=lambda data: result(data) if callable(result) else result,
    )


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


# Paths.


def test_a_missing_directory_is_an_error(core: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        convert(io.BytesIO(LAYER), tmp_path / "no" / "image", core=core)
    assert caught.value.filename == str(tmp_path / "no")
    assert os.listdir(tmp_path) == []


def test_a_directory_is_no_target(core: str, tmp_path: Path) -> None:
    with pytest.raises(errdefs.InvalidArgument, match=f"^{tmp_path} exists and is not a regular file$"):
        convert(io.BytesIO(LAYER), tmp_path, core=core)


def test_an_older_file_is_replaced_even_if_it_is_read_only(core: str, target: Path) -> None:
    """It is the directory that changes; the new file has the permissions of any new file."""
    target.chmod(0o444)
    (target.parent.parent / "other").touch()
    convert(io.BytesIO(LAYER), target, core=core)
    assert target.read_bytes() == image_of(LAYER, core)
    assert target.stat().st_mode == (target.parent.parent / "other").stat().st_mode


@pytest.mark.parametrize("there", [True, False], ids=["to a file", "dangling"])
def test_a_symlink_is_followed(core: str, target: Path, tmp_path: Path, there: bool) -> None:
    if not there:
        target.unlink()
    link = tmp_path / "link"
    link.symlink_to("out/image")
    convert(io.BytesIO(LAYER), link, core=core)
    assert os.readlink(link) == "out/image"
    assert target.read_bytes() == image_of(LAYER, core)
    assert os.listdir(target.parent) == ["image"]
    assert sorted(os.listdir(tmp_path)) == ["link", "out"]


# The unique id of a VHD.

ID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://layerdisk.dev/vhd-unique-id")
DERIVED: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({}, f"hcsshim {DIGEST} whiteout=0 backslash=0 inline=0 reproduce=0 maximum={16 * GIB}"),
    "whiteout": (
        {"convert_whiteout": True},
        f"hcsshim {DIGEST} whiteout=1 backslash=0 inline=0 reproduce=0 maximum={16 * GIB}",
    ),
    "backslash": (
        {"convert_backslash": True},
        f"hcsshim {DIGEST} whiteout=0 backslash=1 inline=0 reproduce=0 maximum={16 * GIB}",
    ),
    "inline": (
        {"inline_data": True},
        f"hcsshim {DIGEST} whiteout=0 backslash=0 inline=1 reproduce=0 maximum={16 * GIB}",
    ),
    "defects": (
        {"reproduce_defects": True},
        f"hcsshim {DIGEST} whiteout=0 backslash=0 inline=0 reproduce=1 maximum={16 * GIB}",
    ),
    "size": (
        {"maximum_disk_size": GIB - 4000},
        f"hcsshim {DIGEST} whiteout=0 backslash=0 inline=0 reproduce=0 maximum={GIB}",
    ),
    "only the footer": ({"only_append_vhd_footer": True, "inline_data": True}, f"raw {DIGEST}"),
}


def unique_id_of(tar: bytes, core: str, **options: Any) -> uuid.UUID:
    options = {"append_vhd_footer": True} | options
    return read_footer(io.BytesIO(image_of(tar, core, **options))).unique_id


@pytest.mark.parametrize(("options", "content"), DERIVED.values(), ids=DERIVED)
def test_the_unique_id_is_derived_from_the_content(core: str, options: dict[str, Any], content: str) -> None:
    """As docs/format.md says; so it is the same in every run."""
    found = unique_id_of(LAYER, core, **options)
    assert found == uuid.uuid5(NAMESPACE, content)
    assert found.version == 5


def test_another_content_has_another_unique_id(core: str) -> None:
    options = [options for options, _ in DERIVED.values()]
    found = {unique_id_of(LAYER, core, **one) for one in options}
    found |= {unique_id_of(LAYER + b"\0", core, **one) for one in options}
    assert len(found) == 2 * len(options)


@pytest.mark.parametrize("given", [ID, ID.bytes], ids=["UUID", "bytes"])
@pytest.mark.parametrize("option", ["append_vhd_footer", "only_append_vhd_footer"])
def test_a_given_unique_id_is_taken(core: str, given: uuid.UUID | bytes, option: str) -> None:
    assert unique_id_of(LAYER, core, vhd_unique_id=given, **{option: True}) == ID


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_a_unique_id_of_another_length_is_refused(core: str, target: Path, length: int) -> None:
    with pytest.raises(errdefs.InvalidArgument) as caught:
        convert(io.BytesIO(LAYER), target, vhd_unique_id=bytes(length), core=core)
    assert str(caught.value) == f"vhd_unique_id has {length} bytes, not 16"
    assert_untouched(target)


# Bad layers. What they start with puts the entry where its offset has some digits.

BEFORE = regular("big", bytes(1_535_488))
D = directory("d")
LATER = 1_536_000
DISK = 2_097_152
assert len(BEFORE) == LATER

BAD: dict[str, tuple[bytes, type[errdefs.ConversionError], str | None, str | None, int | None, str]] = {
    "checksum": (
        D + header("usr/bin/x", checksum=b"0000000\0"),
        errdefs.InvalidTar,
        None,
        None,
        512,
        r'tar header at byte 512: the checksum is "0000000\x00",' + " the block's is 10746",
    ),
    "number": (
        BEFORE + header("usr/bin/x", replace={124: b"12x45678901\0"}),
        errdefs.InvalidTar,
        None,
        None,
        LATER,
        r'tar header at byte 1536000: field size is no number of 64 bits: "12x45678901\x00"',
    ),
    "size": (
        D + header("usr/bin/x", replace={124: base256(-5, 12)}),
        errdefs.InvalidTar,
        None,
        None,
        512,
        "tar header at byte 512: the size is -5, less than 0",
    ),
    "record": (
        D + pax(b"7 path\n") + header("x"),
        errdefs.InvalidTar,
        None,
        None,
        512,
        r'tar header at byte 512: extended header record "7 path\x0a": no equals sign',
    ),
    "sparse map": (
        D + gnu_sparse("s", 1000, [(500, b"x" * 100), (100, b"y" * 10)]),
        errdefs.InvalidTar,
        None,
        None,
        512,
        "tar header at byte 512: the sparse map has 10 bytes at byte 100: out of order, or outside of the file's"
        " 1000 bytes",
    ),
    "cut in a header": (
        archive(D)[:700],
        errdefs.TruncatedTar,
        None,
        None,
        512,
        "tar header at byte 512: the archive ends in a header, after 188 of 512 bytes",
    ),
    "cut in data": (
        BEFORE + regular("usr/bin/x", b"x" * 5000)[:1512],
        errdefs.TruncatedTar,
        None,
        "usr/bin/x",
        LATER,
        'tar entry "usr/bin/x" at byte 1536000:' + " the archive ends in the entry's data, 4000 bytes short",
    ),
    "xattr": (
        BEFORE + regular("usr/bin/x", xattrs={"user.big": b"v" * 5000}),
        errdefs.InvalidEntry,
        "B15",
        "usr/bin/x",
        LATER,
        'tar entry "usr/bin/x" at byte 1536000: xattr "user.big" needs 5020 bytes, 4060 of 4060 are left in the'
        " xattr block",
    ),
    "name": (
        D + regular("d/" + "n" * 256),
        errdefs.InvalidEntry,
        None,
        "d/" + "n" * 256,
        512,
        f'tar entry "d/{"n" * 198}" (258 bytes) at byte 512: the name "{"n" * 200}" (256 bytes) has 256 bytes,'
        " at most 255 are allowed",
    ),
    "link": (
        D + hardlink(b'a\xff\n"', "no/such"),
        errdefs.InvalidEntry,
        None,
        'a\udcff\n"',
        512,
        r'tar entry "a\xff\x0a\"" at byte 512:' + " the link's target " + '"no/such" is not in the layer',
    ),
    "path": (
        D + regular("f") + regular("f/x"),
        errdefs.InvalidEntry,
        None,
        "f/x",
        1024,
        'tar entry "f/x" at byte 1024: the path leads through "f", which is a file',
    ),
    "target": (
        D + symlink("l", "t" * 4096),
        errdefs.InvalidEntry,
        "B16",
        "l",
        512,
        'tar entry "l" at byte 512:' + " the symlink's target has 4096 bytes, 1 to 4095 are possible",
    ),
    "device": (
        D + char_device("c", 4096, 1),
        errdefs.InvalidEntry,
        "N5",
        "c",
        512,
        'tar entry "c" at byte 512: devmajor is 4096, 0 to 4095 are possible',
    ),
    "disk": (
        D + regular("usr/bin/x", bytes(DISK)),
        errdefs.DiskSizeExceeded,
        None,
        "usr/bin/x",
        512,
        'tar entry "usr/bin/x" at byte 512: the image exceeds the maximum disk size of 2097152 bytes',
    ),
}


@pytest.mark.parametrize(("tar", "cls", "code", "entry", "offset", "text"), BAD.values(), ids=BAD)
def test_a_bad_layer_is_an_error_that_says_where_and_why(
    core: str,
    target: Path,
    tar: bytes,
    cls: type[errdefs.ConversionError],
    code: str | None,
    entry: str | None,
    offset: int | None,
    text: str,
) -> None:
    with pytest.raises(errdefs.ConversionError) as caught:
        convert(io.BytesIO(tar), target, maximum_disk_size=DISK, core=core)
    error = caught.value
    assert str(error) == text
    assert (type(error), error.code, error.entry, error.offset) == (cls, code, entry, offset)
    assert text.endswith(f": {error.message}")
    assert_untouched(target)


# Ctrl-C.

CHILD = """
import io, signal, sys, time
sys.path[:0] = {path!r}
from layerdisk.tar2ext4 import convert
from tarfiles import archive, base256, pax_sparse, regular

signal.signal(signal.SIGINT, signal.default_int_handler)  # whoever runs the tests may ignore it
ENDLESS = regular("f", replace={{124: base256(1 << 36, 12)}})
HOLE = (128 << 30) - 4096

class Reader:
    def __init__(self, pieces):
        self.pieces = pieces
    def read(self, size):
        return next(self.pieces, b"")

def ready():
    print("ready", flush=True)

def slow():
    yield ENDLESS
    ready()
    while True:
        time.sleep(0.005)
        yield bytes(100)

def asleep():
    yield ENDLESS + b"x" * 1000
    ready()
    time.sleep(600)

def plain():  # as fast as it can be written, and for some seconds at least
    yield ENDLESS
    for count in range(4096):
        if count == 8:
            ready()
        yield b"x" * (1 << 20)

def holes():  # 15 TiB of them: the bitmaps take a while
    ready()
    yield archive(*(pax_sparse(str(i), HOLE, [(HOLE, b"")], version="1.0") for i in range(120)))

class Slow(io.BytesIO):
    def write(self, data):
        time.sleep(0.05)
        return super().write(data)

writer = Slow() if {slow_writer} else {target!r}
convert(Reader({reader}()), writer, core={core!r}, maximum_disk_size=1 << 44)
"""
SECONDS = 5  # within which a program must be gone, however busy the machine is; it takes a fraction of one


def written(target: Path) -> int:
    """Give how much is on disk beside a target, in bytes."""
    return sum(path.stat().st_blocks * 512 for path in target.parent.iterdir())


@pytest.mark.parametrize("reader", ["slow", "asleep", "plain", "holes", "slow_writer"])
def test_an_interrupt_ends_a_conversion_at_once(core: str, scratch: Path, reader: str) -> None:
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        target = Path(directory) / "image"
        target.write_bytes(b"older image")
        script = CHILD.format(
            path=[str(Path(__file__).parents[1]), *(entry for entry in sys.path if entry)],
            slow_writer=reader == "slow_writer",
            reader="plain" if reader == "slow_writer" else reader,
            target=str(target),
            core=core,
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        while reader == "holes" and process.poll() is None and written(target) < 16 << 20:
            time.sleep(0.005)
        if reader == "asleep":
            time.sleep(0.3)  # for a signal just before the system call Python itself would sleep on
        process.send_signal(signal.SIGINT)
        try:
            _, said = process.communicate(timeout=SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            raise
        assert line == "ready\n", said
        assert said.splitlines()[-1] == "KeyboardInterrupt"
        assert process.returncode == -signal.SIGINT
        assert_untouched(target)


# hcsshim's other functions.

CONTENTS = {
    "image": lambda core: image_of(LAYER, core),
    "empty": lambda core: b"",
    "no image": lambda core: b"any bytes" * 1001,
    "half a footer": lambda core: b"conectix" + bytes(100),
}


@pytest.fixture
def chosen(core: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The core for the functions that take none."""
    monkeypatch.setenv("LAYERDISK_CORE", core)
    return core


@pytest.mark.parametrize("content", CONTENTS.values(), ids=CONTENTS)
@pytest.mark.parametrize("use_path", [True, False], ids=["path", "file"])
def test_a_footer_is_appended_as_hcsshim_does(
    oracle: Oracle, chosen: str, tmp_path: Path, content: Callable[[str], bytes], use_path: bool
) -> None:
    theirs, ours, direct = (tmp_path / name for name in ["theirs", "ours", "direct"])
    for path in [theirs, ours]:
        path.write_bytes(content(chosen))
    assert oracle.ask(theirs, Op="to_vhd").ok
    if use_path:
        convert_to_vhd(ours)
    else:
        with open(ours, "r+b") as file:
            convert_to_vhd(file)
    assert_same(theirs, ours, vhd=True)
    convert(io.BytesIO(content(chosen)), direct, only_append_vhd_footer=True, core=chosen)
    assert ours.read_bytes() == direct.read_bytes()  # the derived unique id too


def test_a_second_footer_is_refused(oracle: Oracle, chosen: str, tmp_path: Path) -> None:
    """Where hcsshim makes a disk of the first one."""
    path = tmp_path / "image"
    path.write_bytes(image_of(LAYER, chosen, append_vhd_footer=True))
    before = path.read_bytes()
    with pytest.raises(errdefs.InvalidArgument, match="the image ends with a VHD footer already"):
        convert_to_vhd(path)
    assert path.read_bytes() == before
    assert oracle.ask(path, Op="to_vhd").ok


@pytest.mark.parametrize("given", [ID, ID.bytes], ids=["UUID", "bytes"])
def test_a_footer_gets_the_unique_id_that_is_given(chosen: str, given: uuid.UUID | bytes) -> None:
    image = io.BytesIO(LAYER)
    convert_to_vhd(image, vhd_unique_id=given)
    assert read_footer(image).unique_id == ID


def test_a_footer_that_cannot_be_written_leaves_the_image_as_it_was(chosen: str) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any) -> int:
            super().write(data[:100])
            raise OSError(28, "No space left on device")

    image = Full(LAYER)
    with pytest.raises(OSError, match="No space left"):
        convert_to_vhd(image)
    assert image.getvalue() == LAYER


# hcsshim's names of the fields that we give.
FIELDS = {
    "s_inodes_count": "InodesCount",
    "s_blocks_count_lo": "BlocksCountLow",
    "s_r_blocks_count_lo": "RootBlocksCountLow",
    "s_free_blocks_count_lo": "FreeBlocksCountLow",
    "s_free_inodes_count": "FreeInodesCount",
    "s_first_data_block": "FirstDataBlock",
    "s_log_block_size": "LogBlockSize",
    "s_log_cluster_size": "LogClusterSize",
    "s_blocks_per_group": "BlocksPerGroup",
    "s_clusters_per_group": "ClustersPerGroup",
    "s_inodes_per_group": "InodesPerGroup",
    "s_mtime": "Mtime",
    "s_wtime": "Wtime",
    "s_mnt_count": "MountCount",
    "s_max_mnt_count": "MaxMountCount",
    "s_magic": "Magic",
    "s_state": "State",
    "s_errors": "Errors",
    "s_minor_rev_level": "MinorRevisionLevel",
    "s_lastcheck": "LastCheck",
    "s_checkinterval": "CheckInterval",
    "s_creator_os": "CreatorOS",
    "s_rev_level": "RevisionLevel",
    "s_def_resuid": "DefaultReservedUid",
    "s_def_resgid": "DefaultReservedGid",
    "s_first_ino": "FirstInode",
    "s_inode_size": "InodeSize",
    "s_block_group_nr": "BlockGroupNr",
    "s_feature_compat": "FeatureCompat",
    "s_feature_incompat": "FeatureIncompat",
    "s_feature_ro_compat": "FeatureRoCompat",
    "s_uuid": "UUID",
    "s_volume_name": "VolumeName",
    "s_min_extra_isize": "MinExtraIsize",
    "s_want_extra_isize": "WantExtraIsize",
    "s_log_groups_per_flex": "LogGroupsPerFlex",
    "s_lpf_ino": "LpfInode",
}


def random_superblock() -> bytes:
    """Every field has another value, so that none can be taken for its neighbour."""
    data = bytearray(random.Random(1).randbytes(2048))
    data[1080:1082] = b"\x53\xef"
    data[1048:1052] = (2).to_bytes(4, "little")
    return bytes(data)


IMAGES: dict[str, Callable[[str], bytes]] = {
    "image": lambda core: image_of(LAYER, core),
    "vhd": lambda core: image_of(LAYER, core, append_vhd_footer=True),
    "random": lambda core: random_superblock(),
    "the superblock only": lambda core: image_of(LAYER, core)[:2048],
    "larger blocks": lambda core: random_superblock()[:1048] + b"\6\0\0\0" + random_superblock()[1052:],
}
NO_IMAGES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it has 0 bytes, the superblock ends at byte 2048"),
    "cut before it": (bytes(1024), "it has 1024 bytes, the superblock ends at byte 2048"),
    "cut in it": (random_superblock()[:2047], "it has 2047 bytes, the superblock ends at byte 2048"),
    "zeros": (bytes(5000), "s_magic at byte 1080 is 0x0000, not 0xef53"),
    "text": (b"text" * 1000, "s_magic at byte 1080 is 0x6574, not 0xef53"),
}


@pytest.mark.parametrize("make", IMAGES.values(), ids=IMAGES)
def test_a_superblock_is_read_as_hcsshim_does(
    oracle: Oracle, chosen: str, tmp_path: Path, make: Callable[[str], bytes]
) -> None:
    path = tmp_path / "image"
    path.write_bytes(make(chosen))
    theirs = oracle.ask(path, Op="superblock").result
    for image in [path, str(path), io.BytesIO(path.read_bytes()), path.read_bytes()]:
        ours = read_ext4_superblock(image)
        found = {
            FIELDS[name]: list(value) if isinstance(value, bytes) else value
            for name, value in ours._asdict().items()
        }
        assert found == {name: theirs[name] for name in FIELDS.values()}
    assert oracle.ask(path, Op="is_ext4").result is is_device_ext4(path) is True
    assert oracle.ask(path, Op="size").result == list(ext4_file_system_size(path))


@pytest.mark.parametrize(("content", "reason"), NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_ext4_is_refused_where_hcsshim_does(
    oracle: Oracle, chosen: str, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    for function, operation in [(read_ext4_superblock, "superblock"), (ext4_file_system_size, "size")]:
        assert oracle.ask(path, Op=operation).error is not None
        for image in [path, io.BytesIO(content)]:
            with pytest.raises(errdefs.InvalidArgument) as caught:
                function(image)  # type: ignore[operator]
            assert str(caught.value) == f"not an ext4 file system: {reason}"
    assert oracle.ask(path, Op="is_ext4").result is is_device_ext4(path) is False


@pytest.mark.parametrize(
    ("function", "operation"),
    [(read_ext4_superblock, "superblock"), (ext4_file_system_size, "size"), (convert_to_vhd, "to_vhd")],
    ids=["superblock", "size", "to_vhd"],
)
def test_a_missing_file_is_an_error(
    oracle: Oracle, chosen: str, tmp_path: Path, function: Callable[[Path], object], operation: str
) -> None:
    assert "no such file" in str(oracle.ask(tmp_path / "no", Op=operation).error)
    with pytest.raises(FileNotFoundError):
        function(tmp_path / "no")
    assert os.listdir(tmp_path) == []


def test_of_a_missing_file_nobody_can_tell_whether_it_is_ext4(oracle: Oracle, tmp_path: Path) -> None:
    """Where hcsshim says no."""
    assert oracle.ask(tmp_path / "no", Op="is_ext4").result is False
    with pytest.raises(FileNotFoundError):
        is_device_ext4(tmp_path / "no")


@pytest.mark.parametrize("log_block_size", [7, 2**32 - 1])
def test_a_block_size_that_no_file_system_has_is_refused(tmp_path: Path, log_block_size: int) -> None:
    """Where hcsshim says that the size is 0; read_ext4_superblock gives the field as it is."""
    data = random_superblock()
    data = data[:1048] + log_block_size.to_bytes(4, "little") + data[1052:]
    assert read_ext4_superblock(data).s_log_block_size == log_block_size
    with pytest.raises(errdefs.InvalidArgument) as caught:
        ext4_file_system_size(io.BytesIO(data))
    reason = f"s_log_block_size is {log_block_size}, at most 6 is possible"
    assert str(caught.value) == f"not an ext4 file system: {reason}"
