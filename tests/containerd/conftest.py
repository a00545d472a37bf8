"""Real containerds of two lines, unpacked once."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from debian import unpacked
from images import busybox_layers, oci_archive
from machine import missing
from stack import Stack, running

# Debian's suites that have a containerd of each line; bookworm's own (1.6) does not know proxy differs.
SUITES = {"2.1": "sid", "1.7": "trixie"}


def containerd_programs(version: str) -> Path:
    """Return the directory that a containerd is unpacked in."""
    if sys.platform != "linux" or os.geteuid() != 0:
        missing("containerd needs Linux and root")
    return unpacked("containerd", (SUITES[version],), "usr/bin/containerd").parents[2]


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
