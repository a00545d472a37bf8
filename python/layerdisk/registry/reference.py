"""Names of images in registries: host, repository, tag and digest.

Source: distribution/reference (the grammar of docker and containerd); OCI distribution-spec, "Pulling manifests".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..descriptor import parse_digest
from ..errdefs import InvalidArgument

# What a name without a host means, and where that host really answers.
DEFAULT_HOST = "docker.io"
_DEFAULT_SERVER = "registry-1.docker.io"
_DEFAULT_FOLDER = "library"
DEFAULT_TAG = "latest"
MAX_NAME_CHARACTERS = 255

_COMPONENT = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?(?:\.[A-Za-z0-9-]+)*|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
)
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")


@dataclass(frozen=True, slots=True)
class Reference:
    """An image in a registry.

    Attributes:
        host: as it is written, "docker.io" where there is none.
        repository: path below it.
        tag: "" where a digest alone says which image.
        digest: "" where the tag says which image.
    """

    host: str
    repository: str
    tag: str = ""
    digest: str = ""

    @property
    def server(self) -> str:
        """Host and port that answer for the registry."""
        return _DEFAULT_SERVER if self.host == DEFAULT_HOST else self.host

    @property
    def target(self) -> str:
        """What names the manifest in a request: the digest where there is one."""
        return self.digest or self.tag

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.host}/{self.repository}{tag}{digest}"


def parse_reference(text: str) -> Reference:
    """Return what a name means.

    Args:
        text: [HOST/]REPOSITORY[:TAG][@DIGEST]; the tag is "latest" where there is neither.

    Raises:
        InvalidArgument: it is not of that form.

    >>> str(parse_reference("busybox"))
    'docker.io/library/busybox:latest'
    >>> str(parse_reference("localhost:5000/a/b:1"))
    'localhost:5000/a/b:1'
    """
    name, at, digest = text.partition("@")
    if at:
        parse_digest(digest)
    tag = ""
    last_slash, colon = name.rfind("/"), name.rfind(":")
    if colon > last_slash:
        name, tag = name[:colon], name[colon + 1 :]
        if not _TAG.fullmatch(tag):
            raise InvalidArgument(
                f"image {text!r}: the tag must be letters, digits, '_', '.' and '-', at most 128"
            )
    first, slash, rest = name.partition("/")
    has_host = slash and ("." in first or ":" in first or first == "localhost" or first != first.lower())
    host, repository = (first, rest) if has_host else (DEFAULT_HOST, name)
    if host == DEFAULT_HOST and "/" not in repository:
        repository = f"{_DEFAULT_FOLDER}/{repository}"
    if not _HOST.fullmatch(host):
        raise InvalidArgument(f"image {text!r}: {host!r} is not a host name with an optional port")
    if len(host) + len(repository) > MAX_NAME_CHARACTERS:
        raise InvalidArgument(f"image {text[:100]!r}...: a name has at most {MAX_NAME_CHARACTERS} characters")
    if not all(_COMPONENT.fullmatch(part) for part in repository.split("/")):
        raise InvalidArgument(
            f"image {text!r}: each part of the repository must be lower-case letters and digits, joined by"
            " '.', '_', '__' or '-'"
        )
    return Reference(host, repository, tag or ("" if digest else DEFAULT_TAG), digest)
