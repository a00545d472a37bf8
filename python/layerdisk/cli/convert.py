"""`layerdisk convert`: a layer tar to an image."""

from __future__ import annotations

import argparse
from typing import Any

from ._input import follow, open_input
from ._options import CONVERSION_OPTIONS, add_command, add_conversion_options, add_json, given
from ._progress import bars
from ._show import findings_text, print_json, print_rows, size_text

_OPTIONS = (
    *CONVERSION_OPTIONS,
    "convert_whiteout",
    "convert_backslash",
    "append_vhd_footer",
    "only_append_vhd_footer",
    "append_dm_verity",
    "hash_device",
    "inline_data",
    "vhd_unique_id",
    "in_place",
)

_EXAMPLE = """
# a layer to a VHD, as containerd on Windows has it
layerdisk convert layer.tar.gz layer.vhd --convert-whiteout --append-vhd-footer
# a tar from a pipe to an ext4 image
tar --create --directory ROOT . | layerdisk convert - root.img
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    text = "convert a layer tar (plain, gzip, zstd) to an ext4 image"
    convert = add_command(commands, "convert", _run, text, _EXAMPLE)
    convert.add_argument("input", metavar="IN", help="the layer, - for standard input")
    convert.add_argument(
        "output",
        metavar="OUT",
        type=_output,
        help="the image, replaced only when the new one is complete; or a block device",
    )
    flag = {"action": "store_true", "default": None}
    convert.add_argument("--convert-whiteout", **flag, help="turn OCI whiteouts into those of overlayfs")
    convert.add_argument("--convert-backslash", **flag, help=r"take \ in names and link targets as /")
    footer = convert.add_mutually_exclusive_group()
    footer.add_argument("--append-vhd-footer", **flag, help="end the image with a VHD footer")
    footer.add_argument("--only-append-vhd-footer", **flag, help="copy the input and append a VHD footer")
    convert.add_argument(
        "--append-dm-verity", **flag, help="make the image a verity device: add its hash tree"
    )
    convert.add_argument("--hash-device", metavar="H", help="put the hash tree into this file instead")
    convert.add_argument("--inline-data", **flag, help="keep the data of tiny files in their inodes")
    convert.add_argument("--in-place", **flag, help="write into OUT itself, as where it is a mount point")
    convert.add_argument(
        "--vhd-unique-id",
        type=_uuid,
        metavar="UUID",
        help="of the footer (default: derived from the content)",
    )
    add_conversion_options(convert)
    add_json(convert)


def _run(options: argparse.Namespace) -> None:
    from ..decompress import decompress
    from ..tar2ext4 import convert

    keywords = given(options, _OPTIONS)
    with open_input(options.input) as file, bars() as shown:
        report = None if shown is None else follow(shown, options.input, file)
        result = convert(decompress(file), options.output, progress=report, **keywords)
    if options.json:
        print_json(result)
        return
    print_rows(
        [
            ("digest", result.digest),
            ("tar", size_text(result.size)),
            ("image", size_text(result.image_size)),
            ("blocks", f"{result.blocks:,}"),
            ("inodes", f"{result.inodes:,}"),
            ("directories", f"{result.directories:,}"),
            *([] if result.verity is None else [("root hash", result.verity.root_digest)]),
            *(("finding", line) for line in findings_text(result.findings)),
        ]
    )


def _output(path: str) -> str:
    if path == "-":
        raise argparse.ArgumentTypeError(
            "'-': an image is not written from its start to its end, as a pipe must be; name a file"
        )
    return path


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)
