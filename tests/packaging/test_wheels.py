"""What is published: built as for a release, installed into fresh virtual environments, and run there.

The tools and what layerdisk depends on come from the package index, as they do for whoever installs it.
"""

from __future__ import annotations

import base64
import configparser
import csv
import hashlib
import json
import os
import re
import sys
import tarfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from packaging.metadata import RawMetadata, parse_email
from packaging.requirements import Requirement
from published import CASES, LAYER, PYPROJECT, ROOT, VERSION, WHEELS, Installed, Published, contents, run

PACKAGE = ROOT / "python" / "layerdisk"


@pytest.mark.parametrize(
    ("wheel", "name", "purelib"), [(wheel, *row[:2]) for wheel, row in WHEELS.items()], ids=WHEELS
)
def test_tags(published: Published, wheel: str, name: str, purelib: str) -> None:
    path = published.wheels[wheel]
    assert re.fullmatch(name, path.name)
    lines = contents(path)[f"layerdisk-{VERSION}.dist-info/WHEEL"].decode().splitlines()
    *tag, platforms = path.stem.split("-")[2:]
    tags = {"-".join([*tag, platform]) for platform in platforms.split(".")}
    assert {line for line in lines if line.startswith("Tag: ")} == {f"Tag: {tag}" for tag in tags}
    assert f"Root-Is-Purelib: {purelib}" in lines


@pytest.mark.skipif(sys.platform != "linux", reason="auditwheel is for Linux")
def test_auditwheel_confirms_the_tag(published: Published) -> None:
    wheel = published.wheels["platform"]
    said = run(published.tools, "-m", "auditwheel", "show", wheel).stdout
    found = re.search(r'consistent with the following platform tag:\s+"(\w+)"', said)
    assert found is not None, said
    assert found[1] in wheel.name
    assert found[1].startswith("manylinux_2_17_")


def test_nothing_names_a_folder_of_the_machine_that_built_it(published: Published) -> None:
    """Neither the list of components, nor what a panic says, nor anything else."""
    folders = {str(ROOT), os.path.expanduser("~"), os.environ.get("CARGO_HOME", "")} - {"", "/"}
    for wheel in ("platform", "pure"):
        found = contents(published.wheels[wheel])
        wrong = {
            name: folder
            for name, data in found.items()
            for folder in folders
            if f"{folder}/".encode() in data and not name.endswith(".py")
        }
        assert wrong == {}
    [components] = (
        data for name, data in contents(published.wheels["platform"]).items() if "/sboms/" in name
    )
    assert b"path+file:///layerdisk/rust/core" in components
    extension = contents(published.wheels["platform"])["layerdisk/_rust.abi3.so"]
    assert b"/cargo/registry/" in extension  # it has paths, and these are what became of them


def test_a_wheel_s_record_is_that_of_its_files(published: Published) -> None:
    files = contents(published.wheels["platform"])
    lines = files[f"layerdisk-{VERSION}.dist-info/RECORD"].decode().splitlines()
    for name, digest, size in csv.reader(lines):
        if digest:
            found = base64.urlsafe_b64encode(hashlib.sha256(files[name]).digest()).rstrip(b"=").decode()
            assert (digest, size) == (f"sha256={found}", str(len(files[name]))), name
    assert {row[0] for row in csv.reader(lines)} == set(files)


EXTENSION = {"layerdisk/_rust.abi3.so", "layerdisk/_rust.pyi"}


@pytest.mark.parametrize(
    ("wheel", "extension"), [("platform", EXTENSION), ("pure", set()), ("sdist", EXTENSION)], ids=WHEELS
)
def test_wheel_has_the_package_and_nothing_else(
    published: Published, wheel: str, extension: set[str]
) -> None:
    found = contents(published.wheels[wheel])
    sources = [path for kind in ("*.py", "*.pyi") for path in PACKAGE.rglob(kind)]
    modules = {f"layerdisk/{path.relative_to(PACKAGE)}" for path in sources} - EXTENSION
    information = f"layerdisk-{VERSION}.dist-info/"
    assert {name for name in found if not name.startswith(information)} == {
        *modules,
        *extension,
        "layerdisk/py.typed",
    }
    assert found[f"{information}licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()
    scripts = configparser.ConfigParser()
    scripts.read_string(found[f"{information}entry_points.txt"].decode())
    assert {section: dict(scripts[section]) for section in scripts.sections()} == {
        "console_scripts": PYPROJECT["project"]["scripts"]
    }


def test_sdist_has_what_a_build_needs_and_no_more(published: Published) -> None:
    with tarfile.open(published.sdist) as archive:
        names = {member.name.partition("/")[2] for member in archive if member.isfile()}
    assert names >= {"Cargo.lock", "Cargo.toml", "LICENSE", "PKG-INFO", "README.md", "pyproject.toml"}
    assert {name.partition("/")[0] for name in names if "/" in name} == {"python", "rust"}
    assert not [name for name in names if re.search(r"\.so$|\.pyc$|(^|/)(tests|target|fuzz)/", name)]


# Metadata

FIELDS = {
    "name": PYPROJECT["project"]["name"],
    "version": VERSION,
    "summary": PYPROJECT["project"]["description"],
    "description": (ROOT / "README.md").read_text().rstrip(),
    "license_expression": PYPROJECT["project"]["license"],
    "license_files": PYPROJECT["project"]["license-files"],
    "requires_python": PYPROJECT["project"]["requires-python"],
    "classifiers": PYPROJECT["project"]["classifiers"],
    "keywords": PYPROJECT["project"]["keywords"],
    "requires_dist": PYPROJECT["project"]["dependencies"],
    "provides_extra": list(PYPROJECT["project"]["optional-dependencies"]),
}


@pytest.fixture(scope="session")
def metadata(published: Published) -> dict[str, RawMetadata]:
    name = f"layerdisk-{VERSION}.dist-info/METADATA"
    texts = {wheel: contents(path)[name] for wheel, path in published.wheels.items()}
    with tarfile.open(published.sdist) as archive:
        file = archive.extractfile(f"layerdisk-{VERSION}/PKG-INFO")
        assert file is not None
        texts["PKG-INFO"] = file.read()
    parsed = {wheel: parse_email(text) for wheel, text in texts.items()}
    assert not any(unparsed for _, unparsed in parsed.values())
    return {wheel: raw for wheel, (raw, _) in parsed.items()}


@pytest.mark.parametrize(("field", "expected"), FIELDS.items(), ids=FIELDS)
@pytest.mark.parametrize("wheel", [*WHEELS, "PKG-INFO"])
def test_metadata_are_those_of_the_project(
    metadata: dict[str, RawMetadata], wheel: str, field: str, expected: object
) -> None:
    found: Any = metadata[wheel].get(field)
    if field == "requires_dist":
        found, expected = meaning(found), meaning(expected)
    elif isinstance(expected, list):
        found, expected = sorted(found), sorted(expected)
    elif field == "description":
        found = found.rstrip()
    assert found == expected


MACHINES = [
    {"platform_python_implementation": python, "platform_machine": machine, "sys_platform": system}
    for python, machine, system in product(
        ["CPython", "PyPy"],
        ["x86_64", "AMD64", "aarch64", "arm64", "ARM64", "riscv64"],
        ["linux", "darwin", "win32"],
    )
]


def meaning(requirements: Any) -> list[list[str]]:
    """Give what is needed on each of MACHINES: the two build tools write the same markers in different ways."""
    parsed = [Requirement(text) for text in requirements]
    return [
        sorted(
            f"{requirement.name}{requirement.specifier}"
            for requirement in parsed
            if requirement.marker is None or requirement.marker.evaluate(machine)
        )
        for machine in MACHINES
    ]


# Installing and running


@pytest.fixture(params=CASES)
def installed(request: pytest.FixtureRequest, install: Callable[[str], Installed]) -> Installed:
    return install(request.param)


SCRIPT = """
import json, warnings
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    import layerdisk
    names = [layerdisk.core_name, layerdisk.core_name]
categories = [warning.category.__name__ for warning in caught]
print(json.dumps([layerdisk.__file__, layerdisk.__version__, names, categories]))
"""


def test_core_and_its_warning(installed: Installed, tmp_path: Path) -> None:
    file, *rest = json.loads(run(installed.python, "-c", SCRIPT, cwd=tmp_path).stdout)
    assert installed.directory in Path(file).parents
    warned = {"rust": [], "python": ["RuntimeWarning"]}[installed.core]
    assert rest == [VERSION, [installed.core, installed.core], warned]


def test_module_converts_where_every_warning_is_an_error(
    installed: Installed, tmp_path: Path, image: bytes
) -> None:
    # The pure core's one warning says that it was not asked for; here it is.
    chosen = {"LAYERDISK_CORE": "python"} if installed.core == "python" else {}
    command = [installed.python, "-W", "error", "-m", "layerdisk", "convert", LAYER, "out"]
    assert run(*command, cwd=tmp_path, **chosen).stderr == ""
    assert (tmp_path / "out").read_bytes() == image


def test_console_script_converts(installed: Installed, tmp_path: Path, image: bytes) -> None:
    done = run(installed.directory / "bin" / "layerdisk", "convert", LAYER, "out", cwd=tmp_path)
    warnings = re.findall(r"\w+Warning: .*", done.stderr)
    assert len(warnings) == {"rust": 0, "python": 1}[installed.core], done.stderr
    assert (tmp_path / "out").read_bytes() == image
