"""What the commands' parsers have in common."""

from __future__ import annotations

import argparse
import functools
import os
from collections.abc import Callable, Sequence
from typing import Any


class Formatter(argparse.HelpFormatter):
    """Finds out the terminal's width by itself: argparse asks for it at every option, and loads much for that."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, width=_terminal_columns() - 2)


@functools.cache
def _terminal_columns() -> int:
    try:
        return int(os.environ.get("COLUMNS", "")) or 80
    except ValueError:
        pass
    try:
        return os.get_terminal_size().columns or 80
    except OSError:
        return 80


def add_command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> Any:
    """Add a command's parser, with what every command has, and return it."""
    command = commands.add_parser(
        name, help=text, description=text, allow_abbrev=False, formatter_class=Formatter
    )
    command.set_defaults(run=run)
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    return command


def add_conversion_options(command: argparse.ArgumentParser) -> None:
    """Add the options that converting and applying have in common."""
    command.add_argument("--maximum-disk-size", type=int, metavar="N", help="of the file system, in bytes")
    command.add_argument("--layout", help="of the file system: hcsshim (the default)")
    command.add_argument(
        "--reproduce-defects",
        action="store_true",
        default=None,
        help="write hcsshim's bytes where it is wrong",
    )
    command.add_argument("--core", choices=("rust", "python"), help="by default the best there is")


# Names of options that are keywords of the function; the function's own default holds where one is not given.
CONVERSION_OPTIONS = ("maximum_disk_size", "layout", "reproduce_defects", "core")


def given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Return those of the named options that were given."""
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}
