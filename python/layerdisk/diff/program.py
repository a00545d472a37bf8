"""A program as a processor of the chain.

Source: containerd core/diff/stream_unix.go and stream_windows.go.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from .chain import Payload, Stream


@dataclass(frozen=True, slots=True)
class BinaryProcessor:
    """Runs a program: the stream in at its standard input, out at its standard output.

    The payload of this processor's id, if there is one, can be read from file descriptor 3 (on Windows from
    the named pipe in STREAM_PROCESSOR_PIPE); STREAM_PROCESSOR_MEDIATYPE holds the input's media type. If the
    program fails, so does reading from the stream, with the last 16 KiB of its standard error.

    The exit status counts also where the host process ignores SIGCHLD or waits for any child, from Linux 6.15
    on. With an older kernel it is lost there: the output is then taken as whole, with a warning in the log, and
    only a diffID tells whether it is.

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
        """Start the program if the media type is one that it accepts."""
        if stream.media_type not in self.accepts:
            return None
        from .process import ProcessReader

        payload = payloads.get(self.id)
        reader = ProcessReader(
            self.id,
            [self.path, *self.args],
            env=(*self.env, f"STREAM_PROCESSOR_MEDIATYPE={stream.media_type}"),
            payload=None if payload is None else payload.encode(),
            source=stream.reader,
            check=stream.check,
        )
        return Stream(self.returns, reader, reader.close, reader.interrupt)
