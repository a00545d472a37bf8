"""Parts of the pure core: where its time goes."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest
from layerdisk._pure.tar import Reader
from pytest_benchmark.fixture import BenchmarkFixture

Layer = Callable[[str], io.BytesIO]


def _read_all(stream: io.BytesIO) -> int:
    reader = Reader(lambda: stream.read(1 << 18) or None, True)
    count = 0
    while reader.next_entry() is not None:
        count += 1
        while reader.data() is not None:
            pass
    return count


@pytest.mark.parametrize("name", ["many-small", "few-large", "xattrs", "sparse"])
def test_tar_events(benchmark: BenchmarkFixture, layer: Layer, name: str) -> None:
    count = benchmark.pedantic(_read_all, setup=lambda: ((layer(name),), {}), rounds=3)
    assert count > 0
