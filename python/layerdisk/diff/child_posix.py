"""A child process through posix_spawn, which, unlike subprocess, can give it a descriptor 3."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import struct
import sys
import threading
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .child import Child, left

assert sys.platform != "win32"

_STDERR_READ_BYTES = 64 * 1024  # what a pipe holds by default
_PIPE_BYTES = 1024 * 1024  # the most that Linux gives to anybody; its default is 64 KiB
_FIRST_FREE_DESCRIPTOR = 10  # ours stay away from the program's 0 to 3
_PAYLOAD_DESCRIPTOR = 3  # containerd's convention
_MOST_DESCRIPTORS = 65536  # looked through where the system does not list them

# linux/pidfd.h: struct pidfd_info of 64 bytes, the mask first and exit_code last; since Linux 6.15.
_PIDFD_GET_INFO = 0xC000_0000 | 64 << 16 | 0xFF << 8 | 11
_PIDFD_INFO_EXIT = 1 << 3
_PIDFD_INFO = struct.Struct("=Q52xi")


class PosixChild(Child):
    """A child through posix_spawn; see `start_posix`."""

    def __init__(self, pid: int, stdin: int, stdout: int, stderr: int, payload: int, message: bytes) -> None:
        super().__init__()
        self._stdin, self._stdout, self._stderr, self._payload = stdin, stdout, stderr, payload
        self._message = memoryview(message)
        self._readable = True  # False after the end of the output
        self._guard = threading.Lock()  # a process that has been waited for is not signalled: its id is free
        self._handle = _ProcessHandle(pid)
        self._serve(payload)

    def read(self, size: int) -> bytes | None:
        """As in Child."""
        if not self._readable:
            return b""
        try:
            piece = os.read(self._stdout, size)
        except BlockingIOError:
            return None
        self._readable = bool(piece)
        return piece

    def write(self, data: memoryview, seconds: float) -> int | None:
        """As in Child."""
        if self.exited():  # a grandchild may keep the pipe open
            return None
        try:
            count = os.write(self._stdin, data)
        except BlockingIOError:
            _poll([(self._stdin, select.POLLOUT)], seconds)
            return 0
        except BrokenPipeError:
            return None
        self.taken += count
        return count

    def wait(self, seconds: float) -> bool:
        """As in Child."""
        wanted = [(self._stderr, select.POLLIN), (self._payload, select.POLLOUT)]
        if self._readable:
            wanted.append((self._stdout, select.POLLIN))
        if not self.exited():
            wanted.append((self._handle.descriptor, select.POLLIN))
            if self._handle.descriptor < 0:
                seconds = min(seconds, _ProcessHandle.LOOK_SECONDS)
        ready = _poll(wanted, seconds)
        for descriptor in ready:
            self._serve(descriptor)
        return self._stdout in ready

    def exited(self) -> bool:
        """As in Child."""
        with self._guard:
            return self._has_exited()

    def kill(self) -> None:
        """As in Child."""
        with self._guard:
            if not self._has_exited():
                self._handle.kill()

    def close_stdin(self) -> None:
        """As in Child."""
        self._stdin = _closed(self._stdin)

    def close(self) -> None:
        """As in Child."""
        self._stdout, self._stderr = _closed(self._stdout), _closed(self._stderr)
        self._payload = _closed(self._payload)
        with self._guard:
            if self._has_exited():
                self._handle.close()
            else:  # it was killed, and the kernel takes its time: whoever starts the next program looks again
                left.append(self)

    def _has_exited(self) -> bool:
        if not self._handle.gone:
            self.status = self._handle.reap()
        return self._handle.gone

    def _serve(self, descriptor: int) -> None:
        if descriptor < 0:
            return
        if descriptor == self._stderr:
            self._listen()
        elif descriptor == self._payload:
            self._pay()

    def _listen(self) -> None:
        with contextlib.suppress(BlockingIOError):
            words = os.read(self._stderr, _STDERR_READ_BYTES)
            self._hear(words)
            if not words:
                self._stderr = _closed(self._stderr)

    def _pay(self) -> None:
        try:
            self._message = self._message[os.write(self._payload, self._message) :]
        except BlockingIOError:
            return
        except BrokenPipeError:  # it does not want to know
            self._message = self._message[:0]
        if not self._message:
            self._payload = _closed(self._payload)


class _ProcessHandle:
    """A process of ours: through a pidfd, which never means another one; elsewhere through its number.

    Attributes:
        descriptor: readable after its end; -1 where there are no pidfds.
        gone: True after its end; from then on its number may be another process's.
    """

    LOOK_SECONDS = 0.02  # how often to look where there are no pidfds

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self.gone = False
        self.descriptor = -1
        try:
            if sys.platform == "linux":
                self.descriptor = os.pidfd_open(pid)
        except ProcessLookupError:
            self.gone = True  # and another part of this process has taken its status
        except OSError:
            pass  # an old kernel, or a sandbox; without descriptors left the number does it too

    def reap(self) -> int | None:
        """Return the exit status if it is known; `gone` tells whether it has ended."""
        try:
            status = self._wait()
        except ChildProcessError:
            # SIGCHLD is ignored, or somebody waited for any child: then there is no such child after its end.
            self.gone = True
            return self._status_of_reaped()
        self.gone = status is not None
        return status

    def _wait(self) -> int | None:
        if sys.platform == "linux" and self.descriptor >= 0:
            ended = os.waitid(os.P_PIDFD, self.descriptor, os.WEXITED | os.WNOHANG)
            if ended is None:
                return None
            return ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status
        pid, status = os.waitpid(self._pid, os.WNOHANG)
        return os.waitstatus_to_exitcode(status) if pid else None

    def kill(self) -> None:
        """Send SIGKILL; called only while `gone` is False."""
        with contextlib.suppress(ProcessLookupError):
            if sys.platform == "linux" and self.descriptor >= 0:
                signal.pidfd_send_signal(self.descriptor, signal.SIGKILL)
            else:
                os.kill(self._pid, signal.SIGKILL)

    def close(self) -> None:
        """Let go of the descriptor."""
        self.descriptor = _closed(self.descriptor)

    def _status_of_reaped(self) -> int | None:
        if self.descriptor < 0:
            return None
        try:
            info = fcntl.ioctl(self.descriptor, _PIDFD_GET_INFO, _PIDFD_INFO.pack(_PIDFD_INFO_EXIT, 0))
        except OSError:  # before Linux 6.13
            return None
        mask, status = _PIDFD_INFO.unpack(info)
        return os.waitstatus_to_exitcode(status) if mask & _PIDFD_INFO_EXIT else None


def start_posix(command: Sequence[str], environment: Mapping[str, str], payload: bytes | None) -> Child:
    """Start a program; see `child.start`."""
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        their_stdin, our_stdin = _pipe(theirs, ours, _PIPE_BYTES)
        our_stdout, their_stdout = _pipe(ours, theirs, _PIPE_BYTES)
        our_stderr, their_stderr = _pipe(ours, theirs)
        given = {their_stdin: 0, their_stdout: 1, their_stderr: 2}
        our_payload = -1
        if payload is not None:
            their_payload, our_payload = _pipe(theirs, ours, _PIPE_BYTES)
            given[their_payload] = _PAYLOAD_DESCRIPTOR
        for end in (our_stdin, our_stdout, our_stderr, our_payload):
            if end >= 0:
                os.set_blocking(end, False)
        actions: list[tuple[Any, ...]] = [(os.POSIX_SPAWN_DUP2, end, number) for end, number in given.items()]
        unwanted = _inheritable() - set(given.values())
        actions += [(os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in unwanted]
        # Python ignores SIGPIPE, and a program would inherit that, as it would a SIGCHLD that the host ignores.
        pid = os.posix_spawnp(
            command[0],
            list(command),
            environment,
            file_actions=actions,
            setsigdef=[signal.SIGPIPE, signal.SIGCHLD],
        )
        ours.pop_all()
    return PosixChild(pid, our_stdin, our_stdout, our_stderr, our_payload, payload or b"")


def _inheritable() -> set[int]:
    """Return the descriptors that a program would inherit, standard ones aside.

    Python's own are not inherited, but a service manager may have left some, beginning at 3.
    """
    return {number for number in _open_descriptors() if number > 2 and _is_inheritable(number)}


def _open_descriptors() -> Iterable[int]:
    for folder in ("/dev/fd", "/proc/self/fd"):
        with contextlib.suppress(OSError):
            return [int(name) for name in os.listdir(folder)]
    most = os.sysconf("SC_OPEN_MAX")  # as in a chroot without /proc
    return range(_MOST_DESCRIPTORS if most < 0 else min(most, _MOST_DESCRIPTORS))


def _is_inheritable(descriptor: int) -> bool:
    with contextlib.suppress(OSError):  # it is not open, such as the one that listdir had
        return os.get_inheritable(descriptor)
    return False


def _pipe(
    reader: contextlib.ExitStack, writer: contextlib.ExitStack, size: int | None = None
) -> tuple[int, int]:
    """Make a pipe whose ends are closed with these stacks, and whose numbers leave 0 to 3 free."""
    first = os.pipe()
    try:
        read_end = fcntl.fcntl(first[0], fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_DESCRIPTOR)
        reader.callback(os.close, read_end)
        write_end = fcntl.fcntl(first[1], fcntl.F_DUPFD_CLOEXEC, _FIRST_FREE_DESCRIPTOR)
        writer.callback(os.close, write_end)
    finally:
        for end in first:
            os.close(end)
    if size is not None and sys.platform == "linux":
        with contextlib.suppress(OSError):  # the user's share of pipe memory may be used up
            fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, size)
    return read_end, write_end


def _poll(wanted: Iterable[tuple[int, int]], seconds: float) -> set[int]:
    """Wait up to `seconds` for any of these descriptors (those below 0 are left out); return those ready."""
    poll = select.poll()
    for descriptor, events in wanted:
        if descriptor >= 0:
            poll.register(descriptor, events)
    return {descriptor for descriptor, _ in poll.poll(seconds * 1000)}


def _closed(descriptor: int) -> int:
    """Close a descriptor unless it is -1; return -1."""
    if descriptor >= 0:
        os.close(descriptor)
    return -1
