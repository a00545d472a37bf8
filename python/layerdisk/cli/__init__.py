"""The command line: one module for each command, over the public functions.

Exit status: 0 done, 1 failed (with one line on standard error), 2 wrong usage.
What a command does not need is not imported.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from ..errdefs import LayerdiskError
from ._options import Formatter

# Each has a function `add` that adds its parser.
COMMANDS = {
    "convert": "layerdisk.cli.convert",
    "inspect": "layerdisk.cli.inspect",
    "apply": "layerdisk.cli.apply",
    "serve": "layerdisk.cli.serve",
}


def entry_point() -> NoReturn:
    """Run as a program; to end without taking the interpreter down saves a tenth of a short run."""
    os._exit(main())  # what was printed is flushed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command line.

    Args:
        arguments: without the program's name; by default those of the process.

    Returns:
        The exit status.

    Raises:
        SystemExit: with status 2, the command line is wrong; with 0, after --help and --version.
    """
    given = sys.argv[1:] if arguments is None else arguments
    options = _parser(given).parse_args(given)
    run: Callable[[argparse.Namespace], None] = options.run
    try:
        run(options)
        if sys.stdout is not None:  # as where it is closed
            sys.stdout.flush()
    except BrokenPipeError:  # the reader closed the pipe
        status = 1
    except (LayerdiskError, OSError, ImportError, MemoryError) as error:
        status = _failed("; ".join(str(error).split("\n")) or type(error).__name__)
    except KeyboardInterrupt:
        status = _failed("interrupted")
    else:
        return 0
    _end_output()
    return status


def _end_output() -> None:
    """Write what is left to write, and if that fails keep the interpreter from trying again at its end."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _failed(reason: str) -> int:
    if sys.stderr is not None:
        print(f"layerdisk: {reason}", file=sys.stderr)
    return 1


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of a command line: of one command where it is named, since making all takes a while."""
    parser = argparse.ArgumentParser(
        prog="layerdisk",
        description="Container image layers as disks.",
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name in [name for name in given[:1] if name in COMMANDS] or COMMANDS:
        importlib.import_module(COMMANDS[name]).add(commands)
    return parser


class _Version(argparse.Action):
    """Prints the version, which takes a while to find out, only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from .. import __version__

        print(f"layerdisk {__version__}")
        parser.exit()
