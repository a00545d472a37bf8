"""What a conversion can be asked for: the names in the record that crosses into a core, as what they stand for."""

from __future__ import annotations

import enum
from typing import TypeVar

from ..errdefs import InvalidArgument, quote
from ..options import Options, VerityOptions
from .container import Container
from .ext4.layout import Layout
from .ext4.layout.hcsshim import HCSSHIM
from .faults import ALL, NONE, FaultSet
from .verity import parameters
from .verity.device import Device
from .verity.tree import Spill

__all__ = [
    "Options",
    "Payload",
    "VerityOptions",
    "check",
    "container",
    "device",
    "layout",
    "payload",
    "reproduced",
    "spill",
]


class Payload(enum.Enum):
    """What the input is, and so what the payload of the container becomes."""

    TAR = "tar"  # a layer tar, which becomes an ext4 image
    RAW = "raw"  # any bytes, taken as they are


# All layouts.
_LAYOUTS = (HCSSHIM,)

_E = TypeVar("_E", bound=enum.Enum)


def check(options: Options) -> None:
    """Raise InvalidArgument where a name is none that is known."""
    payload(options)
    layout(options)
    container(options)


def payload(options: Options) -> Payload:
    """Return what the input is."""
    return _by_name("payload", Payload, options.payload)


def layout(options: Options) -> Layout:
    """Return how the image is laid out."""
    for one in _LAYOUTS:
        if one.name == options.layout:
            return one
    raise _unknown("layout", options.layout, [one.name for one in _LAYOUTS])


def container(options: Options) -> Container:
    """Return what is put around the image."""
    return _by_name("container", Container, options.container)


def reproduced(options: Options) -> FaultSet:
    """Return the faults of hcsshim that are wanted in the image."""
    return ALL if options.reproduce_defects else NONE


def _by_name(option: str, kind: type[_E], name: str) -> _E:
    for one in kind:
        if one.value == name:
            return one
    raise _unknown(option, name, [one.value for one in kind])


def _unknown(option: str, name: str, known: list[str]) -> InvalidArgument:
    names = " or ".join(f'"{one}"' for one in known)
    return InvalidArgument(f"{option} is {quote(name.encode('utf-8', 'surrogateescape'))}, not {names}")


def device(options: Options) -> Device | None:
    """Return the hashes that are wanted with the image."""
    return None if options.verity is None else device_of(options.verity)


def device_of(verity: VerityOptions) -> Device:
    """Return the hashes that are wanted."""
    checked = parameters(verity.algorithm, verity.data_block_size, verity.hash_block_size, verity.salt)
    checked = checked._replace(level_for_one_block=verity.level_for_one_block)
    return Device(checked, verity.superblock, verity.uuid)


def spill(options: Options) -> Spill | None:
    """Return the place for what does not stay in memory of a tree."""
    return None if options.verity is None else options.verity.spill
