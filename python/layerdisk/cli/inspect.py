"""`layerdisk inspect`: what an image file holds."""

from __future__ import annotations

import argparse
from typing import Any

from ._options import add_command
from ._show import as_json, print_json


def add(commands: Any) -> None:
    """Add the command's parser."""
    inspect = add_command(commands, "inspect", _run, "print superblock, VHD footer and counts of an image")
    inspect.add_argument("image", metavar="IMAGE")


def _run(options: argparse.Namespace) -> None:
    from ..inspection import inspect_image

    inspection = inspect_image(options.image)
    if options.json:
        print_json(inspection)
        return
    for title, part in as_json(inspection).items():
        print(f"{title}:" if part else f"{title}: none")
        for name, value in (part or {}).items():
            print(f"  {name:<24} {value}")
