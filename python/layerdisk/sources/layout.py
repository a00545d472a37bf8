"""Images in a directory: an OCI image layout.

Source: OCI image-spec, image-layout.md.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from .. import media_types
from ..content import LocalStore, open_regular
from ..descriptor import Descriptor
from ..errdefs import NotFound, from_os_error
from . import document

INDEX_FILE = "index.json"


class LayoutDirectory(LocalStore):
    """An OCI image layout in a directory: a content store with an index.

    Args:
        root: the directory.
    """

    @property
    def where(self) -> str:
        """The directory, for messages."""
        return self.root

    def close(self) -> None:
        """Do nothing: each reader is closed by itself."""

    def index(self) -> Sequence[Descriptor]:
        """Return what the layout's index lists.

        Raises:
            NotFound: the directory is not a layout.
            InvalidArgument: the index is malformed.
        """
        path = os.path.join(self.root, INDEX_FILE)
        try:
            with open_regular(path) as file:
                content = file.read(document.MAX_DOCUMENT_BYTES + 1) or b""
        except FileNotFoundError as error:
            raise NotFound(f"{self.root} is not an OCI image layout: it has no {INDEX_FILE}") from error
        except OSError as error:
            raise from_os_error(error, f"cannot read {path}") from error
        return parse_index(path, content)


def parse_index(name: str, content: bytes) -> list[Descriptor]:
    """Return what the index of a layout lists.

    Args:
        name: of the file, for messages.
        content: of the file, or as much as is more than allowed.
    """
    document.check_size(name, len(content))
    value = document.parse(name, content)
    document.check_kind(name, value, media_types.OCI_INDEX)
    return document.descriptors(document.array(name, value, "manifests"))
