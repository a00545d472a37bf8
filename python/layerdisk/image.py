"""Images in an OCI image layout, and all of their layers as disks.

Source: OCI image-spec, image-layout.md, image-index.md, manifest.md, config.md.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass

from .descriptor import Descriptor, Platform
from .diff import ApplyOpt, with_diff_id, with_progress
from .errdefs import Canceled
from .lcow import LAYER_FILE, MOUNT_TYPE, LcowDiffer
from .mount import Mount
from .platforms import parse_platform
from .sources.choose import find_image
from .sources.layout import LayoutDirectory
from .sources.manifest import Image, Layer

__all__ = ["AppliedLayer", "Image", "Layer", "apply_image", "read_image"]


@dataclass(frozen=True, slots=True)
class AppliedLayer:
    """A layer on disk: its blob, the descriptor of its plain tar, and the file."""

    source: Descriptor
    applied: Descriptor
    path: str


def read_image(
    layout: str | os.PathLike[str], ref: str | None = None, platform: Platform | str | None = None
) -> Image:
    """Return an image of an OCI image layout; its manifest and config are checked by digest.

    Args:
        layout: directory of the layout.
        ref: a tag, a full name, a digest, or a name and a digest with "@" between; not needed where one image fits.
        platform: that the image must be for, also as text ("linux/arm64/v8"). By default that of Linux on this
            machine, or, where there is only one image, whatever that is for.

    Raises:
        NotFound: not a layout, no such image, or a missing blob.
        InvalidArgument: several images fit, or the layout is malformed.
        DataLoss: a blob is not what its descriptor says.
    """
    source = LayoutDirectory(layout)
    wanted = parse_platform(platform) if isinstance(platform, str) else platform
    return find_image(source, source.index(), ref, wanted, where=source.root)


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
