"""Authorization headers: what a registry challenges us with, and the tokens that answer it.

Source: OCI distribution-spec; distribution, docs/spec/auth/{token,oauth}.md; RFC 9110, section 11.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple
from urllib.parse import urlencode, urlsplit

from ..errdefs import DataLoss, Unauthenticated
from .credentials import Credentials

# A token without a lifetime lives this long.
_DEFAULT_TOKEN_SECONDS = 60
# It is renewed this much earlier, since requests take time.
_MARGIN_SECONDS = 10
_MAX_TOKEN_BYTES = 1 << 20
_CLIENT_ID = "layerdisk"
_CHALLENGE = re.compile(r"\s*([A-Za-z]+)\s+(.*)", re.DOTALL)
_PARAMETER = re.compile(r'\s*([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))\s*(?:,|$)')

# (method, url, headers, body) -> (status, body); of the client, with its retries and TLS
Send = Callable[[str, str, Mapping[str, str], bytes | None], tuple[int, bytes]]


class Challenge(NamedTuple):
    """One WWW-Authenticate header: its scheme in lower case, and its parameters."""

    scheme: str
    parameters: dict[str, str]


class _Token(NamedTuple):
    header: str
    expires: float


class Authorizer:
    """Answers the challenges of one host.

    Args:
        send: makes a request without authorization.
        credentials: ours at this host.
        clock: seconds that only grow.
    """

    def __init__(
        self, send: Send, credentials: Credentials, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._send = send
        self._credentials = credentials
        self._clock = clock
        self._challenge: Challenge | None = None
        self._tokens: dict[str, _Token] = {}
        self._lock = threading.Lock()

    def header(self, scope: str) -> str | None:
        """Return the Authorization header for a scope, None as long as the host has asked for nothing.

        Raises:
            Unauthenticated: the host wants credentials that we do not have, or refuses ours.
        """
        with self._lock:
            if self._challenge is None:
                return None
            if self._challenge.scheme == "basic":
                if not self._credentials:
                    raise Unauthenticated("the registry wants a user name and a password, and none are known")
                return self._credentials.basic()
            token = self._tokens.get(scope)
            if token is None or token.expires <= self._clock():
                token = self._tokens[scope] = self._fetch(self._challenge, scope)
            return token.header

    def challenged(self, header: str, scope: str) -> None:
        """Take the challenge of a 401; the token that was refused is forgotten.

        Raises:
            Unauthenticated: it is of no scheme that we know.
        """
        challenge = next(
            (found for found in parse_challenges(header) if found.scheme in ("bearer", "basic")), None
        )
        if challenge is None or (challenge.scheme == "bearer" and "realm" not in challenge.parameters):
            raise Unauthenticated(
                f"the registry asks for an authentication that is not known: {header[:200]!r}"
            )
        with self._lock:
            self._challenge = challenge
            self._tokens.pop(scope, None)

    def _fetch(self, challenge: Challenge, scope: str) -> _Token:
        realm = challenge.parameters["realm"]
        if urlsplit(realm).scheme not in ("http", "https"):
            raise Unauthenticated(f"the registry names a token server that is not HTTP: {realm[:200]!r}")
        fields = {"service": challenge.parameters.get("service", ""), "scope": scope}
        fields = {name: value for name, value in fields.items() if value}
        if self._credentials.identity_token:
            fields |= {"grant_type": "refresh_token", "refresh_token": self._credentials.identity_token}
            body = urlencode({**fields, "client_id": _CLIENT_ID}).encode()
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            status, answer = self._send("POST", realm, headers, body)
        else:
            headers = {"Authorization": self._credentials.basic()} if self._credentials else {}
            separator = "&" if "?" in realm else "?"
            status, answer = self._send("GET", f"{realm}{separator}{urlencode(fields)}", headers, None)
        if status != 200:
            known = "refuses the credentials" if self._credentials else "gives no token without credentials"
            raise Unauthenticated(f"the registry's token server {known} (status {status})")
        return self._parse(answer)

    def _parse(self, answer: bytes) -> _Token:
        try:
            fields: Any = json.loads(answer[: _MAX_TOKEN_BYTES + 1])
            token = fields.get("token") or fields["access_token"]
            seconds = float(fields.get("expires_in") or _DEFAULT_TOKEN_SECONDS)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise DataLoss("the registry's token server did not answer with a token") from None
        if not isinstance(token, str) or not token or not token.isprintable():
            raise DataLoss("the registry's token server did not answer with a token")
        return _Token(f"Bearer {token}", self._clock() + max(seconds - _MARGIN_SECONDS, 1))


def parse_challenges(header: str) -> list[Challenge]:
    """Return the challenges of a WWW-Authenticate header; one that is malformed ends the list.

    >>> parse_challenges('Bearer realm="https://a/t",service="b"')
    [Challenge(scheme='bearer', parameters={'realm': 'https://a/t', 'service': 'b'})]
    """
    found = []
    rest = header
    while match := _CHALLENGE.match(rest):
        scheme, rest = match[1].lower(), match[2]
        parameters = {}
        while parameter := _PARAMETER.match(rest):
            value = parameter[3] if parameter[2] is None else re.sub(r"\\(.)", r"\1", parameter[2])
            parameters[parameter[1].lower()] = value
            rest = rest[parameter.end() :]
        found.append(Challenge(scheme, parameters))
    return found
