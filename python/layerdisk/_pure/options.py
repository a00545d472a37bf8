"""What a conversion can be asked for."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from ..errdefs import InvalidArgument, quote
from .ext4.rules import HCSSHIM, HCSSHIM_DEFECTS, Rules


class Vhd(enum.Enum):
    """Whether there is a footer: none, one behind the image, one behind the input as it is."""

    NONE = 0
    APPEND = 1
    ONLY = 2


@dataclass(frozen=True, slots=True)
class Options:
    """The options of one conversion.

    Attributes:
        maximum_disk_size: in bytes; 0 and values out of range as `layout.maximum_disk_size` takes them.
        vhd_unique_id: None: derived from the content.
        sync: return only when the output is on stable storage.
    """

    convert_whiteout: bool
    convert_backslash: bool
    inline_data: bool
    maximum_disk_size: int
    vhd: Vhd
    rules: Rules
    vhd_unique_id: bytes | None
    sync: bool


def vhd_from_number(number: int) -> Vhd:
    """Give the value for 0 none, 1 append, 2 only."""
    try:
        return Vhd(number)
    except ValueError:
        raise InvalidArgument(f"vhd is {number}, not 0, 1 or 2") from None


def rules(layout: str, reproduce_defects: bool) -> Rules:
    """Give the rules of a layout by its name."""
    if layout != "hcsshim":
        raise InvalidArgument(f'layout is {quote(layout.encode())}, not "hcsshim"')
    return HCSSHIM_DEFECTS if reproduce_defects else HCSSHIM
