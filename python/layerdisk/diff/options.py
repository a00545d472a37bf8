"""What an apply can be told, as functions: the older form of the keywords of `LcowDiffer.apply`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from ..cancel import Cancel
from ..errdefs import InvalidArgument
from .chain import Payload


@dataclass(slots=True)
class ApplyConfig:
    """What apply options set; the keywords of `LcowDiffer.apply` have the same meaning.

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
    cancel: Cancel | None = None
    blob_progress: Callable[[int], object] | None = None

    def add_payloads(self, payloads: Mapping[str, Payload]) -> None:
        """Add payloads by processor id.

        Raises:
            InvalidArgument: one of them is not a Payload.
        """
        for name, payload in payloads.items():
            if not isinstance(payload, Payload):
                raise InvalidArgument(f"payload of processor {name!r} is not a Payload")
        self.processor_payloads.update(payloads)


ApplyOpt = Callable[[ApplyConfig], None]


def with_payloads(payloads: Mapping[str, Payload]) -> ApplyOpt:
    """Return the option for the keyword `payloads`."""
    return lambda config: config.add_payloads(payloads)


def with_sync_fs(sync_fs: bool) -> ApplyOpt:
    """Return the option for the keyword `sync_fs`."""
    return lambda config: setattr(config, "sync_fs", sync_fs)


def with_progress(progress: Callable[[int], object] | None) -> ApplyOpt:
    """Return the option for the keyword `progress`."""
    return lambda config: setattr(config, "progress", progress)


def with_blob_check(check_blob: bool) -> ApplyOpt:
    """Return the option for the keyword `check_blob`."""
    return lambda config: setattr(config, "check_blob", check_blob)


def with_diff_id(diff_id: str) -> ApplyOpt:
    """Return the option for the keyword `diff_id`."""
    return lambda config: setattr(config, "diff_id", diff_id)


def with_cancel(cancel: Cancel | None) -> ApplyOpt:
    """Return the option for the keyword `cancel`."""
    return lambda config: setattr(config, "cancel", cancel)


def with_blob_progress(progress: Callable[[int], object] | None) -> ApplyOpt:
    """Return the option for the keyword `blob_progress`."""
    return lambda config: setattr(config, "blob_progress", progress)
