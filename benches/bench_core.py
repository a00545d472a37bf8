"""Both cores in this process, from memory to a file: nothing but the conversion is measured."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from layerdisk.tar2ext4 import convert
from pytest_benchmark.fixture import BenchmarkFixture

Layer = Callable[[str], io.BytesIO]


@pytest.mark.parametrize("core", ["rust", "python"])
@pytest.mark.parametrize("name", ["many-small", "few-large", "deep", "hard-links", "xattrs", "sparse"])
def test_convert(benchmark: BenchmarkFixture, layer: Layer, tmp_path: Path, name: str, core: str) -> None:
    benchmark.group = name
    with open(tmp_path / "image", "w+b", buffering=0) as image:

        def fresh() -> tuple[tuple[io.BytesIO, object], dict[str, object]]:
            image.seek(0)
            image.truncate()
            return (layer(name), image), {"core": core, "convert_whiteout": True}

        rounds = 5 if core == "rust" else 1
        result = benchmark.pedantic(convert, setup=fresh, rounds=rounds, warmup_rounds=rounds // 5)
    assert result.findings == ()
