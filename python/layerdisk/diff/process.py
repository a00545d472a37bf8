"""A program as a link of the processor chain."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import IO, Any

from ..errdefs import DataLoss, NotFound, from_os_error
from ..io import Readable

if sys.platform != "win32":
    import fcntl

_COPY_BYTES = 256 * 1024
_PIPE_BYTES = 1024 * 1024  # the most that Linux gives to anybody; its default is 64 KiB
_STDERR_BYTES = 16 * 1024  # the last of what the program says; it is kept in a file, so it may say a lot
_FIRST_FREE_DESCRIPTOR = 10  # ours stay away from the program's 0 to 3
_PAYLOAD_DESCRIPTOR = 3  # containerd's convention
_JOIN_SECONDS = 5.0


class ProcessReader:
    """The output of a program that is fed from a reader.

    `read` gives the end only after the program has ended well. If it failed, or its input did, `read` raises.

    Args:
        name: of the processor, for messages.
        command: program, looked for in PATH, and arguments.
        env: "NAME=value" to add to the environment.
        payload: what the program can read from descriptor 3; None for no such descriptor.
        source: its input, read by a thread of its own until the program ends.

    Raises:
        NotFound: there is no such program.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Sequence[str],
        payload: bytes | None,
        source: Readable,
    ) -> None:
        self._name = name
        self._source = source
        self._source_error: BaseException | None = None
        self._ended = False
        self._stderr: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        environment = {**os.environ, **dict(entry.partition("=")[::2] for entry in env)}
        try:
            self._process = _start(command, environment, payload, self._stderr)
        except FileNotFoundError as error:
            self._stderr.close()
            raise NotFound(f"stream processor {name}: {command[0]}: program not found") from error
        except OSError as error:
            self._stderr.close()
            raise from_os_error(error, f"stream processor {name}: {command[0]}") from error
        self._feeder = _thread(self._feed)

    def read(self, size: int, /) -> bytes:
        """Give up to `size` bytes, none at the end.

        Raises:
            DataLoss: the program failed; its standard error is the message.
        """
        piece = b"" if self._ended else os.read(self._process.stdout, size)
        if not piece and size:
            self._finish()
        return piece

    def interrupt(self) -> None:
        """Kill the program, so that a read that waits for it ends; callable from any thread."""
        self._process.kill()

    def close(self) -> None:
        """Kill the program if it still runs, and wait for it."""
        self._process.kill()
        self._process.wait()
        self._process.close_stdout()
        self._feeder.join(_JOIN_SECONDS)  # it may be reading from a source that hangs: not ours to stop
        self._stderr.close()

    def _finish(self) -> None:
        """Wait for the exit status, which is as much a part of the result as the output."""
        self._ended = True
        status = self._process.wait()
        if self._source_error is None and status == 0:
            self._feeder.join()
        if self._source_error is not None:
            raise self._source_error
        if status != 0:
            raise DataLoss(f"stream processor {self._name}: {_describe(status)}: {self._last_words()}")

    def _feed(self) -> None:
        try:
            while piece := self._source.read(_COPY_BYTES):
                self._process.write(piece)
        except BrokenPipeError:
            pass  # the program wants no more; whether that is well, its exit status tells
        except BaseException as error:
            self._source_error = error
            self._process.kill()  # else it would take the end of its input for that of the stream
        finally:
            self._process.close_stdin()

    def _last_words(self) -> str:
        end = self._stderr.seek(0, os.SEEK_END)
        self._stderr.seek(max(0, end - _STDERR_BYTES))
        return self._stderr.read().decode(errors="replace").strip() or "nothing on standard error"


def _describe(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"


def _thread(target: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=target, daemon=True)
    thread.start()
    return thread


class _Process:
    """A started program, with our ends of its pipes."""

    def __init__(self, pid: int, stdin: int, stdout: int) -> None:
        self.stdout = stdout
        self._stdin = stdin
        self._pid = pid
        self._status: int | None = None
        self._guard = (
            threading.Lock()
        )  # a process that has been waited for must not be killed: its id is free

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._stdin, view) :]

    def close_stdin(self) -> None:
        if self._stdin >= 0:
            os.close(self._stdin)
            self._stdin = -1

    def close_stdout(self) -> None:
        if self.stdout >= 0:
            os.close(self.stdout)
            self.stdout = -1

    def wait(self) -> int:
        """Give the exit status, negative for a signal."""
        delay = 0.0005
        while (status := self._poll()) is None:
            time.sleep(delay)
            delay = min(2 * delay, 0.05)
        return status

    def kill(self) -> None:
        with self._guard:
            if self._status is None:
                self._kill()

    def _poll(self) -> int | None:
        with self._guard:
            if self._status is None:
                self._status = self._reap()
            return self._status

    def _reap(self) -> int | None:
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def _kill(self) -> None:
        os.kill(self._pid, signal.SIGKILL)


class _WindowsProcess(_Process):
    """The same on Windows, where subprocess does it all."""

    def __init__(self, popen: subprocess.Popen[bytes]) -> None:
        assert popen.stdin is not None
        assert popen.stdout is not None
        with popen.stdin as stdin, popen.stdout as stdout:
            super().__init__(popen.pid, os.dup(stdin.fileno()), os.dup(stdout.fileno()))
        self._popen = popen

    def _reap(self) -> int | None:
        return self._popen.poll()

    def _kill(self) -> None:
        self._popen.kill()


def _start_posix(
    command: Sequence[str], environment: Mapping[str, str], payload: bytes | None, stderr: IO[bytes]
) -> _Process:
    """Start a program with posix_spawn, which, unlike subprocess, can give it a descriptor 3."""
    assert sys.platform != "win32"
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        their_stdin, our_stdin = _pipe(theirs, ours)
        our_stdout, their_stdout = _pipe(ours, theirs)
        actions: list[tuple[Any, ...]] = [
            (os.POSIX_SPAWN_DUP2, their_stdin, 0),
            (os.POSIX_SPAWN_DUP2, their_stdout, 1),
            (os.POSIX_SPAWN_DUP2, stderr.fileno(), 2),
        ]
        inherited = _inheritable()
        our_payload = -1
        if payload is not None:
            their_payload, our_payload = _pipe(theirs, ours)
            actions.append((os.POSIX_SPAWN_DUP2, their_payload, _PAYLOAD_DESCRIPTOR))
            inherited.discard(_PAYLOAD_DESCRIPTOR)
        actions += [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in inherited]
        # Python ignores SIGPIPE, and a program would inherit that.
        pid = os.posix_spawnp(
            command[0], list(command), environment, file_actions=actions, setsigdef=[signal.SIGPIPE]
        )
        ours.pop_all()
    if payload is not None:
        _thread(lambda: _write_payload(our_payload, payload))
    return _Process(pid, our_stdin, our_stdout)


def _inheritable() -> set[int]:
    """Give the descriptors that a program would inherit, standard ones aside.

    Python's own are none, but a service manager may have left us some, at 3 of all numbers.
    """
    descriptors = set()
    for name in os.listdir("/dev/fd"):
        with contextlib.suppress(OSError):  # the one that listdir had
            if int(name) > 2 and os.get_inheritable(int(name)):
                descriptors.add(int(name))
    return descriptors


def _pipe(reader: contextlib.ExitStack, writer: contextlib.ExitStack) -> tuple[int, int]:
    """Make a pipe whose ends are closed with these stacks, and whose numbers leave 0 to 3 free."""
    first = os.pipe()
    try:
        ends = [fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_DESCRIPTOR) for end in first]
    finally:
        for end in first:
            os.close(end)
    reader.callback(os.close, ends[0])
    writer.callback(os.close, ends[1])
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        with contextlib.suppress(OSError):  # the user's share of pipe memory may be used up
            fcntl.fcntl(ends[1], fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    return ends[0], ends[1]


def _write_payload(descriptor: int, payload: bytes) -> None:
    with contextlib.suppress(BrokenPipeError), open(descriptor, "wb", buffering=0) as file:
        view = memoryview(payload)
        while view:
            view = view[file.write(view) :]


def _start_windows(
    command: Sequence[str], environment: Mapping[str, str], payload: bytes | None, stderr: IO[bytes]
) -> _Process:
    """Start a program with its payload in a named pipe, which STREAM_PROCESSOR_PIPE names."""
    from multiprocessing.connection import Listener

    pipe = {}
    if payload is not None:
        listener = Listener(family="AF_PIPE")
        pipe["STREAM_PROCESSOR_PIPE"] = str(listener.address)
        _thread(lambda: _serve_payload(listener, payload))
    return _WindowsProcess(
        subprocess.Popen(
            command,
            env={**environment, **pipe},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            bufsize=0,
        )
    )


def _serve_payload(listener: Any, payload: bytes) -> None:
    with listener, listener.accept() as connection:
        connection.send_bytes(payload)  # without a header of its own on this kind of pipe


_start = _start_windows if sys.platform == "win32" else _start_posix
