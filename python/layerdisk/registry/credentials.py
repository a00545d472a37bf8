"""Who we are to a registry: the files and helper programs that docker, podman and skopeo use.

Source: containers-auth.json(5); docker/cli (config.json), docker/docker-credential-helpers.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..errdefs import InvalidArgument, Unauthenticated, Unavailable

_MAX_FILE_BYTES = 1 << 20
_HELPER_SECONDS = 30
_HELPER_NAME = re.compile(r"[A-Za-z0-9._-]+")
# The name under which docker files its own registry's credentials.
_DOCKER_KEYS = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
_TOKEN_USER = "<token>"


@dataclass(frozen=True, slots=True)
class Credentials:
    """A user's name and password, or a token that stands for both.

    Attributes:
        username: "" for none.
        password: never shown.
        identity_token: an OAuth2 refresh token in place of both, never shown.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    identity_token: str = field(default="", repr=False)

    def __bool__(self) -> bool:
        return bool(self.username or self.identity_token)

    def basic(self) -> str:
        """Return the value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()


class CredentialStore:
    """Credentials by host.

    Args:
        files: configuration files, the first that knows a host counts; by default those of docker and podman.
    """

    def __init__(self, files: Sequence[str | os.PathLike[str]] | None = None) -> None:
        self._files = default_files(os.environ) if files is None else [os.fspath(path) for path in files]

    def find(self, host: str, repository: str) -> Credentials:
        """Return the credentials for a repository, empty ones where nobody knows any.

        Raises:
            InvalidArgument: a file is malformed.
            Unavailable: a helper program fails or is not installed.
        """
        for path in self._files:
            config = _read(path)
            if config is not None and (found := _in_config(config, host, repository)):
                return found
        return Credentials()


def default_files(environment: Mapping[str, str]) -> list[str]:
    """Return where credentials are kept, in the order in which they count."""
    files = [environment["REGISTRY_AUTH_FILE"]] if environment.get("REGISTRY_AUTH_FILE") else []
    if runtime := environment.get("XDG_RUNTIME_DIR"):
        files.append(os.path.join(runtime, "containers", "auth.json"))
    home = os.path.expanduser("~")
    configuration = environment.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    files.append(os.path.join(configuration, "containers", "auth.json"))
    docker = environment.get("DOCKER_CONFIG") or os.path.join(home, ".docker")
    return [*files, os.path.join(docker, "config.json")]


def _read(path: str) -> dict[str, Any] | None:
    try:
        with open(path, "rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    try:
        config = json.loads(data) if len(data) <= _MAX_FILE_BYTES else None
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise InvalidArgument(f"{path} is not a configuration of credentials: a JSON object is expected")
    return config


def _in_config(config: Mapping[str, Any], host: str, repository: str) -> Credentials | None:
    keys = list(_DOCKER_KEYS) if host == "docker.io" else [host, f"https://{host}", f"http://{host}"]
    helpers = config.get("credHelpers")
    for key in keys:
        if isinstance(helpers, dict) and isinstance(helpers.get(key), str):
            return _from_helper(helpers[key], key)
    auths = config.get("auths")
    if isinstance(auths, dict):
        # A file may have entries for a part of a registry: the longest that fits counts.
        parts = repository.split("/")
        paths = [f"{host}/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)]
        for key in [*paths, *keys]:
            if (found := _from_entry(auths.get(key))) is not None:
                return found
    store = config.get("credsStore")
    return _first_of_helper(store, keys) if isinstance(store, str) and store else None


def _first_of_helper(helper: str, keys: Sequence[str]) -> Credentials | None:
    for key in keys:
        if found := _from_helper(helper, key):
            return found
    return None


def _from_entry(entry: object) -> Credentials | None:
    if not isinstance(entry, dict):
        return None
    if isinstance(entry.get("identitytoken"), str) and entry["identitytoken"]:
        return Credentials(identity_token=entry["identitytoken"])
    if isinstance(entry.get("username"), str) and isinstance(entry.get("password"), str):
        return Credentials(entry["username"], entry["password"])
    if not isinstance(entry.get("auth"), str) or not entry["auth"]:
        return None  # an entry without a secret: a helper has it
    try:
        user, colon, password = base64.b64decode(entry["auth"], validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        colon = ""
    if not colon:
        raise InvalidArgument(
            "an entry of the credentials is malformed: auth must be base64 of user:password"
        )
    return Credentials(user, password.rstrip("\0"))


def _from_helper(helper: str, key: str) -> Credentials:
    """Ask docker-credential-HELPER; what it does not know is empty."""
    if not _HELPER_NAME.fullmatch(helper):
        raise InvalidArgument(
            f"the credential helper's name {helper!r} must be letters, digits, '.', '_' and '-'"
        )
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, "get"], input=key.encode(), capture_output=True, timeout=_HELPER_SECONDS, check=False
        )
    except FileNotFoundError:
        raise Unavailable(f"{program} is not installed") from None
    except subprocess.TimeoutExpired:
        raise Unavailable(f"{program} did not answer within {_HELPER_SECONDS} seconds") from None
    if done.returncode:
        if b"credentials not found" in done.stdout + done.stderr:
            return Credentials()
        raise Unauthenticated(f"{program} failed with status {done.returncode}")
    try:
        answer = json.loads(done.stdout)
        user, secret = answer["Username"], answer["Secret"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Unavailable(f"{program} did not answer with a name and a secret") from None
    return Credentials(identity_token=secret) if user == _TOKEN_USER else Credentials(user, secret)
