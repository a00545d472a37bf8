"""Bad layers are refused with a message that says where and why."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from common import assert_untouched
from layerdisk import errdefs
from layerdisk.tar2ext4 import convert
from tarfiles import (
    archive,
    base256,
    char_device,
    directory,
    gnu_sparse,
    hardlink,
    header,
    pax,
    regular,
    symlink,
)

BEFORE = regular("big", bytes(1_535_488))
D = directory("d")
LATER = 1_536_000
DISK = 2_097_152
assert len(BEFORE) == LATER

BAD: dict[str, tuple[bytes, type[errdefs.ConversionError], str | None, str | None, int | None, str]] = {
    "checksum": (
        D + header("usr/bin/x", checksum=b"0000000\0"),
        errdefs.InvalidTar,
        None,
        None,
        512,
        r'tar header at byte 512: the checksum is "0000000\x00",' + " the block's is 10746",
    ),
    "number": (
        BEFORE + header("usr/bin/x", replace={124: b"12x45678901\0"}),
        errdefs.InvalidTar,
        None,
        None,
        LATER,
        r'tar header at byte 1536000: field size is not a number of 64 bits: "12x45678901\x00"',
    ),
    "size": (
        D + header("usr/bin/x", replace={124: base256(-5, 12)}),
        errdefs.InvalidTar,
        None,
        None,
        512,
        "tar header at byte 512: the size is -5, less than 0",
    ),
    "record": (
        D + pax(b"7 path\n") + header("x"),
        errdefs.InvalidTar,
        None,
        None,
        512,
        r'tar header at byte 512: extended header record "7 path\x0a": no equals sign',
    ),
    "sparse map": (
        D + gnu_sparse("s", 1000, [(500, b"x" * 100), (100, b"y" * 10)]),
        errdefs.InvalidTar,
        None,
        None,
        512,
        "tar header at byte 512: the sparse map has 10 bytes at byte 100: out of order, or outside of the file's"
        " 1000 bytes",
    ),
    "cut in a header": (
        archive(D)[:700],
        errdefs.TruncatedTar,
        None,
        None,
        512,
        "tar header at byte 512: the archive ends in a header, after 188 of 512 bytes",
    ),
    "cut in data": (
        BEFORE + regular("usr/bin/x", b"x" * 5000)[:1512],
        errdefs.TruncatedTar,
        None,
        "usr/bin/x",
        LATER,
        'tar entry "usr/bin/x" at byte 1536000:' + " the archive ends in the entry's data, 4000 bytes short",
    ),
    "xattr": (
        BEFORE + regular("usr/bin/x", xattrs={"user.big": b"v" * 5000}),
        errdefs.InvalidEntry,
        "B15",
        "usr/bin/x",
        LATER,
        'tar entry "usr/bin/x" at byte 1536000: xattr "user.big" needs 5020 bytes, 4060 of 4060 are left in the'
        " xattr block",
    ),
    "name": (
        D + regular("d/" + "n" * 256),
        errdefs.InvalidEntry,
        None,
        "d/" + "n" * 256,
        512,
        f'tar entry "d/{"n" * 198}" (258 bytes) at byte 512: the name "{"n" * 200}" (256 bytes) has 256 bytes,'
        " at most 255 are allowed",
    ),
    "link": (
        D + hardlink(b'a\xff\n"', "no/such"),
        errdefs.InvalidEntry,
        None,
        'a\udcff\n"',
        512,
        r'tar entry "a\xff\x0a\"" at byte 512:' + " the link's target " + '"no/such" is not in the layer',
    ),
    "path": (
        D + regular("f") + regular("f/x"),
        errdefs.InvalidEntry,
        None,
        "f/x",
        1024,
        'tar entry "f/x" at byte 1024: the path leads through "f", which is a file',
    ),
    "target": (
        D + symlink("l", "t" * 4096),
        errdefs.InvalidEntry,
        "B16",
        "l",
        512,
        'tar entry "l" at byte 512:' + " the symlink's target has 4096 bytes, it must have 1 to 4095",
    ),
    "device": (
        D + char_device("c", 4096, 1),
        errdefs.InvalidEntry,
        "N5",
        "c",
        512,
        'tar entry "c" at byte 512: devmajor is 4096, it must be 0 to 4095',
    ),
    "disk": (
        D + regular("usr/bin/x", bytes(DISK)),
        errdefs.DiskSizeExceeded,
        None,
        "usr/bin/x",
        512,
        'tar entry "usr/bin/x" at byte 512: the image exceeds the maximum disk size of 2097152 bytes',
    ),
}


@pytest.mark.parametrize(("tar", "cls", "code", "entry", "offset", "text"), BAD.values(), ids=BAD)
def test_a_bad_layer_is_an_error_that_says_where_and_why(
    core: str,
    target: Path,
    tar: bytes,
    cls: type[errdefs.ConversionError],
    code: str | None,
    entry: str | None,
    offset: int | None,
    text: str,
) -> None:
    with pytest.raises(errdefs.ConversionError) as caught:
        convert(io.BytesIO(tar), target, maximum_disk_size=DISK, core=core)
    error = caught.value
    assert str(error) == text
    assert (type(error), error.code, error.entry, error.offset) == (cls, code, entry, offset)
    assert text.endswith(f": {error.message}")
    assert_untouched(target)
