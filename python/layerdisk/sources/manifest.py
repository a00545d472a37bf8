"""What a manifest describes: an image of layers, or an artifact that is not an image.

Source: OCI image-spec, manifest.md, config.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .. import media_types
from ..descriptor import Descriptor, Platform, parse_digest
from ..errdefs import InvalidArgument
from ..names import quote_text
from .document import MAX_DOCUMENT_BYTES, Documents, array, descriptors

_CONFIGS = (media_types.OCI_CONFIG, media_types.DOCKER_CONFIG)
_DOCUMENTS = ("/json", "+json", "/plain", "/html")  # how media types end that are not those of layers


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer of an image.

    Attributes:
        descriptor: of its blob.
        diff_id: digest of its plain tar.
    """

    descriptor: Descriptor
    diff_id: str


@dataclass(frozen=True, slots=True)
class Image:
    """An image.

    Attributes:
        manifest: its descriptor.
        platform: that the config names.
        layers: the lowest first.
    """

    manifest: Descriptor
    platform: Platform
    layers: tuple[Layer, ...]


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest as it was read.

    Attributes:
        descriptor: of the manifest.
        artifact: what it is if it is not an image, else "".
        platform: of the config, None if it names none.
    """

    descriptor: Descriptor
    artifact: str
    platform: Platform | None


def look_at(documents: Documents, descriptor: Descriptor) -> Manifest:
    """Return whether a manifest describes an image, and for which platform."""
    value = documents.read(descriptor)
    if artifact := value.get("artifactType"):
        return Manifest(descriptor, f"an artifact of type {quote_text(str(artifact))}", None)
    config = _config(descriptor, value)
    layers = descriptors(array(descriptor.digest, value, "layers"))
    if layers and all(layer.media_type.endswith(_DOCUMENTS) for layer in layers):
        return Manifest(
            descriptor, f"an artifact with content of type {quote_text(layers[0].media_type)}", None
        )
    known = config.media_type in _CONFIGS
    not_an_image = Manifest(
        descriptor, f"an artifact with a config of type {quote_text(config.media_type)}", None
    )
    if not known and config.size > MAX_DOCUMENT_BYTES:
        return not_an_image
    try:
        content = documents.read(config)
    except InvalidArgument:  # any bytes may be the config of an artifact
        if known:
            raise
        return not_an_image
    if not known and not _rootfs(content).get("diff_ids"):
        return not_an_image
    platform = Platform.from_json(content)
    return Manifest(descriptor, "", platform if platform.os or platform.architecture else None)


def read_manifest(documents: Documents, descriptor: Descriptor) -> Image:
    """Return the image of a manifest.

    Raises:
        InvalidArgument: the manifest or its config is malformed.
        NotFound: a missing blob.
        DataLoss: a blob is not what its descriptor says.
    """
    value = documents.read(descriptor)
    config = documents.read(_config(descriptor, value))
    blobs = descriptors(array(descriptor.digest, value, "layers"))
    diff_ids = array(descriptor.digest, _rootfs(config), "diff_ids")
    if len(blobs) != len(diff_ids):
        raise InvalidArgument(
            f"image {descriptor.digest} has {len(blobs)} layers and its config {len(diff_ids)} diff_ids"
        )
    for diff_id in diff_ids:
        parse_diff_id(diff_id)
    layers = tuple(Layer(blob, diff_id) for blob, diff_id in zip(blobs, diff_ids, strict=True))
    return Image(descriptor, Platform.from_json(config), layers)


def parse_diff_id(diff_id: object) -> None:
    """Refuse what is not a diffID; it becomes the name of a folder.

    Only sha256 is computed while a layer is converted, and nothing else is in use.
    """
    algorithm, _ = parse_digest(diff_id if isinstance(diff_id, str) else str(diff_id))
    if algorithm != "sha256":
        raise InvalidArgument(f"diff_id {quote_text(str(diff_id))}: the algorithm must be sha256")


def _config(descriptor: Descriptor, value: dict[str, Any]) -> Descriptor:
    config = value.get("config")
    if config is None:
        raise InvalidArgument(f"manifest {descriptor.digest} has no config")
    return Descriptor.from_json(config)


def _rootfs(config: dict[str, Any]) -> dict[str, Any]:
    rootfs = config.get("rootfs")
    return rootfs if isinstance(rootfs, dict) else {}
