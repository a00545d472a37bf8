"""The LCOW differ: a layer from a content store becomes the layer.vhd of a snapshot.

Source: containerd plugins/diff/lcow/lcow.go.
"""

from __future__ import annotations

import contextlib
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import errdefs, media_types, tar2ext4
from ._vmgroup import grant_vm_group_access
from .cancel import Cancellation
from .content import ContentReader, Provider, Verifier
from .descriptor import Descriptor, Platform, linux_platform
from .diff import ApplyConfig, ApplyOpt, Processor, open_plain_tar
from .errdefs import FailedPrecondition, InvalidArgument, LayerdiskError, from_os_error
from .io import OutputFile, Readable
from .mount import Mount

if TYPE_CHECKING:
    from .options import Layout

__all__ = ["REGISTRATION", "LcowDiffer", "Registration", "grant_vm_group_access"]

_log = logging.getLogger(__name__)

MOUNT_TYPE = "lcow-layer"
LAYER_FILE = "layer.vhd"
DEFAULT_MAXIMUM_DISK_SIZE = 128 * 1024**3  # containerd's maxLcowVhdSizeGB, in bytes


class LcowDiffer:
    """Applies layers as containerd's plugin windows-lcow does.

    Args:
        store: where the blobs are.
        processors: stream processors, asked before the built-in decompression; among several that fit a media
            type, the first is taken.
        maximum_disk_size: of the ext4 file system, in bytes.
        layout: of the file system, as in tar2ext4.convert.
        reproduce_defects: as in tar2ext4.convert.
        core: "rust" or "python"; by default the best there is.
    """

    def __init__(
        self,
        store: Provider,
        *,
        processors: Sequence[Processor] = (),
        maximum_disk_size: int = DEFAULT_MAXIMUM_DISK_SIZE,
        layout: Layout = "hcsshim",
        reproduce_defects: bool = False,
        core: str | None = None,
    ) -> None:
        self._store = store
        self._processors = tuple(processors)
        self._maximum_disk_size = maximum_disk_size
        self._layout = layout
        self._reproduce_defects = reproduce_defects
        self._core = core

    def apply(self, desc: Descriptor, mounts: Sequence[Mount], *opts: ApplyOpt) -> Descriptor:
        """Write the layer that a descriptor points at to layer.vhd in the mount's source.

        The file appears under its name only when it is complete, checked and on disk; after an error an older
        one is as it was.

        Args:
            desc: of the blob, of any layer media type that the processors know.
            mounts: exactly one, of type "lcow-layer".
            opts: from layerdisk.diff: with_payloads, with_progress, with_blob_check, with_diff_id,
                with_cancel, with_blob_progress, with_sync_fs.

        Returns:
            The descriptor of the plain tar; its digest is the layer's diffID.

        Raises:
            InvalidArgument: not one mount, a bad option, a bad digest, a malformed tar.
            NotImplemented: a mount of another type; the caller may try another differ.
            NotFound: no such blob, or no such directory.
            NoProcessor: the media type is not to be had as a plain tar.
            DataLoss: the blob is damaged, short, or not what its descriptor says; a processor failed.
            Canceled: it was canceled.
            FailedPrecondition: the tar's digest is not the diffID asked for, or a reader was closed.
            ResourceExhausted: the disk is full, or the file system grows too large.
            LayerdiskError: anything else. Exceptions of callbacks pass through.
        """
        started = time.monotonic()
        config = _configured(opts)
        mount, _parents = mount_and_parents(mounts)  # a layer.vhd stands alone
        target = os.path.join(mount.source, LAYER_FILE)
        with (
            _canceled_first(config.cancel),
            _opened(self._store, desc, config) as blob,
            open_plain_tar(
                blob,
                desc.media_type,
                processors=self._processors,
                payloads=config.processor_payloads,
                cancel=config.cancel,
            ) as tar,
            _system_errors(f"failed to apply to {target}"),
            OutputFile(target) as output,
        ):
            result = tar2ext4.convert(
                tar,
                output.file,
                convert_whiteout=True,
                append_vhd_footer=True,
                maximum_disk_size=self._maximum_disk_size,
                layout=self._layout,
                reproduce_defects=self._reproduce_defects,
                progress=_progress(config),
                core=self._core,
            )
            _drain(tar, blob)
            _check_diff_id(result.digest, config.diff_id)
            if config.cancel is not None:
                config.cancel.check()
            grant_vm_group_access(output.temporary_path or target)  # renaming keeps the access list
            output.commit()
        _log_applied(desc, time.monotonic() - started)
        return Descriptor(media_types.OCI_LAYER, result.digest, result.size)

    def compare(self, lower: Sequence[Mount], upper: Sequence[Mount], *opts: object) -> Descriptor:
        """Not done by this differ, as in containerd.

        Raises:
            NotImplemented: always; it is a NotImplementedError too.
        """
        raise errdefs.NotImplemented("the LCOW differ cannot compare")


def mount_and_parents(mounts: Sequence[Mount]) -> tuple[Mount, tuple[str, ...]]:
    """Check the mounts of an apply.

    Returns:
        The one mount, and the directories of the parent layers, nearest first.

    Raises:
        InvalidArgument: not exactly one mount, or an option that is not JSON.
        NotImplemented: it is not of type "lcow-layer".
    """
    if len(mounts) != 1:
        raise InvalidArgument(
            f"number of mounts should always be 1 for Windows lcow-layers, and there are {len(mounts)}"
        )
    if mounts[0].type != MOUNT_TYPE:
        raise errdefs.NotImplemented(f'lcow does not support mounts of type "{mounts[0].type}"')
    return mounts[0], mounts[0].parent_layer_paths()


def _configured(opts: Sequence[ApplyOpt]) -> ApplyConfig:
    config = ApplyConfig()
    for opt in opts:
        opt(config)
    return config


@contextlib.contextmanager
def _opened(store: Provider, desc: Descriptor, config: ApplyConfig) -> Iterator[Readable]:
    """Open the blob, with a check on it unless that is turned off."""
    reader: ContentReader = store.reader(desc)
    with contextlib.closing(reader):
        counted = _Counted(reader, config.blob_progress) if config.blob_progress else reader
        yield Verifier(counted, desc) if config.check_blob else counted


class _Counted:
    """A reader that reports how much was read of it."""

    def __init__(self, reader: Readable, progress: Callable[[int], object]) -> None:
        self._reader = reader
        self._progress = progress
        self._seen = 0

    def read(self, size: int, /) -> bytes | None:
        piece = self._reader.read(size)
        self._seen += len(piece or b"")
        self._progress(self._seen)
        return piece


def _progress(config: ApplyConfig) -> Callable[[int], object] | None:
    """Return the callback of the conversion: it looks for cancellation too."""
    cancel, progress = config.cancel, config.progress
    if cancel is None:
        return progress

    def report(bytes_read: int) -> None:
        cancel.check()
        if progress is not None:
            progress(bytes_read)

    return report


@contextlib.contextmanager
def _canceled_first(cancel: Cancellation | None) -> Iterator[None]:
    """Raise Canceled in place of what the cancellation leads to, such as that a program was killed."""
    try:
        yield
    except Exception:
        if cancel is not None:
            cancel.check()
        raise


def _drain(tar: Readable, blob: Readable) -> None:
    """Read to the end of all, so that late errors of processors and of the blob's check come out."""
    while tar.read(1024 * 1024):
        pass  # the converter has read it all; this is for processors that are not ours
    while blob.read(1024 * 1024):
        pass  # a program may have left the end of its input


def _check_diff_id(digest: str, diff_id: str) -> None:
    if diff_id and digest != diff_id:
        raise FailedPrecondition(f"wrong diff id: the layer is {digest}, the image's config says {diff_id}")


@contextlib.contextmanager
def _system_errors(doing: str) -> Iterator[None]:
    """Give errors of the system, and of closed files, a class of ours."""
    try:
        yield
    except LayerdiskError:
        raise
    except OSError as error:
        raise from_os_error(error, doing) from error
    except ValueError as error:
        if "closed" not in str(error):
            raise
        raise FailedPrecondition(f"{doing}: {error}") from error


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
