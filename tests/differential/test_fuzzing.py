"""What `make fuzz` looks at: as many layers as it says, and others every time."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest
import test_cores
from machine import LAYER_PROPERTIES


def test_layers_are_spread_over_all_properties_that_take_one() -> None:
    properties = [one for one in vars(test_cores).values() if getattr(one, "is_hypothesis_test", False)]
    taking = [one for one in properties if "tar" in inspect.signature(one.hypothesis.inner_test).parameters]
    assert len(taking) == LAYER_PROPERTIES


@pytest.mark.parametrize(
    ("profile", "expected"),
    [("ci", "250 False True"), ("fuzz", f"{1000 // LAYER_PROPERTIES + 1} False True")],
)
@pytest.mark.parametrize("ci", ["true", ""])
def test_a_profile_explores_in_ci_too(profile: str, expected: str, ci: str) -> None:
    """Hypothesis has a profile of its own there, with the same examples in every run."""
    chosen = {"CI": ci, "LAYERDISK_TEST_PROFILE": profile, "LAYERDISK_FUZZ_EXAMPLES": "1000"}
    code = (
        "import conftest; from hypothesis import settings;"
        "print(settings.default.max_examples, settings.default.derandomize, settings.default.print_blob)"
    )
    here = Path(__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | chosen,
        cwd=here,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == expected + "\n"
