"""`layerdisk.dmverity`: hcsshim's names, what is found and named, and what each consumer reads."""

from __future__ import annotations

import base64
import io
import json
import random
import shlex
from pathlib import Path
from typing import Any

import pytest
from layerdisk import dmverity, errdefs
from layerdisk.dmverity import PROFILES, Verity, VerityInfo
from layerdisk.tar2ext4 import convert
from tarfiles import END, directory, padded, regular

LAYER = b"".join(
    [
        padded(directory("etc")),
        padded(regular("etc/one", b"1" * 9000)),
        padded(regular("etc/two", bytes(range(256)) * 40)),
        END,
    ]
)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "image"
    convert(io.BytesIO(LAYER), path, append_vhd_footer=True)
    return path


def test_merkle_tree_of_nothing_is_refused(core: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="there is no data"):
        dmverity.merkle_tree(io.BytesIO(), core=core)
    with pytest.raises(errdefs.NotReproducible, match="does not come to an end") as caught:
        dmverity.merkle_tree(io.BytesIO(), reproduce_defects=True, core=core)
    assert caught.value.code == "B20"


def test_merkle_tree_of_a_part_of_a_block_is_refused(core: str) -> None:
    with pytest.raises(errdefs.InvalidArgument, match="it has 5000 bytes, and blocks have 4096"):
        dmverity.merkle_tree(io.BytesIO(bytes(5000)), core=core)


class Pieces:
    """A reader that can do nothing else, and gives little at a time."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._data.read(min(size, 1000))


def test_merkle_tree_of_a_stream(core: str) -> None:
    data = random.Random(1).randbytes(3 << 20)
    assert dmverity.merkle_tree(Pieces(data), core=core) == dmverity.merkle_tree(io.BytesIO(data), core=core)


@pytest.mark.parametrize(
    ("name", "data", "hash_", "salt", "superblock"),
    [
        ("hcsshim", 4096, 4096, 32, True),
        ("containerd-erofs", 4096, 4096, 32, True),
        ("containerd-erofs-tar-index", 512, 512, 32, True),
        ("kata", 4096, 4096, 32, True),
        ("nydus-tarfs", 512, 4096, 0, False),
        ("veritysetup", 4096, 4096, 32, True),
        ("systemd", 512, 512, 32, True),
    ],
)
def test_profiles_are_those_of_the_consumers(
    name: Any, data: int, hash_: int, salt: int, superblock: bool
) -> None:
    assert Verity.profile(name) == PROFILES[name]
    assert PROFILES[name] == Verity(
        data_block_size=data, hash_block_size=hash_, salt=bytes(salt), superblock=superblock
    )
    assert len(PROFILES) == 7


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"algorithm": "md5"}, 'the hash algorithm is "md5": it must be "sha256" or "sha512"'),
        ({"data_block_size": 1000}, "the data block size is 1000: it must be a power of two, 512 to 524288"),
        ({"hash_block_size": 256}, "the hash block size is 256: it must be a power of two, 512 to 524288"),
        ({"salt": bytes(257)}, "the salt has 257 bytes: it must have 0 to 256"),
        ({"uuid": bytes(16)}, "the UUID of a verity device must have 16 bytes that are not all zero"),
        ({"hash_offset": 100}, "the hash offset is 100: it must be a multiple of the hash block size 4096"),
    ],
)
def test_parameters_out_of_range_are_refused(values: dict[str, Any], message: str) -> None:
    with pytest.raises(errdefs.InvalidArgument) as caught:
        Verity(**values)
    assert str(caught.value) == message


def test_append_keeps_the_footer_and_is_read_back(core: str, image: Path) -> None:
    before = image.read_bytes()
    info = dmverity.append(image, core=core)
    after = image.read_bytes()
    assert after[: info.hash_offset] == before[:-512]
    assert after[-512:-500] == b"conectix" + bytes([0, 0, 0, 2])
    assert after[-512:][68:84] == before[-512:][68:84]  # its unique id
    assert dmverity.read_dm_verity_info(image, core=core) == info
    assert dmverity.verify(image, info.root_digest, core=core) == info
    with pytest.raises(errdefs.AlreadyExists):
        dmverity.append(image, core=core)
    assert image.read_bytes() == after


def test_append_that_fails_leaves_the_image_as_it_was(core: str, image: Path) -> None:
    before = image.read_bytes()

    def fail(_: int) -> None:
        raise KeyError("stop")

    with pytest.raises(KeyError):
        dmverity.append(image, progress=fail, core=core)
    assert image.read_bytes() == before


def test_uuid_is_the_same_for_the_same_content(core: str, tmp_path: Path) -> None:
    uuids = []
    for name, data in [("a", b"1" * 4096), ("b", b"1" * 4096), ("c", b"2" * 4096)]:
        path = tmp_path / name
        path.write_bytes(data)
        uuids.append(dmverity.append(path, core=core).uuid)
    assert uuids[0] == uuids[1] != uuids[2]
    assert uuids[0] == "567eff85-26eb-54d1-bac8-9b732df8959a"


@pytest.mark.parametrize(
    ("content", "error", "message"),
    [
        (bytes(100), errdefs.SuperBlockReadFailure, "failed to read dm-verity super block"),
        (bytes(4096), errdefs.NotVeritySuperBlock, "invalid dm-verity super-block signature"),
        (
            b"verity\0\0" + bytes(5000),
            errdefs.SuperBlockParseFailure,
            "failed to parse dm-verity super block",
        ),
        ("no tree", errdefs.RootHashReadFailure, "failed to read dm-verity root hash"),
    ],
    ids=["short", "other", "wrong", "no tree"],
)
def test_what_is_no_hash_device_is_told(
    core: str, content: Any, error: type[Exception], message: str
) -> None:
    data = dmverity.superblock(1 << 20, core=core).ljust(4096, b"\0") if content == "no tree" else content
    with pytest.raises(error, match=message):
        dmverity.read_dm_verity_info(io.BytesIO(data), 0, core=core)


def test_every_flipped_bit_is_found_and_named(core: str, image: Path) -> None:
    info = dmverity.append(image, core=core)
    good = image.read_bytes()
    tree = info.hash_offset + 4096
    chance = random.Random(15)
    bits = [chance.randrange(8 * info.hash_offset) for _ in range(60)]
    bits += [8 * info.hash_offset + chance.randrange(8 * 4096) for _ in range(60)]
    bits += [8 * info.hash_offset + chance.randrange(8 * 512) for _ in range(60)]
    bits += [8 * tree + chance.randrange(8 * info.tree_size) for _ in range(60)]
    bits += [8 * (len(good) - 512) + chance.randrange(8 * 512) for _ in range(40)]
    for bit in bits:
        bad = bytearray(good)
        bad[bit // 8] ^= 1 << bit % 8
        with pytest.raises(errdefs.LayerdiskError) as caught:
            dmverity.verify(io.BytesIO(bad), info.root_digest, core=core)
        said = str(caught.value)
        at = bit // 8
        if at < info.hash_offset:
            assert said.startswith(f"data block {at // 4096} at byte {at // 4096 * 4096}, "), said
            assert isinstance(caught.value, errdefs.VerificationFailed)
            assert caught.value.owner
        elif at < tree:
            assert "super" in said, said
        elif at < tree + info.tree_size:
            assert said.startswith(f"hash block 0 of level 0 at byte {tree}: "), said
        else:
            assert "VHD footer" in said, said


def test_a_bad_block_of_a_large_tree_is_named_on_its_level(core: str, tmp_path: Path) -> None:
    path = tmp_path / "image"
    path.write_bytes(random.Random(2).randbytes(512 * 4096))
    verity = Verity(data_block_size=512, hash_block_size=512)
    info = dmverity.append(path, verity=verity, core=core)
    levels = verity.level_blocks(4096)
    assert levels == [256, 16, 1]
    where = Verity(**(verity._asdict() | {"hash_offset": info.hash_offset}))
    tree = info.hash_offset + 512
    for offset, words in [
        (tree + 5, "hash block 0 of level 2"),
        (tree + 512 + 512 * 7 + 40, "hash block 7 of level 1"),
        (tree + 512 * 17 + 512 * 99, "hash block 99 of level 0"),
        (512 * 1234, "data block 1234"),
    ]:
        bad = bytearray(path.read_bytes())
        bad[offset] ^= 0x10
        with pytest.raises(errdefs.VerificationFailed, match=words):
            dmverity.verify(io.BytesIO(bad), info.root_digest, verity=where, core=core)
    with pytest.raises(errdefs.VerificationFailed, match="the device is sound, but it is another one"):
        dmverity.verify(path, "00" * 32, verity=where, core=core)


def owner_at(image: Path, data: bytes) -> str:
    from layerdisk.dmverity.owner import owner_of

    with open(image, "rb") as file:
        return owner_of(file, image.read_bytes().index(data))


def test_owners_are_files_and_structures(image: Path) -> None:
    from layerdisk.dmverity.owner import owner_of

    assert owner_at(image, b"1" * 9000) == 'the file "etc/one"'
    assert owner_at(image, bytes(range(256)) * 40) == 'the file "etc/two"'
    assert owner_at(image, b"lost+found") == 'the directory "/"'
    with open(image, "rb") as file:
        assert owner_of(file, 1024) == "the superblock"
        assert owner_of(file, 4096) == "the group descriptors"
        said = {owner_of(file, at).split(",")[0] for at in range(8192, 15 * 4096, 4096)}
    assert {
        "the inode table of group 0",
        "the block bitmap of group 0",
        "the inode bitmap of group 0",
    } <= said


INFO = VerityInfo(
    root_digest="ab" * 32, data_blocks=40, hash_offset=163840, uuid="d1a9933d-9096-53b1-9267-7274c520f963"
)
BARE = VerityInfo(
    root_digest="cd" * 32, data_blocks=8, hash_offset=32768, super_block=False, salt="", separate=True
)


def test_table_is_what_the_kernel_parses() -> None:
    expected = f"0 320 verity 1 /dev/a /dev/a 4096 4096 40 41 sha256 {'ab' * 32} {'00' * 32}"
    assert INFO.table("/dev/a") == expected
    assert INFO.table("/dev/a", options=["panic_on_corruption", "use_fec_from_device /dev/f"]) == (
        f"{expected} 3 panic_on_corruption use_fec_from_device /dev/f"
    )
    assert BARE.table("8:1", "8:2") == f"0 64 verity 1 8:1 8:2 4096 4096 8 8 sha256 {'cd' * 32} -"


def test_kernel_command_lines() -> None:
    words = shlex.split(INFO.kernel_command_line("/dev/vda"))
    name, value = words[0].split("=", 1)
    assert name == "dm-mod.create"
    # <name>,<uuid>,<minor>,<flags>,<table>
    assert value.split(",", 4)[::2] == ["vroot", "", INFO.table("/dev/vda")]
    assert words[1:] == ["root=/dev/dm-0", "ro"]
    assert INFO.kernel_command_line("/dev/vda", form="systemd") == (
        f"roothash={'ab' * 32} systemd.verity_root_data=/dev/vda systemd.verity_root_hash=/dev/vda"
        " systemd.verity_root_options=hash-offset=163840"
    )
    for info, form, message in [
        (BARE, "systemd", "superblock"),
        (INFO, "grub", 'it must be "dm-mod" or "systemd"'),
    ]:
        with pytest.raises(errdefs.InvalidArgument, match=message):
            info.kernel_command_line("/dev/vda", form=form)


def test_containerd_sidecar() -> None:
    assert json.loads(INFO.containerd_sidecar()) == {"roothash": "ab" * 32, "hashoffset": 163840}
    salted = VerityInfo(**(INFO._asdict() | {"salt": "0102"}))
    assert json.loads(salted.containerd_sidecar())["salt"] == "0102"
    wrong: Any
    for wrong in [BARE, VerityInfo(**(INFO._asdict() | {"uuid": "00000000-0000-0000-0000-000000000000"}))]:
        with pytest.raises(errdefs.InvalidArgument, match="a superblock with a UUID"):
            wrong.containerd_sidecar()


def test_kata_volume() -> None:
    name, _, value = INFO.kata_volume("/run/layer").partition("=")
    assert name == "io.katacontainers.volume"
    assert json.loads(base64.b64decode(value)) == {
        "volume_type": "layer_raw_block",
        "source": "/run/layer",
        "fs_type": "ext4",
        "options": ["ro"],
        "dm_verity": {
            "hashtype": "sha256",
            "hash": "ab" * 32,
            "blocknum": 40,
            "blocksize": 4096,
            "hashsize": 4096,
            "offset": 163840,
        },
    }
    cases: list[tuple[dict[str, Any], str]] = [
        ({"data_blocks": 2**32}, "Kata takes 1 to 4294967295"),
        ({"hash_offset": 4096}, "after the data"),
        ({"separate": True}, "in the same file"),
    ]
    for changes, message in cases:
        with pytest.raises(errdefs.InvalidArgument, match=message):
            VerityInfo(**(INFO._asdict() | changes)).kata_volume("/x")
    with pytest.raises(errdefs.InvalidArgument, match="the volume type"):
        INFO.kata_volume("/x", volume_type="layer")


def test_x_kata_options() -> None:
    assert INFO.x_kata_options()[:3] == [
        "X-kata.dmverity-enabled=true",
        f"X-kata.dmverity.roothash={'ab' * 32}",
        "X-kata.dmverity.hashoffset=163840",
    ]
    assert INFO.x_kata_options()[-1] == "X-kata.dmverity.no-superblock=false"
    assert BARE.x_kata_options()[-1] == "X-kata.dmverity.no-superblock=true"


def test_confcom_layers() -> None:
    assert json.loads(dmverity.confcom_layers([INFO, "EF" * 32])) == {"layers": ["ab" * 32, "ef" * 32]}
    wrong: Any
    for wrong in [BARE, VerityInfo(**(INFO._asdict() | {"salt": "11"})), "ab", "zz" * 32]:
        with pytest.raises(errdefs.InvalidArgument):
            dmverity.confcom_layers([wrong])
