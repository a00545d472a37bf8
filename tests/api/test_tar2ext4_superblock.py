"""Functions that read a superblock, as hcsshim's do."""

from __future__ import annotations

import io
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from common import LAYER, image_of
from layerdisk import errdefs
from layerdisk.tar2ext4 import convert_to_vhd, ext4_file_system_size, is_device_ext4, read_ext4_superblock
from oracle_client import Oracle

FIELDS = {
    "s_inodes_count": "InodesCount",
    "s_blocks_count_lo": "BlocksCountLow",
    "s_r_blocks_count_lo": "RootBlocksCountLow",
    "s_free_blocks_count_lo": "FreeBlocksCountLow",
    "s_free_inodes_count": "FreeInodesCount",
    "s_first_data_block": "FirstDataBlock",
    "s_log_block_size": "LogBlockSize",
    "s_log_cluster_size": "LogClusterSize",
    "s_blocks_per_group": "BlocksPerGroup",
    "s_clusters_per_group": "ClustersPerGroup",
    "s_inodes_per_group": "InodesPerGroup",
    "s_mtime": "Mtime",
    "s_wtime": "Wtime",
    "s_mnt_count": "MountCount",
    "s_max_mnt_count": "MaxMountCount",
    "s_magic": "Magic",
    "s_state": "State",
    "s_errors": "Errors",
    "s_minor_rev_level": "MinorRevisionLevel",
    "s_lastcheck": "LastCheck",
    "s_checkinterval": "CheckInterval",
    "s_creator_os": "CreatorOS",
    "s_rev_level": "RevisionLevel",
    "s_def_resuid": "DefaultReservedUid",
    "s_def_resgid": "DefaultReservedGid",
    "s_first_ino": "FirstInode",
    "s_inode_size": "InodeSize",
    "s_block_group_nr": "BlockGroupNr",
    "s_feature_compat": "FeatureCompat",
    "s_feature_incompat": "FeatureIncompat",
    "s_feature_ro_compat": "FeatureRoCompat",
    "s_uuid": "UUID",
    "s_volume_name": "VolumeName",
    "s_min_extra_isize": "MinExtraIsize",
    "s_want_extra_isize": "WantExtraIsize",
    "s_log_groups_per_flex": "LogGroupsPerFlex",
    "s_lpf_ino": "LpfInode",
}


def random_superblock() -> bytes:
    """Every field has another value, so that none can be taken for its neighbour."""
    data = bytearray(random.Random(1).randbytes(2048))
    data[1080:1082] = b"\x53\xef"
    data[1048:1052] = (2).to_bytes(4, "little")
    return bytes(data)


IMAGES: dict[str, Callable[[str], bytes]] = {
    "image": lambda core: image_of(LAYER, core),
    "vhd": lambda core: image_of(LAYER, core, append_vhd_footer=True),
    "random": lambda core: random_superblock(),
    "the superblock only": lambda core: image_of(LAYER, core)[:2048],
    "larger blocks": lambda core: random_superblock()[:1048] + b"\6\0\0\0" + random_superblock()[1052:],
}
NO_IMAGES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it has 0 bytes, the superblock ends at byte 2048"),
    "cut before it": (bytes(1024), "it has 1024 bytes, the superblock ends at byte 2048"),
    "cut in it": (random_superblock()[:2047], "it has 2047 bytes, the superblock ends at byte 2048"),
    "zeros": (bytes(5000), "s_magic at byte 1080 is 0x0000, not 0xef53"),
    "text": (b"text" * 1000, "s_magic at byte 1080 is 0x6574, not 0xef53"),
}


@pytest.mark.parametrize("make", IMAGES.values(), ids=IMAGES)
def test_a_superblock_is_read_as_hcsshim_does(
    oracle: Oracle, chosen: str, tmp_path: Path, make: Callable[[str], bytes]
) -> None:
    path = tmp_path / "image"
    path.write_bytes(make(chosen))
    theirs = oracle.ask(path, Op="superblock").result
    forms: list[Any] = [path, str(path), io.BytesIO(path.read_bytes()), path.read_bytes()]
    for image in forms:
        ours = read_ext4_superblock(image)
        found = {
            FIELDS[name]: list(value) if isinstance(value, bytes) else value
            for name, value in ours._asdict().items()
        }
        assert found == {name: theirs[name] for name in FIELDS.values()}
    assert oracle.ask(path, Op="is_ext4").result is is_device_ext4(path) is True
    assert oracle.ask(path, Op="size").result == list(ext4_file_system_size(path))


@pytest.mark.parametrize(("content", "reason"), NO_IMAGES.values(), ids=NO_IMAGES)
def test_what_is_no_ext4_is_refused_where_hcsshim_does(
    oracle: Oracle, chosen: str, tmp_path: Path, content: bytes, reason: str
) -> None:
    path = tmp_path / "image"
    path.write_bytes(content)
    functions: list[tuple[Callable[[Any], object], str]] = [
        (read_ext4_superblock, "superblock"),
        (ext4_file_system_size, "size"),
    ]
    for function, operation in functions:
        assert oracle.ask(path, Op=operation).error is not None
        for image in [path, io.BytesIO(content)]:
            with pytest.raises(errdefs.InvalidArgument) as caught:
                function(image)
            assert str(caught.value) == f"not an ext4 file system: {reason}"
    assert oracle.ask(path, Op="is_ext4").result is is_device_ext4(path) is False


@pytest.mark.parametrize(
    ("function", "operation"),
    [(read_ext4_superblock, "superblock"), (ext4_file_system_size, "size"), (convert_to_vhd, "to_vhd")],
    ids=["superblock", "size", "to_vhd"],
)
def test_a_missing_file_is_an_error(
    oracle: Oracle, chosen: str, tmp_path: Path, function: Callable[[Path], object], operation: str
) -> None:
    assert "no such file" in str(oracle.ask(tmp_path / "no", Op=operation).error)
    with pytest.raises(FileNotFoundError):
        function(tmp_path / "no")
    assert os.listdir(tmp_path) == []


def test_of_a_missing_file_nobody_can_tell_whether_it_is_ext4(oracle: Oracle, tmp_path: Path) -> None:
    """Where hcsshim says no."""
    assert oracle.ask(tmp_path / "no", Op="is_ext4").result is False
    with pytest.raises(FileNotFoundError):
        is_device_ext4(tmp_path / "no")


@pytest.mark.parametrize("log_block_size", [7, 2**32 - 1])
def test_a_block_size_that_no_file_system_has_is_refused(tmp_path: Path, log_block_size: int) -> None:
    """Where hcsshim says that the size is 0; read_ext4_superblock gives the field as it is."""
    data = random_superblock()
    data = data[:1048] + log_block_size.to_bytes(4, "little") + data[1052:]
    assert read_ext4_superblock(data).s_log_block_size == log_block_size
    with pytest.raises(errdefs.InvalidArgument) as caught:
        ext4_file_system_size(io.BytesIO(data))
    reason = f"s_log_block_size is {log_block_size}, it must be at most 6"
    assert str(caught.value) == f"not an ext4 file system: {reason}"
