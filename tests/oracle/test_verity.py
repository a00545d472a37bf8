"""Verity devices against their other makers and readers: veritysetup, go-dmverity, hcsshim."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from layerdisk import dmverity
from layerdisk.dmverity import Verity
from machine import missing
from oracle_client import SOURCE, Oracle

UUID = "6e0b9a4c-6ff1-4c5f-8d5a-0d6a1f0c7e11"


def data_of(blocks: int, block_size: int) -> bytes:
    """Blocks that all differ, a run of zeros among them."""
    data = bytearray().join(
        (n * 2654435761 % 2**32).to_bytes(4, "little") * (block_size // 4) for n in range(blocks)
    )
    start, end = blocks // 3 * block_size, blocks // 2 * block_size
    data[start:end] = bytes(end - start)
    return bytes(data)


GEOMETRIES = {
    "defaults, no level": (1, Verity()),
    "defaults, one level": (128, Verity()),
    "defaults, two levels": (129, Verity()),
    "512": (1000, Verity(data_block_size=512, hash_block_size=512)),
    "512, five levels": (70_000, Verity(data_block_size=512, hash_block_size=512)),
    "512 in 4096, no salt": (5000, Verity(data_block_size=512, salt=b"")),
    "4096 in 512, short salt": (300, Verity(hash_block_size=512, salt=b"\x07")),
    "largest blocks, longest salt": (
        3,
        Verity(data_block_size=524288, hash_block_size=524288, salt=b"s" * 256),
    ),
    "65536 in 1024": (40, Verity(data_block_size=65536, hash_block_size=1024, salt=b"abc")),
    "sha512": (2000, Verity(algorithm="sha512", salt=b"\xff" * 65)),
    "sha512 in 512": (300, Verity(algorithm="sha512", data_block_size=1024, hash_block_size=512)),
    "no superblock": (500, Verity(superblock=False, salt=b"12")),
    "nydus": (5000, Verity.profile("nydus-tarfs")),
}


def flags(verity: Verity, offset: int, blocks: int) -> list[str]:
    """The parameters as veritysetup takes them."""
    return [
        f"--hash={verity.algorithm}",
        f"--data-block-size={verity.data_block_size}",
        f"--hash-block-size={verity.hash_block_size}",
        f"--salt={verity.salt.hex() or '-'}",
        f"--data-blocks={blocks}",
        f"--hash-offset={offset}",
        *(["--no-superblock"] if not verity.superblock else []),
    ]


@pytest.mark.parametrize("separate", [False, True], ids=["appended", "own device"])
@pytest.mark.parametrize(("blocks", "verity"), GEOMETRIES.values(), ids=GEOMETRIES)
def test_veritysetup_makes_and_accepts_the_same_bytes(
    core: str, program: Callable[[str], str], tmp_path: Path, blocks: int, verity: Verity, separate: bool
) -> None:
    veritysetup = program("veritysetup")
    verity = Verity(**(verity._asdict() | {"uuid": bytes.fromhex(UUID.replace("-", ""))}))
    data = data_of(blocks, verity.data_block_size)
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.write_bytes(data)
    theirs.write_bytes(data)
    our_hashes, their_hashes = (
        (tmp_path / "ours.hash", tmp_path / "theirs.hash") if separate else (ours, theirs)
    )
    info = dmverity.append(ours, verity=verity, core=core, hash_device=our_hashes if separate else None)
    given = flags(verity, info.hash_offset, blocks)
    their_hashes.touch()
    uuid = [f"--uuid={UUID}"] if verity.superblock else []
    made = run(veritysetup, "format", *given, *uuid, str(theirs), str(their_hashes))
    assert f"Root hash:      \t{info.root_digest}" in made
    assert padded(our_hashes, their_hashes) == padded(their_hashes, our_hashes)
    run(veritysetup, "verify", *given, str(ours), str(our_hashes), info.root_digest)
    checked = dmverity.verify(
        theirs,
        info.root_digest,
        hash_device=their_hashes if separate else None,
        verity=Verity(**(verity._asdict() | {"hash_offset": info.hash_offset})),
        data_blocks=blocks,
        core=core,
    )
    assert checked.root_digest == info.root_digest


def padded(path: Path, other: Path) -> bytes:
    """veritysetup leaves a file without levels as short as it finds it."""
    return path.read_bytes().ljust(max(path.stat().st_size, other.stat().st_size), b"\0")


GO = {name: row for name, row in GEOMETRIES.items() if row[1].superblock}


@pytest.mark.parametrize(("blocks", "verity"), GO.values(), ids=GO)
def test_go_dmverity_accepts_every_device(core: str, tmp_path: Path, blocks: int, verity: Verity) -> None:
    image = tmp_path / "image"
    image.write_bytes(data_of(blocks, verity.data_block_size))
    info = dmverity.append(image, verity=verity, core=core)
    try:
        go_dmverity(
            "verify", "--hash-offset", str(info.hash_offset), str(image), str(image), info.root_digest
        )
    except FileNotFoundError:
        missing("Go is not installed")
    spoiled = bytearray(image.read_bytes())
    spoiled[0] ^= 1
    image.write_bytes(spoiled)
    with pytest.raises(AssertionError):
        go_dmverity(
            "verify", "--hash-offset", str(info.hash_offset), str(image), str(image), info.root_digest
        )


def go_dmverity(*arguments: str) -> str:
    return run("go", "tool", "go-dmverity", *arguments, cwd=SOURCE)


def run(*command: str, cwd: Path | None = None) -> str:
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, (command, done.stdout, done.stderr)
    return done.stdout


@pytest.mark.parametrize("blocks", [1, 2, 127, 128, 129, 5000])
def test_trees_and_hash_devices_are_hcsshims(core: str, oracle: Oracle, tmp_path: Path, blocks: int) -> None:
    data = data_of(blocks, 4096)
    (tmp_path / "data").write_bytes(data)
    theirs = oracle.ask(tmp_path / "data", Op="verity", Out=str(tmp_path / "theirs"))
    assert theirs.ok, theirs
    tree = dmverity.merkle_tree(io.BytesIO(data), reproduce_defects=True, core=core)
    assert dmverity.root_hash(tree).hex() == theirs.result["root"]
    with open(tmp_path / "ours", "w+b") as writer:
        dmverity.compute_and_write_hash_device(io.BytesIO(data), writer, reproduce_defects=True, core=core)
    ours, reference = (tmp_path / "ours").read_bytes(), (tmp_path / "theirs").read_bytes()
    assert ours[:16] + ours[32:] == reference[:16] + reference[32:]  # all but the UUID
    assert tree == reference[4096:]
    info = dmverity.read_dm_verity_info(tmp_path / "theirs", data=tmp_path / "data", core=core)
    # hcsshim takes it for granted that the hashes follow the data.
    assert as_hcsshim_says(info) | {"HashOffsetInBlocks": info.data_blocks} == theirs.result["info"]


def as_hcsshim_says(info: dmverity.VerityInfo) -> dict[str, Any]:
    """The fields of hcsshim's VerityInfo, under Go's names."""
    return {
        "HashOffsetInBlocks": info.hash_offset_in_blocks,
        "SuperBlock": info.super_block,
        "RootDigest": info.root_digest,
        "Salt": info.salt,
        "Algorithm": info.algorithm,
        "DataBlockSize": info.data_block_size,
        "HashBlockSize": info.hash_block_size,
        "DataBlocks": info.data_blocks,
        "Version": info.version,
    }


@pytest.mark.parametrize("core", ["rust", "python"])
def test_one_block_has_no_level_by_default(core: str) -> None:
    """B20: hcsshim gives it one; dm-verity, and so veritysetup above, knows none."""
    data = data_of(1, 4096)
    assert dmverity.merkle_tree(io.BytesIO(data), core=core) == b""
    assert len(dmverity.merkle_tree(io.BytesIO(data), reproduce_defects=True, core=core)) == 4096
