"""What a conversion can be asked for: the one record that crosses into a core."""

from __future__ import annotations

from typing import Literal, NamedTuple, TypeAlias

# What the input is: a layer tar, which becomes a file system, or any bytes, taken as they are.
Payload: TypeAlias = Literal["tar", "raw"]
# How the file system is laid out.
Layout: TypeAlias = Literal["hcsshim"]
# What is put around the file system: nothing, or the footer of a fixed VHD.
Container: TypeAlias = Literal["raw", "vhd"]


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
    sync: bool = False
