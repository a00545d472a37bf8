"""The command line: one function for each command, over the public functions.

Exit status: 0 done, 1 failed (with one line on standard error), 2 wrong usage.
What a command does not need is not imported.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, NoReturn

from .errdefs import InvalidArgument, LayerdiskError

if TYPE_CHECKING:
    from .content import LocalStore
    from .lcow import LcowDiffer


def entry_point() -> NoReturn:
    """Run as a program, and end the process at once: taking the interpreter apart would be a tenth of a short run."""
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
    except BrokenPipeError:  # who reads the output has seen enough
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


def _convert(options: argparse.Namespace) -> None:
    from ._decompress import decompress
    from .tar2ext4 import convert

    keywords = _given(options, _CONVERT_OPTIONS)
    with _input(options.input) as file, _progress() as progress:
        result = convert(decompress(file), options.output, progress=progress, **keywords)
    if options.json:
        _print_json(result)
        return
    print(f"digest      {result.digest}")
    print(f"size        {result.size}")
    print(f"image size  {result.image_size}")
    print(f"blocks      {result.blocks}")
    print(f"inodes      {result.inodes}")
    print(f"directories {result.directories}")
    for finding in result.findings:
        identical = ", bytes as hcsshim's" if finding.identical else ""
        print(f"finding {finding.code}{identical}: {_shown(finding.entry)}: {finding.message}")


def _inspect(options: argparse.Namespace) -> None:
    from .inspection import inspect_image

    inspection = inspect_image(options.image)
    if options.json:
        _print_json(inspection)
        return
    for title, part in _as_json(inspection).items():
        print(f"{title}:" if part else f"{title}: none")
        for name, value in (part or {}).items():
            print(f"  {name:<24} {value}")


def _apply(options: argparse.Namespace) -> None:
    if options.digest is None:
        _apply_layout(options)
    else:
        _apply_blob(options)


def _apply_blob(options: argparse.Namespace) -> None:
    from .content import LocalStore
    from .descriptor import Descriptor
    from .diff import with_decryption, with_progress
    from .lcow import LAYER_FILE, MOUNT_TYPE
    from .mount import Mount

    store = LocalStore(options.store)
    source = Descriptor(options.media_type, options.digest, store.info(options.digest).size)
    os.makedirs(options.to, exist_ok=True)
    with _progress() as progress:
        differ = _differ(store, options)
        applied = differ.apply(
            source, [Mount(MOUNT_TYPE, options.to)], with_progress(progress), with_decryption(source)
        )
    _print_applied([(applied, os.path.join(options.to, LAYER_FILE))], options.json)


def _apply_layout(options: argparse.Namespace) -> None:
    from .content import LocalStore
    from .diff import with_decryption
    from .image import apply_image, read_image

    image = read_image(options.store, options.ref)
    store = LocalStore(options.store)
    with _progress() as progress:
        layers = apply_image(
            image,
            options.to,
            lambda: _differ(store, options),
            options=lambda blob: [with_decryption(blob)],
            progress=progress,
        )
    _print_applied([(layer.applied, layer.path) for layer in layers], options.json)


def _differ(store: LocalStore, options: argparse.Namespace) -> LcowDiffer:
    from .diff import ocicrypt_decoders
    from .lcow import LcowDiffer

    keys = options.decryption_keys_path
    return LcowDiffer(
        store, processors=ocicrypt_decoders(keys) if keys else (), **_given(options, _DIFFER_OPTIONS)
    )


def _print_applied(layers: Sequence[tuple[Any, str]], as_json: bool) -> None:
    if as_json:
        _print_json([{**applied.to_json(), "path": path} for applied, path in layers])
        return
    for applied, path in layers:
        print(f"{applied.digest} {applied.size} {path}")


def _parser(given: Sequence[str]) -> argparse.ArgumentParser:
    """Give the parser of a command line: of one command where it is named, since making all takes a while."""
    parser = argparse.ArgumentParser(
        prog="layerdisk",
        description="Container image layers as disks.",
        allow_abbrev=False,
        formatter_class=_Formatter,
    )
    parser.add_argument("--version", action=_Version, nargs=0, help="print the version")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    named = [_COMMANDS[name] for name in given[:1] if name in _COMMANDS]
    for add in named or _COMMANDS.values():
        add(commands)
    return parser


def _add_convert(commands: Any) -> None:
    convert = _command(
        commands, "convert", _convert, "convert a layer tar (plain, gzip, zstd) to an ext4 image"
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
    _add_conversion_options(convert)


def _add_inspect(commands: Any) -> None:
    inspect = _command(commands, "inspect", _inspect, "print superblock, VHD footer and counts of an image")
    inspect.add_argument("image", metavar="IMAGE")


def _add_apply(commands: Any) -> None:
    apply = _command(
        commands,
        "apply",
        _apply,
        "apply a layer, or all layers of an image, from a content store or OCI layout",
    )
    apply.add_argument(
        "store", metavar="STORE", help="directory with blobs/, an OCI image layout for an image"
    )
    which = apply.add_mutually_exclusive_group()
    which.add_argument("--digest", metavar="D", help="the layer with this digest, to DIR/layer.vhd")
    which.add_argument(
        "--ref", metavar="R", help="the image of this name; its layers go to DIR/<diffID>/layer.vhd"
    )
    apply.add_argument(
        "--media-type",
        metavar="M",
        default="application/vnd.oci.image.layer.v1.tar+gzip",
        help="of the layer of --digest; the default takes plain, gzip and zstd layers",
    )
    apply.add_argument("--to", metavar="DIR", required=True, help="where the disks go")
    apply.add_argument(
        "--decryption-keys-path",
        metavar="DIR",
        help="decrypt with ctd-decoder and the keys in this directory",
    )
    _add_conversion_options(apply)


_COMMANDS: dict[str, Callable[[Any], None]] = {
    "convert": _add_convert,
    "inspect": _add_inspect,
    "apply": _add_apply,
}


class _Formatter(argparse.HelpFormatter):
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


def _command(commands: Any, name: str, run: Callable[[argparse.Namespace], None], text: str) -> Any:
    command = commands.add_parser(
        name, help=text, description=text, allow_abbrev=False, formatter_class=_Formatter
    )
    command.set_defaults(run=run)
    command.add_argument("--json", action="store_true", help="print the result as JSON")
    return command


def _add_conversion_options(command: argparse.ArgumentParser) -> None:
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
_DIFFER_OPTIONS = ("maximum_disk_size", "layout", "reproduce_defects", "core")
_CONVERT_OPTIONS = (
    *_DIFFER_OPTIONS,
    "convert_whiteout",
    "convert_backslash",
    "append_vhd_footer",
    "only_append_vhd_footer",
    "inline_data",
    "vhd_unique_id",
)


def _given(options: argparse.Namespace, names: Sequence[str]) -> dict[str, Any]:
    values = vars(options)
    return {name: values[name] for name in names if values[name] is not None}


def _uuid(text: str) -> Any:
    from uuid import UUID

    return UUID(text)


class _Version(argparse.Action):
    """Prints the version, which takes a while to find out, only when asked."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from . import __version__

        print(f"layerdisk {__version__}")
        parser.exit()


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


@contextlib.contextmanager
def _progress() -> Iterator[Callable[[int], None] | None]:
    """Show how far it is, on a terminal only."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield None
        return
    started = shown = time.monotonic()

    def report(bytes_read: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if now - shown >= 0.1:
            shown = now
            megabytes = bytes_read / 1e6
            rate = megabytes / (now - started)
            print(f"\r\x1b[K{megabytes:.0f} MB, {rate:.0f} MB/s", end="", file=sys.stderr, flush=True)

    try:
        yield report
    finally:
        if shown != started:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _print_json(value: object) -> None:
    import json

    print(json.dumps(_as_json(value), indent=2))


def _as_json(value: Any) -> Any:
    """Give results as what JSON has: their fields by name, bytes as text where they are text, else in hex."""
    if hasattr(value, "_asdict"):
        value = value._asdict()
    elif hasattr(type(value), "__dataclass_fields__"):
        value = {name: getattr(value, name) for name in type(value).__dataclass_fields__}
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, bytes):
        text = value.rstrip(b"\0")
        return text.decode() if text and text.isascii() and text.decode().isprintable() else value.hex()
    return value if value is None or isinstance(value, (int, str)) else str(value)


def _shown(name: str) -> str:
    from .errdefs import quote

    return quote(name.encode("utf-8", "surrogateescape"))
