"""Descriptors, platforms and digests, to and from JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest
from layerdisk.descriptor import Descriptor, Platform, linux_platform, parse_digest
from layerdisk.errdefs import InvalidArgument

DIGEST = "sha256:" + "0a" * 32
FULL = {
    "mediaType": "application/vnd.oci.image.manifest.v1+json",
    "digest": DIGEST,
    "size": 7682,
    "urls": ["https://example.com/x"],
    "annotations": {"org.opencontainers.image.ref.name": "latest"},
    "platform": {
        "architecture": "arm",
        "os": "linux",
        "os.version": "6",
        "os.features": ["a"],
        "variant": "v7",
    },
}


@pytest.mark.parametrize(
    "value",
    [FULL, {"mediaType": "m", "digest": DIGEST, "size": 0}],
    ids=["full", "minimal"],
)
def test_json_round_trip(value: dict[str, Any]) -> None:
    assert Descriptor.from_json(json.loads(json.dumps(value))).to_json() == value


def test_null_and_unknown_fields_are_as_absent() -> None:
    value = {"mediaType": "m", "digest": DIGEST, "size": 1, "urls": None, "platform": None, "data": "eA=="}
    assert Descriptor.from_json(value) == Descriptor("m", DIGEST, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], "descriptor is an array of strings, not a JSON object"),
        (None, "descriptor is null, not a JSON object"),
        ({"digest": DIGEST, "size": "1"}, "descriptor: size is a string, not an integer"),
        ({"digest": DIGEST, "size": True}, "descriptor: size is a boolean, not an integer"),
        ({"digest": DIGEST, "size": -1}, "descriptor: size is -1, not 0 or more"),
        ({"digest": DIGEST, "urls": [1]}, "descriptor: urls is an integer, not a string"),
        ({"digest": DIGEST, "annotations": {"a": 1}}, "descriptor: annotations is an integer, not a string"),
        ({"digest": DIGEST, "platform": 3}, "platform is an integer, not a JSON object"),
        ({}, 'digest "": the algorithm must be one of sha256, sha384, sha512'),
    ],
    ids=["array", "null", "text", "bool", "negative", "urls", "annotations", "platform", "digest"],
)
def test_malformed_descriptors_are_refused(value: object, message: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        Descriptor.from_json(value)
    assert str(caught.value) == message


def test_descriptors_are_frozen_and_hashable() -> None:
    descriptor = Descriptor("m", DIGEST, 1, annotations={"a": "b"})
    assert len({descriptor, Descriptor("m", DIGEST, 1, annotations={"a": "b"})}) == 1
    with pytest.raises(AttributeError):
        descriptor.size = 2  # type: ignore[misc]


@pytest.mark.parametrize(("algorithm", "length"), [("sha256", 64), ("sha384", 96), ("sha512", 128)])
def test_digests_of_every_algorithm(algorithm: str, length: int) -> None:
    assert parse_digest(f"{algorithm}:{'f' * length}") == (algorithm, "f" * length)


@pytest.mark.parametrize(
    "digest",
    ["", "sha256", "sha256:", "md5:" + "0" * 32, "sha256:" + "0" * 63, "sha256:" + "A" * 64, DIGEST + "\n"],
)
def test_what_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(InvalidArgument, match="digest"):
        parse_digest(digest)


@pytest.mark.parametrize(
    ("machine", "architecture"),
    [("x86_64", "amd64"), ("AMD64", "amd64"), ("aarch64", "arm64"), ("riscv64", "riscv64"), ("vax", "vax")],
)
def test_this_machines_platform(monkeypatch: pytest.MonkeyPatch, machine: str, architecture: str) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert linux_platform() == Platform(architecture, "linux")
