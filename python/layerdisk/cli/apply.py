"""`layerdisk apply`: layers of an image, wherever it is, or of a content store to disks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ._options import CONVERSION_OPTIONS, add_cache, add_command, add_conversion_options, add_json, given
from ._progress import LayerBars, bars, blob_name
from ._show import print_json

if TYPE_CHECKING:
    from ..cache import Cache
    from ..content import Provider
    from ..descriptor import Platform
    from ..lcow import LcowDiffer


_EXAMPLE = """
# every layer of an image, each to DISKS/<diffID>/layer.vhd
layerdisk apply IMAGE_LAYOUT --to DISKS
# the same of one image in what `docker save` wrote
layerdisk apply docker-archive:images.tar:alpine:latest --to DISKS
# the same, with the disks that an earlier run left in a cache
layerdisk apply IMAGE_LAYOUT --to DISKS --cache CACHE
# one layer of a content store, to DISK/layer.vhd
layerdisk apply STORE --digest sha256:... --to DISK
"""


def add(commands: Any) -> None:
    """Add the command's parser."""
    text = "apply all layers of an image, or one layer of a content store"
    apply = add_command(commands, "apply", _run, text, _EXAMPLE)
    apply.add_argument(
        "store",
        metavar="IMAGE",
        help="an image: oci:DIR, oci-archive:FILE, docker-archive:FILE or dir:DIR, each with an optional :NAME or "
        "@DIGEST, or a path that is recognised, - for standard input; with --digest a directory with blobs/",
    )
    which = apply.add_mutually_exclusive_group()
    which.add_argument("--digest", metavar="D", help="apply the layer with this digest, to DIR/layer.vhd")
    which.add_argument(
        "--ref",
        metavar="R",
        help="apply the image with this tag, full name or digest; its layers go to DIR/<diffID>/layer.vhd",
    )
    apply.add_argument(
        "--platform",
        type=_platform,
        metavar="OS/ARCH[/VARIANT]",
        help="platform of the image (default: Linux on this machine, or the only one there is)",
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
    add_cache(apply)
    add_conversion_options(apply)
    add_json(apply)


def _run(options: argparse.Namespace) -> None:
    if options.digest is None:
        _apply_image(options)
    else:
        _apply_blob(options)


def _apply_blob(options: argparse.Namespace) -> None:
    from ..content import LocalStore
    from ..descriptor import Descriptor
    from ..diff import with_blob_progress, with_decryption
    from ..lcow import LAYER_FILE, MOUNT_TYPE
    from ..mount import Mount

    store = LocalStore(options.store)
    source = Descriptor(options.media_type, options.digest, store.info(options.digest).size)
    os.makedirs(options.to, exist_ok=True)
    with bars() as shown:
        applied = _differ(store, options).apply(
            source,
            [Mount(MOUNT_TYPE, options.to)],
            with_decryption(source),
            with_blob_progress(None if shown is None else shown.add(blob_name(source), source.size)),
        )
    _print_applied([(applied, os.path.join(options.to, LAYER_FILE))], options.json)


def _apply_image(options: argparse.Namespace) -> None:
    from ..diff import with_decryption
    from ..image import apply_image
    from ..sources import open_image

    with open_image(options.store, options.ref, options.platform) as opened, bars() as shown:
        layers = apply_image(
            opened.image,
            options.to,
            lambda: _differ(opened.source, options),
            options=lambda blob: [with_decryption(blob)],
            cache=_cache(options),
            layer_progress=None if shown is None else LayerBars(shown, opened.image.layers),
        )
    _print_applied([(layer.applied, layer.path) for layer in layers], options.json)


def _cache(options: argparse.Namespace) -> Cache | None:
    where = options.cache or os.environ.get("LAYERDISK_CACHE")
    if not where:
        return None
    from ..cache import Cache

    return Cache(where)


def _platform(text: str) -> Platform:
    from ..errdefs import InvalidArgument
    from ..platforms import parse_platform

    try:
        return parse_platform(text)
    except InvalidArgument as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _differ(store: Provider, options: argparse.Namespace) -> LcowDiffer:
    from ..diff import ocicrypt_decoders
    from ..lcow import LcowDiffer

    keys = options.decryption_keys_path
    return LcowDiffer(
        store, processors=ocicrypt_decoders(keys) if keys else (), **given(options, CONVERSION_OPTIONS)
    )


def _print_applied(layers: Sequence[tuple[Any, str]], as_json: bool) -> None:
    if as_json:
        print_json([{**applied.to_json(), "path": path} for applied, path in layers])
        return
    for applied, path in layers:
        print(f"{applied.digest} {applied.size} {path}")
