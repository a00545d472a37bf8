"""A child process on Windows: through subprocess, with its payload in a named pipe.

Pipes cannot be polled there; so it is asked, again and again, how much there is to read.
"""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .child import Child

_LOOK_SECONDS = 0.005
_STDERR_READ_BYTES = 64 * 1024
# What Windows gives besides EPIPE for a pipe that nobody reads any more.
_NOBODY_READS = (errno.EPIPE, errno.EINVAL)


def bytes_ready(descriptor: int) -> int | None:
    """Return how many bytes a pipe holds; None at its end."""
    if sys.platform != "win32":
        raise NotImplementedError
    import _winapi
    import msvcrt

    try:
        return int(_winapi.PeekNamedPipe(msvcrt.get_osfhandle(descriptor), 0)[0])
    except BrokenPipeError:
        return None


class WindowsChild(Child):
    """A child through subprocess.

    Args:
        popen: the started program.
        payload: who serves the payload, if there is one.
        ready: how many bytes a pipe holds; None at its end.
    """

    def __init__(
        self,
        popen: subprocess.Popen[bytes],
        payload: _PayloadPipe | None,
        ready: Callable[[int], int | None] = bytes_ready,
    ) -> None:
        super().__init__()
        assert popen.stdin is not None
        assert popen.stdout is not None
        assert popen.stderr is not None
        self._popen, self._payload, self._ready = popen, payload, ready
        self._stdin, self._stdout, self._stderr = popen.stdin, popen.stdout, popen.stderr
        self._readable = True  # False after the end of the output

    def read(self, size: int) -> bytes | None:
        """As in Child."""
        count = self._ready(self._stdout.fileno()) if self._readable else None
        if count is None:
            self._readable = False
            return b""
        return os.read(self._stdout.fileno(), min(size, count)) if count else None

    def write(self, data: memoryview, seconds: float) -> int | None:
        """As in Child, except that it blocks until the program takes something or ends."""
        try:
            count = os.write(self._stdin.fileno(), data)
        except OSError as error:
            if error.errno not in _NOBODY_READS:
                raise
            return None
        self.taken += count
        return count

    def wait(self, seconds: float) -> bool:
        """As in Child."""
        deadline, running = time.monotonic() + seconds, not self.exited()
        while True:
            self._listen()
            if self._readable and self._ready(self._stdout.fileno()) != 0:
                return True
            left = deadline - time.monotonic()
            if left <= 0 or (running and self.exited()):
                return False
            time.sleep(min(left, _LOOK_SECONDS))

    def exited(self) -> bool:
        """As in Child."""
        self.status = self._popen.poll()
        return self.status is not None

    def kill(self) -> None:
        """As in Child."""
        self._popen.kill()  # does nothing after its end

    def close_stdin(self) -> None:
        """As in Child."""
        with contextlib.suppress(OSError):
            self._stdin.close()

    def close(self) -> None:
        """As in Child."""
        self._stdout.close()
        self._stderr.close()
        if self._payload is not None:
            self._payload.close()

    def _listen(self) -> None:
        if count := self._ready(self._stderr.fileno()):
            self._hear(os.read(self._stderr.fileno(), min(count, _STDERR_READ_BYTES)))


class _PayloadPipe:
    """A named pipe from which a program can read its payload once."""

    def __init__(self, payload: bytes) -> None:
        from multiprocessing.connection import Listener

        self._listener: Any = Listener(family="AF_PIPE" if sys.platform == "win32" else None)
        self.address = str(self._listener.address)
        self._payload = payload
        self._closed = False
        threading.Thread(target=self._serve, name="layerdisk payload", daemon=True).start()

    def close(self) -> None:
        """End the thread, also if the program has never asked."""
        from multiprocessing.connection import Client

        self._closed = True
        with contextlib.suppress(OSError, EOFError):
            Client(self.address).close()

    def _serve(self) -> None:
        # A program that goes away without having read its payload does no harm.
        with contextlib.suppress(OSError, EOFError), self._listener, self._listener.accept() as connection:
            if not self._closed:
                connection.send_bytes(self._payload)  # without a header of its own on this kind of pipe


def start_windows(command: Sequence[str], environment: Mapping[str, str], payload: bytes | None) -> Child:
    """Start a program with its payload in a named pipe, which STREAM_PROCESSOR_PIPE names."""
    pipe = None if payload is None else _PayloadPipe(payload)
    try:
        popen = subprocess.Popen(
            command,
            env={**environment, **({} if pipe is None else {"STREAM_PROCESSOR_PIPE": pipe.address})},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
        )
    except BaseException:
        if pipe is not None:
            pipe.close()
        raise
    return WindowsChild(popen, pipe)
