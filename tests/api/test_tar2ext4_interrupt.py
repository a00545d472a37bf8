"""Ctrl-C ends a conversion at once, wherever it waits."""

from __future__ import annotations

import signal
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
