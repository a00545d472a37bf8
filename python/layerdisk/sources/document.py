"""JSON documents of images: bounded, checked by digest, and of one kind only.

Source: OCI image-spec, manifest.md, image-index.md; containerd core/images/image.go (validateMediaType).
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterable
from itertools import accumulate
from typing import Any

from .. import media_types
from ..content import Provider, Verifier
from ..descriptor import Descriptor
from ..errdefs import InvalidArgument
from ..names import quote_text

MAX_DOCUMENT_BYTES = 4 * 1024 * 1024  # containerd's MaxManifestSize
_MAX_TOTAL_BYTES = 64 * 1024 * 1024  # all documents that are read to find one image
_MAX_DEPTH = 100  # real documents have a depth below 10
_READ_BYTES = 1024 * 1024
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKETS = b"[]{}"
_OTHERS = bytes(sorted(set(range(256)) - set(_BRACKETS)))
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class Documents:
    """Reads the documents of one provider, up to a total size.

    Args:
        provider: where the blobs are.
    """

    def __init__(self, provider: Provider) -> None:
        self._provider = provider
        self._left = _MAX_TOTAL_BYTES

    def read(self, descriptor: Descriptor) -> dict[str, Any]:
        """Return the JSON object that a descriptor points at, checked by size and digest.

        Raises:
            InvalidArgument: it is too large, not JSON, not an object, or of another kind than the descriptor says.
            NotFound: no such blob.
            DataLoss: the blob is not what the descriptor says.
        """
        name = descriptor.digest
        check_size(name, descriptor.size)
        self._left -= descriptor.size
        if self._left < 0:
            raise InvalidArgument(
                f"{name}: the image's manifests and indexes must not have more than {_MAX_TOTAL_BYTES} bytes together"
            )
        with contextlib.closing(self._provider.reader(descriptor)) as reader:
            verifier = Verifier(reader, descriptor)
            content = b"".join(iter(lambda: verifier.read(_READ_BYTES), b""))
        value = parse(name, content)
        check_kind(name, value, descriptor.media_type)
        return value


def check_size(name: str, size: int) -> None:
    """Refuse a document that is too large to be read whole."""
    if size > MAX_DOCUMENT_BYTES:
        raise InvalidArgument(f"{name} has {size} bytes, and must not have more than {MAX_DOCUMENT_BYTES}")


def parse(name: str, content: bytes) -> dict[str, Any]:
    """Return the object that JSON text holds; otherwise as `parse_any`."""
    value = parse_any(name, content)
    if not isinstance(value, dict):
        raise InvalidArgument(f"{name} is not a JSON object")
    return value


def parse_any(name: str, content: bytes) -> object:
    """Return the value that JSON text holds.

    Args:
        name: of the document, for messages.
        content: UTF-8.

    Raises:
        InvalidArgument: it is not JSON, or is nested too deeply.
    """
    depth = max(
        accumulate(_STEP[byte] for byte in _STRING.sub(b"", content).translate(None, _OTHERS)), default=0
    )
    if depth > _MAX_DEPTH:
        raise InvalidArgument(
            f"{name} is nested {depth} levels deep, and must not be nested more than {_MAX_DEPTH}"
        )
    try:
        value: object = json.loads(content.decode())
    except (ValueError, RecursionError) as error:
        raise InvalidArgument(f"{name} is not JSON: {error}") from error
    return value


def check_kind(name: str, value: dict[str, Any], media_type: str) -> None:
    """Refuse a document that says that it is something else than its descriptor says (CVE-2021-41190).

    Args:
        name: of the document, for messages.
        value: its object.
        media_type: of the descriptor; only manifests and indexes are checked.
    """
    present = {key.lower() for key, item in value.items() if item is not None}  # Go takes keys of any case
    own = value.get("mediaType")
    says = own if isinstance(own, str) else ""
    if not media_types.is_index(media_type) and not media_types.is_manifest(media_type):
        return
    if "fslayers" in present:
        raise InvalidArgument(f"{name} is a manifest of schema 1, which is not supported")
    is_index = media_types.is_index(media_type)
    kind, other = ("an index", "a manifest") if is_index else ("a manifest", "an index")
    forbidden = present & ({"config", "layers"} if is_index else {"manifests"})
    if forbidden:
        fields = ", ".join(sorted(forbidden))
        raise InvalidArgument(f"{name} is {kind} by its descriptor, and has the fields of {other}: {fields}")
    same_kind = media_types.is_index if is_index else media_types.is_manifest
    if says and not same_kind(says):
        raise InvalidArgument(f"{name} is {kind} by its descriptor, and its mediaType is {quote_text(says)}")


def kind_of(name: str, value: dict[str, Any]) -> str:
    """Return the media type of a document without a descriptor; an OCI document need not name its own.

    Raises:
        InvalidArgument: it is neither a manifest nor an index.
    """
    own = value.get("mediaType")
    if isinstance(own, str) and own:
        if media_types.is_manifest(own) or media_types.is_index(own):
            return own
    elif "manifests" in value:
        return media_types.OCI_INDEX
    elif "config" in value and "layers" in value:
        return media_types.OCI_MANIFEST
    raise InvalidArgument(f"{name} is neither the manifest of an image nor an index")


def array(name: str, value: dict[str, Any], field: str) -> list[Any]:
    """Return an array of a document, an empty one where it is absent or null."""
    items = value.get(field)
    if items is None:
        return []
    if not isinstance(items, list):
        raise InvalidArgument(f"{name}: {field} is not a JSON array")
    return items


def descriptors(items: Iterable[object]) -> list[Descriptor]:
    """Return the descriptors of an array."""
    return [Descriptor.from_json(item) for item in items]
