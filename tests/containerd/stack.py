"""A containerd of its own with layerdisk's service beside it, below one short directory."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from debian import unpacked
from layerdisk.containerd.config import ServeConfig, containerd_config
from layerdisk.containerd.snapshots.mounts import mounts_below
from machine import missing

# Debian's suites that have a containerd of each line; bookworm's own (1.6) does not know proxy differs.
SUITES = {"2.1": "sid", "1.7": "trixie"}
_UP_SECONDS = 60
_CALL_SECONDS = 120
_NOT_NEEDED = (
    "io.containerd.grpc.v1.cri",
    "io.containerd.nri.v1.nri",
    "io.containerd.internal.v1.opt",
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.zfs",
)


def containerd_programs(version: str) -> Path:
    """Return the directory that a containerd is unpacked in."""
    if sys.platform != "linux" or os.geteuid() != 0:
        missing("containerd needs Linux and root")
    return unpacked("containerd", (SUITES[version],), "usr/bin/containerd").parents[2]


class Stack:
    """Both programs; `close` leaves no process, mount or file.

    Args:
        programs: directory that containerd was unpacked into.
        mode: of the service.
        options: of `layerdisk serve`, more than it needs.
        environment: of the service.
    """

    def __init__(
        self, programs: Path, mode: str, *options: str, environment: dict[str, str] | None = None
    ) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="ld-", dir="/tmp"))  # a socket's path is short
        self.root = self.directory / "layerdisk"
        self._programs = programs / "usr" / "bin"
        self._environment = {**os.environ, "PATH": f"{self._programs}:{os.environ['PATH']}:/usr/sbin:/sbin"}
        self._options = ["--mode", mode, "--default-namespace", "default", *options]
        self._service_environment = {**self._environment, **(environment or {})}
        self.service: subprocess.Popen[bytes] | None = None
        self.containerd: subprocess.Popen[bytes] | None = None

    def start(self) -> Stack:
        """Start both."""
        self.start_service()
        self.start_containerd()
        return self

    def start_service(self) -> None:
        command = [sys.executable, "-m", "layerdisk", "serve", "--address", str(self.directory / "l.sock")]
        command += ["--root", str(self.root), "--containerd-address", str(self.directory / "c.sock")]
        with open(self.directory / "service.log", "ab") as log:
            self.service = subprocess.Popen(
                [*command, *self._options], stdout=log, stderr=log, env=self._service_environment
            )
        self._wait(lambda: b"msg=serving" in self.service_log().split(b"\n--\n")[-1], self.service)

    def start_containerd(self) -> None:
        config = ServeConfig(address=str(self.directory / "l.sock"))
        disabled = ", ".join(f'"{name}"' for name in _NOT_NEEDED)
        own = f"""
root = "{self.directory}/root"
state = "{self.directory}/state"
disabled_plugins = [{disabled}]
[grpc]
  address = "{self.directory}/c.sock"
[ttrpc]
  address = "{self.directory}/c.sock.ttrpc"
"""
        head, tail = containerd_config(config, 2).split("\n", 1)
        (self.directory / "config.toml").write_text(head + own + tail)
        with open(self.directory / "containerd.log", "ab") as log:
            command: list[str | Path] = [self._programs / "containerd", "-c", self.directory / "config.toml"]
            self.containerd = subprocess.Popen(command, stdout=log, stderr=log, env=self._environment)
        self._wait(lambda: self.ctr("version", check=False).returncode == 0, self.containerd)

    def ctr(
        self, *arguments: str | Path, check: bool = True, text: bool = True
    ) -> subprocess.CompletedProcess:  # type: ignore[type-arg]
        """Run ctr; an error shows what it said."""
        command = [self._programs / "ctr", "--address", self.directory / "c.sock", *arguments]
        done = subprocess.run(
            command, capture_output=True, text=text, timeout=_CALL_SECONDS, env=self._environment, check=False
        )
        if check:
            assert done.returncode == 0, (arguments, done.stderr, self.service_log()[-3000:])
        return done

    def snapshots(self, snapshotter: str = "layerdisk") -> list[str]:
        """Return the keys of all snapshots."""
        listed = self.ctr("snapshots", "--snapshotter", snapshotter, "list").stdout
        return [line.split()[0] for line in str(listed).splitlines()[1:]]

    def files(self) -> list[str]:
        """Return what is below the service's root, without its database."""
        paths = (path.relative_to(self.root) for path in self.root.rglob("*") if not path.is_dir())
        return sorted(str(path) for path in paths if path.name.split(".")[0] not in ("snapshots", "lock"))

    def mounts(self) -> list[str]:
        """Return the service's mounts."""
        return list(mounts_below(str(self.root)))

    def loops(self) -> list[str]:
        """Return the loop devices of files below the directory."""
        listed = subprocess.run(
            ["losetup", "-a"], capture_output=True, text=True, check=True, env=self._environment
        )
        return [line for line in listed.stdout.splitlines() if str(self.directory) in line]

    def service_log(self) -> bytes:
        return (self.directory / "service.log").read_bytes()

    def kill(self, process: subprocess.Popen[bytes] | None, number: int = signal.SIGKILL) -> None:
        """Signal a process of this stack and wait for its end."""
        if process is not None and process.poll() is None:
            process.send_signal(number)
            process.wait(60)
        with contextlib.suppress(FileNotFoundError), open(self.directory / "service.log", "ab") as log:
            log.write(b"\n--\n")

    def wait_until(self, done: Callable[[], bool], seconds: float = 60) -> None:
        """Wait for what happens in the background, such as containerd's garbage collection."""
        end = time.monotonic() + seconds
        while not done():
            assert time.monotonic() < end, (self.files(), self.mounts(), self.service_log()[-3000:])
            time.sleep(0.2)

    def close(self) -> None:
        self.kill(self.containerd, signal.SIGTERM)
        self.kill(self.service, signal.SIGTERM)
        clean_up(self.directory)

    def _wait(self, ready: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
        end = time.monotonic() + _UP_SECONDS
        while not ready():
            logs = [path.read_text(errors="replace")[-3000:] for path in self.directory.glob("*.log")]
            assert process.poll() is None, logs
            assert time.monotonic() < end, logs
            time.sleep(0.05)


def clean_up(directory: Path) -> None:
    """Delete a directory with all that is mounted below it."""
    for point in list(mounts_below(str(directory))):
        subprocess.run(["umount", point], check=True)
    shutil.rmtree(directory)


@contextlib.contextmanager
def running(stack: Stack) -> Iterator[Stack]:
    """Start a stack, and end it whatever happens."""
    try:
        yield stack.start()
    finally:
        stack.close()
