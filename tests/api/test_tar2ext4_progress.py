"""How convert tells its progress."""

from __future__ import annotations

import io
import threading
from pathlib import Path
from typing import Any

import pytest
from common import LAYER, assert_untouched
from doubles import Boom, BytesReader, Methods
from layerdisk import errdefs
from layerdisk.tar2ext4 import convert


def test_progress_is_told_how_much_was_read(core: str) -> None:
    totals: list[int] = []
    convert(BytesReader(LAYER, 50_000), io.BytesIO(), progress=totals.append, core=core)
    growing = [*range(50_000, len(LAYER), 50_000), len(LAYER)]
    assert totals == [*growing, len(LAYER)]  # once more, for the read that found the end


def test_reader_and_progress_are_called_where_convert_was(core: str) -> None:
    threads = set()
    layer = io.BytesIO(LAYER)

    def read(size: int) -> bytes:
        threads.add(threading.get_ident())
        return layer.read(size)

    reader: Any = Methods(read=read)
    convert(reader, io.BytesIO(), progress=lambda _: threads.add(threading.get_ident()), core=core)
    assert threads == {threading.get_ident()}


@pytest.mark.parametrize("calls", [1, 4])
@pytest.mark.parametrize(
    "error", [Boom(), errdefs.Canceled("enough")], ids=lambda error: type(error).__name__
)
def test_an_exception_of_progress_ends_the_conversion(
    core: str, target: Path, calls: int, error: BaseException
) -> None:
    totals = []

    def progress(total: int) -> None:
        totals.append(total)
        if len(totals) == calls:
            raise error

    with pytest.raises(type(error)) as caught:
        convert(BytesReader(LAYER, 50_000), target, progress=progress, core=core)
    assert caught.value is error
    assert len(totals) == calls
    assert_untouched(target)
