"""Which module names which, read from the sources: of a Rust crate without its tests, and of a Python package."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

# Comments, strings and characters of Rust, none of which names a module. A lifetime has no second quote.
_NO_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|\bb?r(?P<hashes>\#*)".*?"(?P=hashes)|"(?:\\.|[^"\\])*"|'(?:\\[^']+|[^'\\])'""",
    re.DOTALL,
)
_TEST_ITEM = re.compile(r"#\[cfg\(test\)\]")
_USE = re.compile(r"\buse\s+([^;]+);")
_PATH = re.compile(r"(?<![\w:])(?:\w+)(?:::\w+)+")
_CHILD = re.compile(r"\bmod\s+(\w+)\s*;")


def rust_modules(source: Path) -> dict[str, str]:
    """Give the code of every file of a crate, tests and comments left out, by module ("ext4/writer")."""
    found = {}
    for path in source.rglob("*.rs"):
        name = path.relative_to(source).with_suffix("")
        module = "lib" if name.name == "lib" else str(name.parent if name.name == "mod" else name)
        found[module] = rust_code(path.read_text())
    return found


def rust_code(text: str) -> str:
    """Leave out what is no code, and what is compiled for tests only."""
    code = _NO_CODE.sub(" ", text)
    while start := _TEST_ITEM.search(code):
        code = code[: start.start()] + code[_end_of_item(code, start.end()) :]
    return code


def _end_of_item(code: str, position: int) -> int:
    depth = 0
    for at in range(position, len(code)):
        depth += (code[at] in "{[(") - (code[at] in "}])")
        if depth == 0 and code[at] in ";}":
            return at + 1
    return len(code)


def rust_arrows(modules: dict[str, str], crate: str = "crate") -> dict[str, set[str]]:
    """Give for each module those that it names.

    Args:
        modules: as rust_modules gives them.
        crate: how paths begin that lead to the modules.
    """
    return {
        name: {target for path in _paths(code) if (target := _target(name, code, path, modules, crate))}
        - {name}
        for name, code in modules.items()
    }


def crate_arrows(modules: dict[str, str], crate: str, targets: dict[str, str]) -> set[str]:
    """Give the modules of another crate that any of a crate's modules names."""
    paths = (path for code in modules.values() for path in _paths(code))
    return {_longest(path[1:], targets) for path in paths if path[0] == crate}


def _paths(code: str) -> Iterator[list[str]]:
    for tree in _USE.findall(code):
        yield from _use_tree(tree)
    for path in _PATH.findall(_USE.sub(" ", code)):
        yield path.split("::")


def _use_tree(tree: str) -> Iterator[list[str]]:
    """Take `a::{b, c::{d}}` apart."""
    head, brace, rest = tree.partition("{")
    prefix = [part.strip() for part in re.split(r"\s+as\s+", head)[0].split("::") if part.strip()]
    if not brace:
        yield prefix
        return
    depth, piece = 0, ""
    for char in rest.rpartition("}")[0] + ",":
        depth += (char == "{") - (char == "}")
        if char == "," and depth == 0:
            if piece.strip():
                yield from (prefix + path for path in _use_tree(piece))
            piece = ""
        else:
            piece += char


def _target(name: str, code: str, path: list[str], modules: dict[str, str], crate: str) -> str | None:
    """Give the module that a path leads to; None where it leads out of the crate."""
    here = [] if name == "lib" else name.split("/")
    if path[0] == crate:
        return _longest(path[1:], modules)
    if path[0] in ("self", "super"):
        while path[0] in ("self", "super"):
            here = here[:-1] if path[0] == "super" else here
            path = path[1:] or [""]
        return _longest(here + path, modules)
    return _longest(here + path, modules) if path[0] in _CHILD.findall(code) else None


def _longest(path: list[str], modules: dict[str, str]) -> str:
    lengths = range(len(path), 0, -1)
    return next((name for length in lengths if (name := "/".join(path[:length])) in modules), "lib")


_CLOCK_OR_CHANCE_OF_RUST = re.compile(
    r"\b(?:SystemTime|Instant|UNIX_EPOCH|HashMap|HashSet|RandomState|getrandom|rand|new_v[14678]|now_v\d)\b"
)


def rust_clock_or_chance(code: str) -> set[str]:
    """Give the names by which code asks for the time or for random numbers (of which a hash table's seed is one)."""
    return set(_CLOCK_OR_CHANCE_OF_RUST.findall(code))


@dataclass
class Imports:
    """What a Python module imports: modules of its own package as "diff" or "_pure/tar", others by their names."""

    at_start: set[str] = field(default_factory=set)
    late: set[str] = field(default_factory=set)  # inside functions, or by a name in a string
    for_types: set[str] = field(default_factory=set)  # seen by type checkers only
    others: set[str] = field(default_factory=set)
    clock_or_chance: set[str] = field(default_factory=set)

    @property
    def all(self) -> set[str]:
        return self.at_start | self.late | self.for_types


def python_imports(source: Path) -> dict[str, Imports]:
    """Give the imports of every module below a package's directory."""
    package = source.name
    paths = {}
    for path in [*source.rglob("*.py"), *source.rglob("*.pyi")]:
        name = path.relative_to(source).with_suffix("")
        module = str(name.parent if name.name == "__init__" else name)
        paths["__init__" if module == "." else module] = path
    found = {name: _read(package, name, path, set(paths)) for name, path in paths.items()}
    return {
        name: _as_one_room(imports) for name, imports in found.items() if not name.startswith(f"{GENERATED}/")
    }


# What a generator wrote counts as one module, whatever is in it.
GENERATED = "containerd/api"


def _as_one_room(imports: Imports) -> Imports:
    for found in (imports.at_start, imports.late, imports.for_types):
        inside = {name for name in found if name.startswith(f"{GENERATED}/")}
        if inside:
            found -= inside
            found.add(GENERATED)
    return imports


def _read(package: str, name: str, path: Path, modules: set[str]) -> Imports:
    reader = _Reader(package, name, path.name == "__init__.py", modules)
    reader.visit(ast.parse(path.read_text()))
    for found in (reader.imports.at_start, reader.imports.late, reader.imports.for_types):
        found.discard(name)
    return reader.imports


_CLOCKS_AND_CHANCE = {"time", "datetime", "random", "secrets"}
_FUNCTIONS_OF_CHANCE = {"os": {"urandom", "getrandom"}, "uuid": {"uuid1", "uuid4", "uuid6", "uuid7", "uuid8"}}


class _Reader(ast.NodeVisitor):
    def __init__(self, package: str, name: str, is_package: bool, modules: set[str]) -> None:
        self.imports = Imports()
        self._package, self._modules = package, modules
        self._here = [part for part in name.split("/") if part != "__init__"]
        self._above = self._here if is_package else self._here[:-1]
        self._into = self.imports.at_start

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            first, *rest = alias.name.split(".")
            self._add(rest) if first == self._package else self._add_other(first)

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        path = node.module.split(".") if node.module else []
        if node.level:
            path = self._above[: len(self._above) - node.level + 1] + path
        elif path[0] == self._package:
            path = path[1:]
        else:
            self._add_other(path[0])
            chance = _FUNCTIONS_OF_CHANCE.get(node.module or "", set())
            self.imports.clock_or_chance |= {
                f"{node.module}.{a.name}" for a in node.names if a.name in chance
            }
            return
        for alias in node.names:
            self._add([*path, alias.name])

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside(node, self.imports.late)

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._inside(node, self.imports.late)

    def visit_If(self, node: ast.If) -> None:
        if ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for child in node.body:
                self._inside(child, self.imports.for_types)
            for child in node.orelse:
                self.visit(child)
        else:
            self.generic_visit(node)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        if isinstance(node.value, ast.Name) and node.attr in _FUNCTIONS_OF_CHANCE.get(node.value.id, set()):
            self.imports.clock_or_chance.add(f"{node.value.id}.{node.attr}")
        self.generic_visit(node)

    def visit_Constant(self, node: ast.Constant) -> None:
        """Take `"package.module"` for one that is imported by that name."""
        if isinstance(node.value, str) and re.fullmatch(rf"{self._package}(?:\.\w+)+", node.value):
            self.imports.late.add(self._longest(node.value.split(".")[1:]))

    def _inside(self, node: ast.AST, into: set[str]) -> None:
        """Visit a part in which imports are of another kind; what is for types stays so."""
        before = self._into
        self._into = before if before is self.imports.for_types else into
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            self.generic_visit(node)
        else:
            self.visit(node)
        self._into = before

    def _add(self, path: list[str]) -> None:
        self._into.add(self._longest(path))

    def _add_other(self, name: str) -> None:
        self.imports.others.add(name)
        if name in _CLOCKS_AND_CHANCE and self._into is not self.imports.for_types:
            self.imports.clock_or_chance.add(name)

    def _longest(self, path: list[str]) -> str:
        lengths = range(len(path), 0, -1)
        return next(
            (name for length in lengths if (name := "/".join(path[:length])) in self._modules), "__init__"
        )
