"""Images that a running containerd has, over gRPC.

Source: containerd api/services/images/v1/images.proto.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from ..containerd.config import DEFAULT_CONTAINERD_ADDRESS
from ..containerd.content import ContentClient, ContentReader, connect, image_target
from ..descriptor import Descriptor
from ..errdefs import InvalidArgument

# The variable that ctr and nerdctl go by.
ADDRESS_VARIABLE = "CONTAINERD_ADDRESS"


class ContainerdImage:
    """One image of a containerd.

    Args:
        name: NAMESPACE/NAME, the name as `ctr image list` shows it.
        address: of containerd's socket; by default that of the variable CONTAINERD_ADDRESS, or the usual one.

    Raises:
        InvalidArgument: there is no namespace or no name.
    """

    def __init__(self, name: str, address: str | None = None) -> None:
        namespace, slash, image = name.partition("/")
        if not (namespace and slash and image):
            raise InvalidArgument(f"containerd://{name}: the name must be NAMESPACE/IMAGE")
        self.where = f"containerd://{name}"
        self._image = image
        self._namespace = namespace
        self._channel = connect(address or os.environ.get(ADDRESS_VARIABLE) or DEFAULT_CONTAINERD_ADDRESS)
        self._content = ContentClient(self._channel, namespace)

    def index(self) -> Sequence[Descriptor]:
        """Return what the image's name stands for.

        Raises:
            NotFound: there is no such image in the namespace.
            Unavailable: containerd does not answer.
        """
        return [image_target(self._channel, self._namespace, self._image)]

    def reader(self, descriptor: Descriptor) -> ContentReader:
        """Return a blob; raises as ContentClient.reader."""
        return self._content.reader(descriptor)

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()
