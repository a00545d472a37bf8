"""Who we are to a registry: tokens, basic authorization, and where credentials come from."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest
from clients import BLOB, DIGEST, blob_reader, client_for, credentials_file
from layerdisk.descriptor import Descriptor
from layerdisk.errdefs import (
    InvalidArgument,
    LayerdiskError,
    Unauthenticated,
    Unavailable,
)
from layerdisk.registry import CredentialStore
from layerdisk.registry.auth import parse_challenges
from layerdisk.registry.blob import BlobReader
from layerdisk.registry.credentials import Credentials, default_files
from servers import Answer, OddRegistry, Request, as_json, basic


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
