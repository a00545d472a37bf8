"""A program as a link of the processor chain: fed from a reader by a thread, and a reader itself."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Sequence

from ..errdefs import Canceled, DataLoss, InvalidArgument, NotFound, ResourceExhausted, from_os_error
from ..io import Readable
from ..names import printable, quote_text
from .child import Child, start

_log = logging.getLogger(__name__)

_COPY_BYTES = 256 * 1024
_LOOK_SECONDS = 0.1  # how often a wait looks whether the work is still wanted
_GRACE_SECONDS = 0.2  # for output of grandchildren after the program's end
_END_SECONDS = 3.0  # for a program to end after it has closed its output and takes no more input
_CLOSE_SECONDS = 0.25  # for a killed program and the thread that feeds it


class ProcessReader:
    """The output of a program that is fed from a reader.

    `read` gives the end only after the program has ended well. If it failed, or its input did, `read` raises.
    The output ends with the program: what it started and left behind is not waited for.

    Args:
        name: of the processor, for messages.
        command: program, looked for in PATH, and arguments.
        env: "NAME=value" to add to the environment.
        payload: what the program can read from descriptor 3; None for no such descriptor.
        source: its input, read by a thread of its own until the program ends.
        check: called at least every 0.1 s while `read` waits; raises Canceled to end it.

    Raises:
        NotFound: the program does not exist.
        InvalidArgument: a NUL in its name, an argument or the environment.
        ResourceExhausted: no thread can be started.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        env: Sequence[str],
        payload: bytes | None,
        source: Readable,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = f"stream processor {name}"
        self._source = source
        self._check = check
        self._source_error: BaseException | None = None
        self._ended = False
        self._stopped = False
        self._source_left = False  # nobody reads it for this link any more
        self._reading = threading.Lock()  # the pipes are not closed under a thread that reads
        self._sourcing = threading.Lock()  # held while the source is read
        environment = {**os.environ, **dict(entry.partition("=")[::2] for entry in env)}
        self._child = self._start(command, environment, payload)
        self._feeder = threading.Thread(target=self._feed, name=f"layerdisk {name}", daemon=True)
        try:
            self._feeder.start()
        except BaseException as error:
            self._child.close_stdin()
            self.close()
            if isinstance(error, RuntimeError):
                raise ResourceExhausted(f"{self._name}: {error}") from error
            raise

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end.

        Raises:
            DataLoss: the program failed; its standard error is in the message.
            Canceled: nobody wants the output any more.
        """
        with self._reading:
            while size and not self._ended:
                self._check_wanted()
                piece = self._child.read(size)
                if piece:
                    return piece
                if piece is None and not self._child.exited():
                    self._child.wait(_LOOK_SECONDS)
                elif piece is not None or not self._child.wait(_GRACE_SECONDS):
                    self._finish()
            return b""

    def interrupt(self) -> None:
        """Kill the program, so that whoever waits for it or feeds it ends; callable from any thread."""
        self._stopped = True
        self._child.kill()

    def close(self) -> None:
        """Kill the program if it still runs, and let go of it, within half a second."""
        self.interrupt()
        deadline = time.monotonic() + _CLOSE_SECONDS
        while not self._child.exited() and time.monotonic() < deadline:
            time.sleep(0.001)
        if self._feeder.ident is not None:
            # It may be reading from a source that hangs, which cannot be stopped; then it ends with that.
            self._feeder.join(max(0.0, deadline - time.monotonic()))
        if self._reading.acquire(timeout=2 * _LOOK_SECONDS):
            try:
                self._child.close()
            finally:
                self._reading.release()

    def _start(self, command: Sequence[str], environment: dict[str, str], payload: bytes | None) -> Child:
        try:
            return start(command, environment, payload)
        except FileNotFoundError as error:
            raise NotFound(f"{self._name}: {command[0]}: program not found") from error
        except OSError as error:
            raise from_os_error(error, f"{self._name}: {command[0]}") from error
        except ValueError as error:
            raise InvalidArgument(f"{self._name}: {quote_text(command[0])}: {error}") from error

    def _check_wanted(self) -> None:
        self._check()
        if self._stopped:
            raise Canceled(f"{self._name}: interrupted")

    def _finish(self) -> None:
        """Wait for the exit status, which is as much a part of the result as the output."""
        self._await_exit()
        if self._source_error is None and self._child.status in (0, None):
            self._leave_source()
        if self._source_error is not None:
            raise self._source_error
        self._child.wait(0)  # its last words
        if self._child.status is None:
            _log.warning(
                "%s: its exit status is lost, since this process ignores SIGCHLD or waits for any child: %s",
                self._name,
                self._last_words(),
            )
        elif self._child.status != 0:
            raise DataLoss(f"{self._name}: {_describe(self._child.status)}: {self._last_words()}")
        self._ended = True

    def _await_exit(self) -> None:
        taken, since = -1, 0.0
        while not self._child.exited():
            self._check_wanted()
            if taken != self._child.taken:
                taken, since = self._child.taken, time.monotonic()
            elif time.monotonic() - since > _END_SECONDS:
                self._child.kill()
                raise DataLoss(
                    f"{self._name}: closed its output and did not end within {_END_SECONDS:g} s:"
                    f" {self._last_words()}"
                )
            self._child.wait(_LOOK_SECONDS)

    def _leave_source(self) -> None:
        """Wait for a read of the source that is under way; there is none after that, and others may read."""
        self._source_left = True
        while not self._sourcing.acquire(timeout=_LOOK_SECONDS):
            self._check_wanted()
        self._sourcing.release()

    def _feed(self) -> None:
        try:
            while (piece := self._next_piece()) and self._give(memoryview(piece)):
                pass
        except BaseException as error:
            self._source_error = error
        finally:
            if self._source_error is not None:
                self._child.kill()  # else it would take the end of its input for that of the stream
            self._child.close_stdin()

    def _next_piece(self) -> bytes:
        """Return what comes next in the source, nothing at its end; its error is kept before anybody can ask."""
        with self._sourcing:
            if self._stopped or self._source_left:
                return b""
            try:
                piece = self._source.read(_COPY_BYTES)
                if piece is None:
                    raise BlockingIOError("the reader is in non-blocking mode and has no data now")
            except BaseException as error:
                self._source_error = error
                return b""
            return piece

    def _give(self, data: memoryview) -> bool:
        """Write all of the data; False if the program wants no more. Whether that is well, its status tells."""
        while data and not self._stopped:
            taken = self._child.write(data, _LOOK_SECONDS)
            if taken is None:
                return False
            data = data[taken:]
        return True

    def _last_words(self) -> str:
        lines = self._child.said.decode(errors="replace").strip().splitlines()
        return "; ".join(map(printable, lines)) or "nothing on standard error"


def _describe(status: int) -> str:
    if status < 0:
        with contextlib.suppress(ValueError):
            return f"killed by {signal.Signals(-status).name}"
    return f"exit status {status}"
