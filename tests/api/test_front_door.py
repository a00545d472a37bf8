"""What `import layerdisk` offers, and what it costs."""

from __future__ import annotations

import ast
import builtins
import importlib
import os
import pkgutil
import pydoc
import rlcompleter
import shutil
import subprocess
import sys
from pathlib import Path

import layerdisk
import pytest

PACKAGE = Path(layerdisk.__file__).parent
SUBMODULES = {module.name for module in pkgutil.iter_modules([str(PACKAGE)]) if module.name[0] != "_"}
FACTS = {"__version__", "core_name"}
LOADED = [name for name in layerdisk.__all__ if name not in SUBMODULES | FACTS]


@pytest.mark.parametrize("name", LOADED)
def test_a_name_is_that_of_its_module(name: str) -> None:
    [module] = [module for module, names in layerdisk._NAMES.items() if name in names.split()]
    assert getattr(layerdisk, name) is getattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", sorted(SUBMODULES - {"cli"}))
def test_every_public_module_is_there_without_an_import(name: str) -> None:
    code = f"import layerdisk; print(layerdisk.{name}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == f"layerdisk.{name}\n"


def test_every_public_exception_is_offered() -> None:
    """Except the one that has the name of a builtin."""
    errors = {
        name
        for name, value in vars(importlib.import_module("layerdisk.errdefs")).items()
        if isinstance(value, type) and issubclass(value, layerdisk.LayerdiskError)
    }
    assert errors - set(layerdisk.__all__) == {"NotImplemented"}


def test_type_checkers_see_what_the_table_offers() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    [block] = [
        node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    ]
    imported = {
        alias.name for node in ast.walk(block) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    declared = {ast.unparse(node.target) for node in ast.walk(block) if isinstance(node, ast.AnnAssign)}
    assert imported | declared == set(layerdisk.__all__)
    assert declared == FACTS


def test_names_are_in_order_and_hide_no_builtin() -> None:
    assert list(layerdisk.__all__) == sorted(set(layerdisk.__all__))
    assert not set(layerdisk.__all__) & set(vars(builtins))


def test_dir_has_the_public_names_and_no_others() -> None:
    assert {name for name in dir(layerdisk) if not name.startswith("__")} == set(
        layerdisk.__all__
    ) - FACTS | {"core_name"}


def test_tab_completes() -> None:
    completer = rlcompleter.Completer({"layerdisk": layerdisk})
    matches = [completer.complete("layerdisk.conv", state) for state in range(5)]
    assert [match and match.rstrip("()") for match in matches] == [
        "layerdisk.convert",
        "layerdisk.convert_and_compute_root_digest",
        "layerdisk.convert_many",
        "layerdisk.convert_to_vhd",
        None,
    ]


def test_help_shows_the_functions() -> None:
    text = pydoc.plain(pydoc.render_doc(layerdisk))
    assert "convert(reader: " in text
    assert "class LcowDiffer" in text


def test_another_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'layerdisk' has no attribute 'konvert'"):
        getattr(layerdisk, "konvert")  # noqa: B009


def test_the_import_itself_loads_nothing() -> None:
    code = "import sys; before = set(sys.modules); import layerdisk; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["layerdisk"]


def test_a_source_tree_without_metadata_has_help_and_a_version(tmp_path: Path) -> None:
    leave = shutil.ignore_patterns("_rust*", "__pycache__")
    shutil.copytree(PACKAGE, tmp_path / "layerdisk", ignore=leave)
    code = "import layerdisk, pydoc; pydoc.render_doc(layerdisk); print(layerdisk.__version__, layerdisk.core_name)"
    # -S: without the installed package's metadata; what layerdisk needs is imported when it is needed only
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"import sys; sys.path.insert(0, {str(tmp_path)!r}); {code}"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert (done.returncode, done.stdout) == (0, "0+unknown python\n"), done.stderr
