"""The conversion: tar -> ext4 -> [verity] -> container."""

from __future__ import annotations

from typing import NamedTuple, assert_never

from ..errdefs import ConversionError
from . import options as choices
from .container import vhd
from .ext4.finish import finish
from .ext4.layout.groups import maximum_disk_size
from .ext4.storage import Storage, new_tree
from .faults import Fault, Faults, Finding
from .layer import LayerWriter
from .options import Options, Payload
from .pipeline import Source
from .sink import ImageSink, Sink
from .sink.output import Output
from .tar import CutEnd, Reader
from .verity.device import Stored
from .verity.leaves import Hashing, Leaves
from .verity.tree import Tree

# For a mere copy: more than any file has.
_UNLIMITED = 2**64


class Summary(NamedTuple):
    """Result of a conversion.

    Attributes:
        digest: SHA-256 of the plain tar to its last byte, in hexadecimal digits.
        size: of the tar in bytes.
        image_size: bytes of the file system, any footer left out.
    """

    digest: str
    size: int
    image_size: int
    blocks: int
    inodes: int
    directories: int
    findings: list[Finding]
    verity: Stored | None


class _Written(NamedTuple):
    image_size: int
    blocks: int
    inodes: int
    directories: int
    findings: list[Finding]


def convert(source: Source, sink: Sink | None, options: Options, own: Sink | None = None) -> Summary:
    """Convert what the source gives into an image in the sink, where there is one.

    Hashes, if they are wanted, follow the image unless they have a sink of their own.
    """
    payload, container, device = choices.payload(options), choices.container(options), choices.device(options)
    leaves = None if device is None else Leaves(Tree(device.parameters, choices.spill(options)))
    hashing = Hashing(sink, leaves)
    match payload:
        case Payload.TAR:
            written = _write_ext4(source, hashing, options)
        case Payload.RAW:
            written = _copy(source, hashing)
        case _:
            assert_never(payload)
    source.drain()
    stored = None
    length = written.image_size
    if device is not None and leaves is not None:
        stored = device.finish_image(leaves, length, own, sink)
        if own is not None:
            own.finish(stored.end, options.sync)
        elif sink is not None:
            length = stored.end
    summary = Summary(source.digest(), source.size, *written, stored)

    def unique_id() -> bytes:
        return options.vhd_unique_id or vhd.unique_id(_content_name(summary, options))

    if sink is not None:
        length = container.epilogue(sink, length, unique_id)
        sink.finish(length, options.sync)
    return summary


def _write_ext4(source: Source, sink: ImageSink, options: Options) -> _Written:
    faults = Faults(choices.reproduced(options))
    cut_end = CutEnd.ACCEPTED if faults.reproduces(Fault.B24CutPadding) else CutEnd.REFUSED
    reader = Reader(source.next_chunk, cut_end)
    maximum = maximum_disk_size(options.maximum_disk_size)
    tree = new_tree()
    storage = Storage(sink, choices.layout(options), maximum, options.inline_data, tree, faults)
    layer = LayerWriter(tree, storage, faults, options.convert_whiteout, options.convert_backslash)
    is_empty = True
    while (entry := reader.next_entry()) is not None:
        is_empty = False
        faults.enter(entry.name, entry.offset)
        try:
            layer.add(entry, reader)
        except ConversionError as error:
            raise _in_entry(error, entry.name, entry.offset) from None
    faults.enter(b"", reader.position())
    if is_empty and reader.has_trailing_data():
        faults.found(Fault.N17)
    if reader.ended_without_marker():
        faults.found(Fault.B24NoMarker)
    layer.finish()
    image = finish(tree, storage, faults)
    return _Written(image.size, image.blocks, image.inodes, image.directories, faults.findings)


def _copy(source: Source, sink: ImageSink) -> _Written:
    """Write the input as it is."""
    output = Output(sink, 0, _UNLIMITED)
    while (chunk := source.next_chunk()) is not None:
        output.write(chunk)
    output.finish()
    return _Written(output.position, 0, 0, 0, [])


def _in_entry(error: ConversionError, name: bytes, offset: int) -> ConversionError:
    """Add the entry, where the failure does not yet say where it is."""
    if error.offset is not None:
        return error
    return type(error)(error.message, name, offset, error.code)


def _content_name(summary: Summary, options: Options) -> str:
    """Return what the unique id is derived from: the input, and all that makes another image of it."""
    hashes = ""
    if summary.verity is not None and summary.verity.hash_offset:
        # Hashes on a device of their own do not change the image.
        hashes = f" verity={summary.verity.root.hex()} uuid={summary.verity.uuid.hex()}"
    match choices.payload(options):
        case Payload.RAW:
            return f"raw sha256:{summary.digest}{hashes}"
        case Payload.TAR:
            return (
                f"{choices.layout(options).name} sha256:{summary.digest}"
                f" whiteout={options.convert_whiteout:d}"
                f" backslash={options.convert_backslash:d} inline={options.inline_data:d}"
                f" reproduce={options.reproduce_defects:d}"
                f" maximum={maximum_disk_size(options.maximum_disk_size)}{hashes}"
            )
