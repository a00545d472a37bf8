"""The conversion: tar -> ext4 -> container."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from ..errdefs import ConversionError
from .container import vhd
from .entry import Mapper
from .ext4.layout import maximum_disk_size
from .ext4.place import PlacingWriter
from .ext4.writer import Note
from .options import Options, Vhd
from .pipeline import Source
from .sink import Sink
from .sink.output import Output
from .tar import Reader

# For a mere copy: more than any file has.
_UNLIMITED = 2**64

# code, entry, offset, message, identical: where the image differs from hcsshim's, or where its bytes are
# hcsshim's although they are no good. The entry is empty for the layer as a whole.
Finding = tuple[str, bytes, int, str, bool]


class Summary(NamedTuple):
    """What came of a conversion.

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


class _Written(NamedTuple):
    sink: Sink
    image_size: int
    blocks: int
    inodes: int
    directories: int
    findings: list[Finding]


def convert(source: Source, sink: Sink, options: Options) -> Summary:
    """Convert the tar that the source gives into an image in the sink."""
    write = _copy if options.vhd is Vhd.ONLY else _write_ext4
    written = write(source, sink, options)
    source.drain()
    summary = Summary(source.digest(), source.size, *written[1:])
    length = summary.image_size
    if options.vhd is not Vhd.NONE:
        unique_id = options.vhd_unique_id or vhd.unique_id(_content_name(summary, options))
        sink.write_at(length, memoryview(vhd.footer(length, unique_id)))
        length += vhd.FOOTER_LEN
    sink.finish(length, options.sync)
    return summary


def _write_ext4(source: Source, sink: Sink, options: Options) -> _Written:
    reproduce = options.rules.reproduce
    maximum = maximum_disk_size(options.maximum_disk_size)
    writer = PlacingWriter(sink, options.rules, maximum, options.inline_data)
    reader = Reader(source.next_chunk, strict_end=not reproduce)
    mapper = Mapper(writer, options)
    findings: list[Finding] = []
    while (entry := reader.next_entry()) is not None:
        try:
            mapper.add(entry, reader)
        except ConversionError as error:
            raise _in_entry(error, entry.name, entry.offset) from None
        if mapper.notes or writer.notes:
            _report(findings, mapper.take_notes(), entry.name, entry.offset)
    end = reader.position()
    if reader.ended_without_marker() and not reproduce:
        _report(findings, [_NO_END_MARKER], b"", end)
    image = mapper.close()
    _report(findings, image.notes, b"", end)
    return _Written(image.sink, image.size, image.blocks, image.inodes, image.directories, findings)


def _copy(source: Source, sink: Sink, _: Options) -> _Written:
    """Write the input as it is."""
    output = Output(sink, 0, _UNLIMITED)
    while (chunk := source.next_chunk()) is not None:
        output.write(chunk)
    return _Written(output.finish(), output.position, 0, 0, 0, [])


def _in_entry(error: ConversionError, name: bytes, offset: int) -> ConversionError:
    """Add the entry, where the failure does not yet say where it is."""
    if error.offset is not None:
        return error
    return type(error)(error.message, name, offset, error.code)


def _report(findings: list[Finding], notes: Iterable[Note], entry: bytes, offset: int) -> None:
    findings.extend((note.code, entry, offset, note.message, note.identical) for note in notes)


_NO_END_MARKER = Note(
    code="B24", message="the archive ends without its end marker: it may be cut short", identical=True
)


def _content_name(summary: Summary, options: Options) -> str:
    """Give what the unique id is derived from: the input, and all that makes another image of it."""
    if options.vhd is Vhd.ONLY:
        return f"raw sha256:{summary.digest}"
    return (
        f"hcsshim sha256:{summary.digest} whiteout={options.convert_whiteout:d}"
        f" backslash={options.convert_backslash:d} inline={options.inline_data:d}"
        f" reproduce={options.rules.reproduce:d}"
        f" maximum={maximum_disk_size(options.maximum_disk_size)}"
    )
