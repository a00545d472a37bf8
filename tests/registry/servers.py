"""Registries on loopback: Debian's docker-registry, and one that behaves as badly as a test wants."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def docker_registry(program: str, directory: Path, more: str = "") -> Iterator[str]:
    """Run Debian's registry; gives its address."""
    port = free_port()
    config = directory / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  delete:\n    enabled: true\n  filesystem:\n"
        f"    rootdirectory: {directory / 'registry'}\nhttp:\n  addr: 127.0.0.1:{port}\nlog:\n  level: error\n{more}"
    )
    command = [program, "serve", str(config)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(400):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


class Answer:
    """What a request gets: the body may be cut short, or never end."""

    def __init__(
        self,
        status: int = 200,
        body: bytes = b"",
        *,
        cut: int | None = None,
        endless: bool = False,
        length: int | None = None,
        hold: threading.Event | None = None,
        **headers: str,
    ) -> None:
        self.status, self.body, self.cut, self.endless, self.length = status, body, cut, endless, length
        self.hold = hold
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


Respond = Callable[["Request"], Answer]


class Request:
    """What was asked for."""

    def __init__(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        self.method, self.path, self.query = handler.command, parts.path, parse_qs(parts.query)
        self.headers = {name.lower(): value for name, value in handler.headers.items()}
        length = int(self.headers.get("content-length") or 0)
        self.body = handler.rfile.read(length) if length else b""


class OddRegistry:
    """A server that answers as a function says, and remembers what it was asked."""

    def __init__(self, respond: Respond) -> None:
        self.respond = respond
        self.requests: list[Request] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _answer(self) -> None:
                request = Request(self)
                registry.requests.append(request)
                answer = registry.respond(request)
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                length = len(answer.body) if answer.length is None else answer.length
                self.send_header("Content-Length", str(length))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self._send(request, answer)

            def _send(self, request: Request, answer: Answer) -> None:
                if request.method == "HEAD":
                    return
                if answer.endless:
                    for _ in range(10_000):
                        self.wfile.write(bytes(1 << 16))
                    return
                self.wfile.write(answer.body if answer.cut is None else answer.body[: answer.cut])
                if answer.hold is not None:
                    answer.hold.wait(20)
                if answer.cut is not None:
                    self.close_connection = True

            do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = _answer

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.address = f"127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> OddRegistry:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


def digest_of(data: bytes) -> str:
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def as_json(value: object) -> bytes:
    return json.dumps(value).encode()
