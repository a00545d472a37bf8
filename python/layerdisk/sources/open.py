"""One way in: an image of any source."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ..content import Provider
from ..descriptor import Descriptor, Platform
from ..errdefs import InvalidArgument
from ..platforms import parse_platform
from . import archive, directory
from .archive import DockerArchive, LayoutArchive
from .choose import find_image
from .directory import SkopeoDirectory
from .layout import INDEX_FILE, LayoutDirectory
from .manifest import Image
from .members import Members
from .name import REMOTE_TRANSPORTS, SourceName, parse_source
from .spool import MAX_SPOOL_BYTES, STANDARD_INPUT, open_archive

if TYPE_CHECKING:
    from ..registry.client import RegistryOptions


class Source(Provider, Protocol):
    """Where images come from."""

    @property
    def where(self) -> str:
        """What the source is called in messages."""

    def index(self) -> Sequence[Descriptor]:
        """Return what the source lists, with names and platforms as far as they are known."""

    def close(self) -> None:
        """Let go of the source."""


@dataclass(frozen=True, slots=True)
class OpenedImage:
    """An image and where its blobs are, as a context manager that closes the source.

    Attributes:
        image: its manifest, platform and layers.
        source: gives the blobs.
    """

    image: Image
    source: Source

    def __enter__(self) -> OpenedImage:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the source."""
        self.source.close()


def open_image(
    what: str | os.PathLike[str],
    ref: str | None = None,
    platform: Platform | str | None = None,
    *,
    max_spool_bytes: int = MAX_SPOOL_BYTES,
    registry: RegistryOptions | None = None,
) -> OpenedImage:
    """Return an image of a source, with its manifest and config checked by digest.

    Args:
        what: the source, as in the table of `layerdisk.sources`.
        ref: a tag, a full name or a digest; not needed where `what` has one, or where one image fits.
        platform: that the image must be for, also as text ("linux/arm64/v8"). By default that of Linux on this
            machine, or, where there is only one image, whatever that is for.
        max_spool_bytes: how large the temporary file of a compressed or piped archive may grow.
        registry: how registries are reached.

    Raises:
        NotFound: no such source or image, or a missing blob.
        InvalidArgument: several images fit, or the source is malformed.
        DataLoss: a blob is not what its descriptor says, or an archive is damaged.
        ResourceExhausted: an archive is too large to be spooled.
    """
    name = parse_source(os.fspath(what))
    if name.ref is not None and ref is not None:
        raise InvalidArgument(f"the image is named twice: {name.ref} in the source's name, and {ref}")
    wanted = parse_platform(platform) if isinstance(platform, str) else platform
    source = open_source(name, max_spool_bytes=max_spool_bytes, registry=registry)
    try:
        image = find_image(source, source.index(), ref or name.ref, wanted, where=source.where)
        return OpenedImage(image, source)
    except BaseException:
        source.close()
        raise


def open_source(
    name: SourceName,
    *,
    max_spool_bytes: int = MAX_SPOOL_BYTES,
    registry: RegistryOptions | None = None,
) -> Source:
    """Return a source; the caller closes it.

    Args:
        name: from `parse_source`.
        max_spool_bytes: how large the temporary file of a compressed or piped archive may grow.
        registry: how registries are reached.
    """
    transport = name.transport
    if transport in REMOTE_TRANSPORTS:
        return _remote(transport, name.path, registry)
    if transport == "" and name.path != STANDARD_INPUT and os.path.isdir(name.path):
        is_layout = os.path.exists(os.path.join(name.path, INDEX_FILE))
        is_directory = not is_layout and os.path.exists(os.path.join(name.path, directory.MANIFEST_FILE))
        transport = "dir" if is_directory else "oci"
    if transport == "oci":
        return LayoutDirectory(name.path)
    if transport == "dir":
        return SkopeoDirectory(name.path)
    return _archive(transport, name.path, max_spool_bytes)


def _remote(transport: str, name: str, registry: RegistryOptions | None) -> Source:
    """Return a source that needs an extra, which is loaded only here."""
    if transport == "docker":
        from ..registry.reference import parse_reference
        from .registry import RegistryImage

        return RegistryImage(parse_reference(name), registry)
    from .containerd import ContainerdImage

    return ContainerdImage(name)


def _archive(transport: str, path: str, max_spool_bytes: int) -> Source:
    file = open_archive(path, max_spool_bytes)
    try:
        members = Members(file, path if path != STANDARD_INPUT else "standard input")
        if transport == "oci-archive" or (transport == "" and members.find(INDEX_FILE)):
            return LayoutArchive(members)
        if transport == "docker-archive" or members.find(archive.MANIFEST_FILE):
            return DockerArchive(members)
        raise InvalidArgument(
            f"{members.where} is not an image: it has neither {INDEX_FILE} nor {archive.MANIFEST_FILE}"
        )
    except BaseException:
        file.close()
        raise
