"""Images in a registry: manifests are read whole, layers stream from there straight into the conversion.

Source: OCI distribution-spec 1.1.
"""

from __future__ import annotations

import io
from collections.abc import Sequence

from .. import media_types
from ..content import ContentReader
from ..descriptor import Descriptor
from ..registry.blob import BlobReader
from ..registry.client import RegistryClient, RegistryOptions
from ..registry.reference import Reference


class RegistryImage:
    """One image, or index of images, of a registry.

    Args:
        reference: its name.
        options: how registries are reached.
    """

    def __init__(self, reference: Reference, options: RegistryOptions | None = None) -> None:
        self.where = str(reference)
        self._reference = reference
        self._client = RegistryClient(reference, options)
        self._manifests: dict[str, bytes] = {}

    def index(self) -> Sequence[Descriptor]:
        """Return the descriptor of the manifest or index that the name stands for; raises as RegistryClient."""
        manifest = self._client.manifest(self._reference.target)
        self._manifests[manifest.descriptor.digest] = manifest.content
        return [manifest.descriptor]

    def reader(self, descriptor: Descriptor) -> ContentReader:
        """Return a manifest or a blob; raises as RegistryClient."""
        known = self._manifests.get(descriptor.digest)
        if known is not None:
            return io.BytesIO(known)
        if media_types.is_manifest(descriptor.media_type) or media_types.is_index(descriptor.media_type):
            return io.BytesIO(self._client.manifest(descriptor.digest).content)
        return BlobReader(self._client, descriptor)

    def close(self) -> None:
        """Close all connections."""
        self._client.close()
