"""What README, the guide and --help show is run as it stands there."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layerdisk.cli import COMMANDS
from layerdisk.cli._options import make_parser
from layerdisk.decompress import decompress
from layerdisk.image import read_image

ROOT = Path(__file__).parents[2]
DATA = ROOT / "tests" / "data"
# Pages whose blocks other tests run, since they need more than a folder.
ELSEWHERE = {"containerd.md": ROOT / "tests" / "containerd" / "test_walkthrough.py"}
PAGES = [
    page
    for page in [ROOT / "README.md", ROOT / "SECURITY.md", *sorted((ROOT / "docs").rglob("*.md"))]
    if page.name not in ELSEWHERE
]
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RUN_BY_CI = re.compile(r"^make ", re.MULTILINE)  # these build and test all, and .ci/run runs them


def blocks(page: Path) -> list[tuple[str, str]]:
    return [(language, code) for language, code in BLOCK.findall(page.read_text())]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where a reader is: with a layer, an image, and folders for what is made."""
    shutil.copytree(DATA, tmp_path / "tests" / "data")
    for name in ("oci", "IMAGE_LAYOUT", "STORE"):
        (tmp_path / name).symlink_to(tmp_path / "tests" / "data" / "oci")
    shutil.copy(DATA / "layer.tar.gz", tmp_path)
    (tmp_path / "layer.tar").write_bytes(gzip.decompress((DATA / "layer.tar.gz").read_bytes()))
    (tmp_path / "IMAGES.txt").write_text("oci:IMAGE_LAYOUT:hello\n")
    for name in ("DIRECTORY", "snapshot", "ROOT"):
        (tmp_path / name).mkdir()
    save(tmp_path / "images.tar", "alpine:latest")
    return tmp_path


def save(path: Path, name: str) -> None:
    """Write an archive as `docker save` does, of the image in the tests' data."""
    image = read_image(DATA / "oci")
    blobs = DATA / "oci" / "blobs" / "sha256"
    layers = [f"{number}.tar" for number in range(len(image.layers))]
    config = json.loads((blobs / image.manifest.digest[7:]).read_text())["config"]["digest"][7:]
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": layers}]
    files = {"manifest.json": json.dumps(manifest).encode(), "config.json": (blobs / config).read_bytes()}
    for layer, entry in zip(image.layers, layers, strict=True):
        with open(blobs / layer.descriptor.digest[7:], "rb") as blob:
            files[entry] = decompress(blob).read(-1) or b""
    with tarfile.open(path, "w") as archive:
        for entry, content in files.items():
            member = tarfile.TarInfo(entry)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


def run(language: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    scripts = Path(sys.executable).parent
    environment = os.environ | {"PATH": f"{scripts}:{os.environ['PATH']}", "HOME": str(folder)}
    command = {
        "sh": ["bash", "-euo", "pipefail", "-c", code],
        "python": [sys.executable, "-W", "error", "-c", code],
    }[language]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, folder: Path) -> None:
    for language, code in blocks(page):
        if RUN_BY_CI.search(code):
            continue
        done = run(language, code, folder)
        assert (done.returncode, done.stderr) == (0, ""), code


def test_ci_runs_the_blocks_that_are_left_out() -> None:
    left_out = [
        (page.name, number)
        for page in PAGES
        for number, (_, code) in enumerate((b for b in blocks(page) if b[0] == "sh"), 1)
        if RUN_BY_CI.search(code)
    ]
    script = (ROOT / ".ci" / "run").read_text()
    run_there = [("README.md", int(number)) for number in re.findall(r'"\$\(block (\d+)\)"', script)]
    assert left_out == run_there


@pytest.mark.parametrize(("page", "test"), ELSEWHERE.items())
def test_another_test_reads_the_pages_that_are_left_out(page: str, test: Path) -> None:
    assert page in test.read_text()


def test_there_is_something_to_run() -> None:
    counts = {page.name: len(blocks(page)) for page in PAGES}
    assert counts["README.md"] >= 4
    assert sum(counts.values()) >= 15


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "serve"])
def test_examples_of_help_run(command: str, folder: Path, program: Callable[[str], str]) -> None:
    program("jq")
    layer = read_image(folder / "oci").layers[0]
    parser = make_parser([COMMANDS[command]])
    choices: Any = next(action.choices for action in parser._actions if action.choices is not None)
    [subparser] = choices.values()
    examples = [line for line in subparser.epilog.splitlines()[1:] if not line.strip().startswith("#")]
    assert len(examples) >= 2
    if command == "inspect":
        assert run("sh", "layerdisk convert layer.tar layer.vhd", folder).returncode == 0
    for line in examples:
        done = run("sh", line.replace("sha256:...", layer.descriptor.digest), folder)
        assert (done.returncode, done.stderr) == (0, ""), line
