"""The pure-Python core: interface, bytes and errors of the Rust one, with the standard library only.

The modules have the names of those in rust/core/src; python/layerdisk/_core.py says what each function does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import options as _options
from .container import vhd as _vhd
from .convert import convert as _convert
from .ext4.format import superblock as _superblock
from .faults import Fault as _Fault
from .pipeline import Source as _Source
from .sink.file import FileSink as _FileSink

__all__ = ["FAULTS", "convert", "read_superblock", "read_vhd_footer", "vhd_footer", "vhd_unique_id"]

FAULTS = [(fault.name, fault.code, fault.text, fault.is_identical) for fault in _Fault]


def convert(
    reader: Any, sink: Any, options: _options.Options, progress: Callable[[int], object] | None
) -> dict[str, Any]:
    """Convert a tar; return the fields of the result."""
    _options.check(options)
    source = _Source(reader, progress)
    if isinstance(sink, int):
        with _FileSink(sink) as file:
            summary = _convert(source, file, options)
    else:
        sink.start()
        summary = _convert(source, sink, options)
    findings = [
        (one.fault.code, one.entry, one.offset, one.message, one.fault.is_identical, one.count)
        for one in summary.findings
    ]
    return summary._asdict() | {"findings": findings}


def vhd_footer(size: int, unique_id: bytes) -> bytes:
    """Return the 512-byte footer of an image of `size` bytes."""
    return _vhd.footer(size, unique_id)


def vhd_unique_id(content: str) -> bytes:
    """Return the 16-byte unique id that belongs to a content."""
    return _vhd.unique_id(content)


def read_vhd_footer(end: bytes) -> dict[str, Any]:
    """Read a footer, the last 512 bytes of an image: the fields of VhdFooter; InvalidArgument if it is not one."""
    return _vhd.read(end)


def read_superblock(start: bytes) -> dict[str, int | bytes]:
    """Read an ext4 superblock from the first 2048 bytes of an image; InvalidArgument if there is none."""
    return _superblock.read(start)
