"""The processor chain: media types, programs as processors, and what is refused."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import random
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import zstandard
from layerdisk import errdefs, media_types
from layerdisk.diff import BinaryProcessor, Payload, Readable, Stream, open_plain_tar

PLAIN = random.Random(1).randbytes(3000) + b"layer " * 50_000
GZIP = gzip.compress(PLAIN, mtime=0)
ZSTD = zstandard.ZstdCompressor().compress(PLAIN)


def read_all(reader: Readable) -> bytes:
    return b"".join(iter(lambda: reader.read(1 << 18) or b"", b""))


OCI, DOCKER = media_types.OCI_LAYER, media_types.DOCKER_LAYER
SNIFFED = [OCI + "+gzip", OCI + "+zstd", DOCKER, DOCKER + ".gzip", DOCKER + ".zstd"]


@pytest.mark.parametrize("blob", [PLAIN, GZIP, ZSTD], ids=["plain", "gzip", "zstd"])
@pytest.mark.parametrize("media_type", SNIFFED)
def test_the_magic_decides_and_not_the_name(media_type: str, blob: bytes) -> None:
    with open_plain_tar(io.BytesIO(blob), media_type) as tar:
        assert read_all(tar) == PLAIN


@pytest.mark.parametrize("media_type", [OCI, DOCKER + "+gzip"])
def test_a_type_that_is_plain_by_its_name_is_taken_as_it_is(media_type: str) -> None:
    with open_plain_tar(io.BytesIO(PLAIN), media_type) as tar:
        assert read_all(tar) == PLAIN


@pytest.mark.parametrize("media_type", [OCI, DOCKER + "+gzip"])
@pytest.mark.parametrize(("blob", "name"), [(GZIP, "gzip"), (ZSTD, "zstd")], ids=["gzip", "zstd"])
def test_a_type_that_is_plain_by_its_name_is_not_decompressed(
    media_type: str, blob: bytes, name: str
) -> None:
    with pytest.raises(errdefs.InvalidTar) as caught, open_plain_tar(io.BytesIO(blob), media_type):
        pass
    assert str(caught.value) == (
        f"the layer is {name}-compressed data; it must be a plain tar, as its media type says"
    )


@pytest.mark.parametrize(
    "media_type",
    ["text/plain", OCI + "+encrypted", OCI + "+gzip+encrypted", OCI + "+br", DOCKER + ".gzip+encrypted"],
)
def test_what_no_processor_takes_is_refused(media_type: str) -> None:
    with pytest.raises(errdefs.NoProcessor) as caught, open_plain_tar(io.BytesIO(PLAIN), media_type):
        pass
    assert str(caught.value) == f'no processor for media type "{media_type}"'


def program(code: str, *, accepts: str = "in", returns: str = OCI, id: str = "test") -> BinaryProcessor:
    imports = "import os, sys, time, signal, shutil; i, o = sys.stdin.buffer, sys.stdout.buffer\n"
    return BinaryProcessor(id, (accepts,), returns, sys.executable, ("-c", imports + code))


COPY = "shutil.copyfileobj(i, o)"


def run(
    processors: list[BinaryProcessor],
    blob: Readable | bytes = PLAIN,
    payloads: Mapping[str, Payload] | None = None,
    media_type: str = "in",
) -> bytes:
    source = io.BytesIO(blob) if isinstance(blob, bytes) else blob
    with open_plain_tar(source, media_type, processors=processors, payloads=payloads) as tar:
        return read_all(tar)


def test_a_program_stands_between() -> None:
    assert run([program("o.write(i.read()[::-1])")]) == PLAIN[::-1]


def test_programs_and_decompression_follow_each_other() -> None:
    chain = [program(COPY, returns="middle"), program(COPY, accepts="middle", returns=OCI + "+gzip")]
    assert run(chain, GZIP) == PLAIN


def test_much_data_goes_through_programs() -> None:
    data = random.Random(2).randbytes(1 << 20) * 20
    chain = [program(COPY, returns="middle"), program(COPY, accepts="middle")]
    assert run(chain, data) == data


def test_the_first_of_several_that_fit_is_taken() -> None:
    chain = [program("o.write(b'first')"), program("o.write(b'second')")]
    assert run(chain) == b"first"


def test_a_processor_may_replace_what_is_built_in() -> None:
    assert (
        run([program("o.write(b'mine')", accepts=OCI + "+gzip")], GZIP, media_type=OCI + "+gzip") == b"mine"
    )


def test_any_object_may_be_a_processor() -> None:
    class Reverse:
        def open(self, stream: Stream, payloads: Mapping[str, Payload]) -> Stream | None:
            return Stream(OCI, io.BytesIO((stream.reader.read(1 << 20) or b"")[::-1]))

    with open_plain_tar(io.BytesIO(PLAIN), "any", processors=[Reverse()]) as tar:
        assert read_all(tar) == PLAIN[::-1]


def test_the_environment_of_a_program() -> None:
    shown = "o.write(repr([os.environ.get(n) for n in ('A', 'STREAM_PROCESSOR_MEDIATYPE')]).encode())"
    processor = program(shown)
    processor = BinaryProcessor("x", processor.accepts, OCI, processor.path, processor.args, ("A=b=c",))
    assert run([processor]) == b"['b=c', 'in']"


@pytest.mark.skipif(sys.platform == "win32", reason="a named pipe there")
@pytest.mark.parametrize("size", [0, 10, 300_000], ids=["empty", "small", "larger than a pipe"])
def test_the_payload_is_on_descriptor_3(size: int) -> None:
    payload = Payload("io.example.Payload", b"v" * size)
    assert run([program("o.write(open(3, 'rb').read())")], payloads={"test": payload}) == payload.encode()


@pytest.mark.skipif(sys.platform == "win32", reason="a named pipe there")
def test_without_a_payload_only_the_standard_descriptors_are_open() -> None:
    shown = "o.write(repr(sorted(map(int, os.listdir('/dev/fd')))[:-1]).encode())"  # the last: listdir's own
    other = {"other": Payload("t", b"v")}
    inheritable = os.open(os.devnull, os.O_RDONLY)
    os.set_inheritable(inheritable, True)
    try:
        assert run([program(shown)], payloads=other) == b"[0, 1, 2]"
    finally:
        os.close(inheritable)


def test_a_payload_that_is_not_read_does_no_harm() -> None:
    assert run([program(COPY)], payloads={"test": Payload("t", bytes(300_000))}) == PLAIN


@pytest.mark.parametrize(
    ("payload", "encoded"),
    [
        (Payload("", b""), ""),
        (Payload("ab", b"\x01"), "0a 02 61 62 12 01 01"),
        (Payload("a", b"x" * 300), "0a 01 61 12 ac 02" + " 78" * 300),
    ],
    ids=["empty", "both", "long"],
)
def test_payloads_are_encoded_as_protobuf_any(payload: Payload, encoded: str) -> None:
    assert payload.encode() == bytes.fromhex(encoded)


FAILING = {
    "exit status": ("sys.exit('no key')", "exit status 1: no key"),
    "after a clean prefix": (
        f"o.write(bytes({len(PLAIN)})); o.flush(); sys.exit('wrong key')",
        "exit status 1: wrong key",
    ),
    "silent": ("os._exit(3)", "exit status 3: nothing on standard error"),
    "much to say": (
        "sys.stderr.write('x' * 100000 + 'end'); sys.exit(1)",
        "exit status 1: " + "x" * (16 * 1024 - 3) + "end",
    ),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", "killed by SIGKILL: nothing on standard error"),
}


@pytest.mark.parametrize(("code", "message"), FAILING.values(), ids=FAILING)
def test_a_program_that_fails_is_an_error(code: str, message: str) -> None:
    with pytest.raises(errdefs.DataLoss) as caught:
        run([program(code)])
    assert str(caught.value) == f"stream processor test: {message}"


def test_the_first_program_that_fails_is_named() -> None:
    chain = [program("sys.exit('first')", returns="middle", id="a"), program(COPY, accepts="middle", id="b")]
    with pytest.raises(errdefs.DataLoss, match=r"stream processor a: exit status 1: first"):
        run(chain)


def test_an_error_of_the_source_is_not_taken_for_its_end() -> None:
    class Broken:
        pieces = [b"x" * 10, b""]

        def read(self, size: int, /) -> bytes:
            if piece := self.pieces.pop(0):
                return piece
            raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError, match="gone"):
        run([program(COPY)], Broken())


def test_a_program_may_leave_its_input_unread() -> None:
    assert run([program("i.read(10); o.write(b'done')")], bytes(10_000_000)) == b"done"


def test_a_missing_program_is_not_found() -> None:
    missing = BinaryProcessor("x", ("in",), OCI, "/no/such/program")
    with pytest.raises(errdefs.NotFound) as caught:
        run([missing])
    assert str(caught.value) == "stream processor x: /no/such/program: program not found"


def test_leaving_the_chain_kills_its_programs(tmp_path: Path) -> None:
    pid_file = tmp_path / "pid"
    code = f"open({str(pid_file)!r}, 'w').write(str(os.getpid())); o.write(b'x'); o.flush(); time.sleep(60)"
    started = time.monotonic()
    with open_plain_tar(io.BytesIO(PLAIN), "in", processors=[program(code)]) as tar:
        assert tar.read(1) == b"x"
    assert time.monotonic() - started < 30
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid_file.read_text()), 0)


def test_processors_that_lead_in_a_circle_are_refused() -> None:
    chain = [program(COPY, accepts="a", returns="b"), program(COPY, accepts="b", returns="a")]
    with pytest.raises(errdefs.NoProcessor) as caught:
        run(chain, media_type="a")
    assert str(caught.value) == 'stream processors lead in a circle: "a" -> "b" -> "a"'


def test_no_descriptor_and_no_thread_is_left() -> None:
    run([program(COPY)], payloads={"test": Payload("t", b"v")})  # what is made once
    before = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    for code in (COPY, "sys.exit(1)", "i.read(1)"):
        with contextlib.suppress(errdefs.DataLoss):
            run([program(code)], payloads={"test": Payload("t", b"v")})
    after = len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0
    assert after == before
    deadline = time.monotonic() + 10
    while threading.active_count() > 1 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert threading.active_count() == 1
