"""Names of sources, as on a command line."""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from ..errdefs import InvalidArgument
from ..names import quote_text

TRANSPORTS = ("oci", "oci-archive", "docker-archive", "dir")
# Transports of what is not a file: NAME follows "//", and holds the reference.
REMOTE_TRANSPORTS = ("docker", "containerd")
_TRANSPORT = re.compile(r"([a-z][a-z-]+):(?!\\)(.*)", re.DOTALL)  # not the drive of a path of Windows
_SEPARATORS = re.compile("[:@]")


class SourceName(NamedTuple):
    """Where an image is.

    Attributes:
        transport: one of TRANSPORTS or REMOTE_TRANSPORTS, "" where it is to be recognised.
        path: of the file or directory.
        ref: which image, None if the name does not say.
    """

    transport: str
    path: str
    ref: str | None


def parse_source(text: str) -> SourceName:
    """Return what a name says.

    A path may contain ":" and "@": it is the longest part that exists.

    Args:
        text: as in the table of `layerdisk.sources`.

    Raises:
        InvalidArgument: the transport is not known, or there is no path.

    >>> parse_source("docker-archive:image.tar:example/a:latest")
    SourceName(transport='docker-archive', path='image.tar', ref='example/a:latest')
    """
    transport, rest = "", text
    if not os.path.exists(text) and (found := _TRANSPORT.fullmatch(text)):
        if found[1] in REMOTE_TRANSPORTS and found[2].startswith("//"):
            return SourceName(found[1], found[2].removeprefix("//"), None)
        if found[1] in TRANSPORTS:
            transport, rest = found[1], found[2]
        elif found[2].startswith("//"):
            known = ", ".join((*TRANSPORTS, *REMOTE_TRANSPORTS))
            raise InvalidArgument(
                f"{quote_text(text)}: the transport must be one of {known}, or none for a path"
            )
    path, ref = _split(rest)
    if not path:
        raise InvalidArgument(f"{quote_text(text)} has no path")
    return SourceName(transport, path, ref)


def _split(text: str) -> tuple[str, str | None]:
    """Return path and reference: the longest path that exists, or the one before the first separator."""
    places = [found.start() for found in _SEPARATORS.finditer(text)]
    if not places or os.path.exists(text):
        return text, None
    end = next((place for place in reversed(places) if os.path.exists(text[:place])), places[0])
    ref = text[end + 1 :]
    return text[:end], ref.removeprefix("@") or None
