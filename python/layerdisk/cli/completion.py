"""`layerdisk completion`: scripts with which a shell completes commands, options and file names."""

from __future__ import annotations

import argparse
from typing import Any

from ._options import add_command, make_parser

_SHELLS = ("bash", "zsh", "tcsh", "fish", "powershell")
_FILES = ("input", "output", "image", "store", "images", "manifest")
_FOLDERS = ("to", "decryption_keys_path", "cache")

_EXAMPLE = """
# for this bash, and for every later one
eval "$(layerdisk completion bash)"
echo 'eval "$(layerdisk completion bash)"' >> ~/.bashrc
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    text = "print a script with which a shell completes layerdisk's command lines"
    completion = add_command(commands, "completion", _run, text, _EXAMPLE)
    completion.add_argument("shell", choices=_SHELLS, help="the shell")


def _run(options: argparse.Namespace) -> None:
    import shtab

    from . import COMMANDS

    parser = make_parser([*COMMANDS.values()])
    for command in _commands(parser):
        for action in command._actions:
            if action.dest in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.dest in _FOLDERS:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    print(shtab.complete(parser, options.shell))


def _commands(parser: argparse.ArgumentParser) -> list[argparse.ArgumentParser]:
    return [
        command
        for action in parser._actions
        if isinstance(action, argparse._SubParsersAction)
        for command in action.choices.values()
    ]
