"""Fixtures of the whole suite.

What a machine may lack (Go, root with loop devices, e2fsprogs, ...) skips its tests, but where CI=true is set
a missing one is a failure: there nothing may go untested.

Hypothesis profiles: `ci` (default) and `fuzz`, chosen by LAYERDISK_TEST_PROFILE; LAYERDISK_FUZZ_EXAMPLES
gives the number of layers of the latter. Both look at new examples in every run, and a failure prints the blob
that brings its example back. Hypothesis' tests have the marker `fuzz`.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))  # the builders, whatever pytest's import mode is

from common import OLDER  # noqa: E402
from machine import LAYER_PROPERTIES, missing  # noqa: E402
from oracle_client import Oracle, build  # noqa: E402

settings.register_profile(
    "common",
    deadline=None,
    suppress_health_check=list(HealthCheck),
    derandomize=False,  # what Hypothesis itself would choose where CI is set is the same examples for ever
    print_blob=True,
)
_COMMON = settings.get_profile("common")
_FUZZ_LAYERS = int(os.environ.get("LAYERDISK_FUZZ_EXAMPLES", "20000"))
settings.register_profile("ci", _COMMON, max_examples=250)
settings.register_profile("fuzz", _COMMON, max_examples=-(-_FUZZ_LAYERS // LAYER_PROPERTIES))
settings.load_profile(os.environ.get("LAYERDISK_TEST_PROFILE", "ci"))


if (
    signal.getsignal(signal.SIGINT) is signal.SIG_IGN
):  # as in a shell's background: programs of the tests inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: minutes or gigabytes; run with LAYERDISK_TEST_SLOW=1")
    config.addinivalue_line("markers", "fuzz: tests of Hypothesis, marked as such by themselves (make fuzz)")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if getattr(getattr(item, "function", None), "is_hypothesis_test", False):
            item.add_marker("fuzz")
    if os.environ.get("LAYERDISK_TEST_SLOW") != "1":
        for item in items:
            if item.get_closest_marker("slow"):
                item.add_marker(pytest.mark.skip(reason="slow: set LAYERDISK_TEST_SLOW=1"))


@pytest.fixture(scope="session", params=["rust", "pure"])
def core(request: pytest.FixtureRequest) -> str:
    """Each core in turn: the value for the argument `core` of the API."""
    return {"rust": "rust", "pure": "python"}[request.param]


@pytest.fixture
def chosen(core: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The core for the functions that take none."""
    monkeypatch.setenv("LAYERDISK_CORE", core)
    return core


@pytest.fixture
def target(tmp_path: Path) -> Path:
    """An image that is there already, alone in its directory; it must survive every failure."""
    path = tmp_path / "out" / "image"
    path.parent.mkdir()
    path.write_bytes(OLDER)
    return path


@pytest.fixture(scope="session")
def oracle() -> Iterator[Oracle]:
    """The reference implementations (tests/oracle/go)."""
    try:
        program = build()
    except FileNotFoundError:
        missing("Go is not installed")
    running = Oracle(program)
    yield running
    running.close()


@pytest.fixture(scope="session")
def scratch() -> Iterator[Path]:
    """A directory for images, in memory where that is possible; files may be left in it."""
    memory = Path("/dev/shm")
    room = memory.is_dir() and shutil.disk_usage(memory).free > 8 << 30
    with tempfile.TemporaryDirectory(prefix="layerdisk-tests-", dir=memory if room else None) as directory:
        yield Path(directory)


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Gives the path of a program of the machine, or skips (CI: fails)."""

    def find(name: str) -> str:
        path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
        return path or missing(f"{name} is not installed")

    return find


@pytest.fixture
def mounted(tmp_path: Path) -> Iterator[Callable[[Path], Path]]:
    """Gives a function that mounts an image read-only; unmounted at the next call and at the end."""
    if sys.platform != "linux" or os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        missing("mounting needs Linux, root and loop devices")
    directory = tmp_path / "mount"
    directory.mkdir()
    with contextlib.ExitStack() as cleanup:

        def mount(image: Path) -> Path:
            cleanup.close()  # the image before this one
            command = ["losetup", "--find", "--show", "--read-only", str(image)]
            device = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            cleanup.callback(subprocess.run, ["losetup", "--detach", device], check=True)
            subprocess.run(["mount", "-t", "ext4", "-o", "ro", device, str(directory)], check=True)
            cleanup.callback(subprocess.run, ["umount", str(directory)], check=True)
            return directory

        yield mount
