"""What an apply can be told."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..cancel import Cancellation
from ..errdefs import InvalidArgument
from .chain import Payload


@dataclass(slots=True)
class ApplyConfig:
    """What apply options set.

    Attributes:
        processor_payloads: by processor id.
        sync_fs: the caller wants the file system synced; layer.vhd is always synced, so it changes nothing.
        progress: called often, with the number of bytes of the plain tar so far.
        check_blob: compare the blob's digest and size with its descriptor.
        diff_id: digest that the plain tar must have, "" for any.
        cancel: ends the apply from outside.
        blob_progress: called often, with the number of bytes of the blob so far.
    """

    processor_payloads: dict[str, Payload] = field(default_factory=dict)
    sync_fs: bool = False
    progress: Callable[[int], object] | None = None
    check_blob: bool = True
    diff_id: str = ""
    cancel: Cancellation | None = None
    blob_progress: Callable[[int], object] | None = None


ApplyOpt = Callable[[ApplyConfig], None]


def with_payloads(payloads: Mapping[str, Payload]) -> ApplyOpt:
    """Give payloads to processors, by their ids."""

    def option(config: ApplyConfig) -> None:
        for name, payload in payloads.items():
            if not isinstance(payload, Payload):
                raise InvalidArgument(f"payload of processor {name!r} is not a Payload")
        config.processor_payloads.update(payloads)

    return option


def with_sync_fs(sync_fs: bool) -> ApplyOpt:
    """Ask for the file system to be synced."""

    def option(config: ApplyConfig) -> None:
        config.sync_fs = sync_fs

    return option


def with_progress(progress: Callable[[int], object] | None) -> ApplyOpt:
    """Report the number of bytes of the plain tar so far; an exception from the callback ends the apply."""

    def option(config: ApplyConfig) -> None:
        config.progress = progress

    return option


def with_blob_check(check_blob: bool) -> ApplyOpt:
    """Turn off, or on, that the blob is compared with its descriptor (containerd leaves that to others)."""

    def option(config: ApplyConfig) -> None:
        config.check_blob = check_blob

    return option


def with_diff_id(diff_id: str) -> ApplyOpt:
    """Apply only if the plain tar has this digest, as the image's config gives it."""

    def option(config: ApplyConfig) -> None:
        config.diff_id = diff_id

    return option


def with_cancel(cancel: Cancellation | None) -> ApplyOpt:
    """End the apply with Canceled as soon as this is canceled, also where it waits for a program."""

    def option(config: ApplyConfig) -> None:
        config.cancel = cancel

    return option


def with_blob_progress(progress: Callable[[int], object] | None) -> ApplyOpt:
    """Report the number of bytes of the blob so far, of as many as its descriptor says."""

    def option(config: ApplyConfig) -> None:
        config.blob_progress = progress

    return option
