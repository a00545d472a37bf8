"""Images in a directory as skopeo writes them with `dir:`: blobs by bare digests beside one manifest.

Source: containers/image, directory/directory_dest.go.
"""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence

from .. import media_types
from ..content import ContentReader, open_regular
from ..descriptor import Descriptor, parse_digest
from ..errdefs import NotFound, from_os_error
from ..names import quote_text
from . import document

MANIFEST_FILE = "manifest.json"
_MANIFEST_SUFFIX = ".manifest.json"  # of the manifests that an index names


class SkopeoDirectory:
    """A directory with a manifest, or an index, and blobs.

    Args:
        root: the directory.
    """

    def __init__(self, root: str) -> None:
        self.where = root
        self._manifest = b""

    def index(self) -> Sequence[Descriptor]:
        """Return the one descriptor that there is.

        Raises:
            NotFound: the directory has no manifest.
            InvalidArgument: the manifest is neither that of an image nor an index.
        """
        path = os.path.join(self.where, MANIFEST_FILE)
        with self._open(path) as file:
            self._manifest = file.read(document.MAX_DOCUMENT_BYTES + 1) or b""
        document.check_size(path, len(self._manifest))
        value = document.parse(path, self._manifest)
        digest = f"sha256:{hashlib.sha256(self._manifest).hexdigest()}"
        return [Descriptor(document.kind_of(path, value), digest, len(self._manifest))]

    def reader(self, descriptor: Descriptor) -> ContentReader:
        """Return a blob; NotFound if it is not there."""
        _, digits = parse_digest(descriptor.digest)
        if self._manifest and descriptor.digest == f"sha256:{hashlib.sha256(self._manifest).hexdigest()}":
            return io.BytesIO(self._manifest)
        path = os.path.join(self.where, digits)
        is_listed = media_types.is_manifest(descriptor.media_type) or media_types.is_index(
            descriptor.media_type
        )
        return self._open(path + _MANIFEST_SUFFIX if is_listed else path)

    def close(self) -> None:
        """Do nothing: each reader is closed by itself."""

    def _open(self, path: str) -> io.FileIO:
        try:
            return open_regular(path)
        except FileNotFoundError as error:
            raise NotFound(f"{self.where} has no file {quote_text(os.path.basename(path))}") from error
        except OSError as error:
            raise from_os_error(error, f"cannot read {path}") from error
