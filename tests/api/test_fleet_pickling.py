"""Jobs, results and errors of a fleet travel between processes."""

from __future__ import annotations

import inspect
import pickle
import threading
from pathlib import Path

import pytest
from layerdisk import errdefs, fleet
from layerdisk.errdefs import ConversionError, LayerdiskError
from layerdisk.fleet import Job, JobResult, run_job

ERRORS = [cls for cls in vars(errdefs).values() if inspect.isclass(cls) and issubclass(cls, LayerdiskError)]


@pytest.mark.parametrize("cls", ERRORS, ids=lambda cls: cls.__name__)
def test_results_pickle_with_every_error(cls: type[LayerdiskError]) -> None:
    error = cls("bad", "caf\udce9", 512, "B17") if issubclass(cls, ConversionError) else cls("bad")
    result = JobResult(Job("x", "y", options={"layout": "hcsshim"}), error=error, is_passing=True)
    copy = pickle.loads(pickle.dumps(result))
    assert copy.job == result.job
    assert (type(copy.error), str(copy.error), vars(copy.error)) == (cls, str(error), vars(error))


class Unpicklable(Exception):
    """An exception as libraries have them, which does not survive."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("bad")
        self.lock = threading.Lock()


def test_what_a_library_raises_pickles_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise Unpicklable(1, 2)

    monkeypatch.setattr(fleet, "open_image", fail)
    result = pickle.loads(pickle.dumps(run_job(Job("x", "y"), None)))
    assert str(result.error) == "failed to convert x: Unpicklable: bad"
