"""The way from a blob of any layer media type to the plain tar: a chain of stream processors.

Each processor takes a stream of a media type and gives one of another, until it is a plain OCI layer tar.

Source: containerd core/diff.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from . import errdefs, media_types
from ._decompress import decompress
from .descriptor import Descriptor
from .errdefs import InvalidArgument, NoProcessor
from .io import Readable

__all__ = [
    "PROCESSORS",
    "ApplyConfig",
    "ApplyOpt",
    "BinaryProcessor",
    "Decompressor",
    "Payload",
    "Processor",
    "Readable",
    "Stream",
    "decompress",
    "ocicrypt_decoders",
    "open_plain_tar",
    "with_blob_check",
    "with_decryption",
    "with_diff_id",
    "with_payloads",
    "with_progress",
    "with_sync_fs",
]


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
    """

    media_type: str
    reader: Readable
    close: Callable[[], None] = lambda: None


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


@dataclass(frozen=True, slots=True)
class BinaryProcessor:
    """Runs a program: the stream in at its standard input, out at its standard output.

    The payload of this processor's id, if there is one, can be read from file descriptor 3 (on Windows from
    the named pipe in STREAM_PROCESSOR_PIPE); STREAM_PROCESSOR_MEDIATYPE holds the input's media type. If the
    program fails, so does reading from the stream, with what it wrote to its standard error.

    Attributes:
        id: name of this processor, by which payloads are found.
        accepts: media types of the input.
        returns: media type of the output.
        path: of the program, looked for in PATH.
        args: its arguments.
        env: "NAME=value" to add to its environment.

    Source: containerd core/diff/stream_unix.go and stream_windows.go.
    """

    id: str
    accepts: tuple[str, ...]
    returns: str
    path: str
    args: tuple[str, ...] = ()
    env: tuple[str, ...] = ()

    def open(self, stream: Stream, payloads: Mapping[str, Payload]) -> Stream | None:
        """Start the program."""
        if stream.media_type not in self.accepts:
            return None
        from ._process import ProcessReader

        payload = payloads.get(self.id)
        reader = ProcessReader(
            self.id,
            [self.path, *self.args],
            env=(*self.env, f"STREAM_PROCESSOR_MEDIATYPE={stream.media_type}"),
            payload=None if payload is None else payload.encode(),
            source=stream.reader,
        )
        return Stream(self.returns, reader, reader.close)


# Asked in this order, after those that the caller gives. A processor is added here, in one line.
PROCESSORS: tuple[Processor, ...] = (Decompressor(),)


@contextlib.contextmanager
def open_plain_tar(
    blob: Readable,
    media_type: str,
    *,
    processors: Sequence[Processor] = (),
    payloads: Mapping[str, Payload] | None = None,
) -> Iterator[Readable]:
    """Open a blob as a plain tar.

    Args:
        blob: binary file object at the start of the blob; not closed.
        media_type: of the blob.
        processors: asked before the ones that are built in; among several that fit, the first is taken.
        payloads: for the processors, by their ids.

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


@dataclass(slots=True)
class ApplyConfig:
    """What apply options set.

    Attributes:
        processor_payloads: by processor id.
        sync_fs: the caller wants the file system synced; layer.vhd is always synced, so it changes nothing.
        progress: called often, with the number of bytes of the plain tar so far.
        check_blob: compare the blob's digest and size with its descriptor.
        diff_id: digest that the plain tar must have, "" for any.
    """

    processor_payloads: dict[str, Payload] = field(default_factory=dict)
    sync_fs: bool = False
    progress: Callable[[int], object] | None = None
    check_blob: bool = True
    diff_id: str = ""


ApplyOpt = Callable[[ApplyConfig], None]


def with_payloads(payloads: Mapping[str, Payload]) -> ApplyOpt:
    """Give payloads to processors, by their ids."""

    def option(config: ApplyConfig) -> None:
        for name, payload in payloads.items():
            if not isinstance(payload, Payload):
                raise InvalidArgument(f"payload of processor {name!r} is not a Payload")
        config.processor_payloads.update(payloads)

    return option


def with_sync_fs(sync_fs: bool) -> ApplyOpt:
    """Ask for the file system to be synced."""

    def option(config: ApplyConfig) -> None:
        config.sync_fs = sync_fs

    return option


def with_progress(progress: Callable[[int], object] | None) -> ApplyOpt:
    """Report the number of bytes of the plain tar so far; an exception from the callback ends the apply."""

    def option(config: ApplyConfig) -> None:
        config.progress = progress

    return option


def with_blob_check(check_blob: bool) -> ApplyOpt:
    """Turn off, or on, that the blob is compared with its descriptor (containerd leaves that to others)."""

    def option(config: ApplyConfig) -> None:
        config.check_blob = check_blob

    return option


def with_diff_id(diff_id: str) -> ApplyOpt:
    """Apply only if the plain tar has this digest, as the image's config gives it."""

    def option(config: ApplyConfig) -> None:
        config.diff_id = diff_id

    return option


def ocicrypt_decoders(
    keys_path: str = "/etc/containerd/ocicrypt/keys",
    *,
    path: str = "ctd-decoder",
    env: tuple[str, ...] = (
        "OCICRYPT_KEYPROVIDER_CONFIG=/etc/containerd/ocicrypt/ocicrypt_keyprovider.conf",
    ),
) -> tuple[BinaryProcessor, ...]:
    """Give the processors of encrypted layers that containerd has by default.

    Args:
        keys_path: directory of private keys.
        path: of the decoder.
        env: "NAME=value" to add to its environment.

    Source: containerd cmd/containerd/command/config.go (streamProcessors).
    """
    args = ("--decryption-keys-path", keys_path)
    encrypted, gzip = "+encrypted", media_types.OCI_LAYER_GZIP
    return (
        BinaryProcessor(_GZIP_DECODER_ID, (gzip + encrypted,), gzip, path, args, env),
        BinaryProcessor(
            _DECODER_ID, (media_types.OCI_LAYER + encrypted,), media_types.OCI_LAYER, path, args, env
        ),
    )


def with_decryption(descriptor: Descriptor, private_keys: Sequence[bytes] = ()) -> ApplyOpt:
    """Tell the decoders of encrypted layers about a layer: without its annotations they can do nothing.

    Args:
        descriptor: of the encrypted blob.
        private_keys: keys without passwords, as in their files, besides those that the decoder finds itself.

    Source: containerd imgcrypt, payload.go and images/encryption/client.go.
    """
    import base64
    import json

    keys = [base64.b64encode(key).decode() for key in private_keys]
    parameters = {"privkeys": keys, "privkeys-passwords": [""] * len(keys)} if keys else {}
    value = {
        "DecryptConfig": {"Parameters": parameters},
        "Descriptor": descriptor.to_json(),
    }
    payload = Payload("io.containerd.ocicrypt.v1.Payload", json.dumps(value).encode())
    return with_payloads(dict.fromkeys((_DECODER_ID, _GZIP_DECODER_ID), payload))


_DECODER_ID = "io.containerd.ocicrypt.decoder.v1.tar"
_GZIP_DECODER_ID = _DECODER_ID + ".gzip"


def _varint(value: int) -> bytes:
    """Give a number in protobuf's encoding: 7 bits a byte, lowest first, bit 7 set in all but the last."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
