"""`layerdisk convert`: a layer tar to an image."""

from __future__ import annotations

import argparse
import contextlib
import sys
from collections.abc import Iterator
from typing import Any, BinaryIO

from ..errdefs import InvalidArgument
from ._options import CONVERSION_OPTIONS, add_command, add_conversion_options, given
from ._progress import progress
from ._show import print_json, shown

# As CONVERSION_OPTIONS
_OPTIONS = (
    *CONVERSION_OPTIONS,
    "convert_whiteout",
    "convert_backslash",
    "append_vhd_footer",
    "only_append_vhd_footer",
    "inline_data",
    "vhd_unique_id",
)


def add(commands: Any) -> None:
    """Add the command's parser."""
    convert = add_command(
        commands, "convert", _run, "convert a layer tar (plain, gzip, zstd) to an ext4 image"
    )
    convert.add_argument("input", metavar="IN", help="the layer, - for standard input")
    convert.add_argument(
        "output", metavar="OUT", help="the image; replaced only when the new one is complete"
    )
    flag = {"action": "store_true", "default": None}
    convert.add_argument("--convert-whiteout", **flag, help="turn OCI whiteouts into those of overlayfs")
    convert.add_argument("--convert-backslash", **flag, help=r"take \ in names and link targets as /")
    convert.add_argument("--append-vhd-footer", **flag, help="end the image with a VHD footer")
    convert.add_argument("--only-append-vhd-footer", **flag, help="copy the input and append a VHD footer")
    convert.add_argument("--inline-data", **flag, help="keep the data of tiny files in their inodes")
    convert.add_argument("--vhd-unique-id", type=_uuid, metavar="UUID", help="by default from the content")
    add_conversion_options(convert)


def _run(options: argparse.Namespace) -> None:
    from ..decompress import decompress
    from ..tar2ext4 import convert

    keywords = given(options, _OPTIONS)
    with _input(options.input) as file, progress() as report:
        result = convert(decompress(file), options.output, progress=report, **keywords)
    if options.json:
        print_json(result)
        return
    print(f"digest      {result.digest}")
    print(f"size        {result.size}")
    print(f"image size  {result.image_size}")
    print(f"blocks      {result.blocks}")
    print(f"inodes      {result.inodes}")
    print(f"directories {result.directories}")
    for finding in result.findings:
        identical = ", bytes as hcsshim's" if finding.identical else ""
        print(f"finding {finding.code}{identical}: {shown(finding.entry)}: {finding.message}")


@contextlib.contextmanager
def _input(path: str) -> Iterator[BinaryIO]:
    """Open the input without a buffer of its own: it is read in large pieces."""
    if path == "-":
        if sys.stdin is None:
            raise InvalidArgument("standard input is closed")
        with open(sys.stdin.fileno(), "rb", buffering=0, closefd=False) as file:
            yield file
    else:
        with open(path, "rb", buffering=0) as file:
            yield file


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)
