"""The command line: what it prints, what it returns, and that it does what the API does."""

from __future__ import annotations

import gzip
import hashlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import get_args

import pytest
import zstandard
from layerdisk import errdefs
from layerdisk.cli import COMMANDS, main
from layerdisk.cli._options import LAYOUTS
from layerdisk.image import read_image
from layerdisk.options import Layout
from layerdisk.tar2ext4 import convert
from tarfiles import archive, directory, regular

DATA = Path(__file__).parents[1] / "data"
LAYER = archive(directory("a"), regular("a/f", b"data" * 10_000), regular("a/.wh.x"), regular(r"b\c", b"1"))


@pytest.fixture
def layer(tmp_path: Path) -> Path:
    path = tmp_path / "layer.tar"
    path.write_bytes(LAYER)
    return path


def expected(tmp_path: Path, **options: object) -> bytes:
    path = tmp_path / "expected"
    with open(tmp_path / "layer.tar", "rb") as reader:
        convert(reader, path, **options)  # type: ignore[arg-type]
    return path.read_bytes()


def run(*arguments: object, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "layerdisk", *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True)


OPTIONS: dict[str, tuple[list[str], dict[str, object]]] = {
    "none": ([], {}),
    "whiteout": (["--convert-whiteout"], {"convert_whiteout": True}),
    "backslash": (["--convert-backslash"], {"convert_backslash": True}),
    "footer": (["--append-vhd-footer"], {"append_vhd_footer": True}),
    "only footer": (["--only-append-vhd-footer"], {"only_append_vhd_footer": True}),
    "inline": (["--inline-data"], {"inline_data": True}),
    "size": (["--maximum-disk-size", "137438953472"], {"maximum_disk_size": 128 << 30}),
    "layout": (["--layout", "hcsshim"], {"layout": "hcsshim"}),
    "defects": (["--reproduce-defects"], {"reproduce_defects": True}),
    "id": (
        ["--append-vhd-footer", "--vhd-unique-id", "00112233-4455-6677-8899-aabbccddeeff"],
        {"append_vhd_footer": True, "vhd_unique_id": bytes.fromhex("00112233445566778899aabbccddeeff")},
    ),
    "verity": (
        ["--append-dm-verity", "--append-vhd-footer"],
        {"append_dm_verity": True, "append_vhd_footer": True},
    ),
    "hash device": (["--hash-device", "{folder}/hashes"], {"hash_device": "{folder}/hashes"}),
    "in place": (["--in-place"], {"in_place": True}),
    "core": (["--core", "python"], {"core": "python"}),
}


@pytest.mark.parametrize(("arguments", "options"), OPTIONS.values(), ids=OPTIONS)
def test_every_option_of_the_api(
    tmp_path: Path, layer: Path, arguments: list[str], options: dict[str, object]
) -> None:
    arguments = [argument.format(folder=tmp_path) for argument in arguments]
    options = {
        name: value.format(folder=tmp_path) if isinstance(value, str) else value
        for name, value in options.items()
    }
    assert main(["convert", str(layer), str(tmp_path / "out"), *arguments]) == 0
    assert (tmp_path / "out").read_bytes() == expected(tmp_path, **options)


def test_every_option_of_the_api_has_its_name_here(capsys: pytest.CaptureFixture[str]) -> None:
    """But for the reader and the writer, which are IN and OUT, and progress, which is for terminals."""
    options = inspect.signature(convert).parameters.keys() - {"reader", "writer", "progress"}
    with pytest.raises(SystemExit):
        main(["convert", "--help"])
    assert options | {"help", "json"} == {
        name.replace("-", "_")
        for name in re.findall(r"^  (?:-h, )?--([a-z-]+)", capsys.readouterr().out, re.M)
    }
    assert options == {name for _, keywords in OPTIONS.values() for name in keywords}


@pytest.mark.parametrize(
    "pack", [bytes, gzip.compress, zstandard.ZstdCompressor().compress], ids=["plain", "gzip", "zstd"]
)
@pytest.mark.parametrize("use_stdin", [False, True], ids=["file", "stdin"])
def test_input_of_every_kind(
    tmp_path: Path, layer: Path, pack: Callable[[bytes], bytes], use_stdin: bool
) -> None:
    packed = tmp_path / "packed"
    packed.write_bytes(pack(LAYER))
    done = run("convert", "-" if use_stdin else packed, tmp_path / "out", stdin=packed.read_bytes())
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "out").read_bytes() == expected(tmp_path)


def test_what_convert_prints(tmp_path: Path, layer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(layer), str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[:2] == [
        "digest       sha256:" + hashlib.sha256(LAYER).hexdigest(),
        f"tar          43.0 KiB ({len(LAYER):,} bytes)",
    ]


def test_layouts_are_those_of_the_options() -> None:
    assert get_args(Layout) == LAYOUTS


def test_findings_are_gathered_for_people_and_listed_for_programs(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "layer.tar"
    path.write_bytes(archive(*(regular(f"d\x1b\u202e{number}/f") for number in range(1204))))
    assert main(["convert", str(path), str(tmp_path / "out")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line.startswith("finding")] == [
        r'finding      B13 x 1,204, first: "d\x1b\xe2\x80\xae0/f": 1 parent directory not in the layer: '
        "made like the one above (the bytes are hcsshim's)"
    ]
    assert main(["convert", str(path), str(tmp_path / "out"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["findings"]
    assert sum(finding.get("count", 1) for finding in found) == 1204
    assert found[0]["entry"] == "d\x1b\u202e0/f"


def test_convert_as_json(tmp_path: Path, layer: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["convert", str(layer), str(tmp_path / "out"), "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    with open(layer, "rb") as reader:
        again = convert(reader, tmp_path / "again")
    assert result == {
        "digest": again.digest,
        "size": again.size,
        "image_size": again.image_size,
        "blocks": again.blocks,
        "inodes": again.inodes,
        "directories": again.directories,
        "findings": [],
        "verity": None,
    }


FAILURES = {
    "missing input": (["convert", "/no/such/file", "{out}"], "[Errno 2] No such file or directory"),
    "no directory": (["convert", "{layer}", "/no/such/directory/out"], "[Errno 2] No such file or directory"),
    "no tar": (["convert", "/etc/passwd", "{out}"], "tar header at byte 0: "),
    "no image": (["inspect", "/etc/passwd"], ""),
    "no layout": (
        ["apply", "/etc", "--to", "{out}"],
        "/etc is not an OCI image layout: it has no index.json",
    ),
    "not a digest": (
        ["apply", "/etc", "--digest", "x", "--to", "{out}"],
        'digest "x": the algorithm must be one of',
    ),
}


@pytest.mark.parametrize(("arguments", "reason"), FAILURES.values(), ids=FAILURES)
def test_failures_have_status_1_and_one_line(
    tmp_path: Path, layer: Path, arguments: list[str], reason: str
) -> None:
    names = {"layer": layer, "out": tmp_path / "out"}
    done = run(*(argument.format(**names) for argument in arguments))
    assert (done.returncode, done.stdout) == (1, b"")
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"layerdisk: {reason}")


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (errdefs.Unknown("first line\nsecond line"), "first line; second line"),
        (MemoryError(), "MemoryError"),
        (ImportError("no module"), "no module"),
        (ValueError("in Unicode:\u2028\x1b[31m\u202e"), r"ValueError: in Unicode:; \x1b[31m\u202e"),
        (RecursionError("too deep"), "RecursionError: too deep"),
        (RuntimeError(), "RuntimeError"),
        (type("PanicException", (BaseException,), {})("core"), "PanicException: core"),
        (UnicodeEncodeError("ascii", "\udcff", 0, 1, "no"), None),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_the_reason_is_one_line_whatever_happened(
    layer: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    error: BaseException,
    reason: str | None,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr("layerdisk.tar2ext4.convert", fail)
    assert main(["convert", str(layer), "out"]) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.count("\n") == 1
    assert err == f"layerdisk: {reason}\n" if reason else err.startswith("layerdisk: UnicodeEncodeError: ")


@pytest.mark.parametrize("command", [["convert", "{layer}", "{out}"], ["inspect", "{image}"]])
def test_a_reader_of_the_output_that_went_away_is_no_reason_to_speak(
    tmp_path: Path, layer: Path, command: list[str]
) -> None:
    image = tmp_path / "expected"
    expected(tmp_path)
    names = {"layer": layer, "out": tmp_path / "out", "image": image}
    reading, writing = os.pipe()
    os.close(reading)
    with open(writing, "wb") as output:
        arguments = [sys.executable, "-m", "layerdisk", *(word.format(**names) for word in command)]
        done = subprocess.run(arguments, stdout=output, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, b"")
    if command[0] == "convert":
        assert (tmp_path / "out").read_bytes() == image.read_bytes()


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_output_that_cannot_be_written_is_a_failure(layer: Path, unbuffered: str) -> None:
    with open("/dev/full", "wb") as full:
        arguments = [sys.executable, "-m", "layerdisk", "convert", str(layer), str(layer.parent / "out")]
        environment = os.environ | {"PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(arguments, stdout=full, stderr=subprocess.PIPE, env=environment)
    assert (done.returncode, done.stderr) == (1, b"layerdisk: [Errno 28] No space left on device\n")


CLOSED = {
    "stdout": (1, "{layer}", 0, b"", b""),
    "stderr": (2, "{layer}", 0, None, b""),
    "stderr of a failure": (2, "no/such/layer", 1, b"", b""),
    "stdin": (0, "-", 1, b"", b"layerdisk: standard input is closed\n"),
}


@pytest.mark.parametrize(("number", "source", "status", "out", "err"), CLOSED.values(), ids=CLOSED)
def test_a_standard_stream_may_be_closed(
    layer: Path, number: int, source: str, status: int, out: bytes | None, err: bytes
) -> None:
    code = f"import os, sys; os.close({number}); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])"
    arguments = ["-m", "layerdisk", "convert", source.format(layer=layer), str(layer.parent / "out")]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, input=b"")
    assert (done.returncode, done.stderr) == (status, err)
    assert done.stdout.startswith(b"digest") if out is None else done.stdout == out
    assert (layer.parent / "out").exists() == (status == 0)


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["convert"],
        ["convert", "a"],
        ["convert", "a", "b", "--maximum-disk-size", "x"],
        ["convert", "a", "b", "--vhd-unique-id", "x"],
        ["convert", "a", "b", "--conv"],
        ["convert", "a", "b", "--layout", "foo"],
        ["convert", "a", "b", "--core", "foo"],
        ["convert", "a", "b", "--append-vhd-footer", "--only-append-vhd-footer"],
        ["convert", "a", "-"],
        ["inspect", "a", "--raw", "--json"],
        ["completion"],
        ["completion", "cmd"],
        ["apply", "x"],
        ["apply", "x", "--to", "y", "--ref", "a", "--digest", "b"],
        ["apply", "x", "--to", "y", "--platform", "linux"],
        ["nothing"],
    ],
)
def test_wrong_usage_has_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage: layerdisk" in capsys.readouterr().err


def test_a_core_of_the_environment_that_does_not_exist_is_wrong_usage(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("LAYERDISK_CORE", "foo")
    with pytest.raises(SystemExit) as caught:
        main(["inspect", "a"])
    assert caught.value.code == 2
    assert capsys.readouterr().err.endswith(
        "error: LAYERDISK_CORE is 'foo' (choose from 'rust', 'python', 'auto')\n"
    )


@pytest.mark.parametrize("command", [None, *COMMANDS])
def test_help(command: str | None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"] if command else ["--help"])
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert text.startswith("usage: layerdisk")
    if command:
        assert (
            f"\n  layerdisk {command} " in text.partition("\nexamples:\n")[2]
            or f"(layerdisk {command}" in text
        )
    else:
        assert all(re.search(rf"^    {name}\s", text, re.M) for name in COMMANDS)


@pytest.mark.parametrize("extension", [True, False], ids=["rust", "pure"])
def test_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], extension: bool
) -> None:
    if not extension:
        monkeypatch.setitem(sys.modules, "layerdisk._rust", None)
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"layerdisk {version('layerdisk')}\n")


@pytest.mark.parametrize(
    ("pack", "name"), [(gzip.compress, "gzip"), (zstandard.ZstdCompressor().compress, "zstd")]
)
def test_a_truncated_stream_is_an_error_and_leaves_nothing(
    tmp_path: Path, pack: Callable[[bytes], bytes], name: str
) -> None:
    blob = pack(LAYER)
    done = run("convert", "-", tmp_path / "out", stdin=blob[:-1])
    assert done.returncode == 1
    assert done.stderr.decode() == f"layerdisk: {name} stream ends early, at byte {len(blob) - 1}\n"
    assert os.listdir(tmp_path) == []


def test_apply_a_layout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image = read_image(DATA / "oci")
    assert main(["apply", str(DATA / "oci"), "--ref", "hello", "--to", str(tmp_path / "disks")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == [layer.diff_id for layer in image.layers]
    assert all(Path(line.split()[2]).exists() for line in lines)


def test_apply_the_image_of_a_platform(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    platform = read_image(DATA / "oci").platform
    layout, to = str(DATA / "oci"), str(tmp_path / "disks")
    named = f"{platform.os}/{platform.architecture}"
    assert main(["apply", layout, "--platform", named, "--to", to]) == 0
    assert main(["apply", layout, "--platform", "plan9/mips", "--to", to]) == 1
    assert "plan9/mips" in capsys.readouterr().err


def test_apply_a_layer(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    layer = read_image(DATA / "oci").layers[1]
    arguments = ["apply", str(DATA / "oci"), "--digest", layer.descriptor.digest, "--to", str(tmp_path)]
    assert main([*arguments, "--media-type", layer.descriptor.media_type, "--json"]) == 0
    (value,) = json.loads(capsys.readouterr().out)
    assert value == {
        "mediaType": "application/vnd.oci.image.layer.v1.tar",
        "digest": layer.diff_id,
        "size": value["size"],
        "path": str(tmp_path / "layer.vhd"),
    }
    assert main(arguments) == 0  # by default any compression is recognised


def test_the_small_layer_is_that_of_the_image() -> None:
    layer = read_image(DATA / "oci").layers[0]
    assert layer.descriptor.size == (DATA / "layer.tar.gz").stat().st_size


def test_start_up_imports_little() -> None:
    code = "import sys; before = set(sys.modules); import layerdisk.cli; print(*set(sys.modules) - before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = set(done.stdout.split())
    assert {name for name in imported if name.startswith("layerdisk")} == {
        "layerdisk",
        "layerdisk.cli",
    }
    assert not imported & {
        "dataclasses",
        "json",
        "uuid",
        "zstandard",
        "isal",
        "importlib.metadata",
        "typing_extensions",
    }
