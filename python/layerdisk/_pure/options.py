"""What a conversion can be asked for: the names in the record that crosses into a core, as what they stand for."""

from __future__ import annotations

import enum
from typing import TypeVar

from ..errdefs import InvalidArgument, quote
from ..options import Options
from .container import Container
from .ext4.layout import Layout
from .ext4.layout.hcsshim import HCSSHIM
from .faults import ALL, NONE, FaultSet

__all__ = ["Options", "Payload", "check", "container", "layout", "payload", "reproduced"]


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
