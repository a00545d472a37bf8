"""Real containerds of two lines, unpacked once."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from machine import missing
from oci import busybox_layers, oci_archive
from stack import SUITES, Stack, containerd_programs, running


@pytest.fixture(scope="session", params=sorted(SUITES))
def programs(request: pytest.FixtureRequest) -> Path:
    """Each containerd in turn."""
    return containerd_programs(request.param)


@pytest.fixture(scope="session")
def newest_programs() -> Path:
    return containerd_programs("2.1")


@pytest.fixture(scope="session")
def busybox() -> Path:
    return Path(shutil.which("busybox") or missing("busybox is not installed"))


@pytest.fixture(scope="session")
def image(busybox: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the archive of the busybox image with layers of a compression."""
    directory = tmp_path_factory.mktemp("images")

    def make(suffix: str = "+gzip") -> Path:
        path = directory / f"busybox{suffix}.tar"
        if not path.exists():
            oci_archive(path, "example.test/busybox:1", busybox_layers(busybox), suffix)
        return path

    return make


@pytest.fixture
def stack(programs: Path) -> Iterator[Callable[..., Stack]]:
    """Gives a started stack of a mode, ended after the test."""
    with_exit = []

    def start(mode: str, *options: str, environment: dict[str, str] | None = None) -> Stack:
        context = running(Stack(programs, mode, *options, environment=environment))
        with_exit.append(context)
        return context.__enter__()

    yield start
    for context in reversed(with_exit):
        context.__exit__(None, None, None)


@pytest.fixture
def registry(program: Callable[[str], str], tmp_path: Path) -> Iterator[str]:
    """The address of a registry on loopback."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = tmp_path / "registry.yml"
    config.write_text(
        f"version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: {tmp_path / 'registry'}\n"
        f"http:\n  addr: 127.0.0.1:{port}\nlog:\n  level: error\n"
    )
    process = subprocess.Popen(
        [program("docker-registry"), "serve", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        for _ in range(200):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield f"127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
