"""The chain of stream processors, from a blob of any layer media type to the plain tar.

Source: containerd core/diff/stream.go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from .. import errdefs, media_types
from ..cancel import Cancellation
from ..decompress import decompress
from ..errdefs import NoProcessor
from ..io import Readable


@dataclass(frozen=True, slots=True)
class Payload:
    """What a processor is told about one layer: google.protobuf.Any, without its library.

    Attributes:
        type_url: names the type of the value.
        value: serialised.
    """

    type_url: str
    value: bytes

    def encode(self) -> bytes:
        """Give the message: field 1 the type URL, field 2 the value, an empty one left out.

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
        close: lets go of the link at once, whether it is through or not.
        interrupt: called from another thread: makes a read that waits end soon.
    """

    media_type: str
    reader: Readable
    close: Callable[[], None] = lambda: None
    interrupt: Callable[[], None] = lambda: None


class Processor(Protocol):
    """Turns a stream of one media type into one of another."""

    def open(self, stream: Stream, payloads: Mapping[str, Payload]) -> Stream | None:
        """Give the next link, or None if the media type is not this processor's."""


@dataclass(frozen=True, slots=True)
class Decompressor:
    """Makes the plain tar of layers whose media type says that they may be compressed.

    Whether and how they are is told by the magic, as in containerd. Only a type that is plain by its name is
    not looked at. Unlike containerd, data with a suffix that is not known here, such as "+encrypted", is
    refused and not given to the tar reader.
    """

    def open(self, stream: Stream, payloads: Mapping[str, Payload]) -> Stream | None:
        """Give the plain tar."""
        try:
            compression = media_types.diff_compression(stream.media_type)
        except errdefs.NotImplemented:
            return None
        _, suffixes = media_types.parse(stream.media_type)
        if not {*suffixes} <= {media_types.GZIP, media_types.ZSTD}:
            return None
        plain = stream.reader if compression == media_types.UNCOMPRESSED else decompress(stream.reader)
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
    cancel: Cancellation | None = None,
) -> Iterator[Readable]:
    """Open a blob as a plain tar.

    Args:
        blob: binary file object at the start of the blob; not closed.
        media_type: of the blob.
        processors: asked before the ones that are built in; among several that fit, the first is taken.
        payloads: for the processors, by their ids.
        cancel: ends the links' reads, also those that wait.

    Yields:
        A reader, valid inside the context; leaving it closes every link and kills programs that still run.

    Raises:
        NoProcessor: no processor knows the media type, or they lead in a circle.
    """
    with contextlib.ExitStack() as links:
        stream, seen = Stream(media_type, blob), [media_type]
        while True:
            stream = _next_link(stream, (*processors, *PROCESSORS), payloads or {})
            links.callback(stream.close)
            if cancel is not None:
                links.enter_context(cancel.calling(stream.interrupt))
            if stream.media_type == media_types.OCI_LAYER:
                break
            if stream.media_type in seen:
                circle = " -> ".join([*seen, stream.media_type])
                raise NoProcessor(f"stream processors lead in a circle: {circle}")
            seen.append(stream.media_type)
        yield stream.reader


def _next_link(stream: Stream, processors: Sequence[Processor], payloads: Mapping[str, Payload]) -> Stream:
    for processor in processors:
        link = processor.open(stream, payloads)
        if link is not None:
            return link
    raise NoProcessor(f'no processor for media type "{stream.media_type}"')


def _varint(value: int) -> bytes:
    """Give a number in protobuf's encoding: 7 bits a byte, lowest first, bit 7 set in all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
