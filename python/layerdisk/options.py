"""What a conversion can be asked for: the one record that crosses into a core."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias

# What the input is: a layer tar, which becomes a file system, or any bytes, taken as they are.
Payload: TypeAlias = Literal["tar", "raw"]
# How the file system is laid out.
Layout: TypeAlias = Literal["hcsshim"]
# Grows with every change of the bytes that a layout gives, so that caches do not give out older ones.
LAYOUT_VERSIONS: dict[Layout, int] = {"hcsshim": 1}
# What is put around the file system: nothing, or the footer of a fixed VHD.
Container: TypeAlias = Literal["raw", "vhd"]


class VerityOptions(NamedTuple):
    """What the hashes of a device depend on, and where they go; rust/python/src/verity.rs reads it.

    Attributes:
        algorithm: "sha256" or "sha512".
        data_block_size: in bytes.
        hash_block_size: in bytes.
        salt: 0 to 256 bytes.
        superblock: store one before the tree.
        uuid: 16 bytes for it; None: derived from the content.
        level_for_one_block: give the tree of one data block the level that hcsshim gives it (B20).
        sink: what the hashes are written to, as `io.open_sink` gives it.
        spill: for what does not stay in memory of a tree that is to be stored: an object with write_at and read_at.
    """

    algorithm: str = "sha256"
    data_block_size: int = 4096
    hash_block_size: int = 4096
    salt: bytes = bytes(32)
    superblock: bool = True
    uuid: bytes | None = None
    level_for_one_block: bool = False
    sink: Any = None
    spill: Any = None


class Options(NamedTuple):
    """The options of one conversion; rust/core/src/options.rs has the same record.

    Attributes:
        payload: what the input is. With "raw" only the container matters.
        reproduce_defects: write and refuse exactly as hcsshim does, its faults included.
        convert_whiteout: turn OCI whiteouts into those of overlayfs.
        convert_backslash: take a backslash in names and link targets as a slash.
        inline_data: keep small files inside their inodes.
        maximum_disk_size: in bytes; 0 is the default, values out of range are the largest.
        vhd_unique_id: 16 bytes; None: derived from the content.
        verity: the hashes that are wanted with the image; None: none.
        sync: return only when the output is on stable storage.
    """

    payload: Payload = "tar"
    layout: Layout = "hcsshim"
    reproduce_defects: bool = False
    container: Container = "raw"
    convert_whiteout: bool = False
    convert_backslash: bool = False
    inline_data: bool = False
    maximum_disk_size: int = 0
    vhd_unique_id: bytes | None = None
    verity: VerityOptions | None = None
    sync: bool = False
