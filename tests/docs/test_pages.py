"""Examples in docstrings do what they show."""

from __future__ import annotations

import doctest
import importlib
import pkgutil

import layerdisk
import pytest

MODULES = [
    "layerdisk",
    *(
        module.name
        for module in pkgutil.walk_packages(layerdisk.__path__, "layerdisk.")
        if not {"_pure", "_rust", "api", "__main__"} & set(module.name.split("."))
    ),
]


def examples(module: str) -> list[doctest.DocTest]:
    found = doctest.DocTestFinder(exclude_empty=True).find(importlib.import_module(module))
    return [test for test in found if test.examples]


@pytest.mark.parametrize("module", MODULES)
def test_examples_of_a_module(module: str) -> None:
    runner = doctest.DocTestRunner()
    told: list[str] = []
    for test in examples(module):
        runner.run(test, out=told.append)
    assert runner.summarize(verbose=False).failed == 0, "".join(told)


def test_the_front_door_has_an_example() -> None:
    assert examples("layerdisk")
