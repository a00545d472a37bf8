"""Images in archives, read in place: OCI layouts in a tar, and what `docker save` writes.

Source: OCI image-spec, image-layout.md; moby, image/tarexport; containers/image, docker/internal/tarfile.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
from collections.abc import Sequence
from typing import Any

from .. import media_types
from ..content import ContentReader
from ..decompress import detect
from ..decompress.gzip import is_gzip
from ..descriptor import Descriptor, parse_digest
from ..errdefs import InvalidArgument, NotFound
from ..names import quote_text
from . import document
from .choose import FULL_NAME
from .layout import INDEX_FILE, parse_index
from .manifest import parse_diff_id
from .members import Members

MANIFEST_FILE = "manifest.json"
_HASH_BYTES = 1024 * 1024
_PEEK_BYTES = 10


class LayoutArchive:
    """An OCI image layout in a tar archive.

    Args:
        members: of the archive.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self.where = members.where

    def index(self) -> Sequence[Descriptor]:
        """Return what the layout's index lists."""
        return parse_index(f"{self.where}: {INDEX_FILE}", self._members.read(INDEX_FILE))

    def reader(self, descriptor: Descriptor) -> ContentReader:
        """Return a blob; NotFound if it is not there."""
        algorithm, digits = parse_digest(descriptor.digest)
        return self._members.open(f"blobs/{algorithm}/{digits}")

    def close(self) -> None:
        """Close the archive."""
        self._members.close()


class DockerArchive:
    """An archive of `docker save`, old (`<id>/layer.tar`) or new (`blobs/`), with one image or several.

    Such an archive has no manifests by digest; they are made here, so that it is read as every other source.

    Args:
        members: of the archive.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self.where = members.where
        self._documents: dict[str, bytes] = {}
        self._layers: dict[str, str] = {}  # names of members by digest of the blob

    def index(self) -> Sequence[Descriptor]:
        """Return a manifest for each image and name.

        Raises:
            NotFound: the archive lacks a file that its manifest names.
            InvalidArgument: its manifest is malformed.
        """
        name = f"{self.where}: {MANIFEST_FILE}"
        items = document.parse_any(name, self._members.read(MANIFEST_FILE))
        if not isinstance(items, list):
            raise InvalidArgument(f"{name} is not a JSON array")
        return [entry for item in items for entry in self._entries(name, item)]

    def reader(self, descriptor: Descriptor) -> ContentReader:
        """Return a blob; NotFound if it is not there."""
        made = self._documents.get(descriptor.digest)
        if made is not None:
            return io.BytesIO(made)
        name = self._layers.get(descriptor.digest)
        if name is None:
            raise NotFound(f"{self.where} has no blob {descriptor.digest}")
        return self._members.open(name)

    def close(self) -> None:
        """Close the archive."""
        self._members.close()

    def _entries(self, name: str, item: Any) -> list[Descriptor]:
        """Return the descriptors of one image: one for each of its names, or one without a name."""
        if not isinstance(item, dict) or not isinstance(item.get("Config"), str):
            raise InvalidArgument(f"{name}: an image has no Config")
        content = self._members.read(_member(item["Config"]))
        config = document.parse(f"{self.where}: {item['Config']}", content)
        rootfs = config.get("rootfs")
        diff_ids = document.array(name, rootfs if isinstance(rootfs, dict) else {}, "diff_ids")
        layers = document.array(name, item, "Layers")
        if len(layers) != len(diff_ids):
            raise InvalidArgument(
                f"{name}: an image has {len(layers)} layers and its config {len(diff_ids)} diff_ids"
            )
        manifest = {
            "schemaVersion": 2,
            "mediaType": media_types.DOCKER_MANIFEST,
            "config": self._document(content, media_types.DOCKER_CONFIG).to_json(),
            "layers": [
                self._layer(name, layer, diff_id).to_json()
                for layer, diff_id in zip(layers, diff_ids, strict=True)
            ],
        }
        made = self._document(json.dumps(manifest).encode(), media_types.DOCKER_MANIFEST)
        tags = [tag for tag in document.array(name, item, "RepoTags") if isinstance(tag, str)]
        named = [
            Descriptor(made.media_type, made.digest, made.size, annotations={FULL_NAME: tag}) for tag in tags
        ]
        return named or [made]

    def _document(self, content: bytes, media_type: str) -> Descriptor:
        digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
        self._documents[digest] = content
        return Descriptor(media_type, digest, len(content))

    def _layer(self, name: str, layer: object, diff_id: object) -> Descriptor:
        """Return the descriptor of a layer: its own digest, which for a plain tar is the diffID."""
        parse_diff_id(diff_id)
        if not isinstance(layer, str) or (place := self._members.find(_member(layer))) is None:
            raise NotFound(f"{name}: the layer {quote_text(str(layer))} is not in the archive")
        with self._members.window(*place) as window:
            start = window.read(_PEEK_BYTES)
        if detect(start) is None:
            digest, media_type = str(diff_id), media_types.DOCKER_LAYER
        else:
            digest = self._digest(_member(layer))
            media_type = media_types.DOCKER_LAYER_GZIP if is_gzip(start) else media_types.DOCKER_LAYER_ZSTD
        self._layers[digest] = _member(layer)
        return Descriptor(media_type, digest, place[1])

    def _digest(self, name: str) -> str:
        named = name.removeprefix("blobs/").replace("/", ":", 1)
        with contextlib.suppress(InvalidArgument):
            parse_digest(named)
            return named  # it is checked when the layer is read
        digest = hashlib.sha256()
        with self._members.open(name) as window:
            while piece := window.read(_HASH_BYTES):
                digest.update(piece)
        return f"sha256:{digest.hexdigest()}"


def _member(name: str) -> str:
    return name.removeprefix("./")
