"""Ctrl-C ends a conversion at once, wherever it waits."""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from common import assert_untouched

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

class Busy(io.BytesIO):
    def write(self, data):
        if len(data) > 100_000:
            ready()
            time.sleep(600)
        return super().write(data)

def unready():
    yield ENDLESS
    while True:
        yield b"x" * (1 << 20)

writer = Slow() if {slow_writer} else Busy() if {busy_writer} else {target!r}
convert(Reader({reader}()), writer, core={core!r}, maximum_disk_size=1 << 44)
"""
SECONDS = 5  # within which a program must be gone, however busy the machine is; it takes a fraction of one


def written(process: subprocess.Popen[str]) -> int:
    """Give how much the files on disk have that a process has open, in bytes; they may have no name."""
    total = 0
    with contextlib.suppress(FileNotFoundError):  # it has ended
        for path in Path(f"/proc/{process.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                found = path.stat()
                total += found.st_blocks * 512 if stat.S_ISREG(found.st_mode) else 0
    return total


@pytest.mark.parametrize("reader", ["slow", "asleep", "plain", "holes", "slow_writer", "busy_writer"])
def test_an_interrupt_ends_a_conversion_at_once(core: str, scratch: Path, reader: str) -> None:
    with tempfile.TemporaryDirectory(dir=scratch) as directory:
        target = Path(directory) / "image"
        target.write_bytes(b"older image")
        script = CHILD.format(
            path=[str(Path(__file__).parents[1]), *(entry for entry in sys.path if entry)],
            slow_writer=reader == "slow_writer",
            busy_writer=reader == "busy_writer",
            reader={"slow_writer": "plain", "busy_writer": "unready"}.get(reader, reader),
            target=str(target),
            core=core,
        )
        process = subprocess.Popen(
            [sys.executable, "-c", script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        while reader == "holes" and process.poll() is None and written(process) < 16 << 20:
            time.sleep(0.005)
        if reader in ("asleep", "busy_writer"):
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


# A daemon thread that converts for longer than the program runs, with something to do when the program ends.
DAEMON = """
import io, os, sys, threading, time
from layerdisk.tar2ext4 import convert
class Slow:
    def readinto(self, buffer):
        time.sleep({pause})
        buffer[:] = bytes(len(buffer))
        return len(buffer)
reader, writer = {reader}, {writer}
options = {{"only_append_vhd_footer": True, "core": {core!r}}}
threading.Thread(target=lambda: convert(reader, writer, **options), daemon=True).start()
time.sleep({sleep})
"""
ENDS = {
    "slow reader": ("Slow()", "io.BytesIO()", 0.02),
    "file": ("open('/dev/zero', 'rb', 0)", "open({target!r}, 'w+b')", 0),
    "path": ("Slow()", "{target!r}", 0.001),
}


@pytest.mark.parametrize(("reader", "writer", "pause"), ENDS.values(), ids=ENDS)
def test_a_program_ends_well_while_a_daemon_thread_converts(
    core: str, tmp_path: Path, reader: str, writer: str, pause: float
) -> None:
    """Before Python 3.14 such a thread is unwound where it stands, which Rust must not see."""
    for attempt in range(8):
        fields = {"reader": reader, "core": core, "pause": pause, "sleep": 0.1 + attempt * 0.013}
        script = DAEMON.format(writer=writer.format(target=str(tmp_path / "image")), **fields)
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


AFTER = """
import atexit, io
def last():
    print(convert(io.BytesIO(bytes(1024)), io.BytesIO(), core={core!r}).size)
atexit.register(last)
from layerdisk.tar2ext4 import convert
convert(io.BytesIO(bytes(1024)), io.BytesIO(), core={core!r})
"""


def test_a_conversion_at_the_very_end_is_done(core: str) -> None:
    """By a function that runs after ours, which is registered when the core is loaded."""
    done = subprocess.run([sys.executable, "-c", AFTER.format(core=core)], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "1024\n", "")


FEW_THREADS = """
import io, os, resource, sys
from layerdisk.tar2ext4 import convert
def go():
    convert(io.BytesIO(bytes(1024)), io.BytesIO(), core={core!r})
go()
_, hard = resource.getrlimit(resource.RLIMIT_NPROC)
os.setgid(65534)
os.setuid({uid})
failures = 0
for most in range(1, 6):
    resource.setrlimit(resource.RLIMIT_NPROC, (most, hard))
    try:
        go()
    except OSError as error:
        assert str(error) == "cannot start a thread: Resource temporarily unavailable", error
        failures += 1
print(failures)
"""


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="another user's threads are counted")
def test_a_thread_that_cannot_start_is_an_error(core: str) -> None:
    script = FEW_THREADS.format(core=core, uid=40_000 + os.getpid() % 20_000)  # a user with nothing running
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    # Three threads beside the caller's, of which the first may have ended when the last starts; or none.
    assert int(done.stdout) in {"rust": (1, 2, 3), "python": (0,)}[core]
