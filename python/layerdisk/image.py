"""Images in an OCI image layout, and all of their layers as disks."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ._jobs import Jobs
from .cancel import Cancellation
from .descriptor import Descriptor, Platform
from .diff import ApplyOpt, with_blob_progress, with_cancel, with_diff_id, with_progress
from .io import TEMPORARY_SUFFIX
from .lcow import LAYER_FILE, MOUNT_TYPE, LcowDiffer, grant_vm_group_access
from .media_types import is_encrypted
from .mount import Mount
from .platforms import parse_platform
from .sources.choose import find_image
from .sources.layout import LayoutDirectory
from .sources.manifest import Image, Layer

if TYPE_CHECKING:
    from .cache import Cache

__all__ = ["AppliedLayer", "Image", "Layer", "LayerProgress", "apply_image", "read_image"]


@dataclass(frozen=True, slots=True)
class AppliedLayer:
    """A layer on disk.

    Attributes:
        source: of the blob.
        applied: of the plain tar.
        path: of the file.
        is_cached: it was copied from a cache; then its blob was not read.
    """

    source: Descriptor
    applied: Descriptor
    path: str
    is_cached: bool = False


@dataclass(frozen=True, slots=True)
class LayerProgress:
    """How far one layer of an image is.

    Attributes:
        index: of the layer in the image, 0 for the lowest.
        layer: which it is; `layer.descriptor.size` is the size of its blob in bytes.
        blob_bytes: bytes of the blob read so far.
        tar_bytes: bytes of the plain tar converted so far.
        is_done: the layer's disk is complete.
    """

    index: int
    layer: Layer
    blob_bytes: int = 0
    tar_bytes: int = 0
    is_done: bool = False


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
    cache: Cache | None = None,
    progress: Callable[[int], object] | None = None,
    layer_progress: Callable[[LayerProgress], object] | None = None,
    cancel: Cancellation | None = None,
) -> tuple[AppliedLayer, ...]:
    """Apply every layer of an image, several at a time, each to a folder of its own.

    A failure, Ctrl-C and `cancel` end it within half a second, also where a layer waits for a program; the folders
    of the layers that are not complete are removed.

    Args:
        image: from `read_image`.
        directory: where the folders go; they are named by diffID, with "-" for ":".
        make_differ: called once for every blob.
        options: apply options for each layer's blob, such as its payloads.
        workers: layers at a time; by default as many as there are processors.
        cache: where disks are taken from and stored, except those of encrypted layers. Whose disk is there is told by
            the diffID in the image's config; that the blob has that diffID is checked when it is converted only.
        progress: called with the bytes of all plain tars together so far; its exceptions end the work.
        layer_progress: called with how far one layer is; its exceptions end the work. Neither is called by two
            threads at once.
        cancel: ends the work from outside.

    Returns:
        The layers in the image's order; a blob that is there twice is applied once.

    Raises:
        FailedPrecondition: a layer is not the one that the config names.
        Canceled: `cancel` was canceled.
        LayerdiskError: as LcowDiffer.apply; the first error, after which the other layers are given up.
    """
    stop = Cancellation()
    folders = _folders(image, directory)
    report = _Report(progress, layer_progress)

    def apply(folder: _Folder) -> dict[int, AppliedLayer]:
        with folder:
            return {index: apply_layer(folder.path, index, layer) for index, layer in folder.layers.items()}

    def apply_layer(path: str, index: int, layer: Layer) -> AppliedLayer:
        differ = make_differ()
        disk = os.path.join(path, LAYER_FILE)

        def convert() -> dict[str, Any]:
            return differ.apply(
                layer.descriptor,
                [Mount(MOUNT_TYPE, path, options=("rw", "parentLayerPaths=null"))],
                with_progress(lambda count: report.update(index, layer, tar_bytes=count)),
                with_blob_progress(lambda count: report.update(index, layer, blob_bytes=count)),
                with_diff_id(layer.diff_id),
                with_cancel(stop),
                *options(layer.descriptor),
            ).to_json()

        if cache is None or is_encrypted(layer.descriptor.media_type):
            applied, is_cached = convert(), False
        else:
            cached = cache.result(layer.diff_id, differ.conversion, convert, disk=disk, cancel=stop)
            applied, is_cached = cached.result, cached.is_hit
            if is_cached:
                grant_vm_group_access(disk)
                report.update(index, layer, blob_bytes=layer.descriptor.size)
        report.update(index, layer, is_done=True)
        return AppliedLayer(layer.descriptor, Descriptor.from_json(applied), disk, is_cached)

    jobs = Jobs(
        [functools.partial(apply, folder) for folder in folders], workers or os.cpu_count() or 1, stop
    )
    with cancel.calling(lambda: stop.cancel(cancel.reason)) if cancel else contextlib.nullcontext():
        try:
            applied = {index: layer for done in jobs.run() for index, layer in done.items()}
        except Exception:
            if report.failure is not None:  # as it is, whatever class the differ gave it
                raise report.failure from None
            raise
        finally:
            for number in jobs.unfinished:
                folders[number].remove()
    return tuple(applied[index] for index in _first_of_each(image))


class _Folder:
    """The folder of one diffID, and the blobs that must all give it, by their layers' numbers.

    Leaving the context with an error removes the folder if it was made here and no disk is complete in it.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.layers: dict[int, Layer] = {}
        self._is_new = False

    def __enter__(self) -> None:
        os.makedirs(os.path.dirname(self.path), exist_ok=True)
        with contextlib.suppress(FileExistsError):
            os.mkdir(self.path)
            self._is_new = True

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self.remove()

    def remove(self) -> None:
        """Remove what is not complete; the thread that writes it may hang."""
        if not self._is_new:
            return
        with contextlib.suppress(OSError):
            for name in os.listdir(self.path):
                if name.endswith(TEMPORARY_SUFFIX):
                    os.unlink(os.path.join(self.path, name))
            os.rmdir(self.path)


def _folders(image: Image, directory: str | os.PathLike[str]) -> list[_Folder]:
    folders: dict[str, _Folder] = {}
    for index in dict.fromkeys(_first_of_each(image)):
        layer = image.layers[index]
        path = os.path.join(directory, layer.diff_id.replace(":", "-"))
        folders.setdefault(layer.diff_id, _Folder(path)).layers[index] = layer
    return list(folders.values())


def _first_of_each(image: Image) -> list[int]:
    """Return for each layer the number of the first one that has the same blob and diffID."""
    first: dict[tuple[str, str, str], int] = {}
    return [
        first.setdefault((layer.diff_id, layer.descriptor.digest, layer.descriptor.media_type), index)
        for index, layer in enumerate(image.layers)
    ]


class _Report:
    """Gathers the progress of all layers, and calls back from one thread at a time.

    Attributes:
        failure: exception of a callback.
    """

    def __init__(
        self,
        progress: Callable[[int], object] | None,
        layer_progress: Callable[[LayerProgress], object] | None,
    ) -> None:
        self._progress = progress
        self._layer_progress = layer_progress
        self._guard = threading.Lock()
        self._layers: dict[int, LayerProgress] = {}
        self._tar_bytes = 0
        self.failure: Exception | None = None

    def update(self, index: int, layer: Layer, **changes: Any) -> None:
        """Take in what has changed of one layer."""
        if self._progress is None and self._layer_progress is None:
            return
        with self._guard:
            before = self._layers.get(index, LayerProgress(index, layer))
            after = self._layers[index] = dataclasses.replace(before, **changes)
            self._tar_bytes += after.tar_bytes - before.tar_bytes
            try:
                if self._progress is not None and "tar_bytes" in changes:
                    self._progress(self._tar_bytes)
                if self._layer_progress is not None:
                    self._layer_progress(after)
            except Exception as error:
                self.failure = self.failure or error
                raise
