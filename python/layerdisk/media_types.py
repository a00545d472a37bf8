"""Media types of container image layers, and what they say about compression.

Source: OCI image-spec, media-types.md; containerd core/images/mediatypes.go.
"""

from __future__ import annotations

from . import errdefs
from .names import quote_text

OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
OCI_LAYER_NONDISTRIBUTABLE = "application/vnd.oci.image.layer.nondistributable.v1.tar"

DOCKER_MANIFEST_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER = "application/vnd.docker.image.rootfs.diff.tar"
DOCKER_LAYER_GZIP = DOCKER_LAYER + ".gzip"
DOCKER_LAYER_ZSTD = DOCKER_LAYER + ".zstd"
DOCKER_FOREIGN_LAYER = "application/vnd.docker.image.rootfs.foreign.diff.tar"
DOCKER_FOREIGN_LAYER_GZIP = DOCKER_FOREIGN_LAYER + ".gzip"

ENCRYPTED_SUFFIX = "encrypted"

UNCOMPRESSED = ""
GZIP = "gzip"
ZSTD = "zstd"
UNKNOWN_COMPRESSION = "unknown"  # Docker wrote plain and compressed layers under one name

_OCI_LAYER_PREFIX = "application/vnd.oci.image.layer."
_DOCKER_LAYERS = {
    DOCKER_LAYER: UNKNOWN_COMPRESSION,
    DOCKER_FOREIGN_LAYER: UNKNOWN_COMPRESSION,
    DOCKER_LAYER_GZIP: GZIP,
    DOCKER_FOREIGN_LAYER_GZIP: GZIP,
    DOCKER_LAYER_ZSTD: ZSTD,
}
_OCI_LAYERS = (OCI_LAYER, OCI_LAYER_NONDISTRIBUTABLE)


def parse(media_type: str) -> tuple[str, tuple[str, ...]]:
    """Return a media type as its base and its suffixes, which are sorted as in containerd.

    >>> parse(OCI_LAYER + "+gzip+encrypted")
    ('application/vnd.oci.image.layer.v1.tar', ('encrypted', 'gzip'))
    """
    base, *suffixes = media_type.split("+")
    return base, tuple(sorted(suffixes))


def diff_compression(media_type: str) -> str:
    """Return how a layer of a media type is compressed, as far as its name says.

    Args:
        media_type: of a layer.

    Returns:
        UNCOMPRESSED, GZIP, ZSTD or UNKNOWN_COMPRESSION. Only the last of the sorted suffixes counts, and a
        Docker type with any suffix counts as uncompressed: such data is taken as it is.

    Raises:
        NotImplemented: it is not a layer that containerd can apply.

    Source: containerd core/images/mediatypes.go (DiffCompression).
    """
    base, suffixes = parse(media_type)
    if base in _DOCKER_LAYERS:
        return UNCOMPRESSED if suffixes else _DOCKER_LAYERS[base]
    if base in _OCI_LAYERS:
        return suffixes[-1] if suffixes and suffixes[-1] in (GZIP, ZSTD) else UNCOMPRESSED
    raise errdefs.NotImplemented(f"media type {quote_text(media_type)} is not a layer that can be applied")


def is_layer(media_type: str) -> bool:
    """Return whether a media type is that of a layer, applicable or not."""
    return media_type.startswith(_OCI_LAYER_PREFIX) or parse(media_type)[0] in _DOCKER_LAYERS


def is_non_distributable(media_type: str) -> bool:
    """Return whether a layer's media type forbids pushing it to a registry."""
    base = parse(media_type)[0]
    return base.startswith((OCI_LAYER_NONDISTRIBUTABLE, DOCKER_FOREIGN_LAYER))


def is_encrypted(media_type: str) -> bool:
    """Return whether a media type says that the data is encrypted."""
    return ENCRYPTED_SUFFIX in parse(media_type)[1]


def is_index(media_type: str) -> bool:
    """Return whether a media type is that of a list of manifests."""
    return media_type in (OCI_INDEX, DOCKER_MANIFEST_LIST)


def is_manifest(media_type: str) -> bool:
    """Return whether a media type is that of an image manifest."""
    return media_type in (OCI_MANIFEST, DOCKER_MANIFEST)
