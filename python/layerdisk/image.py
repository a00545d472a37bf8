"""Images in an OCI image layout, and all of their layers as disks.

Source: OCI image-spec, image-layout.md, image-index.md, manifest.md, config.md.
"""

from __future__ import annotations

import contextlib
import json
import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from . import media_types
from .content import LocalStore, Verifier
from .descriptor import Descriptor, Platform, linux_platform, parse_digest
from .diff import ApplyOpt, with_diff_id, with_progress
from .errdefs import Canceled, InvalidArgument, NotFound
from .lcow import LAYER_FILE, MOUNT_TYPE, LcowDiffer
from .mount import Mount

REF_NAME = "org.opencontainers.image.ref.name"
_MAX_JSON_BYTES = 32 * 1024 * 1024  # manifests and configs are read whole; real ones have a few KiB
_MAX_INDEX_DEPTH = 8


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image: its blob, and the digest of its plain tar."""

    descriptor: Descriptor
    diff_id: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image of a store, the lowest layer first."""

    manifest: Descriptor
    platform: Platform
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class AppliedLayer:
    """A layer on disk: its blob, the descriptor of its plain tar, and the file."""

    source: Descriptor
    applied: Descriptor
    path: str


def read_image(
    layout: str | os.PathLike[str], ref: str | None = None, platform: Platform | None = None
) -> Image:
    """Read the manifest and the config of an image in an OCI image layout; both are checked by digest.

    Args:
        layout: directory of the layout.
        ref: its name in the layout's index; not needed where the index has one image.
        platform: of the image, where there are several; by default Linux on this machine's processor.

    Raises:
        NotFound: no layout, no such image, or a missing blob.
        InvalidArgument: several images fit, or the layout is malformed.
        DataLoss: a blob is not what its descriptor says.
    """
    store = LocalStore(layout)
    top = [found for found in _index(layout) if ref in (None, found.annotations.get(REF_NAME))]
    if not top:
        raise NotFound(f"image {ref!r} in {os.fspath(layout)}" if ref else f"image in {os.fspath(layout)}")
    manifest = _choose(store, top, platform or linux_platform())
    content = _object(store, manifest)
    config = _object(store, Descriptor.from_json(content.get("config")))
    blobs = [Descriptor.from_json(layer) for layer in _array(content, "layers")]
    rootfs = config.get("rootfs")
    diff_ids = [str(diff_id) for diff_id in _array(rootfs if isinstance(rootfs, dict) else {}, "diff_ids")]
    if len(blobs) != len(diff_ids):
        raise InvalidArgument(
            f"image {manifest.digest} has {len(blobs)} layers and its config {len(diff_ids)} diff_ids"
        )
    for diff_id in diff_ids:
        parse_digest(diff_id)  # it becomes a file name
    layers = tuple(Layer(blob, diff_id) for blob, diff_id in zip(blobs, diff_ids, strict=True))
    return Image(manifest, Platform.from_json(config), layers)


def apply_image(
    image: Image,
    directory: str | os.PathLike[str],
    make_differ: Callable[[], LcowDiffer],
    *,
    options: Callable[[Descriptor], Sequence[ApplyOpt]] = lambda _: (),
    workers: int | None = None,
    progress: Callable[[int], object] | None = None,
) -> tuple[AppliedLayer, ...]:
    """Apply every layer of an image, several at a time, each to a folder of its own.

    Args:
        image: from `read_image`.
        directory: where the folders go; they are named by diffID, with "-" for ":".
        make_differ: called once for every layer.
        options: apply options for each layer's blob, such as its payloads.
        workers: layers at a time; by default as many as there are processors.
        progress: called with the bytes of all plain tars together so far; its exceptions end the work.

    Returns:
        The layers in the image's order; one that is there twice is applied once.

    Raises:
        FailedPrecondition: a layer is not the one that the config names.
        LayerdiskError: as LcowDiffer.apply; the first error, after which the other layers are given up.
    """
    layers = list({layer.diff_id: layer for layer in image.layers}.values())
    stop = _Stop(progress)

    def apply(layer: Layer) -> AppliedLayer:
        folder = os.path.join(directory, layer.diff_id.replace(":", "-"))
        os.makedirs(folder, exist_ok=True)
        applied = make_differ().apply(
            layer.descriptor,
            [Mount(MOUNT_TYPE, folder, options=("rw", "parentLayerPaths=null"))],
            with_progress(stop.watch(layer.diff_id)),
            with_diff_id(layer.diff_id),
            *options(layer.descriptor),
        )
        return AppliedLayer(layer.descriptor, applied, os.path.join(folder, LAYER_FILE))

    with ThreadPoolExecutor(workers or os.cpu_count()) as pool:
        jobs = {layer.diff_id: pool.submit(apply, layer) for layer in layers}
        try:
            done, _ = wait(jobs.values(), return_when=FIRST_EXCEPTION)
            failed = [job for job in done if job.exception() is not None]
            results = {} if failed else {diff_id: job.result() for diff_id, job in jobs.items()}
        finally:
            stop.set()  # nothing but a failure leaves anything to stop
            pool.shutdown(cancel_futures=True)
    for job in failed:
        job.result()
    return tuple(results[layer.diff_id] for layer in image.layers)


class _Stop:
    """Ends the other layers when one has failed, and adds up their progress."""

    def __init__(self, progress: Callable[[int], object] | None) -> None:
        self._progress = progress
        self._stopped = False
        self._guard = threading.Lock()
        self._bytes: dict[str, int] = {}

    def set(self) -> None:
        self._stopped = True

    def watch(self, diff_id: str) -> Callable[[int], None]:
        def report(bytes_read: int) -> None:
            if self._stopped:
                raise Canceled("another layer failed")
            if self._progress is not None:
                with self._guard:
                    self._bytes[diff_id] = bytes_read
                    self._progress(sum(self._bytes.values()))

        return report


def _index(layout: str | os.PathLike[str]) -> list[Descriptor]:
    path = os.path.join(layout, "index.json")
    try:
        with open(path, "rb") as file:
            index = _parse(path, file.read(_MAX_JSON_BYTES))
    except FileNotFoundError as error:
        raise NotFound(f"{os.fspath(layout)} is no OCI image layout: it has no index.json") from error
    return [Descriptor.from_json(manifest) for manifest in _array(index, "manifests")]


def _choose(store: LocalStore, found: Sequence[Descriptor], platform: Platform) -> Descriptor:
    """Give the one manifest among these descriptors, and those that they lead to."""
    manifests = _manifests(store, found, _MAX_INDEX_DEPTH)
    if len(manifests) > 1:
        manifests = [manifest for manifest in manifests if _fits(manifest, platform)]
    if not manifests:
        raise NotFound(f"image for {platform.os}/{platform.architecture}")
    if len(manifests) > 1:
        names = ", ".join(manifest.annotations.get(REF_NAME, manifest.digest) for manifest in manifests)
        raise InvalidArgument(f"several images fit, name one of: {names}")
    return manifests[0]


def _manifests(store: LocalStore, found: Sequence[Descriptor], depth: int) -> list[Descriptor]:
    manifests: dict[str, Descriptor] = {}
    for descriptor in found:
        if media_types.is_manifest(descriptor.media_type):
            manifests[descriptor.digest] = descriptor
        elif media_types.is_index(descriptor.media_type) and depth > 0:
            inner = [Descriptor.from_json(item) for item in _array(_object(store, descriptor), "manifests")]
            manifests |= {manifest.digest: manifest for manifest in _manifests(store, inner, depth - 1)}
    return list(manifests.values())


def _fits(manifest: Descriptor, platform: Platform) -> bool:
    found = manifest.platform
    return found is None or (found.os, found.architecture) == (platform.os, platform.architecture)


def _object(store: LocalStore, descriptor: Descriptor) -> dict[str, Any]:
    if descriptor.size > _MAX_JSON_BYTES:
        raise InvalidArgument(f"{descriptor.digest} has {descriptor.size} bytes, at most {_MAX_JSON_BYTES}")
    with contextlib.closing(store.reader(descriptor)) as reader:
        verifier = Verifier(reader, descriptor)
        content = b"".join(iter(lambda: verifier.read(_MAX_JSON_BYTES), b""))
    return _parse(descriptor.digest, content)


def _parse(name: str, content: bytes) -> dict[str, Any]:
    try:
        value = json.loads(content)
    except ValueError as error:
        raise InvalidArgument(f"{name} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise InvalidArgument(f"{name} is not a JSON object")
    return value


def _array(value: dict[str, Any], name: str) -> list[Any]:
    items = value.get(name)
    if items is None:
        return []
    if not isinstance(items, list):
        raise InvalidArgument(f"{name} is not a JSON array")
    return items
