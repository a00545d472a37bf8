"""`layerdisk inspect`: what it prints for people, raw, and as JSON."""

from __future__ import annotations

import json
import re
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from layerdisk.cli import main
from layerdisk.cli._names import COMPATIBLE, INCOMPATIBLE, READ_ONLY_COMPATIBLE
from layerdisk.cli._show import size_text
from layerdisk.tar2ext4 import read_ext4_superblock
from layerdisk.vhd import VhdFooter
from tarfiles import archive, directory, regular

UNIQUE_ID = "00112233-4455-6677-8899-aabbccddeeff"


@pytest.fixture
def image(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "layer.tar").write_bytes(archive(directory("a"), regular("a/f", b"data" * 10_000)))
    options = ["--append-vhd-footer", "--vhd-unique-id", UNIQUE_ID]
    assert main(["convert", str(tmp_path / "layer.tar"), str(tmp_path / "image"), *options]) == 0
    capsys.readouterr()
    return tmp_path / "image"


def rows(capsys: pytest.CaptureFixture[str], *arguments: object) -> dict[str, str]:
    assert main(["inspect", *map(str, arguments)]) == 0
    lines = capsys.readouterr().out.splitlines()
    return {line[:12].strip(): line[13:] for line in lines}


def test_what_people_see(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = image.stat()
    assert rows(capsys, image) == {
        "file": f"72.5 KiB (74,240 bytes), on disk {size_text(status.st_blocks * 512)}",
        "file system": "ext4, 72.0 KiB (73,728 bytes)",
        "label": "none",
        "UUID": "none",
        "blocks": "18 of 4,096 bytes; 18 in use",
        "free": "0 bytes in 0 blocks",
        "inodes": "16 of 256 bytes; 13 in use, 3 of them directories; 3 free",
        "features": "ext_attr sparse_super2",
        "to read": "filetype extent flex_bg",
        "to write": "large_file huge_file extra_isize read-only",
        "state": "clean",
        "on errors": "continue",
        "made on": "Linux",
        "mounted": "never",
        "written": "never",
        "checked": "never",
        "VHD footer": "fixed disk, 72.0 KiB (73,728 bytes); checksum correct",
        "unique id": UNIQUE_ID,
        "made": "never",
    }


def test_another_program_s_image(
    tmp_path: Path, program: Callable[[str], str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Its label, times and features are those that dumpe2fs prints."""
    path = tmp_path / "image"
    options = ["-q", "-L", "a\x1blabel", "-U", UNIQUE_ID, "-e", "remount-ro"]
    subprocess.run([program("mke2fs"), *options, str(path), "8M"], check=True)
    shown = rows(capsys, path)
    said = subprocess.run(
        [program("dumpe2fs"), "-h", str(path)],
        capture_output=True,
        text=True,
        env={"TZ": "UTC", "LC_ALL": "C"},
    ).stdout
    facts = dict(re.split(r":\s+", line, maxsplit=1) for line in said.splitlines() if ": " in line)
    features = f"{shown['features']} {shown['to read']} {shown['to write']}"
    assert sorted(features.split()) == sorted(facts["Filesystem features"].split())
    assert shown["label"] == "hex " + b"a\x1blabel".hex().ljust(32, "0")
    assert shown["UUID"] == facts["Filesystem UUID"] == UNIQUE_ID
    assert shown["state"] == facts["Filesystem state"] == "clean"
    assert shown["on errors"] == "remount read-only"
    assert shown["mounted"] == "never"
    assert re.fullmatch(r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d UTC", shown["written"])
    assert shown["written"][11:19] in facts["Last write time"]
    assert shown["free"].endswith(f"in {int(facts['Free blocks']):,} blocks")
    assert shown["VHD footer"] == "none"


FEATURES = {
    "compatible": (0x5C, COMPATIBLE),
    "incompatible": (0x60, INCOMPATIBLE),
    "read-only compatible": (0x64, READ_ONLY_COMPATIBLE),
}


@pytest.mark.parametrize(("offset", "names"), FEATURES.values(), ids=FEATURES)
def test_features_have_the_names_that_dumpe2fs_gives_them(
    image: Path, program: Callable[[str], str], offset: int, names: dict[int, str]
) -> None:
    dumpe2fs = program("dumpe2fs")
    found = {}
    for bit in names:
        with open(image, "r+b") as file:
            file.seek(1024 + offset)
            file.write(struct.pack("<I", bit))
            file.seek(1024 + 0x60 if offset != 0x60 else 1024 + 0x5C)
            file.write(bytes(4))
        said = subprocess.run([dumpe2fs, "-fh", str(image)], capture_output=True, text=True).stdout
        line = re.search(r"^Filesystem features: +(.*)$", said, re.M)
        if line is not None:  # some it refuses to look at
            found[bit] = set(line[1].split())
    wrong = {bit: told for bit, told in found.items() if names[bit] not in told}
    assert wrong == {}
    assert len(found) > len(names) // 2


def test_raw_has_every_field(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", "--raw", str(image)]) == 0
    text = capsys.readouterr().out
    for name, value in read_ext4_superblock(image)._asdict().items():
        shown = value.hex() if isinstance(value, bytes) else value
        assert f"  {name:<24} {shown}\n" in text
    assert '  cookie                   636f6e6563746978 "conectix"\n' in text
    assert "  directories              3\n" in text


def test_json_tells_hex_from_text(image: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with open(image, "r+b") as file:
        file.seek(1024 + 0x78)
        file.write(b"c0ffee")
    assert main(["inspect", str(image), "--json"]) == 0
    superblock = json.loads(capsys.readouterr().out)["superblock"]
    assert superblock["s_volume_name"] == {"hex": b"c0ffee".hex() + "00" * 10, "text": "c0ffee"}
    with open(image, "r+b") as file:
        file.seek(1024 + 0x78)
        file.write(b"\xc0\xff\xee\x00\x00\x00")
    assert main(["inspect", str(image), "--json"]) == 0
    superblock = json.loads(capsys.readouterr().out)["superblock"]
    assert superblock["s_volume_name"] == {"hex": "c0ffee" + "00" * 13}


@pytest.mark.parametrize("footer", [False, True], ids=["image", "vhd"])
def test_json_agrees_with_convert(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], footer: bool
) -> None:
    out = tmp_path / "out"
    given = ["--append-vhd-footer", "--vhd-unique-id", UNIQUE_ID] if footer else []
    assert main(["convert", str(tmp_path / "layer.tar"), str(out), "--json", *given]) == 0
    result = json.loads(capsys.readouterr().out)
    assert main(["inspect", str(out), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    zeros = {"hex": "00" * 16}
    superblock = read_ext4_superblock(out)._asdict() | {"s_uuid": zeros, "s_volume_name": zeros}
    assert found["superblock"] == superblock
    assert found["counts"] == {
        "file_size": result["image_size"] + 512 * footer,
        "allocated_size": out.stat().st_blocks * 512,
        "file_system_size": result["image_size"],
        "block_size": 4096,
        "blocks": result["blocks"],
        "blocks_in_use": result["blocks"],
        "inodes": superblock["s_inodes_count"],
        "inodes_in_use": result["inodes"] + 9,  # the reserved ones, of which convert counts the root only
        "directories": result["directories"],
    }
    if not footer:
        assert found["vhd_footer"] is None
        return
    assert found["vhd_footer"].keys() == set(VhdFooter.__match_args__)
    assert found["vhd_footer"]["cookie"] == {"hex": b"conectix".hex(), "text": "conectix"}
    assert found["vhd_footer"]["current_size"] == result["image_size"]
    assert found["vhd_footer"]["unique_id"] == UNIQUE_ID
    assert found["vhd_footer"]["checksum_valid"] is True


def test_a_part_that_is_not_there_is_none(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["convert", str(tmp_path / "layer.tar"), str(tmp_path / "out")]) == 0
    capsys.readouterr()
    assert rows(capsys, tmp_path / "out")["VHD footer"] == "none"
    assert main(["inspect", "--raw", str(tmp_path / "out")]) == 0
    assert "vhd_footer: none\n" in capsys.readouterr().out
