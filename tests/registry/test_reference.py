"""Names of images, as docker reads them."""

from __future__ import annotations

import pytest
from layerdisk.errdefs import (
    InvalidArgument,
)
from layerdisk.registry import parse_reference

DIGEST = "sha256:" + "0" * 64


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("busybox", "docker.io/library/busybox:latest"),
        ("a/b", "docker.io/a/b:latest"),
        ("a/b:1", "docker.io/a/b:1"),
        ("host.example/a", "host.example/a:latest"),
        ("host:5000/a/b:1", "host:5000/a/b:1"),
        ("localhost/a", "localhost/a:latest"),
        ("[::1]:5000/a", "[::1]:5000/a:latest"),
        (f"a@{DIGEST}", f"docker.io/library/a@{DIGEST}"),
        (f"h.example/a:1@{DIGEST}", f"h.example/a:1@{DIGEST}"),
    ],
)
def test_names_mean_what_they_mean_to_docker(text: str, meant: str) -> None:
    assert str(parse_reference(text)) == meant


def test_a_digest_counts_more_than_a_tag() -> None:
    assert parse_reference(f"a:1@{DIGEST}").target == DIGEST


@pytest.mark.parametrize(
    "text",
    [
        "",
        "A",
        "a/B",
        "a:",
        "a:.x",
        "a//b",
        "/a",
        "a/",
        "a@sha256:1",
        "-h.example/a",
        "h..example:x/a",
        "a" * 300,
    ],
)
def test_malformed_names_are_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parse_reference(text)
