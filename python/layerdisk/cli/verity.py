"""`layerdisk verity`: hash trees of images that are there: add, verify, show."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from ._options import CORES, Formatter, add_command, add_json, given
from ._progress import bars
from ._show import print_json, print_rows

if TYPE_CHECKING:
    from ..dmverity import VerityInfo

_PARAMETERS = ("algorithm", "data_block_size", "hash_block_size", "salt", "uuid", "hash_offset")
_EXAMPLE = """\
  # a verity device in one step, and what dmsetup takes
  layerdisk convert layer.tar layer.img --append-dm-verity
  layerdisk verity show layer.img --as table --device /dev/sdb
  # everything checked, offline
  layerdisk verity verify layer.img
"""
_EXAMPLES = {
    "add": """
# after the file system, as hcsshim does it
layerdisk verity add layer.img
# the parameters of another consumer, in a file of its own
layerdisk verity add layer.img --profile systemd --hash-device layer.verity
""",
    "verify": """
# against the root hash that a policy has
layerdisk verity verify layer.img 35233c88f13151f79c3f0cdfb0c72c11370a39093d67f3fc8ff0ae6b3b3abf31
""",
    "show": """
# the line that dmsetup takes
layerdisk verity show layer.img --as table --device /dev/sdb
""",
}
_FORMS = ("info", "table", "cmdline", "systemd", "containerd", "kata", "x-kata", "confcom")


def add(commands: Any) -> None:
    """Add the command's parser."""
    verity = commands.add_parser(
        "verity",
        help="add, verify and show the dm-verity hash tree of an image",
        description="Add, verify and show the dm-verity hash tree of an image.",
        epilog=f"examples:\n{_EXAMPLE}",
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    verbs = verity.add_subparsers(title="verbs", metavar="VERB", required=True)
    adding = add_command(
        verbs, "add", _add, "store the hash tree after an image, or in a file of its own", _EXAMPLES["add"]
    )
    _add_common(adding)
    adding.add_argument(
        "--profile", help="parameters of a consumer: hcsshim (the default), containerd-erofs, ..."
    )
    adding.add_argument(
        "--uuid", type=_uuid, metavar="UUID", help="of the superblock; by default from the content"
    )
    verifying = add_command(
        verbs, "verify", _verify, "check an image, its hash tree and its footer", _EXAMPLES["verify"]
    )
    _add_common(verifying)
    verifying.add_argument("root", nargs="?", metavar="ROOT", help="root hash in hexadecimal digits")
    verifying.add_argument(
        "--data-blocks", type=int, metavar="N", help="that are covered, without a superblock"
    )
    showing = add_command(
        verbs, "show", _show, "print what a verity device is, for a consumer", _EXAMPLES["show"]
    )
    showing.add_argument("image", metavar="IMAGE")
    showing.add_argument("--hash-device", metavar="H", help="the file of the hashes, if not in the image")
    showing.add_argument(
        "--hash-offset", type=int, metavar="N", help="of the superblock; by default looked for"
    )
    showing.add_argument(
        "--as", dest="form", choices=_FORMS, default="info", help="which words; by default all fields"
    )
    add_json(showing)
    showing.add_argument(
        "--device", metavar="D", help="path of the data device in the output; by default IMAGE"
    )


def _add_common(command: Any) -> None:
    command.add_argument("image", metavar="IMAGE")
    command.add_argument(
        "--hash-device", metavar="H", help="file of the hashes; by default they follow the data"
    )
    command.add_argument("--algorithm", choices=("sha256", "sha512"), help="by default sha256")
    command.add_argument("--data-block-size", type=int, metavar="N", help="in bytes; by default 4096")
    command.add_argument("--hash-block-size", type=int, metavar="N", help="in bytes; by default 4096")
    command.add_argument("--salt", type=_salt, metavar="HEX", help="- for none; by default 32 zero bytes")
    command.add_argument("--hash-offset", type=int, metavar="N", help="of superblock or tree, in bytes")
    command.add_argument("--no-superblock", action="store_true", help="there is none")
    command.add_argument("--core", choices=CORES, help="implementation to use (default: auto)")
    add_json(command)


def _parameters(options: argparse.Namespace, profile: str) -> Any:
    from ..dmverity import Verity

    changes = given(options, [name for name in _PARAMETERS if name in vars(options)])
    if options.no_superblock:
        changes["superblock"] = False
    return Verity.profile(profile, **changes)  # type: ignore[arg-type]  # checked there


def _add(options: argparse.Namespace) -> None:
    from ..dmverity import append

    verity = _parameters(options, options.profile or "hcsshim")
    with bars() as shown:
        report = None if shown is None else shown.add(options.image, None)
        info = append(
            options.image, hash_device=options.hash_device, verity=verity, progress=report, core=options.core
        )
    _print(info, options.json)


def _verify(options: argparse.Namespace) -> None:
    from ..dmverity import verify

    wanted = any(getattr(options, name) is not None for name in _PARAMETERS if name in vars(options))
    verity = _parameters(options, "hcsshim") if wanted or options.no_superblock else None
    with bars() as shown:
        report = None if shown is None else shown.add(options.image, None)
        info = verify(
            options.image,
            options.root,
            hash_device=options.hash_device,
            verity=verity,
            data_blocks=options.data_blocks,
            progress=report,
            core=options.core,
        )
    _print(info, options.json)


def _show(options: argparse.Namespace) -> None:
    from ..dmverity import read_dm_verity_info

    info = read_dm_verity_info(options.hash_device or options.image, options.hash_offset, data=options.image)
    device = options.device or options.image
    hashes = options.hash_device
    if options.form == "info":
        _print(info, options.json)
        return
    text = _text(info, options.form, device, hashes)
    print_json({options.form: text}) if options.json else print(text)


def _text(info: VerityInfo, form: str, device: str, hashes: str | None) -> str:
    from ..dmverity import confcom_layers

    match form:
        case "table":
            return info.table(device, hashes)
        case "cmdline":
            return info.kernel_command_line(device, hashes)
        case "systemd":
            return info.kernel_command_line(device, hashes, form="systemd")
        case "containerd":
            return info.containerd_sidecar()
        case "kata":
            return info.kata_volume(device)
        case "x-kata":
            return ",".join(info.x_kata_options())
        case _:
            return confcom_layers([info])


def _print(info: Any, as_json: bool) -> None:
    if as_json:
        print_json(info)
        return
    print_rows([(name, str(value)) for name, value in info._asdict().items()])


def _salt(text: str) -> bytes:
    return b"" if text == "-" else bytes.fromhex(text)


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)
