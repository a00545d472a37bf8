"""A mutation run over the pure core: `mutants.py [--most N] [MODULE ...]` names the changes that no layer notices.

Every mutant has one operator, number or condition changed. It converts the golden layers and the small ones of
tests/layers, plain, reproducing and with inline data, and is killed by the first outcome that is another one:
the bytes, the findings or the error. The right outcomes are those of tests/oracle, which hcsshim confirms.
"""

from __future__ import annotations

import argparse
import ast
import copy
import hashlib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import os
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import layers
from layerdisk import errdefs
from layerdisk.tar2ext4 import convert

PURE = Path(errdefs.__file__).parent / "_pure"
LARGE = 50_000  # bytes of a layer, from which on one mode is enough
SECONDS = 60  # a mutant that takes longer does not end: killed
MODES: list[dict[str, Any]] = [
    {"convert_whiteout": True, "append_vhd_footer": True},
    {"convert_whiteout": True, "reproduce_defects": True},
    {"inline_data": True, "convert_backslash": True},
]
SWAPPED: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.FloorDiv: ast.Mult,
    ast.Mult: ast.FloorDiv,
}
Change = Callable[[ast.AST], None]


def changes(node: ast.AST) -> Iterator[tuple[str, Change]]:
    """What can be changed at one place of the code, with its name."""

    def swap(field: str, old: ast.AST) -> tuple[str, Change]:
        new = SWAPPED[type(old)]
        return f"{type(old).__name__} -> {new.__name__}", lambda node: setattr(node, field, new())

    if isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)) and type(node.op) in SWAPPED:
        yield swap("op", node.op)
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPPED:
        new = SWAPPED[type(node.ops[0])]

        def compare(node: ast.AST) -> None:
            assert isinstance(node, ast.Compare)
            node.ops[0] = new()  # type: ignore[call-overload]

        yield f"{type(node.ops[0]).__name__} -> {new.__name__}", compare
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        value = node.value
        yield f"{value} -> {value + 1}", lambda node: setattr(node, "value", value + 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        truth = node.value
        yield f"{truth} -> {not truth}", lambda node: setattr(node, "value", not truth)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        yield (
            "condition -> not",
            lambda node: setattr(
                node,
                "test",
                ast.UnaryOp(ast.Not(), node.test),  # type: ignore[attr-defined]
            ),
        )


def mutants(tree: ast.Module) -> Iterator[tuple[int, str, ast.Module]]:
    """All mutants of a module: line, what is changed, the whole module."""
    types = {
        id(one)
        for node in ast.walk(tree)
        for name in ("annotation", "returns")
        for part in [getattr(node, name, None)]
        if part
        for one in ast.walk(part)
    }
    for index, node in enumerate(ast.walk(tree)):
        if id(node) in types:
            continue
        for what, change in changes(node):
            mutant = copy.deepcopy(tree)
            (target,) = (one for i, one in enumerate(ast.walk(mutant)) if i == index)
            change(target)
            yield getattr(node, "lineno", 0), what, ast.fix_missing_locations(mutant)


def outcomes() -> Iterator[str]:
    """What every layer comes to in the pure core, one text each."""
    chosen = [*layers.SMALL, *(one for one in layers.LARGE if one.name.startswith("sparse-map"))]
    for tar in sorted((layer.tar for layer in chosen), key=len):
        for mode in MODES if len(tar) < LARGE else MODES[:1]:
            image = io.BytesIO()
            try:
                result = convert(io.BytesIO(tar), image, core="python", **mode)
                said = repr(result) + hashlib.sha256(image.getvalue()).hexdigest()
            except errdefs.LayerdiskError as error:
                said = repr(error)
            yield said


class Finder(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Gives one module of the pure core as the mutant it is."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.tree = name, path, tree

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        if name != self.name:
            return None
        package = [str(self.path.parent)] if self.path.name == "__init__.py" else None
        return importlib.util.spec_from_file_location(
            name, self.path, loader=self, submodule_search_locations=package
        )

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.tree, str(self.path), "exec"), vars(module))


def survives(path: Path, tree: ast.Module, expected: list[str]) -> bool:
    """Whether a mutant, in a process of its own, comes to all that is expected."""
    child = os.fork()
    if child == 0:
        signal.alarm(SECONDS)
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 2)
        same = False
        try:
            parts = path.relative_to(PURE.parents[1]).with_suffix("").parts
            name = ".".join(part for part in parts if part != "__init__")
            sys.meta_path.insert(0, Finder(name, path, tree))
            same = all(said == right for said, right in zip(outcomes(), expected, strict=True))
        except BaseException:  # whatever it is, the mutant is noticed
            same = False
        os._exit(0 if same else 1)
    return os.waitpid(child, 0)[1] == 0


def expected_outcomes() -> list[str]:
    """The outcomes of the core as it is; in a process of its own, so that this one never has it loaded."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with open(writing, "w") as pipe:
            pipe.write("\0".join(outcomes()))
        os._exit(0)
    os.close(writing)
    with open(reading) as pipe:
        said = pipe.read().split("\0")
    assert os.waitpid(child, 0)[1] == 0
    return said


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("modules", nargs="*", help="paths below _pure; all by default")
    parser.add_argument("--most", type=int, help="of each module, chosen at random")
    options = parser.parse_args()
    expected = expected_outcomes()
    paths = [PURE / name for name in options.modules] or sorted(PURE.rglob("*.py"))
    total = alive = 0
    for path in paths:
        found = list(mutants(ast.parse(path.read_text())))
        if options.most and len(found) > options.most:
            found = sorted(random.Random(1).sample(found, options.most), key=lambda one: one[0])
        for line, what, tree in found:
            total += 1
            if survives(path, tree, expected):
                alive += 1
                print(f"{path.relative_to(PURE)}:{line}: {what}", flush=True)
        print(
            f"{path.relative_to(PURE)}: {len(found)} mutants; so far {alive} of {total} survive", flush=True
        )


if __name__ == "__main__":
    main()
