"""The registry client against servers that behave as servers do, well and badly."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import threading
import time
from collections.abc import Callable
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from layerdisk.descriptor import Descriptor
from layerdisk.errdefs import (
    DataLoss,
    InvalidArgument,
    LayerdiskError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
)
from layerdisk.registry import CredentialStore, RegistryClient, RegistryOptions, parse_reference
from layerdisk.registry.auth import parse_challenges
from layerdisk.registry.blob import BlobReader
from layerdisk.registry.credentials import Credentials, default_files
from layerdisk.registry.push import has_blob, push_blob, push_manifest, push_stream, referrers
from servers import Answer, OddRegistry, Request, as_json, basic, digest_of, docker_registry, free_port

BLOB = bytes(range(256)) * 4096
DIGEST = digest_of(BLOB)
MANIFEST = as_json({"schemaVersion": 2})
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
Program = Callable[[str], str]


def client_for(address: str, path: str = "a/b", **options: Any) -> RegistryClient:
    slept: list[float] = options.pop("slept", [])
    actions = options.pop("actions", "pull")
    made = RegistryOptions(
        **{"credentials": CredentialStore([]), "sleep": slept.append, "read_seconds": 10.0, **options}
    )
    return RegistryClient(parse_reference(f"{address}/{path}"), made, actions=actions)


def blob_reader(address: str, **options: Any) -> BlobReader:
    return BlobReader(client_for(address, **options), Descriptor("x/y", DIGEST, len(BLOB)))


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


# Authorization.


class TokenRegistry:
    """A registry that wants bearer tokens, and the server that gives them."""

    def __init__(self, expected: str | None, lifetime: int = 300) -> None:
        self.expected, self.lifetime = expected, lifetime
        self.given: list[str] = []
        self.valid: set[str] = set()
        self.tokens = OddRegistry(self.give)
        self.registry = OddRegistry(self.answer)

    def give(self, request: Request) -> Answer:
        if request.method == "POST":
            return Answer(200, as_json({"access_token": self._new(), "expires_in": self.lifetime}))
        if self.expected is not None and request.headers.get("authorization") != self.expected:
            return Answer(401)
        return Answer(200, as_json({"token": self._new(), "expires_in": self.lifetime}))

    def answer(self, request: Request) -> Answer:
        if request.headers.get("authorization", "").removeprefix("Bearer ") in self.valid:
            return Answer(body=BLOB)
        challenge = f'Bearer realm="http://{self.tokens.address}/token",service="here"'
        return Answer(401, WWW_Authenticate=challenge)

    def _new(self) -> str:
        self.given.append(f"token{len(self.given)}")
        self.valid.add(self.given[-1])
        return self.given[-1]

    def __enter__(self) -> TokenRegistry:
        self.tokens.__enter__()
        self.registry.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.registry.__exit__()
        self.tokens.__exit__()


def credentials_file(directory: Path, host: str, **entry: str) -> CredentialStore:
    path = directory / "auth.json"
    path.write_text(json.dumps({"auths": {host: entry}}))
    return CredentialStore([path])


@pytest.mark.parametrize("user", [None, "u"])
def test_tokens_are_fetched_once_for_a_scope(user: str | None, tmp_path: Path) -> None:
    with TokenRegistry(basic("u", "p") if user else None) as server:
        options: dict[str, Any] = {}
        if user:
            auth = basic("u", "p").removeprefix("Basic ")
            options["credentials"] = credentials_file(tmp_path, server.registry.address, auth=auth)
        client = client_for(server.registry.address, **options)
        for _ in range(3):
            assert BlobReader(client, Descriptor("x/y", DIGEST, len(BLOB))).read() == BLOB
        [asked] = server.tokens.requests
        assert asked.query == {"service": ["here"], "scope": ["repository:a/b:pull"]}
        assert server.given == ["token0"]


def test_an_expired_token_is_renewed() -> None:
    with TokenRegistry(None) as server:
        client = client_for(server.registry.address)
        descriptor = Descriptor("x/y", DIGEST, len(BLOB))
        BlobReader(client, descriptor).read()
        server.valid.clear()  # the registry forgets it before its time
        assert BlobReader(client, descriptor).read() == BLOB
        assert server.given == ["token0", "token1"]


def test_an_identity_token_is_exchanged(tmp_path: Path) -> None:
    with TokenRegistry(None) as server:
        store = credentials_file(tmp_path, server.registry.address, identitytoken="secret")
        assert blob_reader(server.registry.address, credentials=store).read() == BLOB
        [asked] = server.tokens.requests
        assert (asked.method, b"grant_type=refresh_token" in asked.body) == ("POST", True)
        assert b"refresh_token=secret" in asked.body


def test_wrong_credentials_are_told(tmp_path: Path) -> None:
    with TokenRegistry(basic("u", "p")) as server:
        store = credentials_file(tmp_path, server.registry.address, username="u", password="hidden")
        with pytest.raises(Unauthenticated, match="refuses the credentials") as caught:
            blob_reader(server.registry.address, credentials=store).read()
        assert "hidden" not in str(caught.value)


def test_basic_authorization(tmp_path: Path) -> None:
    def respond(request: Request) -> Answer:
        if request.headers.get("authorization") == basic("u", "p"):
            return Answer(body=BLOB)
        return Answer(401, WWW_Authenticate='Basic realm="x"')

    with OddRegistry(respond) as registry:
        store = credentials_file(tmp_path, registry.address, username="u", password="p")
        assert blob_reader(registry.address, credentials=store).read() == BLOB


def test_authorization_does_not_follow_a_redirect_to_another_host(tmp_path: Path) -> None:
    with OddRegistry(lambda request: Answer(body=BLOB)) as elsewhere:

        def respond(request: Request) -> Answer:
            if "authorization" not in request.headers:
                return Answer(401, WWW_Authenticate='Basic realm="x"')
            return Answer(307, Location=f"http://{elsewhere.address}/bucket/blob?signature=1")

        with OddRegistry(respond) as registry:
            store = credentials_file(tmp_path, registry.address, username="u", password="p")
            assert blob_reader(registry.address, credentials=store).read() == BLOB
        [request] = elsewhere.requests
        assert "authorization" not in request.headers


def test_secrets_do_not_show() -> None:
    shown = repr(Credentials("u", "secret", "token-secret"))
    assert "secret" not in shown
    assert "u" in shown


@pytest.mark.parametrize(
    ("header", "schemes"),
    [
        ('Basic realm="a, b"', ["basic"]),
        ('Bearer realm="x",scope="repository:a:pull,push", Basic realm="y"', ["bearer", "basic"]),
        ("", []),
        ("Bearer", []),
        ('Bearer realm="unterminated', ["bearer"]),
    ],
)
def test_challenges_are_parsed(header: str, schemes: list[str]) -> None:
    assert [challenge.scheme for challenge in parse_challenges(header)] == schemes


# Where credentials are.


def test_files_are_asked_in_order(tmp_path: Path) -> None:
    environment = {
        "REGISTRY_AUTH_FILE": "/1",
        "XDG_RUNTIME_DIR": "/2",
        "XDG_CONFIG_HOME": "/3",
        "DOCKER_CONFIG": "/4",
    }
    assert default_files(environment) == [
        "/1",
        "/2/containers/auth.json",
        "/3/containers/auth.json",
        "/4/config.json",
    ]


def helper(directory: Path, script: str) -> None:
    path = directory / "docker-credential-test"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.parametrize("config", [{"credsStore": "test"}, {"credHelpers": {"h.example": "test"}}])
def test_a_helper_is_asked(config: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    helper(tmp_path, f'cat > {tmp_path}/asked; echo \'{{"Username": "u", "Secret": "s"}}\'')
    (tmp_path / "config.json").write_text(json.dumps(config))
    store = CredentialStore([tmp_path / "none", tmp_path / "config.json"])
    assert store.find("h.example", "a") == Credentials("u", "s")
    assert (tmp_path / "asked").read_text() == "h.example"


def test_a_helpers_token_is_an_identity_token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    helper(tmp_path, 'echo \'{"Username": "<token>", "Secret": "s"}\'')
    (tmp_path / "config.json").write_text('{"credsStore": "test"}')
    assert CredentialStore([tmp_path / "config.json"]).find("h", "a") == Credentials(identity_token="s")


HELPERS = {
    "knows nothing": ("echo credentials not found in native keychain; exit 1", None),
    "fails": ("exit 3", Unauthenticated),
    "no JSON": ("echo hello", Unavailable),
}


@pytest.mark.parametrize(("script", "error"), HELPERS.values(), ids=HELPERS)
def test_a_helper_that_cannot_help(
    script: str, error: type[LayerdiskError] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    helper(tmp_path, script)
    (tmp_path / "config.json").write_text('{"credsStore": "test"}')
    store = CredentialStore([tmp_path / "config.json"])
    if error is None:
        assert not store.find("h", "a")
    else:
        with pytest.raises(error):
            store.find("h", "a")


def test_the_longest_entry_that_fits_counts(tmp_path: Path) -> None:
    entries = {
        name: {"username": name, "password": "p"} for name in ("h.example", "h.example/a", "h.example/a/b")
    }
    (tmp_path / "auth.json").write_text(json.dumps({"auths": entries}))
    store = CredentialStore([tmp_path / "auth.json"])
    found = {path: store.find("h.example", path).username for path in ("a/b", "a/c", "x")}
    assert found == {"a/b": "h.example/a/b", "a/c": "h.example/a", "x": "h.example"}


@pytest.mark.parametrize("text", ["[]", "{", '{"auths": {"h": {"auth": "%%"}}}', "[" * 100_000])
def test_malformed_files_are_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / "auth.json").write_text(text)
    with pytest.raises(InvalidArgument):
        CredentialStore([tmp_path / "auth.json"]).find("h", "a")


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
