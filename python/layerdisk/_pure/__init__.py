"""The pure-Python core: interface, bytes and errors of the Rust one, with the standard library only.

The modules have the names of those in rust/core/src; python/layerdisk/_core.py says what each function does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import options as _options
from .container import vhd as _vhd
from .convert import convert as _convert
from .ext4 import superblock as _superblock
from .pipeline import Source as _Source
from .sink.file import FileSink as _FileSink

__all__ = ["convert", "read_superblock", "vhd_footer", "vhd_unique_id"]

_RawResult = tuple[str, int, int, int, int, int, list[tuple[str, bytes, int, str, bool]]]


def convert(
    reader: Any,
    sink: Any,
    convert_whiteout: bool,
    convert_backslash: bool,
    inline_data: bool,
    maximum_disk_size: int,
    vhd: int,
    layout: str,
    reproduce_defects: bool,
    vhd_unique_id: bytes | None,
    progress: Callable[[int], object] | None,
    sync: bool,
) -> _RawResult:
    """Convert a tar; gives digest, size, image_size, blocks, inodes, directories, findings."""
    options = _options.Options(
        convert_whiteout=convert_whiteout,
        convert_backslash=convert_backslash,
        inline_data=inline_data,
        maximum_disk_size=maximum_disk_size,
        vhd=_options.vhd_from_number(vhd),
        rules=_options.rules(layout, reproduce_defects),
        vhd_unique_id=vhd_unique_id,
        sync=sync,
    )
    place = _FileSink(sink) if isinstance(sink, int) else sink
    return _convert(_Source(reader, progress), place, options)


def vhd_footer(size: int, unique_id: bytes) -> bytes:
    """Give the 512-byte footer of an image of `size` bytes."""
    return _vhd.footer(size, unique_id)


def vhd_unique_id(content: str) -> bytes:
    """Give the 16-byte unique id that belongs to a content."""
    return _vhd.unique_id(content)


def read_superblock(start: bytes) -> dict[str, int | bytes]:
    """Read an ext4 superblock from the first 2048 bytes of an image; InvalidArgument if there is none."""
    return _superblock.read(start)
