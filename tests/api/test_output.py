"""The output file: whole under its name, or not there, and nothing left behind."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from types import FrameType
from typing import Any, cast

import pytest
from common import LAYER, image_of
from layerdisk import io
from layerdisk.errdefs import DiskSizeExceeded, InvalidArgument
from layerdisk.io import OutputFile
from layerdisk.tar2ext4 import convert
from machine import has_nameless_files, missing
from tarfiles import archive, pax_sparse, regular

STALE = ".image.0123456789abcdef.layerdisk-tmp"


@pytest.fixture(params=["nameless", "named"])
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the file is before it has its place: without a name where the file system can, and with one."""
    if request.param == "named":
        monkeypatch.setattr(io, "_O_TMPFILE", None)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    path.write_bytes(b"old")
    return path


def test_a_committed_file_replaces_the_target(kind: None, target: Path) -> None:
    with OutputFile(target) as output:
        output.file.write(b"new")
        assert target.read_bytes() == b"old"
        output.commit()
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["image"]


def test_without_commit_the_target_is_as_it_was(kind: None, target: Path) -> None:
    with OutputFile(target) as output:
        output.file.write(b"new")
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == ["image"]


def test_an_exception_passes_through_and_leaves_nothing(kind: None, target: Path) -> None:
    with pytest.raises(KeyboardInterrupt), OutputFile(target):
        raise KeyboardInterrupt
    assert os.listdir(target.parent) == ["image"]


def test_an_interrupt_at_any_line_leaves_nothing(kind: None, target: Path) -> None:
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


def test_a_new_file_has_the_permissions_of_any_new_file(kind: None, tmp_path: Path) -> None:
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


def test_what_another_is_writing_is_kept(kind: None, target: Path) -> None:
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


def test_a_kill_leaves_nothing(target: Path) -> None:
    if not has_nameless_files(target.parent):
        missing("the file system has no O_TMPFILE")
    subprocess.run([sys.executable, "-c", KILLED, target])
    assert target.read_bytes() == b"old"
    assert os.listdir(target.parent) == ["image"]


def test_a_kill_where_files_have_names_is_cleaned_up_by_the_next_run(target: Path) -> None:
    named = "import layerdisk.io\nlayerdisk.io._O_TMPFILE = None\n"
    subprocess.run([sys.executable, "-c", named + KILLED, target])
    assert target.read_bytes() == b"old"
    assert len(os.listdir(target.parent)) == 2
    with OutputFile(target):
        pass
    assert os.listdir(target.parent) == ["image"]


def test_a_symbolic_link_is_followed(kind: None, target: Path) -> None:
    link = target.parent / "link"
    link.symlink_to("image")
    with OutputFile(link) as output:
        output.file.write(b"new")
        output.commit()
    assert link.is_symlink()
    assert target.read_bytes() == b"new"


def test_a_name_as_long_as_names_may_be(kind: None, tmp_path: Path) -> None:
    with OutputFile(tmp_path / ("x" * 255)) as output:
        output.commit()
    assert os.listdir(tmp_path) == ["x" * 255]


@pytest.mark.parametrize("kind", ["directory", "device"])
def test_what_is_no_file_is_refused(tmp_path: Path, kind: str) -> None:
    path = tmp_path if kind == "directory" else Path("/dev/null")
    with (
        pytest.raises(InvalidArgument, match="exists and is not a regular file or a block device"),
        OutputFile(path),
    ):
        pass


def test_a_missing_directory_is_the_systems_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), OutputFile(tmp_path / "no" / "image"):
        pass


def test_an_interrupt_at_any_line_of_commit_leaves_one_of_the_two(kind: None, target: Path) -> None:
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

        target.write_bytes(b"old")
        with contextlib.suppress(KeyboardInterrupt), OutputFile(target) as output:
            output.file.write(b"new")
            sys.settrace(trace)
            try:
                output.commit()
            finally:
                sys.settrace(None)
        assert os.listdir(target.parent) == ["image"], f"after {line} lines"
        assert target.read_bytes() in (b"old", b"new")
    assert line > 8


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o4755])
def test_the_mode_of_a_replaced_file_is_kept(kind: None, target: Path, mode: int) -> None:
    target.chmod(mode)
    with OutputFile(target) as output:
        assert os.fstat(output.file.fileno()).st_mode & 0o7777 == mode  # before there is anything to read
        output.commit()
    assert target.stat().st_mode & 0o7777 == mode


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root gives files away")
def test_the_owner_of_a_replaced_file_is_kept(kind: None, target: Path) -> None:
    os.chown(target, 1234, 5678)
    with OutputFile(target) as output:
        output.commit()
    assert (target.stat().st_uid, target.stat().st_gid) == (1234, 5678)


NO_FILES = {
    "-": "^- as output: an image is not written from start to end, and so not to standard output; give the path",
    "out/": "^'out/' as output names a directory, not a file$",
    "no/out/": "^'no/out/' as output names a directory, not a file$",
    ".": "^'.' as output names a directory, not a file$",
    "": "^'' as output names a directory, not a file$",
}


@pytest.mark.parametrize(("name", "message"), NO_FILES.items(), ids=repr)
def test_what_names_no_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InvalidArgument, match=message), OutputFile(name):
        pass
    assert os.listdir(tmp_path) == []


def test_a_file_that_is_called_minus_can_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with OutputFile("./-") as output:
        output.commit()
    assert os.listdir(tmp_path) == ["-"]


# Directories.


def failing_fsync(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Has fsync of a directory fail, and of nothing else."""
    fsync = os.fsync

    def fail(descriptor: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{descriptor}"):
            raise OSError(number, os.strerror(number))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fail)


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP])
def test_a_directory_that_knows_no_fsync_is_fine(
    kind: None, target: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    failing_fsync(monkeypatch, number)
    with OutputFile(target) as output:
        output.file.write(b"new")
        output.commit()
    assert target.read_bytes() == b"new"


def test_a_directory_that_fails_to_sync_is_not_said_to_be_as_before(
    kind: None, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing_fsync(monkeypatch, errno.EIO)
    with OutputFile(target) as output:
        output.file.write(b"new")
        with pytest.raises(OSError) as caught:
            output.commit()
    assert caught.value.errno == errno.EIO
    reason = f"{os.strerror(errno.EIO)}: {target} is replaced, but its directory is perhaps not on disk"
    assert caught.value.strerror == reason
    assert target.read_bytes() == b"new"
    assert os.listdir(target.parent) == ["image"]


AS_NOBODY = """
import os, sys
from layerdisk.io import OutputFile
os.setgroups([])
os.setgid(65534)
os.setuid(65534)
with OutputFile(sys.argv[1]) as output:
    output.file.write(b"new")
    output.commit()
"""
needs_root = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can")


@needs_root
def test_a_directory_that_may_not_be_read_will_do() -> None:
    """open() takes it too."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "image"
        os.chown(directory, 65534, 65534)
        os.chmod(directory, 0o300)
        os.chmod(Path(directory).parent, 0o1777)
        subprocess.run([sys.executable, "-c", AS_NOBODY, path], check=True)
        assert path.read_bytes() == b"new"


@needs_root
def test_a_link_that_the_system_does_not_follow_is_not_followed(tmp_path: Path) -> None:
    """Of somebody else, in a directory for all. Source: kernel, Documentation/admin-guide/sysctl/fs.rst."""
    setting = Path("/proc/sys/fs/protected_symlinks")
    before = setting.read_text()
    try:
        setting.write_text("1")
    except OSError:
        missing("fs.protected_symlinks cannot be set")
    try:
        tmp_path.chmod(0o1777)
        (tmp_path / "victim").write_bytes(b"precious")
        (tmp_path / "link").symlink_to("victim")
        os.chown(tmp_path / "link", 65534, 65534, follow_symlinks=False)
        with pytest.raises(PermissionError):
            (tmp_path / "link").write_bytes(b"")
        with pytest.raises(PermissionError), OutputFile(tmp_path / "link"):
            pass
    finally:
        setting.write_text(before)
    assert (tmp_path / "victim").read_bytes() == b"precious"
    assert sorted(os.listdir(tmp_path)) == ["link", "victim"]


# In place.


def test_a_file_can_be_written_in_place(core: str, target: Path) -> None:
    before = target.stat()
    target.write_bytes(b"older" * 1_000_000)
    convert(BytesIO(LAYER), target, in_place=True, core=core)
    assert target.read_bytes() == image_of(LAYER, core)
    assert (target.stat().st_ino, target.stat().st_mode) == (before.st_ino, before.st_mode)
    assert os.listdir(target.parent) == ["image"]


def test_a_file_in_place_is_kept_when_the_options_are_wrong(core: str, target: Path) -> None:
    with pytest.raises(InvalidArgument):
        convert(BytesIO(LAYER), target, in_place=True, layout=cast("Any", "typo"), core=core)
    assert target.read_bytes() == b"old"


def test_a_new_file_in_place_is_removed_after_an_error(core: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument):
        convert(BytesIO(LAYER), tmp_path / "image", in_place=True, layout=cast("Any", "typo"), core=core)
    assert os.listdir(tmp_path) == []
    convert(BytesIO(LAYER), tmp_path / "image", in_place=True, core=core)
    assert os.listdir(tmp_path) == ["image"]


@needs_root
def test_a_mount_point_is_written_in_place_only(core: str, target: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"outside")
    if subprocess.run(["mount", "--bind", tmp_path / "outside", target]).returncode != 0:
        missing("nothing can be mounted")
    try:
        with pytest.raises(OSError, match="a mount point can only be written in place") as caught:
            convert(BytesIO(LAYER), target, core=core)
        assert caught.value.errno == errno.EBUSY
        assert target.read_bytes() == b"outside"
        convert(BytesIO(LAYER), target, in_place=True, core=core)
    finally:
        subprocess.run(["umount", target], check=True)
    assert (tmp_path / "outside").read_bytes() == image_of(LAYER, core)
    assert sorted(os.listdir(tmp_path)) == ["image", "outside"]


# Block devices.


@pytest.fixture
def device(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Gives a function that makes a loop device of a length in bytes, full of ones."""
    if sys.platform != "linux" or os.geteuid() != 0 or not Path("/dev/loop-control").exists():
        missing("a block device needs Linux, root and loop devices")
    with contextlib.ExitStack() as cleanup:

        def make(length: int) -> Path:
            backing = tmp_path / "backing"
            backing.write_bytes(b"\xff" * length)
            command = ["losetup", "--find", "--show", str(backing)]
            name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
            cleanup.callback(subprocess.run, ["losetup", "--detach", name], check=True)
            return Path(name)

        yield make


HOLES = archive(
    pax_sparse("holes", 9 << 20, [(5 << 20, b"x" * 5000)], version="1.0"), regular("f", b"data" * 100_000)
)


@pytest.mark.parametrize("footer", [False, True], ids=["image", "vhd"])
@pytest.mark.parametrize("way", ["path", "file"])
def test_a_device_is_written_zeros_and_all(
    core: str, device: Callable[[int], Path], way: str, footer: bool
) -> None:
    path = device(16 << 20)
    expected = image_of(HOLES, core, append_vhd_footer=footer)
    with open(path, "r+b") if way == "file" else contextlib.nullcontext(path) as writer:
        convert(BytesIO(HOLES), writer, append_vhd_footer=footer, core=core)
    with open(path, "rb") as file:
        assert file.read(len(expected)) == expected
        assert not file.read().strip(b"\xff"), "what follows the image is left alone"


def test_a_device_that_is_too_small_is_said_to_be(core: str, device: Callable[[int], Path]) -> None:
    path = device(1 << 20)
    with pytest.raises(DiskSizeExceeded) as caught:
        convert(BytesIO(HOLES), path, core=core)
    assert re.search(r"the image needs at least \d+ bytes, and the device has 1048576$", str(caught.value))


def test_a_device_that_is_mounted_is_refused(
    core: str, device: Callable[[int], Path], tmp_path: Path
) -> None:
    path = device(16 << 20)
    convert(BytesIO(HOLES), path, core=core)
    (tmp_path / "mount").mkdir()
    subprocess.run(["mount", "-t", "ext4", "-o", "ro", path, tmp_path / "mount"], check=True)
    try:
        with pytest.raises(OSError) as caught:
            convert(BytesIO(LAYER), path, core=core)
        assert caught.value.errno == errno.EBUSY
    finally:
        subprocess.run(["umount", tmp_path / "mount"], check=True)
