"""Signals end the command line in an orderly way: nothing is left, and the status says which one it was."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tarfiles import archive, directory, regular

LAYER = archive(directory("a"), regular("a/f", b"data" * 10_000))
# Whoever runs the tests may ignore some of the signals, which programs inherit.
PROGRAM = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGTERM, signal.SIG_DFL)
signal.signal(signal.SIGHUP, signal.{hangup})
signal.signal(signal.SIGCHLD, signal.SIG_IGN)
from layerdisk.cli import entry_point
entry_point()
"""


def converting(tmp_path: Path, start: bytes, hangup: str = "SIG_DFL") -> subprocess.Popen[bytes]:
    """Start a conversion of standard input that waits for more than this."""
    (tmp_path / "out").write_bytes(b"older image")
    code = PROGRAM.format(hangup=hangup)
    command = [sys.executable, "-c", code, "convert", "-", str(tmp_path / "out")]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdin is not None
    process.stdin.write(start)
    process.stdin.flush()
    wait_until(lambda: has_opened(process, tmp_path) or process.poll() is not None)
    assert process.poll() is None
    return process


def has_opened(process: subprocess.Popen[bytes], folder: Path) -> bool:
    """Tell whether a process has a file of this folder open, be it one without a name."""
    files = f"/proc/{process.pid}/fd"
    for number in os.listdir(files):
        try:
            if os.readlink(f"{files}/{number}").startswith(str(folder)):
                return True
        except FileNotFoundError:
            pass
    return False


def wait_until(happened: Callable[[], bool]) -> None:
    limit = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < limit
        time.sleep(0.005)


SIGNALS = {
    "SIGINT": b"layerdisk: interrupted\n",
    "SIGTERM": b"layerdisk: ended by SIGTERM\n",
    "SIGHUP": b"layerdisk: ended by SIGHUP\n",
}


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize(
    ("name", "times"), [("SIGINT", 1), ("SIGTERM", 1), ("SIGTERM", 2), ("SIGHUP", 1), ("SIGHUP", 2)]
)
def test_a_signal_is_a_failure_that_leaves_nothing(tmp_path: Path, name: str, times: int) -> None:
    """While it waits for standard input."""
    process = converting(tmp_path, LAYER[:5000])
    for _ in range(times):
        process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=10)
    assert (process.returncode, out, err) == (128 + signal.Signals[name], b"", SIGNALS[name])
    assert os.listdir(tmp_path) == ["out"]
    assert (tmp_path / "out").read_bytes() == b"older image"


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_what_nohup_ignores_stays_ignored(tmp_path: Path) -> None:
    process = converting(tmp_path, LAYER[:5000], hangup="SIG_IGN")
    process.send_signal(signal.SIGHUP)
    out, err = process.communicate(LAYER[5000:], timeout=30)
    assert (process.returncode, err) == (0, b"")
    assert out.startswith(b"digest")


def test_main_leaves_the_signals_of_a_program_that_calls_it_alone(tmp_path: Path) -> None:
    code = (
        "import signal; from layerdisk.cli import main\n"
        "before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]\n"
        "main(['inspect', '/no/such/file'])\n"
        "assert before == [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)


DECODER = """#!/bin/sh
echo $$ > "$0.pid"
exec sleep 60
"""


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
@pytest.mark.parametrize(("name", "said"), SIGNALS.items(), ids=SIGNALS)
def test_a_decoder_ends_with_the_command(tmp_path: Path, name: str, said: bytes) -> None:
    decoder = tmp_path / "bin" / "ctd-decoder"
    decoder.parent.mkdir()
    decoder.write_text(DECODER)
    decoder.chmod(0o755)
    store, digest = store_with_blob(tmp_path / "store", b"what is encrypted")
    command = [
        *(sys.executable, "-c", PROGRAM.format(hangup="SIG_DFL")),
        *("apply", str(store), "--digest", digest, "--to", str(tmp_path / "disk")),
        *("--media-type", "application/vnd.oci.image.layer.v1.tar+encrypted"),
        *("--decryption-keys-path", str(tmp_path)),
    ]
    environment = os.environ | {"PATH": f"{decoder.parent}:{os.environ['PATH']}"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment)
    said_pid = Path(f"{decoder}.pid")
    wait_until(
        lambda: (said_pid.exists() and said_pid.read_text().endswith("\n")) or process.poll() is not None
    )
    time.sleep(0.5)  # until it waits for what the decoder says
    process.send_signal(signal.Signals[name])
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (128 + signal.Signals[name], b"", said)
    assert not Path(f"/proc/{said_pid.read_text().strip()}").exists()
    assert list((tmp_path / "disk").iterdir()) == []


def store_with_blob(store: Path, blob: bytes) -> tuple[Path, str]:
    import hashlib

    name = hashlib.sha256(blob).hexdigest()
    (store / "blobs" / "sha256").mkdir(parents=True)
    (store / "blobs" / "sha256" / name).write_bytes(blob)
    return store, f"sha256:{name}"


@pytest.mark.skipif(sys.platform != "linux", reason="it looks into /proc")
def test_programs_are_waited_for_also_where_the_caller_ignores_their_end(tmp_path: Path) -> None:
    """The program above ignores SIGCHLD, as one that was started by such a caller does."""
    process = converting(tmp_path, LAYER[:5000])
    status = Path(f"/proc/{process.pid}/status").read_text()
    process.communicate(LAYER[5000:], timeout=60)
    ignored = int(next(line.split()[1] for line in status.splitlines() if line.startswith("SigIgn:")), 16)
    assert not ignored >> (signal.SIGCHLD - 1) & 1
    assert process.returncode == 0
