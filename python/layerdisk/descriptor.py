"""Descriptors: what content is called, how large it is and what its digest is.

Source: OCI image-spec, descriptor.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .errdefs import InvalidArgument
from .names import quote_text

T = TypeVar("T")

# Hex digits of each registered algorithm; all of them are hashlib's names too.
DIGEST_HEX_LENGTHS = {"sha256": 64, "sha384": 96, "sha512": 128}


@dataclass(frozen=True, slots=True)
class Platform:
    """What an image runs on, in the words of Go ("linux", "amd64")."""

    architecture: str
    os: str
    os_version: str = ""
    os_features: tuple[str, ...] = ()
    variant: str = ""

    def __str__(self) -> str:
        """Return "os/architecture" or "os/architecture/variant"."""
        return "/".join(filter(None, (self.os or "unknown", self.architecture or "unknown", self.variant)))

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without what is empty."""
        fields = {
            "architecture": self.architecture,
            "os": self.os,
            "os.version": self.os_version,
            "os.features": list(self.os_features),
            "variant": self.variant,
        }
        return {key: value for key, value in fields.items() if value or key in ("architecture", "os")}

    @classmethod
    def from_json(cls, value: object) -> Platform:
        """Return the platform of a JSON object; InvalidArgument if the object has another form."""
        fields = _Fields("platform", value)
        return cls(
            fields.text("architecture"),
            fields.text("os"),
            fields.text("os.version"),
            fields.texts("os.features"),
            fields.text("variant"),
        )


@dataclass(frozen=True, slots=True)
class Descriptor:
    """Points at content.

    Attributes:
        media_type: of the content.
        digest: "sha256:..." of its bytes.
        size: in bytes.
        urls: where else the content is.
        annotations: free text by key.
        platform: for an image manifest in an index.
        artifact_type: of the artifact that a manifest describes, "" for an image.
    """

    media_type: str
    digest: str
    size: int
    urls: tuple[str, ...] = ()
    annotations: Mapping[str, str] = field(default_factory=dict, hash=False)
    platform: Platform | None = None
    artifact_type: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the JSON object, without the optional fields that are empty."""
        value: dict[str, Any] = {"mediaType": self.media_type, "digest": self.digest, "size": self.size}
        if self.urls:
            value["urls"] = list(self.urls)
        if self.annotations:
            value["annotations"] = dict(self.annotations)
        if self.platform is not None:
            value["platform"] = self.platform.to_json()
        if self.artifact_type:
            value["artifactType"] = self.artifact_type
        return value

    @classmethod
    def from_json(cls, value: object) -> Descriptor:
        """Return the descriptor of a JSON object; fields that are not ours are ignored.

        Raises:
            InvalidArgument: the object has another form, or the digest or the size cannot be right.
        """
        fields = _Fields("descriptor", value)
        platform = fields.value.get("platform")
        descriptor = cls(
            fields.text("mediaType"),
            fields.text("digest"),
            fields.number("size"),
            fields.texts("urls"),
            fields.text_map("annotations"),
            None if platform is None else Platform.from_json(platform),
            fields.text("artifactType"),
        )
        parse_digest(descriptor.digest)
        if descriptor.size < 0:
            raise InvalidArgument(f"descriptor: size is {descriptor.size}, not 0 or more")
        return descriptor


def parse_digest(digest: str) -> tuple[str, str]:
    """Split a digest into algorithm and hex digits.

    Raises:
        InvalidArgument: the algorithm is not sha256, sha384 or sha512, or the digits are not lower-case hex
            of its length.

    Source: OCI image-spec, descriptor.md, Digests.
    """
    algorithm, _, digits = digest.partition(":")
    length = DIGEST_HEX_LENGTHS.get(algorithm)
    if length is None:
        known = ", ".join(DIGEST_HEX_LENGTHS)
        raise InvalidArgument(f"digest {quote_text(digest)}: the algorithm must be one of {known}")
    if not re.fullmatch(f"[0-9a-f]{{{length}}}", digits):
        raise InvalidArgument(
            f"digest {quote_text(digest)}: {algorithm} needs {length} lower-case hex digits"
        )
    return algorithm, digits


# Go's names of what platform.machine() gives, on any operating system and in lower case.
_ARCHITECTURES = {
    "x86_64": "amd64",
    "amd64": "amd64",
    "aarch64": "arm64",
    "arm64": "arm64",
    "i386": "386",
    "i686": "386",
    "x86": "386",
    "armv6l": "arm",
    "armv7l": "arm",
    "armv8l": "arm",
    "ppc64le": "ppc64le",
    "s390x": "s390x",
    "riscv64": "riscv64",
    "loongarch64": "loong64",
}


def linux_platform() -> Platform:
    """Return the platform of a Linux container on this machine's processor, whatever its operating system."""
    import platform

    machine = platform.machine().lower()
    return Platform(_ARCHITECTURES.get(machine, machine), "linux")


class _Fields:
    """A JSON object whose fields are read with their types; absent ones and null are empty, as in Go."""

    def __init__(self, what: str, value: object) -> None:
        if not isinstance(value, dict):
            raise InvalidArgument(f"{what} is {_kind(value)}, not a JSON object")
        self.what = what
        self.value: dict[str, Any] = value

    def text(self, name: str) -> str:
        return self._typed(name, str, "")

    def number(self, name: str) -> int:
        return self._typed(name, int, 0)

    def texts(self, name: str) -> tuple[str, ...]:
        values: list[object] = self._typed(name, list, [])
        for value in values:
            self._check(name, value, str)
        return tuple(str(value) for value in values)

    def text_map(self, name: str) -> dict[str, str]:
        values: dict[str, object] = self._typed(name, dict, {})
        for value in values.values():
            self._check(name, value, str)
        return {key: str(value) for key, value in values.items()}

    def _typed(self, name: str, kind: type[T], absent: T) -> T:
        value = self.value.get(name)
        return absent if value is None else self._check(name, value, kind)

    def _check(self, name: str, value: object, kind: type[T]) -> T:
        if not isinstance(value, kind) or isinstance(value, bool):
            raise InvalidArgument(f"{self.what}: {name} is {_kind(value)}, not {_KINDS[kind]}")
        return value


_KINDS: dict[type, str] = {
    str: "a string",
    int: "an integer",
    list: "an array of strings",
    dict: "an object",
    bool: "a boolean",
    float: "a number with a fraction",
    type(None): "null",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)
