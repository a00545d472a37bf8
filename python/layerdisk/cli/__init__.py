"""The command line: one module for each command, over the public functions.

Exit status: 0 done, 1 failed (with one line on standard error), 2 wrong usage, 128 + N ended by signal N.
What a command does not need is not imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    import argparse

# Each has a function `add` that adds its parser.
COMMANDS = {
    "convert": "layerdisk.cli.convert",
    "inspect": "layerdisk.cli.inspect",
    "apply": "layerdisk.cli.apply",
    "roothash": "layerdisk.cli.roothash",
    "verity": "layerdisk.cli.verity",
    "fleet": "layerdisk.cli.fleet",
    "cache": "layerdisk.cli.cache",
    "serve": "layerdisk.cli.serve",
    "completion": "layerdisk.cli.completion",
}


class Terminated(KeyboardInterrupt):
    """A signal that ends the program as Ctrl-C does, so that whatever cleans up after that cleans up after this."""

    def __init__(self, number: int, name: str) -> None:
        super().__init__(f"ended by {name}")
        self.number = number


def entry_point() -> NoReturn:
    """Run as a program; to end without taking the interpreter down saves a tenth of a short run."""
    if sys.stdout is not None:  # a name that its encoding lacks is no reason to fail after the work is done
        sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    os._exit(main(handle_signals=True))  # what was printed is flushed


def main(arguments: Sequence[str] | None = None, *, handle_signals: bool = False) -> int:
    """Run a command line.

    Args:
        arguments: without the program's name; by default those of the process.
        handle_signals: let SIGTERM and SIGHUP end it as Ctrl-C does; in the main thread only.

    Returns:
        The exit status.

    Raises:
        SystemExit: with status 2, the command line is wrong; with 0, after --help and --version.
    """
    try:
        if handle_signals:
            _handle_signals()
        options = _parse(sys.argv[1:] if arguments is None else arguments)
        run: Callable[[argparse.Namespace], None] = options.run
        run(options)
        if sys.stdout is not None:  # as where it is closed
            sys.stdout.flush()
    except BrokenPipeError:  # the reader closed the pipe
        status = 1
    except KeyboardInterrupt as interrupt:
        _complain(str(interrupt) or "interrupted")
        status = 128 + (interrupt.number if isinstance(interrupt, Terminated) else 2)  # SIGINT
    except (SystemExit, GeneratorExit):
        raise
    except BaseException as error:  # a panic of the Rust core too
        if sys.flags.dev_mode:
            raise
        _complain(_reason(error))
        status = 1
    else:
        return 0
    _end_output()
    return status


def _parse(given: Sequence[str]) -> argparse.Namespace:
    from ._options import CORES, make_parser

    # Only the named command's parser is made, since making all takes a while.
    names = (
        [] if given[:1] == ["--version"] else [name for name in given[:1] if name in COMMANDS] or [*COMMANDS]
    )
    parser = make_parser([COMMANDS[name] for name in names])
    options = parser.parse_args(given)
    core = os.environ.get("LAYERDISK_CORE") or "auto"
    if core not in CORES:
        parser.error(f"LAYERDISK_CORE is {core!r} (choose from {', '.join(map(repr, CORES))})")
    return options


def _handle_signals() -> None:
    import signal

    def end(number: int, _: object) -> NoReturn:
        signal.signal(
            number, signal.SIG_IGN
        )  # it is said once; cleaning up is not to be interrupted by a repetition
        raise Terminated(number, signal.Signals(number).name)

    for name in ("SIGTERM", "SIGHUP", "SIGBREAK"):  # of which a system has one or two
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:  # nohup's stays as it is
            signal.signal(number, end)
    if sys.platform != "win32" and signal.getsignal(signal.SIGCHLD) == signal.SIG_IGN:
        # Whoever started this may have handed that on, and then the system drops the exit status of a decoder.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)


def _reason(error: BaseException) -> str:
    from ..errdefs import LayerdiskError

    text = "; ".join(str(error).splitlines())
    if isinstance(error, (LayerdiskError, OSError, ImportError, MemoryError)):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def _complain(reason: str) -> None:
    if sys.stderr is not None:
        from ._show import printable

        print(f"layerdisk: {printable(reason)}", file=sys.stderr)


def _end_output() -> None:
    """Write what is left to write, and if that fails keep the interpreter from trying again at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
