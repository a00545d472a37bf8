"""What is put around an image. A container sees bytes and a length only."""

from __future__ import annotations

import enum
from collections.abc import Callable

from ..sink import Sink
from . import vhd


class Container(enum.Enum):
    """What the payload is put into; the values are the names of the option."""

    RAW = "raw"  # nothing: the payload is the output
    VHD = "vhd"  # a fixed VHD: the payload and a footer

    def payload_offset(self) -> int:
        """Return where the payload starts in the output, in bytes."""
        match self:
            case Container.RAW | Container.VHD:
                return 0

    def epilogue(self, sink: Sink, length: int, unique_id: Callable[[], bytes]) -> int:
        """Write what goes after a payload of `length` bytes; return the length of the whole.

        `unique_id` is only asked for where the container has one.
        """
        match self:
            case Container.RAW:
                return length
            case Container.VHD:
                sink.write_at(length, memoryview(vhd.footer(length, unique_id())))
                return length + vhd.FOOTER_LEN
