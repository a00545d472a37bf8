"""The command line on a terminal, and where there is none: progress, encodings, completion."""

from __future__ import annotations

import gzip
import os
import pty
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from layerdisk.cli import COMMANDS, completion, main
from tarfiles import archive, regular

DATA = Path(__file__).parents[1] / "data"
CLEARED = re.compile(r"\x1b\[2K(?:\x1b\[\?25h|\r)*$")  # the line is empty and the cursor shown


def screen(command: list[str], stdin: bytes, seconds: float = 0.0) -> tuple[int, str]:
    """Run a program with its standard error on a terminal, and feed it slowly; gives its status and what it showed."""
    master, terminal = pty.openpty()
    shown = b""

    def read() -> None:
        nonlocal shown
        while True:
            try:
                piece = os.read(master, 1 << 16)
            except OSError:  # the last one that had the terminal open has closed it
                return
            if not piece:
                return
            shown += piece

    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=terminal, env=environment
    )
    os.close(terminal)
    reader = threading.Thread(target=read)
    reader.start()
    assert process.stdin is not None
    with process.stdin as pipe:
        for start in range(0, len(stdin), 500_000):
            pipe.write(stdin[start : start + 500_000])
            pipe.flush()
            time.sleep(seconds)
    status = process.wait()
    reader.join()
    os.close(master)
    return status, shown.decode()


def test_a_pipe_s_progress_is_its_bytes_and_rate(tmp_path: Path) -> None:
    packed = archive(regular("f", os.urandom(3_000_000)))
    status, shown = screen(
        [sys.executable, "-m", "layerdisk", "convert", "-", str(tmp_path / "out")], packed, 0.25
    )
    assert status == 0
    assert "/s" in shown
    assert re.search(r"\d\.\d/\? MB", shown)
    assert CLEARED.search(shown)


SLOW = """
import sys, time
from layerdisk.cli import main
{patch}
sys.exit(main(sys.argv[1:]))
"""


def test_a_file_s_progress_is_a_part_of_it_and_the_time_left(tmp_path: Path) -> None:
    (tmp_path / "layer.tar.gz").write_bytes(gzip.compress(archive(regular("f", os.urandom(4_000_000))), 1))
    patch = """
import layerdisk.tar2ext4 as t
convert = t.convert
def slow(reader, writer, progress=None, **options):
    class Slow:
        def readinto(self, buffer):
            time.sleep(0.05)
            return reader.readinto(buffer)
        def read(self, size):
            return reader.read(size)
    return convert(Slow(), writer, progress=progress, **options)
t.convert = slow
"""
    code = SLOW.format(patch=patch)
    command = [sys.executable, "-c", code, "convert", str(tmp_path / "layer.tar.gz"), str(tmp_path / "out")]
    status, shown = screen(command, b"")
    assert status == 0, shown
    assert "layer.tar.gz" in shown
    assert set(re.findall(r"(\d+)%", shown)) - {"0", "100"}
    assert re.search(r"\d/\d\.\d MB", shown)
    assert re.search(r"\d:\d\d:\d\d", shown)


def test_every_layer_has_a_bar_and_all_together_one(tmp_path: Path) -> None:
    patch = """
from layerdisk.content import LocalStore
opened = LocalStore.reader
def reader(self, descriptor):
    inner = opened(self, descriptor)
    class Slow:
        def read(self, size):
            time.sleep(0.05)
            return inner.read(min(size, 40))
        def close(self):
            inner.close()
    return Slow()
LocalStore.reader = reader
"""
    code = SLOW.format(patch=patch)
    command = [sys.executable, "-c", code, "apply", str(DATA / "oci"), "--to", str(tmp_path / "disks")]
    status, shown = screen(command, b"")
    assert status == 0, shown
    from layerdisk.image import read_image

    for layer in read_image(DATA / "oci").layers:
        assert layer.descriptor.digest[7:19] in shown
    assert "all layers" in shown
    assert CLEARED.search(shown)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_rich_is_loaded_on_a_terminal_only(tmp_path: Path, terminal: bool) -> None:
    code = (
        "import sys, time; from layerdisk.cli import main; from layerdisk.cli import _progress\n"
        "_progress._QUIET_SECONDS = 0\n"
        "status = main(sys.argv[2:]); open(sys.argv[1], 'w').write(str('rich' in sys.modules)); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "rich"), "convert", "-", str(tmp_path / "out")]
    packed = archive(regular("f", b"x" * 1_000_000))
    if terminal:
        status, shown = screen(command, packed)
    else:
        done = subprocess.run(command, input=packed, capture_output=True)
        status, shown = done.returncode, done.stderr.decode()
        assert shown == ""
    assert status == 0, shown
    assert (tmp_path / "rich").read_text() == str(terminal)


@pytest.mark.parametrize("encoding", ["cp1252", "ascii"])
def test_a_name_that_the_output_lacks_is_escaped(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(archive(regular("d/\N{SNOWMAN}")))
    disks = tmp_path / "\N{SNOWMAN}"
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    for command in (["convert", path, tmp_path / "out"], ["apply", DATA / "oci", "--to", disks]):
        done = subprocess.run(
            [sys.executable, "-m", "layerdisk", *map(str, command)], capture_output=True, env=environment
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert rb"\u2603" in done.stdout


def test_an_output_name_that_is_no_text_is_printed_all_the_same(tmp_path: Path) -> None:
    disks = os.fsencode(tmp_path) + b"/\xff"
    command: list[str | bytes] = [
        sys.executable,
        "-m",
        "layerdisk",
        "apply",
        str(DATA / "oci"),
        "--to",
        disks,
    ]
    done = subprocess.run(command, capture_output=True, env=os.environ | {"PYTHONIOENCODING": "utf-8:strict"})
    assert (done.returncode, done.stderr) == (0, b"")
    assert rb"/\udcff/" in done.stdout


def completed(script: str, *words: str) -> list[str]:
    """Complete a command line in bash."""
    quoted = " ".join(f"'{word}'" for word in words)
    code = (
        f"{script}\nCOMP_WORDS=({quoted}); COMP_CWORD={len(words) - 1}\n"
        "function=$(complete -p layerdisk | sed 's/.*-F \\([^ ]*\\).*/\\1/')\n"
        'COMP_LINE="${COMP_WORDS[*]}"; COMP_POINT=${#COMP_LINE}\n'
        '$function; printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True)
    assert done.stderr == ""
    return done.stdout.split()


def test_bash_completes_commands_options_and_choices(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    assert set(completed(script, "layerdisk", "")) >= set(COMMANDS)
    assert completed(script, "layerdisk", "ins") == ["inspect"]
    assert completed(script, "layerdisk", "convert", "--append-v") == ["--append-vhd-footer"]
    assert completed(script, "layerdisk", "convert", "--core", "r") == ["rust"]


def test_bash_completes_files_and_directories(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    (tmp_path / "my-file").touch()
    (tmp_path / "my-directory").mkdir()
    monkeypatch.chdir(tmp_path)
    assert [name.rstrip("/") for name in completed(script, "layerdisk", "inspect", "my-f")] == ["my-file"]
    assert [name.rstrip("/") for name in completed(script, "layerdisk", "apply", "x", "--to", "my-")] == [
        "my-directory"
    ]


@pytest.mark.parametrize("shell", completion._SHELLS)
def test_every_shell_has_a_script_with_every_command(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(name in script for name in [*COMMANDS, "layerdisk", "vhd-unique-id"])


def test_a_completion_script_is_what_loads_shtab() -> None:
    code = "import sys; from layerdisk.cli import main; main(['inspect', '/no/such']); print('shtab' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n"
