"""Blobs and manifests into a registry, and what refers to a manifest.

Source: OCI distribution-spec 1.1, "Pushing blobs", "Pushing manifests", "Listing referrers".
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterable
from urllib.parse import urlencode, urljoin

import urllib3

from ..descriptor import Descriptor, parse_digest
from ..errdefs import DataLoss, InvalidArgument, LayerdiskError, NotFound
from ..sources.layout import parse_index
from .client import MAX_MANIFEST_BYTES, RegistryClient

_CHUNK_BYTES = 8 << 20


def has_blob(client: RegistryClient, digest: str) -> bool:
    """Return whether the repository has a blob; raises as RegistryClient.request."""
    parse_digest(digest)
    with client.request(
        "HEAD", f"blobs/{digest}", expected=(200, 404), server=client.reference.server
    ) as response:
        return response.status == 200


def push_blob(client: RegistryClient, descriptor: Descriptor, content: bytes) -> None:
    """Push a blob in one request, unless the repository has it.

    Args:
        client: made with actions="pull,push".
        descriptor: of the blob.
        content: all of it.

    Raises:
        InvalidArgument: the content is not what the descriptor says.
        LayerdiskError: as RegistryClient.request.
    """
    if len(content) != descriptor.size or _digest_like(descriptor.digest, content) != descriptor.digest:
        raise InvalidArgument(f"the content is not that of {descriptor.digest}, {descriptor.size} bytes")
    if has_blob(client, descriptor.digest):
        return
    location = _begin(client)
    headers = {"Content-Type": "application/octet-stream", "Content-Length": str(len(content))}
    with client.request(
        "PUT", _with_digest(location, descriptor.digest), headers=headers, body=content, expected=(201,)
    ):
        pass


def push_stream(client: RegistryClient, pieces: Iterable[bytes], media_type: str) -> Descriptor:
    """Push a blob whose size and digest are known only at its end, chunk by chunk.

    Args:
        client: made with actions="pull,push".
        pieces: the blob.
        media_type: of the descriptor that is returned.

    Raises:
        LayerdiskError: as RegistryClient.request; the upload is given up then.
    """
    location = _begin(client)
    digest, size = hashlib.sha256(), 0
    try:
        for chunk in _chunks(pieces):
            headers = {
                "Content-Type": "application/octet-stream",
                "Content-Range": f"{size}-{size + len(chunk) - 1}",
                "Content-Length": str(len(chunk)),
            }
            with client.request("PATCH", location, headers=headers, body=chunk, expected=(202,)) as response:
                location = _location(response, location)
            digest.update(chunk)
            size += len(chunk)
        name = f"sha256:{digest.hexdigest()}"
        headers = {"Content-Length": "0"}
        with client.request("PUT", _with_digest(location, name), headers=headers, body=b"", expected=(201,)):
            pass
    except BaseException:
        _give_up(client, location)
        raise
    return Descriptor(media_type, name, size)


def push_manifest(client: RegistryClient, target: str, media_type: str, content: bytes) -> Descriptor:
    """Push a manifest or index under a tag or its digest; raises as RegistryClient.request."""
    headers = {"Content-Type": media_type, "Content-Length": str(len(content))}
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    with client.request(
        "PUT", f"manifests/{target}", headers=headers, body=content, expected=(201,)
    ) as answer:
        stated = answer.headers.get("Docker-Content-Digest") or digest
    if stated != digest:
        raise DataLoss(f"the registry took the manifest for {stated}, it is {digest}")
    return Descriptor(media_type, digest, len(content))


def referrers(client: RegistryClient, digest: str, artifact_type: str = "") -> list[Descriptor]:
    """Return what refers to a manifest, by the referrers API or by the tag that stands in for it.

    Args:
        client: of the repository.
        digest: of the manifest.
        artifact_type: only those of this type; "" for all.

    Raises:
        LayerdiskError: as RegistryClient.request.
    """
    algorithm, digits = parse_digest(digest)
    query = f"?{urlencode({'artifactType': artifact_type})}" if artifact_type else ""
    try:
        with client.request("GET", f"referrers/{digest}{query}", expected=(200,)) as response:
            content = response.read(MAX_MANIFEST_BYTES + 1)
    except NotFound:
        try:
            content = client.manifest(f"{algorithm}-{digits}").content
        except NotFound:
            return []
    found = parse_index(f"the referrers of {digest}", content)
    if not artifact_type:
        return found
    return [descriptor for descriptor in found if descriptor.artifact_type == artifact_type]


def _begin(client: RegistryClient) -> str:
    headers = {"Content-Length": "0"}
    start = client.url("blobs/uploads/")
    with client.request("POST", start, headers=headers, body=b"", expected=(202,)) as response:
        return _location(response, start)


def _location(response: urllib3.BaseHTTPResponse, before: str) -> str:
    """Return where an upload goes on; the address may be relative."""
    location = response.headers.get("Location")
    if not location:
        raise DataLoss("the registry did not say where the upload goes on")
    return urljoin(before, location)


def _with_digest(location: str, digest: str) -> str:
    return f"{location}{'&' if '?' in location else '?'}{urlencode({'digest': digest})}"


def _give_up(client: RegistryClient, location: str) -> None:
    with contextlib.suppress(LayerdiskError), client.request("DELETE", location, expected=(200, 204, 404)):
        pass


def _chunks(pieces: Iterable[bytes]) -> Iterable[bytes]:
    buffer = bytearray()
    for piece in pieces:
        buffer += piece
        while len(buffer) >= _CHUNK_BYTES:
            yield bytes(buffer[:_CHUNK_BYTES])
            del buffer[:_CHUNK_BYTES]
    if buffer:
        yield bytes(buffer)


def _digest_like(digest: str, content: bytes) -> str:
    algorithm, _ = parse_digest(digest)
    return f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
