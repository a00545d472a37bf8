"""A layer cut at any byte is an error that leaves nothing behind.

One exception: a plain tar cut exactly between two entries, or at a block boundary of its end marker, is a
sound archive without (all of) an end marker. hcsshim and tar take it too; only the layer's digest tells.
"""

from __future__ import annotations

import contextlib
import gzip
import io
from pathlib import Path

import pytest
import zstandard
from common import assert_untouched
from layerdisk import cli, errdefs
from layerdisk.tar2ext4 import convert
from layers import pattern
from tarfiles import END, directory, gnu_long, pax_sparse, regular, symlink

PARTS = [
    directory("d"),
    regular("d/f", pattern(700), xattrs={"user.a": b"1"}, mtime="1700000000.5"),
    gnu_long(b"L", b"l" * 120) + symlink("x", "target"),
    pax_sparse("sparse", 5000, [(1000, b"data")], version="1.0"),
    regular("empty"),
]
TAR = b"".join(PARTS) + END
BETWEEN_ENTRIES = {sum(map(len, PARTS[:count])) for count in range(len(PARTS) + 1)}
SOUND = BETWEEN_ENTRIES | {len(TAR) - 512, len(TAR)}


def test_plain_tar_cut_at_every_byte(core: str, target: Path) -> None:
    for cut in range(len(TAR)):
        if cut in SOUND:
            convert(io.BytesIO(TAR[:cut]), target.with_name("sound"), core=core)
            target.with_name("sound").unlink()
            continue
        with pytest.raises(errdefs.TruncatedTar):
            convert(io.BytesIO(TAR[:cut]), target, core=core)
        assert_untouched(target)


def test_plain_tar_cut_where_hcsshim_does_not_mind(core: str, target: Path) -> None:
    """Inside padding and behind headers that belong to a next entry: B24, accepted with reproduce_defects."""
    silent = 0
    for cut in range(1, len(TAR)):
        with contextlib.suppress(errdefs.TruncatedTar):
            convert(io.BytesIO(TAR[:cut]), target.with_name("sound"), core=core, reproduce_defects=True)
            silent += cut not in SOUND
            target.with_name("sound").unlink()
    assert silent > 1000  # the padding of this layer


COMPRESSED = {
    "gzip": gzip.compress(TAR, mtime=0),
    "gzip-stored": gzip.compress(TAR, compresslevel=0, mtime=0),
    "zstd": zstandard.ZstdCompressor(write_checksum=True).compress(TAR),
    "zstd-no-checksum-no-size": zstandard.ZstdCompressor(write_content_size=False).compress(TAR),
}


@pytest.mark.parametrize("form", COMPRESSED)
def test_compressed_layer_cut_at_every_byte(
    core: str, target: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    monkeypatch.setenv("LAYERDISK_CORE", core)
    whole = COMPRESSED[form]
    source = target.parent.parent / "layer"
    step = 1 if len(whole) < 2000 else 7
    for cut in [
        *range(1, min(64, len(whole))),
        *range(64, len(whole), step),
        *range(len(whole) - 16, len(whole)),
    ]:
        source.write_bytes(whole[:cut])
        assert run("convert", source, target) == 1, f"cut at byte {cut} of {len(whole)}"
        assert_untouched(target)
    source.write_bytes(whole)
    assert run("convert", source, target) == 0
    assert target.stat().st_size % 4096 == 0


def run(*arguments: object) -> int:
    """The exit status of a command."""
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            status = cli.main([str(argument) for argument in arguments])
        except SystemExit as exit:
            return int(exit.code or 0)
    return status
