"""Build the pure-Python wheel: the package without its extension, for machines that no platform wheel fits.

    python packaging/pure.py OUTDIR

maturin builds no wheel without an extension. hatchling does, but wants a pyproject.toml of its own: it is derived
from the project's, in a temporary directory, so that every fact about the package keeps its one place.
"""

from __future__ import annotations

import contextlib
import json
import shutil
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

from hatchling.build import build_wheel

ROOT = Path(__file__).resolve().parents[1]


def main(out: Path) -> None:
    """Build the wheel into `out` and say where it is."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    cargo = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory(prefix="layerdisk-pure-") as directory:
        write_project(Path(directory), pyproject, cargo["workspace"]["package"]["version"])
        with contextlib.chdir(directory):  # where a build backend looks for its project
            name = build_wheel(str(out))
    print(out / name)


def write_project(directory: Path, pyproject: dict[str, Any], version: str) -> None:
    """Write a project for hatchling with the metadata and the Python files of this one."""
    project = {key: value for key, value in pyproject["project"].items() if key != "dynamic"}
    project["version"] = version

    source = pyproject["tool"]["maturin"]["python-source"]
    package, extension = pyproject["tool"]["maturin"]["module-name"].rsplit(".", 1)
    wheel = {
        "packages": [f"{source}/{package}"],
        "core-metadata-version": "2.4",  # as maturin's; hatchling's newest is one that tools for uploading may refuse
    }
    document = {"project": project, "tool": {"hatch": {"build": {"targets": {"wheel": wheel}}}}}
    text = "".join(f"{key} = {_toml(value)}\n" for key, value in document.items())
    (directory / "pyproject.toml").write_text(text, encoding="utf-8")

    # The extension is there after a development build; its stub would promise what this wheel does not have.
    unwanted = shutil.ignore_patterns(f"{extension}.*", "__pycache__")
    shutil.copytree(ROOT / source / package, directory / source / package, ignore=unwanted)
    for name in [project["readme"], *project["license-files"]]:
        shutil.copy(ROOT / name, directory / name)


def _toml(value: Any) -> str:
    """Write what a pyproject.toml holds. The standard library only reads TOML; JSON's text and lists are TOML's too."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(item)}" for key, item in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: packaging/pure.py OUTDIR")
    main(Path(sys.argv[1]).resolve())
