"""No file and no function outgrows what a reader takes in at once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE_LINES, FUNCTION_LINES = 500, 60
SOURCES = ["rust/core/src", "rust/python/src", "python/layerdisk", "tests"]
CORE = ["rust/core/src", "rust/python/src", "python/layerdisk"]
# What a generator writes is not read: path -> what makes it.
GENERATED: dict[str, str] = {}


def files(roots: list[str]) -> list[Path]:
    found = [path for root in roots for path in (ROOT / root).rglob("*") if path.suffix in (".py", ".rs")]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def python_functions(text: str) -> Iterator[tuple[str, int]]:
    """Every function with its lines from `def` to its end, those of the docstring aside."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            told = node.body[0] if ast.get_docstring(node) is not None else None
            yield node.name, lines_of(node) - (lines_of(told) if told else 0)


def lines_of(node: ast.stmt) -> int:
    assert node.end_lineno is not None
    return node.end_lineno - node.lineno + 1


def rust_functions(text: str) -> Iterator[tuple[str, int]]:
    """The same of Rust as rustfmt writes it: a function ends with the first brace as far in as its `fn`."""
    lines = text.splitlines()
    for i, line in enumerate(lines):
        if found := re.match(r"( *)(?:pub(?:\([^)]*\))? )?(?:const |unsafe |extern \"C\" )*fn (\w+)", line):
            ends = (j for j in range(i, len(lines)) if lines[j] in (found[1] + "}", found[1] + "};"))
            one_line = line.rstrip().endswith(("}", ";"))
            yield found[2], 1 if one_line else next(ends) - i + 1


@pytest.mark.skipif(not (ROOT / "rust").is_dir(), reason="an installed package has no Rust sources")
@pytest.mark.parametrize("path", files(SOURCES), ids=name_of)
def test_a_file_is_not_too_long(path: Path) -> None:
    lines = len(path.read_text().splitlines())
    assert lines <= FILE_LINES or name_of(path) in GENERATED


@pytest.mark.parametrize("path", files(CORE), ids=name_of)
def test_no_function_is_too_long(path: Path) -> None:
    if name_of(path) in GENERATED:
        return
    functions = python_functions if path.suffix == ".py" else rust_functions
    assert {name: lines for name, lines in functions(path.read_text()) if lines > FUNCTION_LINES} == {}


def test_generated_files_are_there_and_need_the_exception() -> None:
    for name in GENERATED:
        assert len((ROOT / name).read_text().splitlines()) > FILE_LINES


def test_lengths_are_counted_in_both_languages() -> None:
    assert list(
        python_functions(
            'def f():\n    """Told\n    here."""\n    x = 1\n    return x\n\nasync def g(): pass\n'
        )
    ) == [
        ("f", 3),
        ("g", 1),
    ]
    rust = "impl X {\n    pub(crate) fn f() {\n        g();\n    }\n    fn g() {}\n}\nfn h(\n    x: u8,\n) {\n}\n"
    assert list(rust_functions(rust)) == [("f", 3), ("g", 1), ("h", 4)]
