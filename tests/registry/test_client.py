"""The registry client against servers that behave as servers do, well and badly."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path

import pytest
from clients import BLOB, DIGEST, blob_reader, client_for, credentials_file
from layerdisk.descriptor import Descriptor
from layerdisk.errdefs import (
    DataLoss,
    LayerdiskError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from layerdisk.registry.blob import BlobReader
from layerdisk.registry.push import has_blob, push_blob, push_manifest, push_stream, referrers
from servers import Answer, OddRegistry, Request, as_json, digest_of, docker_registry, free_port

MANIFEST = as_json({"schemaVersion": 2})
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
Program = Callable[[str], str]


def in_turn(*answers: Answer) -> Callable[[Request], Answer]:
    """Answer each request with the next of these, then with the last."""
    left = list(answers)
    return lambda request: left.pop(0) if len(left) > 1 else left[0]


# Blobs.


def test_a_blob_streams() -> None:
    with OddRegistry(lambda request: Answer(body=BLOB)) as registry:
        assert blob_reader(registry.address).read() == BLOB
    assert [request.path for request in registry.requests] == [f"/v2/a/b/blobs/{DIGEST}"]


def ranged(cut: int) -> Callable[[Request], Answer]:
    """A server that breaks off after some bytes each time."""

    def respond(request: Request) -> Answer:
        start = int(request.headers.get("range", "bytes=0-")[len("bytes=") : -1])
        return Answer(206 if start else 200, BLOB[start:], cut=cut)

    return respond


def test_a_blob_that_breaks_off_goes_on_by_range() -> None:
    with OddRegistry(ranged(300_000)) as registry:
        assert blob_reader(registry.address).read() == BLOB
    ranges = [request.headers.get("range") for request in registry.requests]
    assert ranges == [None, "bytes=300000-", "bytes=600000-", "bytes=900000-"]


def test_where_ranges_are_ignored_what_is_known_is_skipped() -> None:
    answers = in_turn(Answer(body=BLOB, cut=500_000), Answer(body=BLOB, cut=700_000), Answer(body=BLOB))
    with OddRegistry(answers) as registry:
        assert blob_reader(registry.address).read() == BLOB
    assert len(registry.requests) == 3


def test_a_blob_that_never_gets_on_is_an_error() -> None:
    message = f"ends after 0 bytes, its size is {len(BLOB)}"
    registry = OddRegistry(lambda request: Answer(206, BLOB, cut=0))
    with registry, pytest.raises(DataLoss, match=message):
        blob_reader(registry.address).read()
    assert len(registry.requests) == 6


def test_an_endless_blob_is_read_to_its_size_only() -> None:
    with OddRegistry(lambda request: Answer(endless=True, length=1 << 40)) as registry:
        reader = blob_reader(registry.address)
        assert len(reader.read()) == len(BLOB)
        assert reader.read(1) == b""
        reader.close()


def test_a_reader_that_waits_ends_when_it_is_closed() -> None:
    hold = threading.Event()
    answer = Answer(body=BLOB, cut=1000, hold=hold)
    with OddRegistry(lambda request: answer) as registry:
        reader = blob_reader(registry.address)
        assert len(reader.read(1000)) == 1000
        threading.Timer(0.5, reader.close).start()
        started = time.monotonic()
        with pytest.raises(LayerdiskError, match="the reader was closed"):
            reader.read(1000)
        assert time.monotonic() - started < 8  # the read alone would wait for 10
        hold.set()


# Passing and lasting failures.


def test_passing_failures_are_tried_again_after_what_the_server_asks_for() -> None:
    slept: list[float] = []
    soon = formatdate(time.time() + 30, usegmt=True)
    answers = in_turn(
        Answer(503, Retry_After="7"), Answer(429, Retry_After=soon), Answer(502), Answer(429, Retry_After="x"),
        Answer(body=BLOB),
    )  # fmt: skip
    with OddRegistry(answers) as registry:
        assert blob_reader(registry.address, slept=slept).read() == BLOB
    assert slept[0] == 7
    assert 25 < slept[1] <= 30
    assert 1.5 <= slept[2] <= 2.5
    assert 3 <= slept[3] <= 5


def test_no_wait_is_longer_than_allowed() -> None:
    slept: list[float] = []
    with OddRegistry(in_turn(Answer(429, Retry_After="86400"), Answer(body=BLOB))) as registry:
        blob_reader(registry.address, slept=slept, longest_delay_seconds=9).read()
    assert slept == [9]


ERRORS = {
    "404": (Answer(404), NotFound, "status 404"),
    "403": (Answer(403), PermissionDenied, "status 403"),
    "429": (
        Answer(429, RateLimit_Limit="100;w=21600"),
        ResourceExhausted,
        "limit is reached (limit 100;w=21600)",
    ),
    "503": (Answer(503), Unavailable, "status 503"),
    "said": (
        Answer(404, as_json({"errors": [{"code": "BLOB_UNKNOWN", "message": "gone\x1b[31m"}]})),
        NotFound,
        "status 404, BLOB_UNKNOWN gone?[31m",
    ),
    "unknown challenge": (
        Answer(401, WWW_Authenticate="Negotiate"),
        Unauthenticated,
        "not known: 'Negotiate'",
    ),
    "no challenge": (Answer(401), Unauthenticated, "not known: ''"),
    "basic": (Answer(401, WWW_Authenticate='Basic realm="x"'), Unauthenticated, "none are known"),
    "redirects": (Answer(307, Location="/v2/a/b/blobs/x"), Unavailable, "redirects more than 10 times"),
    "elsewhere": (Answer(307, Location="file:///etc/passwd"), Unavailable, "what is not HTTP: 'file'"),
}


@pytest.mark.parametrize(("answer", "error", "message"), ERRORS.values(), ids=ERRORS)
def test_failures_have_their_class_and_reason(
    answer: Answer, error: type[LayerdiskError], message: str
) -> None:
    with OddRegistry(lambda request: answer) as registry, pytest.raises(error) as caught:
        blob_reader(registry.address).read()
    assert type(caught.value) is error
    assert message in str(caught.value)


def test_a_server_that_is_not_there_is_unavailable() -> None:
    slept: list[float] = []
    with pytest.raises(Unavailable, match=r"cannot be reached: .*refused"):
        blob_reader(f"127.0.0.1:{free_port()}", slept=slept).read()
    assert len(slept) == 4


# Manifests.


def test_a_manifest_by_tag_and_by_digest() -> None:
    answer = Answer(body=MANIFEST, Content_Type=f"{OCI_MANIFEST}; charset=utf-8")
    with OddRegistry(lambda request: answer) as registry:
        client = client_for(registry.address)
        expected = Descriptor(OCI_MANIFEST, digest_of(MANIFEST), len(MANIFEST))
        assert client.manifest("1") == (expected, MANIFEST)
        assert client.manifest(digest_of(MANIFEST)).descriptor == expected
        with pytest.raises(DataLoss, match=r"where sha256:.* was asked for"):
            client.manifest(DIGEST)
    assert "application/vnd.oci.image.index.v1+json" in registry.requests[0].headers["accept"]


def test_a_manifest_is_bounded() -> None:
    registry = OddRegistry(lambda request: Answer(endless=True, length=1 << 40))
    with registry, pytest.raises(DataLoss, match="more than the 4194304 bytes"):
        client_for(registry.address).manifest("1")


def test_a_tag_is_resolved_by_a_head_request() -> None:
    answer = Answer(body=MANIFEST, Content_Type=OCI_MANIFEST, Docker_Content_Digest=digest_of(MANIFEST))
    with OddRegistry(lambda request: answer) as registry:
        found = client_for(registry.address).resolve("1")
    assert found == Descriptor(OCI_MANIFEST, digest_of(MANIFEST), len(MANIFEST))
    assert [request.method for request in registry.requests] == ["HEAD"]


def test_mirrors_are_asked_first_and_the_registry_last() -> None:
    with (
        OddRegistry(lambda request: Answer(404)) as empty,
        OddRegistry(lambda request: Answer(body=BLOB)) as registry,
    ):
        mirrors = {registry.address: [f"127.0.0.1:{free_port()}", empty.address]}
        assert blob_reader(registry.address, mirrors=mirrors, attempts=1).read() == BLOB
        assert (len(empty.requests), len(registry.requests)) == (1, 1)


# A real registry.


def test_push_and_pull_with_basic_authorization(program: Program, tmp_path: Path) -> None:
    htpasswd = subprocess.run(
        [program("htpasswd"), "-Bbn", "u", "p"], check=True, capture_output=True, text=True
    ).stdout
    (tmp_path / "htpasswd").write_text(htpasswd)
    more = f"auth:\n  htpasswd:\n    realm: here\n    path: {tmp_path / 'htpasswd'}\n"
    with docker_registry(program("docker-registry"), tmp_path, more) as address:
        with pytest.raises(Unauthenticated):
            client_for(address).manifest("1")
        store = credentials_file(tmp_path, address, username="u", password="p")
        client = client_for(address, credentials=store, actions="pull,push")
        config = as_json({"os": "linux"})
        push_blob(client, Descriptor("x/y", digest_of(config), len(config)), config)
        pushed = push_stream(client, (BLOB[start : start + 999] for start in range(0, len(BLOB), 999)), "x/y")
        assert pushed == Descriptor("x/y", DIGEST, len(BLOB))
        assert has_blob(client, DIGEST)
        assert not has_blob(client, "sha256:" + "0" * 64)
        assert BlobReader(client, pushed).read() == BLOB
        layers = [{"mediaType": "x/y", "digest": DIGEST, "size": len(BLOB)}]
        own = {"mediaType": "x/c", "digest": digest_of(config), "size": len(config)}
        content = as_json({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": own, "layers": layers})
        described = push_manifest(client, "1", OCI_MANIFEST, content)
        assert client.manifest("1") == (described, content)
        assert client.resolve("1") == described
        assert referrers(client, described.digest) == []
        tag = described.digest.replace(":", "-")
        index_type = "application/vnd.oci.image.index.v1+json"
        entry = {**described.to_json(), "artifactType": "x/sig"}
        push_manifest(
            client,
            tag,
            index_type,
            as_json({"schemaVersion": 2, "mediaType": index_type, "manifests": [entry]}),
        )
        assert [found.artifact_type for found in referrers(client, described.digest)] == ["x/sig"]
        assert referrers(client, described.digest, "x/other") == []
