"""A child process with our ends of its pipes: the one way in which programs are run.

Nothing here blocks: reading and writing give what is possible now, and `wait` has a limit. So whoever uses it can
look at other things in between, such as whether the work is still wanted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence

STDERR_BYTES = 16 * 1024  # the last of what the program says


class Child:
    """A started program; its pipes are used by one thread for the input and one for everything else.

    Attributes:
        taken: bytes of the input that it has taken.
        status: exit status, negative for a signal; None while it runs, and where another part of this process
            took the status (by ignoring SIGCHLD, or waiting for any child) and the kernel cannot tell it.
        said: the last of what it wrote to its standard error.
    """

    def __init__(self) -> None:
        self.taken = 0
        self.status: int | None = None
        self.said = bytearray()

    def read(self, size: int) -> bytes | None:
        """Return up to `size` bytes of the output, none at the end; None if there is nothing yet."""
        raise NotImplementedError

    def write(self, data: memoryview, seconds: float) -> int | None:
        """Give the program input, waiting up to `seconds` for it to take some.

        Returns:
            The number of bytes taken; None if it wants no more, which is no error.
        """
        raise NotImplementedError

    def wait(self, seconds: float) -> bool:
        """Wait for output, the end or `seconds`, and serve standard error and payload meanwhile.

        Returns:
            Whether `read` has something to say: output, or its end.
        """
        raise NotImplementedError

    def exited(self) -> bool:
        """Tell whether the program has ended; `status` is known then if it can be."""
        raise NotImplementedError

    def kill(self) -> None:
        """Kill the program if it still runs."""
        raise NotImplementedError

    def close_stdin(self) -> None:
        """Tell the program that its input ends."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of everything except the input."""
        raise NotImplementedError

    def _hear(self, words: bytes) -> None:
        self.said += words
        del self.said[:-STDERR_BYTES]


left: list[Child] = []  # killed, and not ended when their readers were closed


def start(command: Sequence[str], environment: Mapping[str, str], payload: bytes | None) -> Child:
    """Start a program.

    Args:
        command: program, looked for in PATH, and arguments.
        environment: all of it.
        payload: what it can read from descriptor 3, on Windows from a named pipe; None for neither.

    Raises:
        OSError: as the operating system says.
        ValueError: a NUL in the command or the environment.
    """
    left[:] = [child for child in left if not child.exited()]
    if sys.platform == "win32":
        from .child_windows import start_windows as start_here
    else:
        from .child_posix import start_posix as start_here
    return start_here(command, environment, payload)
