"""`layerdisk inspect`: what an image file holds."""

from __future__ import annotations

import argparse
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ._names import (
    COMPATIBLE,
    DISK_TYPES,
    ERRORS,
    INCOMPATIBLE,
    READ_ONLY_COMPATIBLE,
    STATES,
    SYSTEMS,
    flag_names,
    name_of,
)
from ._options import add_command, add_json
from ._show import as_json, as_text, print_json, print_rows, printable, size_text

if TYPE_CHECKING:
    from ..inspection import Inspection
    from ..vhd import VhdFooter

_EXAMPLE = """
# sizes, features and what is free, for people
layerdisk inspect layer.vhd
# one field, for programs
layerdisk inspect layer.vhd --json | jq .counts.blocks
"""
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_VHD_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)


def add(commands: Any) -> None:
    """Add the command's parser."""
    text = "print what an image holds: its superblock, VHD footer and counts"
    inspect = add_command(commands, "inspect", _run, text, _EXAMPLE)
    inspect.add_argument("image", metavar="IMAGE", help="an ext4 image, with or without a VHD footer")
    how = inspect.add_mutually_exclusive_group()
    how.add_argument("--raw", action="store_true", help="print every field as it is")
    add_json(how)


def _run(options: argparse.Namespace) -> None:
    from ..inspection import inspect_image

    inspection = inspect_image(options.image)
    if options.json:
        print_json(inspection)
    elif options.raw:
        _print_raw(as_json(inspection))
    else:
        print_rows(_rows(inspection))


def _print_raw(parts: dict[str, Any]) -> None:
    for title, part in parts.items():
        print(f"{title}:" if part else f"{title}: none")
        for name, value in (part or {}).items():
            print(f"  {name:<24} {_raw_text(value)}")


def _raw_text(value: Any) -> str:
    """Return a field as text: bytes in hex, and in quotes what they say."""
    if isinstance(value, dict) and "hex" in value:
        return f'{value["hex"]} "{value["text"]}"' if value.get("text") else str(value["hex"])
    return str(value)


def _rows(inspection: Inspection) -> Iterator[tuple[str, str]]:
    superblock, counts = inspection.superblock, inspection.counts
    occupied = "" if counts.allocated_size is None else f", on disk {size_text(counts.allocated_size)}"
    yield "file", size_text(counts.file_size) + occupied
    yield "file system", f"ext4, {size_text(counts.file_system_size)}"
    yield "label", _label(superblock.s_volume_name)
    yield "UUID", str(uuid.UUID(bytes=superblock.s_uuid)) if any(superblock.s_uuid) else "none"
    free = counts.blocks - counts.blocks_in_use
    yield "blocks", f"{counts.blocks:,} of {counts.block_size:,} bytes; {counts.blocks_in_use:,} in use"
    yield "free", f"{size_text(free * counts.block_size)} in {free:,} blocks"
    yield (
        "inodes",
        f"{counts.inodes:,} of {superblock.s_inode_size} bytes; {counts.inodes_in_use:,} in use, "
        f"{counts.directories:,} of them directories; {counts.inodes - counts.inodes_in_use:,} free",
    )
    yield "features", flag_names(superblock.s_feature_compat, COMPATIBLE)
    yield "  to read", flag_names(superblock.s_feature_incompat, INCOMPATIBLE)
    yield "  to write", flag_names(superblock.s_feature_ro_compat, READ_ONLY_COMPATIBLE)
    yield "state", flag_names(superblock.s_state, STATES) if superblock.s_state else "not clean"
    yield "on errors", name_of(superblock.s_errors, ERRORS)
    yield "made on", name_of(superblock.s_creator_os, SYSTEMS)
    yield "mounted", _time(superblock.s_mtime, _UNIX_EPOCH)
    yield "written", _time(superblock.s_wtime, _UNIX_EPOCH)
    yield "checked", _time(superblock.s_lastcheck, _UNIX_EPOCH)
    if inspection.vhd_footer is None:
        yield "VHD footer", "none"
    else:
        yield from _footer_rows(inspection.vhd_footer)


def _footer_rows(footer: VhdFooter) -> Iterator[tuple[str, str]]:
    kind = name_of(footer.disk_type, DISK_TYPES)
    checksum = "correct" if footer.checksum_valid else "wrong"
    yield "VHD footer", f"{kind} disk, {size_text(footer.current_size)}; checksum {checksum}"
    yield "  unique id", str(footer.unique_id)
    if any(footer.creator_application + footer.creator_host_os):
        yield "  made by", f"{_label(footer.creator_application)} on {_label(footer.creator_host_os)}"
    yield "  made", _time(footer.timestamp, _VHD_EPOCH)


def _label(value: bytes) -> str:
    if not value.rstrip(b"\0"):
        return "none"
    text = as_text(value)
    return f"hex {value.hex()}" if text is None else f'"{printable(text)}"'


def _time(seconds: int, epoch: datetime) -> str:
    """Return a time; the zero of its clock means that it was never set."""
    return f"{epoch + timedelta(seconds=seconds):%Y-%m-%d %H:%M:%S} UTC" if seconds else "never"
