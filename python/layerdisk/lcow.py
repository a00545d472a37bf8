"""The LCOW differ: a layer from a content store becomes the layer.vhd of a snapshot.

Source: containerd plugins/diff/lcow/lcow.go.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from . import errdefs, media_types, tar2ext4
from ._vmgroup import grant_vm_group_access
from .cancel import Cancel
from .content import Provider
from .decompress.stream import read_piece
from .descriptor import Descriptor, Platform, linux_platform
from .diff import ApplyConfig, ApplyOpt, Payload, Processor, open_plain_tar
from .diff.watch import Watch
from .errdefs import InvalidArgument
from .io import OutputFile, Readable
from .mount import Mount
from .names import quote_text

if TYPE_CHECKING:
    from .dmverity import Verity
    from .options import Layout

__all__ = ["REGISTRATION", "LcowDiffer", "Registration", "grant_vm_group_access"]

_log = logging.getLogger(__name__)

MOUNT_TYPE = "lcow-layer"
LAYER_FILE = "layer.vhd"
DEFAULT_MAXIMUM_DISK_SIZE = 128 * 1024**3  # containerd's maxLcowVhdSizeGB, in bytes
_DRAIN_BYTES = 1024 * 1024

CoreName: TypeAlias = Literal["rust", "python"]


class LcowDiffer:
    """Applies layers as containerd's plugin windows-lcow does; several threads may call it at once.

    Args:
        store: where the blobs are.
        processors: stream processors, asked before the built-in decompression; among several that fit a media
            type, the first is taken.
        maximum_disk_size: of the ext4 file system, in bytes.
        layout: of the file system, as in tar2ext4.convert.
        reproduce_defects: as in tar2ext4.convert.
        append_dm_verity: as in tar2ext4.convert: True, or a dmverity.Verity, makes layer.vhd a verity disk.
        core: by default the best one that is installed.
    """

    def __init__(
        self,
        store: Provider,
        *,
        processors: Sequence[Processor] = (),
        maximum_disk_size: int = DEFAULT_MAXIMUM_DISK_SIZE,
        layout: Layout = "hcsshim",
        reproduce_defects: bool = False,
        append_dm_verity: bool | Verity = False,
        core: CoreName | None = None,
    ) -> None:
        self._store = store
        self._processors = tuple(processors)
        self._conversion: dict[str, Any] = {
            "convert_whiteout": True,
            "append_vhd_footer": True,
            "append_dm_verity": append_dm_verity,
            "maximum_disk_size": maximum_disk_size,
            "layout": layout,
            "reproduce_defects": reproduce_defects,
        }
        self._core = core

    @property
    def conversion(self) -> Mapping[str, Any]:
        """All that makes other bytes of the same tar: keywords of tar2ext4.convert."""
        return MappingProxyType(self._conversion)

    def apply(
        self,
        desc: Descriptor,
        mounts: Sequence[Mount],
        *opts: ApplyOpt,
        progress: Callable[[int], object] | None = None,
        blob_progress: Callable[[int], object] | None = None,
        diff_id: str | None = None,
        check_blob: bool = True,
        payloads: Mapping[str, Payload] | None = None,
        sync_fs: bool = False,
        cancel: Cancel | None = None,
        on_result: Callable[[tar2ext4.ConvertResult], object] | None = None,
    ) -> Descriptor:
        """Write the layer that a descriptor points at to layer.vhd in the mount's source.

        The file appears under its name only when it is complete, checked and on disk; after an error an older
        one is as it was.

        Args:
            desc: of the blob, of any layer media type that the processors know.
            mounts: exactly one, of type "lcow-layer".
            opts: the keywords below in their older form, functions of layerdisk.diff such as `with_progress`.
            progress: called often, with the number of bytes of the plain tar so far.
            blob_progress: called often, with the number of bytes of the blob so far.
            diff_id: digest that the plain tar must have, as the image's config gives it.
            check_blob: compare the blob's digest and size with its descriptor (containerd leaves that to others).
            payloads: for processors, by their ids; see `decryption_payloads`.
            sync_fs: accepted as in containerd; layer.vhd is always synced.
            cancel: ends the apply within half a second, wherever it waits: a Cancellation, an Event, or a
                function that returns True then. It is called by several threads.
            on_result: called with the result of the conversion, its findings among it, before the file appears.

        Returns:
            The descriptor of the plain tar; its digest is the layer's diffID.

        Raises:
            InvalidArgument: not one mount, a bad option, a bad digest, a malformed tar.
            NotImplemented: a mount of another type; the caller may try another differ.
            NotFound: no such blob, or no such directory.
            NoProcessor: there is no way from the media type to a plain tar.
            DataLoss: the blob is damaged, short, or not what its descriptor says; a processor failed.
            Canceled: it was canceled.
            FailedPrecondition: the tar's digest is not the diffID asked for, or a reader was closed.
            ResourceExhausted: the disk is full, or the file system grows too large.
            DeadlineExceeded: a reader ran into a time-out.
            LayerdiskError: anything else. Exceptions of the three callbacks pass through as they are.
        """
        started = time.monotonic()
        config = ApplyConfig({}, sync_fs, progress, check_blob, diff_id or "", cancel, blob_progress)
        config.add_payloads(payloads or {})
        for opt in opts:
            opt(config)
        mount, _parents = mount_and_parents(mounts)  # a layer.vhd stands alone
        target = os.path.join(mount.source, LAYER_FILE)
        watch = Watch(config)
        with (
            watch.typed_errors(f"failed to apply to {target}"),
            watch.opened(self._store, desc, self._processors != ()) as blob,
            open_plain_tar(
                blob,
                desc.media_type,
                processors=self._processors,
                payloads=config.processor_payloads,
                cancel=watch.is_over,
            ) as plain,
            watch.tar(plain) as tar,
            OutputFile(target) as output,
        ):
            result = tar2ext4.convert(
                tar,
                output.file,
                **self._conversion,
                progress=watch.progress,
                core=self._core,
            )
            _drain(tar, blob)
            watch.check_diff_id(result.digest)
            if on_result is not None:
                on_result(result)
            watch.check()
            grant_vm_group_access(output.temporary_path or target)  # renaming keeps the access list
            output.commit()
        _log_applied(desc, time.monotonic() - started)
        return Descriptor(media_types.OCI_LAYER, result.digest, result.size)

    def compare(self, lower: Sequence[Mount], upper: Sequence[Mount], *opts: object) -> Descriptor:
        """Raise NotImplemented: this differ does not compare, as in containerd.

        Raises:
            NotImplemented: always; it is a NotImplementedError too.
        """
        raise errdefs.NotImplemented("the LCOW differ cannot compare")


def mount_and_parents(mounts: Sequence[Mount]) -> tuple[Mount, tuple[str, ...]]:
    """Check the mounts of an apply and return what they name.

    Returns:
        The one mount, and the directories of the parent layers, nearest first.

    Raises:
        InvalidArgument: not exactly one mount, or an option that is not JSON.
        NotImplemented: it is not of type "lcow-layer".
    """
    if len(mounts) != 1:
        raise InvalidArgument(
            f"number of mounts should always be 1 for Windows lcow-layers, but there are {len(mounts)}"
        )
    if mounts[0].type != MOUNT_TYPE:
        raise errdefs.NotImplemented(f"lcow does not support mounts of type {quote_text(mounts[0].type)}")
    return mounts[0], mounts[0].parent_layer_paths()


def _drain(tar: Readable, blob: Readable) -> None:
    """Read to the end of all, so that late errors of processors and of the blob's check come out."""
    while read_piece(tar, _DRAIN_BYTES):
        pass  # the converter has read it all; this is for processors that are not ours
    while read_piece(blob, _DRAIN_BYTES):
        pass  # a program may have left the end of its input


def _log_applied(desc: Descriptor, duration: float) -> None:
    fields = {"d": duration, "digest": desc.digest, "size": desc.size, "media": desc.media_type}
    _log.debug("diff applied", extra=fields)


@dataclass(frozen=True, slots=True)
class Registration:
    """What a plugin says of itself.

    Attributes:
        type: of the plugin.
        id: its name within the type.
        requires: types of plugins that it needs.
        platforms: what the layers are for, that it exports.
        init: makes the differ for a content store.
    """

    type: str
    id: str
    requires: tuple[str, ...]
    platforms: tuple[Platform, ...]
    init: Callable[[Provider], LcowDiffer]


REGISTRATION = Registration(
    type="io.containerd.differ.v1",
    id="windows-lcow",
    requires=("io.containerd.metadata.v1",),
    platforms=(linux_platform(),),
    init=LcowDiffer,
)
