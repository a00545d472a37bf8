"""Root hashes and verity images of layers against hcsshim's."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import layers
import pytest
from comparison import attempt
from doubles import BytesReader
from layerdisk import dmverity, errdefs
from layerdisk.tar2ext4 import convert_and_compute_root_digest
from layers import Layer
from oracle_client import Oracle


@pytest.mark.parametrize("layer", layers.SMALL, ids=lambda layer: layer.name)
def test_root_hash_of_a_layer_is_hcsshims(oracle: Oracle, core: str, layer: Layer) -> None:
    theirs = oracle.ask(layer.tar, Op="root_digest")
    ours = attempt_root(layer.tar, core, reproduce_defects=True)
    if isinstance(ours, errdefs.NotReproducible):
        assert theirs.panic is not None or ours.code == "N4", theirs
        return
    assert theirs.ok != isinstance(ours, errdefs.LayerdiskError), (theirs, ours)
    if not theirs.ok:
        return
    assert str(ours) == theirs.result
    right = attempt_root(layer.tar, core, reproduce_defects=False)
    if isinstance(right, errdefs.LayerdiskError):
        assert not ours.findings[0].identical
    else:
        assert [finding.code for finding in ours.findings] == [finding.code for finding in right.findings]
        if all(finding.identical for finding in right.findings):
            assert str(right) == theirs.result


@pytest.mark.parametrize(
    "name", ["B13-parents", "B9-file-again", "B9-whiteout-twice", "every-type", "cut-in-data"]
)
def test_readers_that_seek_or_are_opened_again_give_the_same(core: str, name: str) -> None:
    tar = layers.BY_NAME[name].tar
    once = attempt_root(tar, core, reproduce_defects=True)
    reader: Any
    for reader, reopen in [(io.BytesIO(tar), None), (BytesReader(tar), lambda: BytesReader(tar))]:
        try:
            again: Any = convert_and_compute_root_digest(reader, reopen=reopen, core=core)
        except errdefs.LayerdiskError as error:
            again = error
        assert repr(again) == repr(once)


def attempt_root(tar: bytes, core: str, *, reproduce_defects: bool) -> Any:
    try:
        return convert_and_compute_root_digest(
            BytesReader(tar), reproduce_defects=reproduce_defects, core=core
        )
    except errdefs.LayerdiskError as error:
        return error


@pytest.mark.parametrize("vhd", [False, True], ids=["raw", "vhd"])
@pytest.mark.parametrize("layer", layers.SMALL, ids=lambda layer: layer.name)
def test_verity_image_of_a_layer_is_hcsshims_except_for_its_uuid(
    oracle: Oracle, core: str, scratch: Path, layer: Layer, vhd: bool
) -> None:
    options = {"append_dm_verity": True, "append_vhd_footer": vhd, "convert_whiteout": True}
    theirs = oracle.convert(layer.tar, scratch / "theirs", **options)
    ours = attempt(layer.tar, scratch / "ours", core=core, reproduce_defects=True, **options)
    if isinstance(ours.error, errdefs.NotReproducible):
        assert theirs.panic is not None or ours.error.code == "N4", theirs
        return
    assert theirs.ok == (ours.error is None), (theirs, ours)
    if ours.result is None:
        return
    verity = ours.result.verity
    assert verity is not None
    left, right = (scratch / "theirs").read_bytes(), (scratch / "ours").read_bytes()
    uuid = verity.hash_offset + 16
    end = verity.hash_offset + 4096 + verity.tree_size
    assert len(left) == len(right)
    assert left[:uuid] == right[:uuid]
    assert left[uuid + 16 : end] == right[uuid + 16 : end]
    assert (
        left[end : end + 64] == right[end : end + 64]
    )  # of a footer, what comes before checksum and unique id
    assert dmverity.verify(scratch / "ours", verity.root_digest, core=core) == verity
    assert (
        dmverity.verify(scratch / "theirs", verity.root_digest, core=core).root_digest == verity.root_digest
    )


def test_findings_tell_of_versions_that_stamp_the_time(core: str) -> None:
    found = convert_and_compute_root_digest(
        BytesReader(layers.BY_NAME["B13-parents"].tar), core=core
    ).findings
    assert any("before v0.13" in finding.message for finding in found if finding.code == "B13")
