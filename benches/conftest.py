"""Makes `pytest benches` find bench_*.py, and gives its benchmarks their layers."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "python")]

from benches.workloads import WORKLOADS  # noqa: E402


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Module | None:
    if file_path.name.startswith("bench_") and file_path.suffix == ".py":
        return pytest.Module.from_parent(parent, path=file_path)
    return None


@pytest.fixture(scope="session")
def layer() -> Callable[[str], io.BytesIO]:
    """Gives the plain tar of a workload, in memory."""
    made: dict[str, bytes] = {}

    def open_layer(name: str) -> io.BytesIO:
        if name not in made:
            made[name] = WORKLOADS[name].path().read_bytes()
        return io.BytesIO(made[name])

    return open_layer
