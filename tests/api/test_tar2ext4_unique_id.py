"""The unique id of a VHD: derived from the content, or given."""

from __future__ import annotations

import io
import uuid
from pathlib import Path
from typing import Any

import pytest
from common import DIGEST, LAYER, assert_untouched, image_of
from layerdisk import errdefs
from layerdisk.tar2ext4 import convert
from layerdisk.vhd import read_footer

GIB = 1 << 30

ID = uuid.UUID("00112233-4455-6677-8899-aabbccddeeff")
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, "https://layerdisk.dev/vhd-unique-id")
DERIVED: dict[str, tuple[dict[str, Any], str]] = {
    "none": ({}, f"hcsshim {DIGEST} whiteout=0 backslash=0 inline=0 reproduce=0 maximum={16 * GIB}"),
    "whiteout": (
        {"convert_whiteout": True},
        f"hcsshim {DIGEST} whiteout=1 backslash=0 inline=0 reproduce=0 maximum={16 * GIB}",
    ),
    "backslash": (
        {"convert_backslash": True},
        f"hcsshim {DIGEST} whiteout=0 backslash=1 inline=0 reproduce=0 maximum={16 * GIB}",
    ),
    "inline": (
        {"inline_data": True},
        f"hcsshim {DIGEST} whiteout=0 backslash=0 inline=1 reproduce=0 maximum={16 * GIB}",
    ),
    "defects": (
        {"reproduce_defects": True},
        f"hcsshim {DIGEST} whiteout=0 backslash=0 inline=0 reproduce=1 maximum={16 * GIB}",
    ),
    "size": (
        {"maximum_disk_size": GIB - 4000},
        f"hcsshim {DIGEST} whiteout=0 backslash=0 inline=0 reproduce=0 maximum={GIB}",
    ),
    "only the footer": ({"only_append_vhd_footer": True, "inline_data": True}, f"raw {DIGEST}"),
}


def unique_id_of(tar: bytes, core: str, **options: Any) -> uuid.UUID:
    options = {"append_vhd_footer": True} | options
    return read_footer(io.BytesIO(image_of(tar, core, **options))).unique_id


@pytest.mark.parametrize(("options", "content"), DERIVED.values(), ids=DERIVED)
def test_the_unique_id_is_derived_from_the_content(core: str, options: dict[str, Any], content: str) -> None:
    """As docs/format.md says; so it is the same in every run."""
    found = unique_id_of(LAYER, core, **options)
    assert found == uuid.uuid5(NAMESPACE, content)
    assert found.version == 5


def test_another_content_has_another_unique_id(core: str) -> None:
    options = [options for options, _ in DERIVED.values()]
    found = {unique_id_of(LAYER, core, **one) for one in options}
    found |= {unique_id_of(LAYER + b"\0", core, **one) for one in options}
    assert len(found) == 2 * len(options)


@pytest.mark.parametrize("given", [ID, ID.bytes], ids=["UUID", "bytes"])
@pytest.mark.parametrize("option", ["append_vhd_footer", "only_append_vhd_footer"])
def test_a_given_unique_id_is_taken(core: str, given: uuid.UUID | bytes, option: str) -> None:
    assert unique_id_of(LAYER, core, vhd_unique_id=given, **{option: True}) == ID


@pytest.mark.parametrize("length", [0, 15, 17, 32])
def test_a_unique_id_of_another_length_is_refused(core: str, target: Path, length: int) -> None:
    with pytest.raises(errdefs.InvalidArgument) as caught:
        convert(io.BytesIO(LAYER), target, vhd_unique_id=bytes(length), core=core)
    assert str(caught.value) == f"vhd_unique_id has {length} bytes, not 16"
    assert_untouched(target)
