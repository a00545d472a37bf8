"""The chain of stream processors, from a blob of any layer media type to the plain tar.

Source: containerd core/diff/stream.go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from .. import errdefs, media_types
from ..cancel import Cancel, checker
from ..decompress import MAX_WINDOW_BYTES, decompress, uncompressed
from ..errdefs import NoProcessor
from ..io import Readable
from ..names import quote_text


@dataclass(frozen=True, slots=True)
class Payload:
    """What a processor is told about one layer: google.protobuf.Any, without its library.

    Attributes:
        type_url: names the type of the value.
        value: serialised.
    """

    type_url: str
    value: bytes = field(repr=False)  # it may hold private keys

    def encode(self) -> bytes:
        """Return the message: field 1 the type URL, field 2 the value, an empty one left out.

        Source: https://protobuf.dev/programming-guides/encoding/.
        """
        fields = ((1, self.type_url.encode()), (2, self.value))
        return b"".join(
            bytes([number << 3 | 2]) + _varint(len(data)) + data for number, data in fields if data
        )


@dataclass(frozen=True, slots=True)
class Stream:
    """A link of the chain.

    Attributes:
        media_type: of what `reader` gives.
        reader: whose `read` fails, and does not just end, where the link or one before it failed.
        close: lets go of the link at once, whether it has finished or not.
        interrupt: called from any thread: makes a read that waits end soon. Every link is interrupted before
            the first is closed, so that none waits for another.
        check: called by whoever waits; raises Canceled when nobody wants the result any more. The chain sets it.
    """

    media_type: str
    reader: Readable
    close: Callable[[], None] = lambda: None
    interrupt: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None


class Processor(Protocol):
    """Turns a stream of one media type into one of another."""

    def open(self, stream: Stream, payloads: Mapping[str, Payload]) -> Stream | None:
        """Return the next link, or None if the media type is not this processor's."""


@dataclass(frozen=True, slots=True)
class Decompressor:
    """Makes the plain tar of layers whose media type says that they may be compressed.

    The magic tells whether and how they are, as in containerd, except for types that are plain by their name.
    Unlike containerd, data with a suffix that is not known here, such as "+encrypted", is refused and not
    given to the tar reader.

    Attributes:
        max_window_bytes: memory that a zstd stream may ask for. By default 512 MiB, as in containerd; put
            `Decompressor(max_window_bytes=...)` before the built-in one to allow less.
    """

    max_window_bytes: int = MAX_WINDOW_BYTES

    def open(self, stream: Stream, payloads: Mapping[str, Payload]) -> Stream | None:
        """Return the plain tar."""
        try:
            compression = media_types.diff_compression(stream.media_type)
        except errdefs.NotImplemented:
            return None
        _, suffixes = media_types.parse(stream.media_type)
        if not {*suffixes} <= {media_types.GZIP, media_types.ZSTD}:
            return None
        if compression == media_types.UNCOMPRESSED:
            plain = uncompressed(stream.reader)
        else:
            plain = decompress(stream.reader, max_window_bytes=self.max_window_bytes)
        return Stream(media_types.OCI_LAYER, plain)


# Asked in this order, after those that the caller gives. A processor is added here, in one line.
PROCESSORS: tuple[Processor, ...] = (Decompressor(),)


@contextlib.contextmanager
def open_plain_tar(
    blob: Readable,
    media_type: str,
    *,
    processors: Sequence[Processor] = (),
    payloads: Mapping[str, Payload] | None = None,
    cancel: Cancel | None = None,
) -> Iterator[Readable]:
    """Open a blob as a plain tar.

    Args:
        blob: binary file object at the start of the blob; not closed.
        media_type: of the blob.
        processors: asked before the ones that are built in; among several that fit, the first is taken.
        payloads: for the processors, by their ids.
        cancel: ends the reads of programs' links within 0.1 s, also those that wait.

    Yields:
        A reader, valid inside the context; leaving it closes every link and kills programs that still run.

    Raises:
        NoProcessor: no processor knows the media type, or they lead in a circle.
    """
    check = checker(cancel)
    with contextlib.ExitStack() as links, contextlib.ExitStack() as interrupts:
        stream, seen = Stream(media_type, blob, check=check), [media_type]
        while True:
            link = _next_link(stream, (*processors, *PROCESSORS), payloads or {})
            links.callback(link.close)
            interrupts.callback(link.interrupt)
            stream = replace(link, check=check)
            if stream.media_type == media_types.OCI_LAYER:
                break
            if stream.media_type in seen:
                circle = " -> ".join(map(quote_text, [*seen, stream.media_type]))
                raise NoProcessor(f"stream processors lead in a circle: {circle}")
            seen.append(stream.media_type)
        yield stream.reader


def _next_link(stream: Stream, processors: Sequence[Processor], payloads: Mapping[str, Payload]) -> Stream:
    for processor in processors:
        link = processor.open(stream, payloads)
        if link is not None:
            return link
    raise NoProcessor(f"no processor for media type {quote_text(stream.media_type)}")


def _varint(value: int) -> bytes:
    """Return a number in protobuf's encoding: 7 bits a byte, lowest first, bit 7 set in all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
