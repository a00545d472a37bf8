"""Requests to a registry: retries, redirects, TLS, proxies and mirrors around what the specification asks for.

Source: OCI distribution-spec 1.1; RFC 9110 (Retry-After, Range).
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple
from urllib.parse import urljoin, urlsplit
from urllib.request import getproxies, proxy_bypass

import urllib3

from .. import media_types
from ..descriptor import Descriptor, parse_digest
from ..errdefs import (
    DataLoss,
    InvalidArgument,
    LayerdiskError,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unknown,
)
from .auth import Authorizer
from .credentials import CredentialStore
from .reference import Reference

# Source: containerd core/images, MaxManifestSize.
MAX_MANIFEST_BYTES = 4 << 20
_MAX_ERROR_BYTES = 64 << 10
_MAX_REDIRECTS = 10
_PASSING_STATUS = frozenset({408, 429, 500, 502, 503, 504})
MANIFEST_TYPES = (
    media_types.OCI_INDEX,
    media_types.OCI_MANIFEST,
    media_types.DOCKER_MANIFEST_LIST,
    media_types.DOCKER_MANIFEST,
)


@dataclass(frozen=True, slots=True)
class RegistryOptions:
    """How registries are reached.

    Attributes:
        insecure: hosts (with their ports) that are spoken to without TLS; loopback addresses need no mention.
        skip_verification: hosts whose certificates are not checked.
        mirrors: for a host, servers that are asked before it, in this order.
        ca_file: certificates to trust in place of the system's.
        attempts: how often a request is made at most, for reasons that pass.
        connect_seconds: to wait for a connection.
        read_seconds: to wait for more data.
        first_delay_seconds: before the second attempt; doubled each time.
        longest_delay_seconds: no wait is longer, whatever the server asks for.
        credentials: where user names are found.
        sleep: waits.
    """

    insecure: Sequence[str] = ()
    skip_verification: Sequence[str] = ()
    mirrors: Mapping[str, Sequence[str]] = field(default_factory=dict)
    ca_file: str | None = None
    attempts: int = 5
    connect_seconds: float = 30.0
    read_seconds: float = 60.0
    first_delay_seconds: float = 0.5
    longest_delay_seconds: float = 60.0
    credentials: CredentialStore = field(default_factory=CredentialStore)
    sleep: Callable[[float], None] = time.sleep


class Manifest(NamedTuple):
    """A manifest or index as the registry sent it."""

    descriptor: Descriptor
    content: bytes


class RegistryClient:
    """One repository of a registry.

    Args:
        reference: of an image; only host and repository count.
        options: how registries are reached.
        actions: what tokens are asked for, "pull" or "pull,push".

    Safe for use by several threads.
    """

    def __init__(
        self, reference: Reference, options: RegistryOptions | None = None, *, actions: str = "pull"
    ) -> None:
        self.reference = reference
        self._options = options or RegistryOptions()
        self._scope = f"repository:{reference.repository}:{actions}"
        self._authorizers: dict[str, Authorizer] = {}
        self._pools: dict[tuple[str, bool], urllib3.PoolManager] = {}
        self._lock = threading.Lock()
        self._servers = [*self._options.mirrors.get(reference.host, ()), reference.server]

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            for pool in self._pools.values():
                pool.clear()
            self._pools.clear()

    def manifest(self, target: str) -> Manifest:
        """Return the manifest or index of a tag or digest.

        Raises:
            NotFound: there is none.
            DataLoss: it is larger than 4 MiB, or not of the digest asked for.
            LayerdiskError: as `request`.
        """
        accept = {"Accept": ", ".join(MANIFEST_TYPES)}
        with self.request("GET", f"manifests/{target}", headers=accept) as response:
            content = _read_all(response, MAX_MANIFEST_BYTES, "the manifest")
            media_type = (response.headers.get("Content-Type") or "").partition(";")[0].strip()
        digest = _digest(content, target)
        if not media_type or media_type == "application/json":
            media_type = _stated_media_type(content)
        return Manifest(Descriptor(media_type, digest, len(content)), content)

    def resolve(self, target: str) -> Descriptor | None:
        """Return what a tag or digest stands for, without its content; None where the registry does not say.

        Raises:
            NotFound: there is none.
            LayerdiskError: as `request`.
        """
        accept = {"Accept": ", ".join(MANIFEST_TYPES)}
        with self.request("HEAD", f"manifests/{target}", headers=accept) as response:
            headers = response.headers
        digest, size = headers.get("Docker-Content-Digest") or "", headers.get("Content-Length") or ""
        media_type = (headers.get("Content-Type") or "").partition(";")[0].strip()
        if not digest or not size.isdecimal() or media_type not in MANIFEST_TYPES:
            return None
        parse_digest(digest)
        return Descriptor(media_type, digest, int(size))

    @contextlib.contextmanager
    def request(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes | Iterator[bytes] | None = None,
        expected: Sequence[int] = (200,),
        server: str | None = None,
    ) -> Iterator[urllib3.BaseHTTPResponse]:
        """Make a request below the repository, and give its response, whose body is not read yet.

        Args:
            method: of HTTP.
            path: below /v2/REPOSITORY/, or a whole URL.
            headers: more than those that are needed anyway.
            body: to send; what is not bytes is sent once only.
            expected: status codes that are a success.
            server: only this one, and not the mirrors.

        Raises:
            NotFound: status 404.
            Unauthenticated, PermissionDenied: status 401 and 403.
            ResourceExhausted: status 429 until the last attempt.
            Unavailable: no connection, or a passing status until the last attempt.
            Unknown: another status.
        """
        servers = [server] if server else self._servers if method in ("GET", "HEAD") else self._servers[-1:]
        response = None
        for number, name in enumerate(servers):
            try:
                response = self._attempts(name, method, path, headers or {}, body, expected)
                break
            except LayerdiskError:
                if number + 1 == len(servers):
                    raise
        assert response is not None  # the last server gives a response or raises
        try:
            yield response
        finally:
            response.close()

    def url(self, path: str, server: str | None = None) -> str:
        """Return the address of a path below the repository."""
        name = server or self.reference.server
        return f"{self._scheme(name)}://{name}/v2/{self.reference.repository}/{path}"

    def _attempts(
        self,
        server: str,
        method: str,
        path: str,
        headers: Mapping[str, str],
        body: bytes | Iterator[bytes] | None,
        expected: Sequence[int],
    ) -> urllib3.BaseHTTPResponse:
        options = self._options
        attempts = options.attempts if body is None or isinstance(body, bytes) else 1
        url = path if "://" in path else self.url(path, server)
        delay = options.first_delay_seconds
        for attempt in range(1, attempts + 1):
            wait = min(delay * random.uniform(0.75, 1.25), options.longest_delay_seconds)
            try:
                response = self._authorized(server, method, url, headers, body)
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if attempt == attempts or _is_lasting(error):
                    raise Unavailable(f"{server} cannot be reached: {_reason(error)}") from error
            else:
                if response.status in expected:
                    return response
                if attempt == attempts or response.status not in _PASSING_STATUS:
                    raise _error(server, method, url, response)
                wait = min(
                    retry_after(response.headers.get("Retry-After"), wait), options.longest_delay_seconds
                )
                response.drain_conn()
                response.close()
            options.sleep(wait)
            delay *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _authorized(
        self, server: str, method: str, url: str, headers: Mapping[str, str], body: Any
    ) -> urllib3.BaseHTTPResponse:
        """Make a request; one that is challenged is made again with what the challenge asks for."""
        authorizer = self._authorizer(server)
        is_own = urlsplit(url).netloc == server  # an upload may go on elsewhere
        for second in (False, True):
            authorization = authorizer.header(self._scope) if is_own else None
            own = dict(headers) if authorization is None else {**headers, "Authorization": authorization}
            response = self._followed(method, url, own, body)
            if (
                response.status != 401
                or second
                or not is_own
                or not (body is None or isinstance(body, bytes))
            ):
                return response
            challenge = response.headers.get("WWW-Authenticate") or ""
            response.drain_conn()
            response.close()
            authorizer.challenged(challenge, self._scope)
        raise AssertionError("unreachable: the second response is returned")

    def _followed(
        self, method: str, url: str, headers: Mapping[str, str], body: Any
    ) -> urllib3.BaseHTTPResponse:
        """Make a request and follow redirects; authorization is for the host that asked for it only."""
        for _ in range(_MAX_REDIRECTS + 1):
            response = self._send(method, url, headers, body)
            location = response.headers.get("Location")
            if (
                method not in ("GET", "HEAD")
                or response.status not in (301, 302, 303, 307, 308)
                or not location
            ):
                return response
            response.drain_conn()
            response.close()
            target = urljoin(url, location)
            if urlsplit(target).scheme not in ("http", "https"):
                raise Unavailable(f"the registry redirects to what is not HTTP: {urlsplit(target).scheme!r}")
            if _origin(target) != _origin(url):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            url = target
        raise Unavailable(f"the registry redirects more than {_MAX_REDIRECTS} times")

    def _send(self, method: str, url: str, headers: Mapping[str, str], body: Any) -> urllib3.BaseHTTPResponse:
        timeout = urllib3.Timeout(connect=self._options.connect_seconds, read=self._options.read_seconds)
        return self._pool(url).request(
            method,
            url,
            headers={"User-Agent": "layerdisk", **headers},
            body=body,
            timeout=timeout,
            retries=False,
            redirect=False,
            preload_content=False,
            decode_content=False,
        )

    def _pool(self, url: str) -> urllib3.PoolManager:
        parts = urlsplit(url)
        is_checked = parts.netloc not in self._options.skip_verification
        proxies = getproxies()
        proxy = proxies.get(parts.scheme) or proxies.get("all") or ""
        if proxy and proxy_bypass(parts.hostname or ""):
            proxy = ""
        with self._lock:
            pool = self._pools.get((proxy, is_checked))
            if pool is None:
                context = ssl.create_default_context(
                    cafile=self._options.ca_file or os.environ.get("SSL_CERT_FILE")
                )
                if not is_checked:
                    context.check_hostname = False
                    context.verify_mode = ssl.CERT_NONE
                pool = (
                    urllib3.ProxyManager(proxy, ssl_context=context)
                    if proxy
                    else urllib3.PoolManager(ssl_context=context)
                )
                self._pools[proxy, is_checked] = pool
            return pool

    def _authorizer(self, server: str) -> Authorizer:
        with self._lock:
            found = self._authorizers.get(server)
            if found is None:
                host = self.reference.host if server == self.reference.server else server
                credentials = self._options.credentials.find(host, self.reference.repository)
                found = self._authorizers[server] = Authorizer(self._plain_request, credentials)
            return found

    def _plain_request(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> tuple[int, bytes]:
        """Make a request to a token server."""
        delay = self._options.first_delay_seconds
        for attempt in range(1, self._options.attempts + 1):
            try:
                response = self._send(method, url, headers, body)
                try:
                    status, content = response.status, _read_all(response, _MAX_ERROR_BYTES * 16, "the token")
                finally:
                    response.close()
                if status not in _PASSING_STATUS or attempt == self._options.attempts:
                    return status, content
            except (urllib3.exceptions.HTTPError, OSError) as error:
                if attempt == self._options.attempts or _is_lasting(error):
                    raise Unavailable(f"the token server cannot be reached: {_reason(error)}") from error
            self._options.sleep(min(delay, self._options.longest_delay_seconds))
            delay *= 2
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _scheme(self, server: str) -> str:
        host = server.rpartition(":")[0] if ":" in server and not server.endswith("]") else server
        is_loopback = host in ("localhost", "[::1]") or host.startswith("127.")
        return "http" if is_loopback or server in self._options.insecure else "https"


def retry_after(header: str | None, default: float) -> float:
    """Return the seconds that a Retry-After header asks for: a number, or a date; the default where it is neither.

    >>> retry_after("3", 1.0)
    3.0
    """
    if header is None:
        return default
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(parsedate_to_datetime(header).timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError):
        return default


def _read_all(response: urllib3.BaseHTTPResponse, limit: int, what: str) -> bytes:
    content = bytearray()
    try:
        while piece := response.read(min(limit + 1 - len(content), 1 << 20)):
            content += piece
            if len(content) > limit:
                raise DataLoss(f"{what} has more than the {limit} bytes that are allowed")
    except urllib3.exceptions.HTTPError as error:
        raise Unavailable(f"{what} broke off: {_reason(error)}") from error
    return bytes(content)


def _digest(content: bytes, target: str) -> str:
    """Return the digest of a manifest, and hold it against the one that was asked for."""
    import hashlib

    algorithm = target.partition(":")[0] if ":" in target else "sha256"
    digest = f"{algorithm}:{hashlib.new(algorithm, content).hexdigest()}"
    if ":" in target and digest != target:
        raise DataLoss(f"the registry sent a manifest of digest {digest} where {target} was asked for")
    return digest


def _stated_media_type(content: bytes) -> str:
    try:
        stated = json.loads(content).get("mediaType")
    except (ValueError, AttributeError, RecursionError):
        stated = None
    return stated if isinstance(stated, str) else media_types.OCI_MANIFEST


def _error(server: str, method: str, url: str, response: urllib3.BaseHTTPResponse) -> LayerdiskError:
    """Return the exception for a status; what the registry says of it is shown as far as it can be."""
    status = response.status
    try:
        said = _message(_read_all(response, _MAX_ERROR_BYTES, "the answer"))
    except LayerdiskError:
        said = ""
    finally:
        limit = (
            response.headers.get("RateLimit-Limit") or response.headers.get("Docker-RateLimit-Source") or ""
        )
        response.close()
    path = urlsplit(url).path.partition("/v2/")[2] or urlsplit(url).path
    text = f"{server}: {method} {path}: status {status}{f', {said}' if said else ''}"
    if status == 404:
        return NotFound(text)
    if status == 401:
        return Unauthenticated(text)
    if status == 403:
        return PermissionDenied(text)
    if status == 429:
        rate = f" (limit {limit})" if limit else ""
        return ResourceExhausted(f"{text}: the registry's rate limit is reached{rate}")
    if status in _PASSING_STATUS:
        return Unavailable(text)
    return InvalidArgument(text) if status == 400 else Unknown(text)


def _message(content: bytes) -> str:
    """Return the codes and messages of an error body, in one line of printable text."""
    try:
        errors = json.loads(content)["errors"]
        parts = [f"{error.get('code', '')} {error.get('message', '')}".strip() for error in errors]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return ""
    text = "; ".join(parts)[:300]
    return "".join(char if char.isprintable() else "?" for char in text)


def _is_lasting(error: Exception) -> bool:
    """Return whether trying again cannot help: a certificate, or a name that is not an address."""
    return isinstance(error, (urllib3.exceptions.SSLError, urllib3.exceptions.LocationValueError))


def _reason(error: BaseException) -> str:
    """Return an error's text without the addresses of objects that urllib3 puts in."""
    text = str(getattr(error, "reason", None) or error)
    return text.rpartition(": ")[2] if "object at 0x" in text else text


def _origin(url: str) -> tuple[str, str]:
    parts = urlsplit(url)
    return parts.scheme, parts.netloc
