"""The output file: whole under its name, or not there, and nothing left behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from layerdisk import io
from layerdisk.errdefs import InvalidArgument
from layerdisk.io import OutputFile

STALE = ".image.0123456789abcdef.layerdisk-tmp"


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    return path


def test_a_committed_file_replaces_the_target(target: Path) -> None:
    with OutputFile(target) as output:
        output.file.write(b"new")
        assert target.read_bytes() == b"old"
        output.commit()
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["image"]


def test_without_commit_the_target_is_as_it_was(target: Path) -> None:
    with OutputFile(target) as output:
        output.file.write(b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == ["image"]


def test_an_exception_passes_through_and_leaves_nothing(target: Path) -> None:
    with pytest.raises(KeyboardInterrupt), OutputFile(target):
        raise KeyboardInterrupt
    assert os.listdir(target.parent) == ["image"]


def test_an_interrupt_at_any_line_leaves_nothing(target: Path) -> None:
    """Also between the making of the file and the moment from which the `with` block would remove it."""
    line = seen = 0
    while seen == line:
        line, seen = line + 1, 0

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            nonlocal seen
            if event == "line" and frame.f_code.co_filename == io.__file__:
                seen += 1
                if seen == line:  # noqa: B023
                    sys.settrace(None)
                    raise KeyboardInterrupt
            return trace

        with contextlib.suppress(KeyboardInterrupt):
            sys.settrace(trace)
            try:
                with OutputFile(target):
                    sys.settrace(None)
            finally:
                sys.settrace(None)
        assert os.listdir(target.parent) == ["image"], f"after {line} lines"
        assert target.read_bytes() == b"old"
    assert line > 15


def test_a_new_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    (tmp_path / "other").touch()
    with OutputFile(tmp_path / "image") as output:
        output.commit()
    assert (tmp_path / "image").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_what_a_killed_process_left_is_removed(target: Path) -> None:
    (target.parent / STALE).write_bytes(b"stale")
    with OutputFile(target):
        assert STALE not in os.listdir(target.parent)


@pytest.mark.parametrize(
    "name", [".other.0123456789abcdef.layerdisk-tmp", ".image.x.layerdisk-tmp", ".image.0123456789abcdef"]
)
def test_what_is_not_ours_is_kept(target: Path, name: str) -> None:
    (target.parent / name).touch()
    with OutputFile(target):
        pass
    assert name in os.listdir(target.parent)


def test_what_another_is_writing_is_kept(target: Path) -> None:
    with OutputFile(target) as first:
        first.file.write(b"first")
        with OutputFile(target) as second:
            second.file.write(b"second")
            second.commit()
        first.commit()
    assert target.read_bytes() == b"first"


KILLED = """
import os, signal, sys
from layerdisk.io import OutputFile
with OutputFile(sys.argv[1]) as output:
    output.file.write(b"new")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_kill_leaves_the_target_and_the_next_run_cleans_up(target: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, target])
    assert target.read_bytes() == b"old"
    assert len(os.listdir(target.parent)) == 2
    with OutputFile(target):
        pass
    assert os.listdir(target.parent) == ["image"]


def test_a_symbolic_link_is_followed(target: Path) -> None:
    link = target.parent / "link"
    link.symlink_to("image")
    with OutputFile(link) as output:
        output.file.write(b"new")
        output.commit()
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_name_as_long_as_names_may_be(tmp_path: Path) -> None:
    with OutputFile(tmp_path / ("x" * 255)) as output:
        output.commit()
    assert os.listdir(tmp_path) == ["x" * 255]


@pytest.mark.parametrize("kind", ["directory", "device"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path if kind == "directory" else Path("/dev/null")
    with pytest.raises(InvalidArgument, match="exists and is not a regular file"), OutputFile(path):
        pass


def test_a_missing_directory_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), OutputFile(tmp_path / "no" / "image"):
        pass
