"""The reference implementations as a child process: builds tests/oracle/go once, then talks JSON lines."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import select
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SOURCE = Path(__file__).parent / "oracle" / "go"
CACHE = Path(__file__).parents[1] / ".cache"
TIMEOUT_SECONDS = 300


@dataclass(frozen=True)
class Answer:
    """What the reference did: exactly one of ok, error, panic."""

    ok: bool
    error: str | None = None
    panic: str | None = None
    result: Any = None


class OracleDied(AssertionError):
    """The reference ended, or did not answer in time."""


def build() -> Path:
    """Build the program unless one of the same sources is there; safe against others that do the same.

    Raises:
        FileNotFoundError: there is no Go here.
    """
    if shutil.which("go") is None:
        raise FileNotFoundError("go")
    sources = sorted(path for path in SOURCE.iterdir() if path.suffix in (".go", ".mod", ".sum"))
    version = subprocess.run(["go", "version"], check=True, capture_output=True).stdout
    key = hashlib.sha256(version + b"".join(path.read_bytes() for path in sources)).hexdigest()[:16]
    directory = CACHE / "oracle"
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / f"oracle-{key}"
    with open(directory / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not program.exists():
            fresh = program.with_suffix(".new")
            subprocess.run(["go", "build", "-o", str(fresh), "."], cwd=SOURCE, check=True)
            fresh.rename(program)
    return program


class Oracle:
    """One `oracle serve` process, started at the first request and again after it died."""

    def __init__(self, program: Path) -> None:
        self.program = program
        self._process: subprocess.Popen[bytes] | None = None
        self._pending = b""

    def convert(self, tar: bytes | Path, out: Path, *, sparse: bool = False, **options: Any) -> Answer:
        """Run hcsshim's Convert. `sparse` leaves its all-zero writes as holes of the file."""
        return self.ask(tar, Out=str(out), sparse=sparse, **options)

    def tarlist(self, tar: bytes | Path) -> dict[str, Any]:
        """List the entries as Go's archive/tar reads them."""
        return self.ask(tar, Op="tarlist").result  # type: ignore[no-any-return]

    def ask(self, source: bytes | Path, **request: Any) -> Answer:
        if isinstance(source, bytes):
            request["Data"] = base64.b64encode(source).decode()
        else:
            request["In"] = str(source)
        if self._process is None:
            self._process = subprocess.Popen(
                [self.program, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            self._pending = b""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        return Answer(**json.loads(self._read_line()))

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _read_line(self) -> bytes:
        assert self._process is not None
        assert self._process.stdout is not None
        while b"\n" not in self._pending:
            ready, _, _ = select.select([self._process.stdout], [], [], TIMEOUT_SECONDS)
            piece = os.read(self._process.stdout.fileno(), 1 << 20) if ready else b""
            if not piece:
                self.close()
                raise OracleDied("the oracle died" if ready else f"no answer within {TIMEOUT_SECONDS} s")
            self._pending += piece
        line, self._pending = self._pending.split(b"\n", 1)
        return line
