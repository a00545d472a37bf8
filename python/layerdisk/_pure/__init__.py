"""The pure-Python core: interface, bytes and errors of the Rust one, with the standard library only.

The modules have the names of those in rust/core/src; python/layerdisk/_core.py says what each function does.
"""

from __future__ import annotations

import os as _os
from collections.abc import Callable, Sequence
from typing import Any

from . import options as _options
from .container import vhd as _vhd
from .convert import convert as _convert
from .ext4.format import superblock as _superblock
from .faults import Fault as _Fault
from .pipeline import Source as _Source
from .sink.file import FileSink as _FileSink
from .verity import superblock as _verity_superblock
from .verity.build import Data as _Data
from .verity.build import build as _build
from .verity.check import check as _check

__all__ = [
    "FAULTS",
    "convert",
    "read_superblock",
    "read_verity_superblock",
    "read_vhd_footer",
    "verity_build",
    "verity_check",
    "verity_superblock",
    "vhd_footer",
    "vhd_unique_id",
]

FAULTS = [(fault.name, fault.code, fault.text, fault.is_identical) for fault in _Fault]


def convert(
    reader: Any, sink: Any, options: _options.Options, progress: Callable[[int], object] | None
) -> dict[str, Any]:
    """Convert a tar; return the fields of the result."""
    _options.check(options)
    own = None if options.verity is None else _place(options.verity.sink)
    source = _Source(reader, progress)
    if isinstance(sink, int):
        with _FileSink(sink) as file:
            summary = _convert(source, file, options, own)
    else:
        if sink is not None:
            sink.start()
        summary = _convert(source, sink, options, own)
    findings = [
        (one.fault.code, one.entry, one.offset, one.message, one.fault.is_identical, one.count)
        for one in summary.findings
    ]
    verity = None if summary.verity is None else summary.verity._asdict()
    return summary._asdict() | {"findings": findings, "verity": verity}


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


def verity_build(
    source: Any,
    length: int | None,
    ranges: Sequence[tuple[int, int]],
    verity: _options.VerityOptions,
    offset: int,
    progress: Callable[[int], object] | None,
) -> dict[str, Any]:
    """Hash the blocks of some data, and store superblock and tree at an offset of the sink, if there is one."""
    device = _options.device_of(verity)
    data = _Data(_place(source), length, ranges)
    leaves, length = _build(data, device.parameters, verity.spill, progress or _unheard)
    sink = _place(verity.sink)
    return device.finish(leaves, length, sink, offset if sink is not None else 0)._asdict()


def verity_check(
    source: Any,
    ranges: Sequence[tuple[int, int]],
    verity: _options.VerityOptions,
    data_blocks: int,
    tree: Any,
    offset: int,
    progress: Callable[[int], object] | None,
) -> tuple[bytes, list[tuple[int, int]]]:
    """Check data against the tree at an offset of another source."""
    data = _Data(_place(source), None, ranges)
    parameters = _options.device_of(verity).parameters
    return _check(data, parameters, data_blocks, _place(tree), offset, progress or _unheard)


def verity_superblock(verity: _options.VerityOptions, data_blocks: int, root: bytes) -> bytes:
    """Return the 512 bytes of a superblock; the root is for its UUID, where that is derived."""
    device = _options.device_of(verity)
    uuid = device.uuid or _verity_superblock.uuid(device.parameters, data_blocks, root)
    return _verity_superblock.encode(device.parameters, data_blocks, uuid)


def read_verity_superblock(start: bytes) -> dict[str, Any]:
    """Read a superblock: algorithm, data_block_size, hash_block_size, salt, data_blocks, uuid."""
    read = _verity_superblock.read(start)
    fields = read.parameters._asdict() | {"data_blocks": read.data_blocks, "uuid": read.uuid}
    del fields["level_for_one_block"]
    return fields


def _unheard(_: int) -> None:
    pass


def _place(source: Any) -> Any:
    return _File(source) if isinstance(source, int) else source


class _File:
    """A regular file by its descriptor, as it is."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read_at(self, offset: int, size: int) -> bytes:
        """Return this many bytes; fewer only at the end."""
        data = _os.pread(self._descriptor, size, offset)
        while 0 < len(data) < size:
            more = _os.pread(self._descriptor, size - len(data), offset + len(data))
            if not more:
                break
            data += more
        return data

    def write_at(self, offset: int, data: memoryview) -> None:
        """Write all of the bytes."""
        while data:
            written = _os.pwrite(self._descriptor, data, offset)
            data, offset = data[written:], offset + written

    def finish(self, length: int, sync: bool) -> None:
        """Set the length."""
        _os.ftruncate(self._descriptor, length)
        if sync:
            _os.fsync(self._descriptor)
