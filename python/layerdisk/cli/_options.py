"""What the commands' parsers have in common."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
from collections.abc import Callable, Sequence
from typing import Any

CORES = ("rust", "python", "auto")
LAYOUTS = ("hcsshim",)


class Formatter(argparse.RawDescriptionHelpFormatter):
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


def make_parser(modules: Sequence[str]) -> argparse.ArgumentParser:
    """Return the parser of the command line, with the commands of these modules."""
    parser = argparse.ArgumentParser(
        prog="layerdisk",
        description="Container image layers as disks.",
        epilog="`layerdisk COMMAND --help` has an example of each command.",
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in modules:
        importlib.import_module(module).add(commands)
    return parser


class _Version(argparse.Action):
    """Prints the version, which takes a while to find out, only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from .. import __version__

        print(f"layerdisk {__version__}")
        parser.exit()


def add_command(
    commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str, example: str
) -> Any:
    """Add a command's parser and return it.

    Args:
        commands: where to.
        name: of the command.
        run: called with the options that were given.
        text: says what it does.
        example: command lines, each with what it does on the line above it.
    """
    lines = "".join(f"  {line}\n" for line in example.strip().splitlines())
    command = commands.add_parser(
        name,
        help=text,
        description=text[0].upper() + text[1:] + ".",
        epilog=f"examples:\n{lines}",
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    command.set_defaults(run=run)
    return command


def add_json(command: argparse.ArgumentParser) -> None:
    """Add the option that prints the result for programs."""
    command.add_argument("--json", action="store_true", help="print the result as JSON")


def add_cache(command: argparse.ArgumentParser) -> None:
    """Add the option that says where results are shared."""
    command.add_argument(
        "--cache",
        metavar="DIR",
        help="folder, or URL that fsspec knows, of results to share (default: LAYERDISK_CACHE, else none)",
    )


def add_conversion_options(command: argparse.ArgumentParser) -> None:
    """Add the options that converting and applying have in common."""
    command.add_argument(
        "--maximum-disk-size", type=int, metavar="N", help="maximum size of the file system, in bytes"
    )
    command.add_argument(
        "--layout", choices=LAYOUTS, help=f"layout of the file system (default: {LAYOUTS[0]})"
    )
    command.add_argument(
        "--reproduce-defects",
        action="store_true",
        default=None,
        help="write exactly hcsshim's bytes where they are known to be wrong",
    )
    command.add_argument("--core", choices=CORES, help="implementation to use (default: auto)")


# Names of options that are keywords of the function; the function's own default holds where one is not given.
CONVERSION_OPTIONS = ("maximum_disk_size", "layout", "reproduce_defects", "core")


def given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    """Return those of the named options that were given."""
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}
