"""Programs as links: whatever they, their children, their input and the host do, nothing waits without a way out."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import platform
import random
import signal
import struct
import subprocess
import sys
import tempfile
import termios
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing.connection import Client
from typing import Any, NoReturn

import pytest
from layerdisk import errdefs
from layerdisk.diff import BinaryProcessor, Payload, Readable, open_plain_tar, process
from layerdisk.diff.child import Child
from layerdisk.diff.child_windows import WindowsChild, _PayloadPipe
from layerdisk.media_types import OCI_LAYER

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="signals and descriptors")

DATA = random.Random(3).randbytes(3_000_000)
COPY = "shutil.copyfileobj(i, o)"
SOON_SECONDS = 10.0  # what hangs does so for a minute


def program(code: str, *, accepts: str = "in", returns: str = OCI_LAYER, id: str = "test") -> BinaryProcessor:
    imports = "import os, sys, time, signal, shutil, subprocess; i, o = sys.stdin.buffer, sys.stdout.buffer\n"
    return BinaryProcessor(id, (accepts,), returns, sys.executable, ("-c", imports + code))


def run(code: str, source: Readable | bytes = DATA, payloads: Mapping[str, Payload] | None = None) -> bytes:
    reader = io.BytesIO(source) if isinstance(source, bytes) else source
    with open_plain_tar(reader, "in", processors=[program(code)], payloads=payloads) as tar:
        return b"".join(iter(lambda: tar.read(1 << 18) or b"", b""))


def children() -> set[int]:
    """The processes that are ours, ended ones included."""
    with open(f"/proc/self/task/{threading.get_native_id()}/children") as file:
        return {int(pid) for pid in file.read().split()}


@pytest.fixture(autouse=True)
def nothing_is_left() -> Iterator[None]:
    descriptors, processes = len(os.listdir("/proc/self/fd")), children()
    started = time.monotonic()
    yield
    assert time.monotonic() - started < SOON_SECONDS
    wait_for(lambda: len(os.listdir("/proc/self/fd")) == descriptors and children() <= processes)


def no_pidfd(pid: int) -> NoReturn:
    raise OSError(errno.ENOSYS, "not here")


@pytest.fixture(params=["pidfd", "number", "windows"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Every way in which a program is run: as here, as where there are no pidfds, and as on Windows."""
    if request.param == "number":
        monkeypatch.setattr(os, "pidfd_open", no_pidfd)
    elif request.param == "windows":
        monkeypatch.setattr(process, "start", start_as_windows)
    return str(request.param)


def start_as_windows(command: Sequence[str], environment: Mapping[str, str], _: bytes | None) -> Child:
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return WindowsChild(subprocess.Popen(command, env=environment, bufsize=0, **pipes), None, bytes_ready)


def bytes_ready(descriptor: int) -> int | None:
    """What PeekNamedPipe tells."""
    import select

    count: int = struct.unpack("i", fcntl.ioctl(descriptor, termios.FIONREAD, b"\0" * 4))[0]
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return count or (None if any(events & select.POLLHUP for _, events in poll.poll(0)) else 0)


GOOD = {
    "copies": (COPY, DATA),
    "leaves its input": ("i.read(10); o.write(b'done')", b"done"),
    "talks a lot": ("sys.stderr.write('x' * 5_000_000); o.write(b'done')", b"done"),
    "closes its output first": (
        "o.write(b'done'); o.flush(); os.close(1); i.read(); time.sleep(0.3)",
        b"done",
    ),
    "grandchild keeps the output": (
        "o.write(b'done'); subprocess.Popen(['sleep', '60'], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
        b"done",
    ),
    "grandchild keeps the input": (
        "o.write(b'done'); subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)",
        b"done",
    ),
    "grandchild keeps standard error": (
        "o.write(b'done'); subprocess.Popen(['sleep', '60'], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)",
        b"done",
    ),
}


@pytest.mark.parametrize(("code", "output"), GOOD.values(), ids=GOOD)
def test_a_program_that_goes_well_is_not_waited_for(code: str, output: bytes, way: str) -> None:
    if way == "windows" and code == GOOD["grandchild keeps the input"][0]:
        code = code.replace("o.write", "i.read(); o.write")  # a write that blocks there cannot be left
    assert run(code) == output


BAD = {
    "exit status": ("o.write(bytes(512)); o.flush(); sys.exit('no key')", "exit status 1: no key"),
    "killed": ("os.kill(os.getpid(), 9)", "killed by SIGKILL: nothing on standard error"),
    "says what is not for terminals": (
        "sys.exit('\\x1b]0;x\\x07 first\\n\\u202esecond')",
        r"exit status 1: \x1b]0;x\x07 first; \xe2\x80\xaesecond",
    ),
    "closes its output and stays": (
        "os.close(1); time.sleep(60)",
        "closed its output and did not end within 3 s: nothing on standard error",
    ),
    "status in spite of a grandchild": (
        "subprocess.Popen(['sleep', '60']); sys.exit(4)",
        "exit status 4: nothing on standard error",
    ),
}


@pytest.mark.parametrize(("code", "message"), BAD.values(), ids=BAD)
def test_a_program_that_fails_is_told_at_once(code: str, message: str, way: str) -> None:
    with pytest.raises(errdefs.DataLoss) as caught:
        run(code, b"")
    assert str(caught.value) == f"stream processor test: {message}"


HOST = """
import io, os, signal, sys
from layerdisk.diff import BinaryProcessor, open_plain_tar
from layerdisk.media_types import OCI_LAYER
which, status = sys.argv[1:]
if which == "ignores":
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
elif which == "reaps":
    def reap(*_):
        try:
            while os.waitpid(-1, os.WNOHANG)[0]: pass
        except ChildProcessError: pass
    signal.signal(signal.SIGCHLD, reap)
kill = os.kill
os.kill = lambda *call: sys.exit(f"signal {call} by number")
copy = "shutil.copyfileobj(sys.stdin.buffer, sys.stdout.buffer)"
code = f"import sys, shutil; {copy}; sys.stdout.flush(); sys.exit({status})"
link = BinaryProcessor("p", ("x/y",), OCI_LAYER, sys.executable, ("-c", code))
try:
    with open_plain_tar(io.BytesIO(bytes(3_000_000)), "x/y", processors=[link]) as tar:
        print(sum(map(len, iter(lambda: tar.read(1 << 20), b""))))
except Exception as error:
    print(type(error).__name__, error)
"""


@pytest.mark.parametrize("status", [0, 7])
@pytest.mark.parametrize("host", ["waits", "reaps", "ignores"])
def test_a_host_that_takes_exit_statuses_does_no_harm(host: str, status: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", HOST, host, str(status)], capture_output=True, text=True, timeout=60
    )
    release = tuple(map(int, platform.release().split("-")[0].split(".")[:2]))
    if status == 0 or (host != "waits" and release < (6, 15)):  # before, the kernel does not keep the status
        assert done.stdout == "3000000\n"
    else:
        assert done.stdout == "DataLoss stream processor p: exit status 7: nothing on standard error\n"
    assert done.returncode == 0


CLOSED_STREAMS = """
import io, os, sys
out = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT)
os.dup2(out, 9); os.closerange(0, 9)
from layerdisk.diff import BinaryProcessor, open_plain_tar, Payload
from layerdisk.media_types import OCI_LAYER
code = "cat <&3; cat; echo a warning >&2; exit $STATUS"
link = BinaryProcessor("p", ("x/y",), OCI_LAYER, "sh", ("-c", code), ("STATUS=" + sys.argv[2],))
payload = Payload("t", b"key")
try:
    with open_plain_tar(io.BytesIO(bytes(100_000)), "x/y", processors=[link], payloads={"p": payload}) as tar:
        found = b"".join(iter(lambda: tar.read(1 << 20), b""))
    os.write(9, b"right" if found == payload.encode() + bytes(100_000) else b"wrong")
except Exception as error:
    os.write(9, str(error).encode())
"""


@pytest.mark.parametrize(
    ("status", "told"), [("0", "right"), ("3", "stream processor p: exit status 3: a warning")]
)
def test_closed_standard_streams_of_the_host_do_not_mix_with_the_program(
    tmp_path: Any, status: str, told: str
) -> None:
    subprocess.run([sys.executable, "-c", CLOSED_STREAMS, tmp_path / "out", status], timeout=60)
    assert (tmp_path / "out").read_text() == told


def test_words_need_no_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", "/no/such/directory")
    with pytest.raises(errdefs.DataLoss) as caught:
        run("sys.stderr.write('x' * 30_000_000 + 'end'); sys.exit(1)", b"")
    assert str(caught.value) == "stream processor test: exit status 1: " + "x" * (16 * 1024 - 3) + "end"


def test_a_thread_that_cannot_start_leaves_nothing(monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    def no(self: threading.Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", no)
    with pytest.raises(errdefs.ResourceExhausted) as caught:
        run("time.sleep(60)")
    assert str(caught.value) == "stream processor test: can't start new thread"


def test_without_a_list_of_descriptors_none_is_inherited(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(path: str) -> NoReturn:
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", path)

    inheritable = os.open(os.devnull, os.O_RDONLY)
    try:
        os.set_inheritable(inheritable, True)
        with monkeypatch.context() as patch:
            patch.setattr(os, "listdir", missing)
            shown = run("o.write(repr(sorted(map(int, os.listdir('/dev/fd')))[:-1]).encode())", b"")
    finally:
        os.close(inheritable)
    assert shown == b"[0, 1, 2]"


def test_an_argument_that_no_program_can_have_is_typed() -> None:
    link = BinaryProcessor("x", ("in",), OCI_LAYER, "a\0b")
    with (
        pytest.raises(errdefs.InvalidArgument) as caught,
        open_plain_tar(io.BytesIO(), "in", processors=[link]),
    ):
        pass
    assert str(caught.value) == r'stream processor x: "a\x00b": embedded null byte'


def test_a_program_that_has_ended_is_not_signalled(monkeypatch: pytest.MonkeyPatch) -> None:
    def no(*call: object) -> NoReturn:
        raise AssertionError(f"a signal: {call}")

    monkeypatch.setattr(os, "kill", no)
    monkeypatch.setattr(signal, "pidfd_send_signal", no)
    assert run(COPY) == DATA


class Hanging:
    """A source that gives something, and then nothing for a long time."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def read(self, size: int, /) -> bytes:
        self.release.wait(60)
        return b""


def test_links_are_closed_together_however_many_there_are() -> None:
    source = Hanging()
    chain = [program(COPY, accepts=f"{n}", returns=f"{n + 1}", id=f"{n}") for n in range(4)]
    chain.append(program(COPY, accepts="4"))
    with open_plain_tar(source, "0", processors=chain):
        started = time.monotonic()
    assert time.monotonic() - started < 3  # each one alone may take 0.25 s to give up on its source
    source.release.set()


def test_a_read_that_waits_can_be_interrupted(way: str) -> None:
    reader = process.ProcessReader(
        "test",
        [sys.executable, "-c", "import time; time.sleep(60)"],
        env=(),
        payload=None,
        source=io.BytesIO(),
    )
    threading.Timer(0.3, reader.interrupt).start()
    try:
        with pytest.raises(errdefs.Canceled, match="stream processor test: interrupted"):
            reader.read(100)
    finally:
        reader.close()


def test_a_source_without_data_now_is_not_at_its_end(way: str) -> None:
    class NotNow:
        def read(self, size: int, /) -> bytes | None:
            return None

    with pytest.raises(BlockingIOError, match="no data now"):
        run(COPY, NotNow())


def test_a_pipe_that_nobody_reads_is_told_in_other_words_on_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "start", start_as_windows)
    write = os.write

    def windows_write(descriptor: int, data: bytes) -> int:
        try:
            return write(descriptor, data)
        except BrokenPipeError:
            raise OSError(errno.EINVAL, "Invalid argument") from None

    monkeypatch.setattr(os, "write", windows_write)
    assert run("o.write(b'done')", bytes(50_000_000)) == b"done"


@pytest.mark.parametrize("asks", [True, False], ids=["asks", "never asks"])
def test_a_payload_pipe_serves_once_and_ends(asks: bool) -> None:
    threads = threading.active_count()
    pipe = _PayloadPipe(b"key")
    if asks:
        with Client(pipe.address) as client:
            assert client.recv_bytes() == b"key"
    pipe.close()
    wait_for(lambda: threading.active_count() == threads)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SOON_SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
