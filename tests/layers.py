"""Small layers, one per rule of docs/format.md or of the tar format, by name.

Names that start with a fault code (B2, N7, ...) trigger that fault; `findings` says what the default mode
then records with whiteouts converted and every other option off, `refusal` with which code it refuses.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

from tarfiles import (
    ACL_ACCESS,
    ACL_DEFAULT,
    NO_ID,
    acl,
    archive,
    base256,
    block_device,
    char_device,
    directory,
    entry,
    fifo,
    global_pax,
    gnu_long,
    gnu_sparse,
    hardlink,
    header,
    padded,
    pax,
    pax_body,
    pax_sparse,
    regular,
    symlink,
)

MIB = 1 << 20


@dataclass(frozen=True)
class Layer:
    """One layer: its archive (made when asked for) and what the default mode says of it."""

    name: str
    make: Callable[[], bytes]
    findings: frozenset[str] | None = frozenset()
    refusal: str | None = None

    @property
    def tar(self) -> bytes:
        return self.make()


def layer(
    name: str, *parts: bytes, findings: str | None = "", refusal: str | None = None, **end: bytes
) -> Layer:
    """`findings`: codes, separated by spaces; None where it is not of interest here."""
    codes = None if findings is None else frozenset(findings.split())
    return Layer(name, lambda: archive(*parts, **end), codes, refusal)


def pattern(size: int, seed: int = 1) -> bytes:
    """Bytes without long repetitions, cheap to make."""
    unit = bytes((i * 7 + seed * 13 + (i >> 8)) & 0xFF for i in range(4099))
    return (unit * (size // len(unit) + 1))[:size]


def pax_body_of(size: int) -> bytes:
    """One record of so many bytes (a few digits of length are assumed)."""
    body = pax_body({"comment": b"x" * (size - 17)})
    assert len(body) == size, len(body)
    return body


def signed_checksum(block: bytes) -> bytes:
    """The checksum field as old tars made it, with bytes taken as signed."""
    values = block[:148] + b" " * 8 + block[156:]
    return b"%06o\0 " % sum(struct.unpack("512b", values))


# What fits: the kernel mounts these, nothing is wrong with them.
PLAIN = [
    layer("empty"),
    layer("no-bytes", end=b"", findings="B24"),
    layer("one-file", regular("hello", b"hello, world\n", mode=0o644, uid=1000, gid=1000, mtime=1700000000)),
    layer(
        "every-type",
        directory("d/", mode=0o1777, uid=1, gid=2, mtime=3),
        regular("d/file", pattern(5000), mode=0o4755, uid=65536, gid=4294967295),
        symlink("d/short", "file"),
        symlink("d/long", "x/" * 60),
        hardlink("d/again", "d/file"),
        char_device("d/null", 1, 3, mode=0o666),
        block_device("d/sda", 8, 300),
        fifo("d/pipe", mode=0o600),
        hardlink("link-to-symlink", "d/short"),
    ),
    layer(
        "file-sizes",
        *(
            regular(f"size-{size}", pattern(size, size))
            for size in [0, 1, 59, 60, 61, 135, 136, 137, 511, 512, 513, 4095, 4096, 4097, 8191, 8192, 65537]
        ),
    ),
    layer("file-of-3-mib", regular("f", pattern(3 * MIB + 17))),
    layer(
        "inline-sizes-with-xattrs",
        *(
            regular(f"f{size}-{value}", pattern(size), xattrs={"user.a": pattern(value)})
            for size in [0, 59, 60, 61, 64, 100, 136]
            for value in [0, 1, 20, 36, 40, 56, 60, 76, 80]
        ),
    ),
    layer(
        "symlink-targets",
        *(symlink(f"l{size}", b"t" * size) for size in [1, 58, 59, 60, 61, 100, 101, 255, 256, 1000, 4095]),
    ),
    layer("directory-of-1000", *(regular(f"dir-{i % 3}/name-{i:04}") for i in range(1000)), findings="B13"),
    layer(
        "directory-block-edges",  # record lengths that leave 0, 4, 8, 12 bytes at the end of a block
        *(
            regular(f"d{extra}/" + f"{i:03}".ljust(247 + (extra if i == 14 else 0), "n"))
            for extra in range(9)
            for i in range(33)
        ),
        findings="B13",
    ),
    layer("many-inodes", *(regular(f"f{i}") for i in range(40))),
    layer(
        "names",
        *(regular(name) for name in [b"n" * 255, b"\xff\xfe", b"a b\nc", b"\\", b"\xe2\x82\xac", b'"']),
    ),
    layer(
        "name-forms",
        directory("./"),
        directory("./a/"),
        regular("/a//b/./c"),
        regular("../../escape"),
        regular("a/../a/x/../y"),
        directory("a/b/../../a/b"),
        findings="B13",
    ),
    layer(
        "root-entry",
        directory("/", mode=0o711, uid=5, gid=6, mtime=7, xattrs={"user.r": b"1"}),
        findings=None,
    ),
    layer("lost-and-found", regular("lost+found/x", b"1")),
    layer(
        "backslashes",
        regular("a\\b\\c", b"1"),
        symlink("s", "..\\x\\y"),
        hardlink("h", "a\\b\\c"),
        findings=None,
    ),
    layer(
        "mode-bits",
        *(
            regular(f"m{mode:o}", mode=mode)
            for mode in [0, 0o7777, 0o4000, 0o2000, 0o1000, 0o100644, 0o170000]
        ),
    ),
    layer(
        "times-in-range",
        *(
            regular(f"t{time}", mtime=time, atime=time, ctime=time)
            for time in ["0", "0.000000001", "1.5", "1700000000.123456789", "2147483647.999999999", "0000.1"]
        ),
        regular("three", mtime="1.1", atime="2.2", ctime="3.3"),
        *(regular(f"e{epoch}", mtime=str(epoch << 32), atime=f"{epoch << 32}.5") for epoch in [1, 2, 3]),
    ),
    layer(
        "xattr-prefixes",
        regular(
            "f",
            b"x",
            xattrs={
                "user.u": b"1",
                "trusted.t": b"22",
                "security.capability": b"\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
                "security.selinux": b"system_u:object_r:bin_t:s0\0",
            },
        ),
    ),
    layer(
        "xattr-sizes",
        *(
            regular(f"v{size}", xattrs={"user.a": pattern(size)})
            for size in [0, 1, 3, 4, 5, 76, 77, 79, 80, 81]
        ),
        *(regular(f"w{size}", xattrs={"user.b": pattern(size)}) for size in [4036, 4039, 4040]),
        regular("full", xattrs={"user.a": pattern(76), "user.b": pattern(4040)}),
        regular(
            "two-blocks", b"data", xattrs={"user.a": pattern(2000), "user.b": pattern(1900), "user.c": b""}
        ),
        findings=None,
    ),
    layer(
        "xattr-names",
        *(
            regular(f"n{length}", xattrs={b"user." + b"n" * length: b"v"})
            for length in [1, 3, 4, 5, 76, 77, 239, 255]
        ),
    ),
    layer("xattr-empty-value-first", regular("f", xattrs={"user.a": b"", "user.b": b"1", "user.c": b""})),
    layer(
        "xattr-on-every-type",
        *(
            make(name, *arguments, xattrs={"trusted.x": pattern(size)})
            for size in [1, 500]
            for make, name, arguments in [
                (directory, f"d{size}", ()),
                (regular, f"f{size}", (b"1",)),
                (symlink, f"s{size}", ("target",)),
                (symlink, f"S{size}", ("t" * 70,)),
                (char_device, f"c{size}", (1, 2)),
                (fifo, f"p{size}", ()),
            ]
        ),
    ),
    layer(
        "hash-of-xattr", regular("f", xattrs={b"user.\x80\xff": b"\x80\xff\1", b"trusted.abc": pattern(33)})
    ),
    layer("whiteouts", directory("a"), regular("a/.wh.gone"), regular(".wh.top", b"data is skipped")),
    layer(
        "whiteout-forms",
        directory("a"),
        regular("a/.wh.x/"),
        directory("a/.wh.dir"),
        regular("a/../.wh.up"),
        symlink("a/.wh.link", "x"),
        hardlink("a/.wh.hard", "nowhere"),
        regular("new/.wh.in-implicit"),
        findings=None,
    ),
    layer("whiteout-longest-name", regular(b".wh." + b"n" * 251)),
    layer(
        "opaque",
        directory("a", mode=0o750, uid=3, gid=4, mtime="5.5", xattrs={"user.x": b"1"}),
        regular("a/f", b"1"),
        regular("a/.wh..wh..opq"),
        regular(".wh..wh..opq"),
    ),
    layer(
        "opaque-with-xattr-block", directory("a", xattrs={"user.x": pattern(300)}), regular("a/.wh..wh..opq")
    ),
    layer("opaque-twice", directory("a"), regular("a/.wh..wh..opq"), regular("a/.wh..wh..opq")),
    layer("B10-opaque-first", regular("a/.wh..wh..opq"), directory("a", mode=0o700), findings=None),
    layer("deep", regular("/".join("d" * 60), b"1"), findings="B13"),
    layer(
        "directory-again",
        directory("a", mode=0o700, mtime=1),
        regular("a/f"),
        directory("a", mode=0o755, mtime=2),
    ),
    layer(
        "hardlink-chain", regular("a", b"1"), hardlink("b", "a"), hardlink("c", "b"), hardlink("./d", "/c")
    ),
    layer("hardlink-over-hardlink", regular("a"), hardlink("b", "a"), hardlink("b", "a"), findings=None),
    layer(
        "replace-one-of-two-links", regular("a", b"1"), hardlink("b", "a"), regular("b", b"2"), findings=None
    ),
    layer(
        "devices",
        *(char_device(f"c{a}-{i}", a, i) for a in [0, 1, 255, 4095] for i in [0, 255, 256, 0xFFFFF]),
    ),
]

SPARSE_FRAGMENTS = [(0, pattern(512)), (10000, b"x" * 100), (65536, pattern(5000)), (200000, b"")]
TAR_FORMS = [
    *(
        layer(
            f"format-{format}",
            directory("d/", format=format),
            regular("d/f", pattern(600), format=format, mtime=8, uid=7, gid=6),
            symlink("s", "d/f", format=format),
            hardlink("h", "d/f", format=format),
        )
        for format in ["ustar", "gnu", "star", "v7"]
    ),
    layer("star-times", regular("f", format="star", atime=5, ctime=6), regular("g", format="star")),
    layer("gnu-times", regular("f", format="gnu", atime=5, ctime=6), regular("g", format="gnu", atime=7)),
    layer("gnu-bad-atime", regular("f", format="gnu", replace={345: b"99bad"}), findings="B13"),
    layer("gnu-bad-ctime", regular("f", format="gnu", atime=5, replace={357: b"zz"}), findings=None),
    layer("gnu-bad-time-not-ascii", regular("f", format="gnu", replace={345: b"\x7f\xfe"}), findings=None),
    layer("ustar-prefix", regular("f", b"1", prefix="some/where"), findings="B13"),
    layer("star-prefix", regular("f", b"1", prefix="some/where", format="star"), findings="B13"),
    layer("ustar-version-free", regular("f", replace={263: b"xy"})),
    layer("magic-unknown", regular("f", replace={257: b"USTAR", 329: b"junk"})),
    layer("name-of-100-bytes", regular("n" * 100), regular("n/" * 49 + "nn"), findings="B13"),
    layer("long-names-pax", regular("x/" * 100 + "f", b"1"), symlink("s", "t" * 150), findings="B13"),
    layer(
        "long-names-gnu",
        regular("x/" * 100 + "f", b"1", format="gnu"),
        symlink("s", "t" * 150, format="gnu"),
        findings="B13",
    ),
    layer("gnu-long-hardlink", regular("x" * 150, format="gnu"), hardlink("h", "x" * 150, format="gnu")),
    layer("gnu-long-empty", gnu_long(b"L", b"\0"), gnu_long(b"K", b""), symlink("s", "t")),
    layer("gnu-long-with-rest", gnu_long(b"L", b"name\0rest"), regular("other")),
    layer("gnu-long-twice", gnu_long(b"L", b"one"), gnu_long(b"L", b"two"), regular("other")),
    layer("gnu-long-beats-path", pax({"path": "from-pax"}), gnu_long(b"L", b"from-gnu"), regular("other")),
    layer(
        "gnu-long-beats-path-after", gnu_long(b"L", b"from-gnu"), pax({"path": "from-pax"}), regular("other")
    ),
    layer("gnu-long-1-mib", gnu_long(b"L", b"n\0" + bytes(MIB - 2)), regular("other")),
    layer("gnu-long-1-mib-and-1", gnu_long(b"L", b"n\0" + bytes(MIB - 1)), regular("other")),
    layer("pax-1-mib", pax(pax_body_of(MIB)), regular("other")),
    layer("pax-1-mib-and-1", pax(pax_body_of(MIB + 1)), regular("other")),
    layer("pax-1-mib-and-1-cut", pax(pax_body_of(MIB + 1))[: 512 + MIB], end=b""),
    layer("checksum-signed", header(b"\xff\xfe", checksum=signed_checksum(header(b"\xff\xfe")))),
    layer("nul-type-file", entry("f", b"data", type=b"\0")),
    layer("nul-type-directory", entry("d/", type=b"\0", mode=0o755, size=5)),
    layer("nul-type-long-name", gnu_long(b"L", b"dir/"), entry("short", type=b"\0")),
    layer("regular-with-slash", regular("f/", b"data")),
    layer("directory-without-slash", directory("d"), regular("d/f")),
    layer("type-7", entry("f", b"contiguous", type=b"7")),
    layer(
        "header-only-with-size",
        *(entry(f"t{t}", type=b"%d" % t, size=1000, linkname="t1x") for t in [2, 3, 4, 5, 6]),
    ),
    layer("header-only-negative-size", directory("d", size=-5)),
    layer("hardlink-with-size", regular("a", b"x"), hardlink("b", "a", size=999)),
    layer("base256", regular("f", b"1", uid=1 << 30, gid=2097152, mtime=1 << 33)),
    layer("base256-small", regular("f", replace={108: base256(5, 8), 124: base256(0, 12)})),
    layer("base256-63-bits", regular("f", replace={136: base256((1 << 63) - 1, 12)}), findings=None),
    layer("base256-64-bits", regular("f", replace={136: base256(1 << 63, 12)})),
    layer("base256-minus-2-63", regular("f", replace={136: base256(-(1 << 63), 12)}), findings=None),
    layer("base256-below", regular("f", replace={136: base256(-(1 << 63) - 1, 12)})),
    layer("octal-spaces", regular("f", replace={108: b"  17 \0  "[:8], 116: b"\0\0 7 \0 \0"[:8]})),
    layer("octal-empty", regular("f", replace={100: bytes(8), 108: b" " * 8, 136: bytes(12)})),
    layer("octal-no-end", regular("f", replace={136: b"777777777777"[:12]}), findings=None),
    layer("octal-inner-nul", regular("f", replace={108: b"12\0zz\0\0\0"})),
    layer("octal-inner-space", regular("f", replace={108: b"1 2\0\0\0\0\0"})),
    layer("octal-8", regular("f", replace={108: b"0000008\0"})),
    layer("octal-minus", regular("f", replace={108: b"-000001\0"})),
    layer("octal-plus", regular("f", replace={108: b"+000001\0"})),
    layer("bad-devmajor", regular("f", replace={329: b"zz"})),
    layer("bad-devmajor-v7", regular("f", format="v7", replace={329: b"zz"})),
    layer("size-negative", regular("f", replace={124: base256(-1, 12)})),
    layer("size-huge", regular("f", replace={124: base256((1 << 63) - 1, 12)})),
    layer("checksum-wrong", regular("f", checksum=b"000000\0 ")),
    layer("checksum-spaces", header("f", checksum=b"  %o" % 3 + b"  ")),
    layer("checksum-base256", header("f", checksum=base256(3000, 8))),
    layer("stray-zero-block", regular("a"), bytes(512), regular("b")),
    layer("one-zero-block", regular("a"), end=bytes(512), findings="B24"),
    layer("no-end-marker", regular("a", b"1"), end=b"", findings="B24"),
    layer("partial-header", regular("a"), b"x" * 100, end=b""),
    layer("partial-zero-block", regular("a"), end=bytes(100)),
    layer("partial-second-zero-block", regular("a"), end=bytes(512 + 100)),
    layer("garbage-behind-end", regular("a"), end=bytes(1024) + b"garbage" * 100),
    layer("second-archive", regular("a"), bytes(1024), regular("b")),
    layer("blocking-factor", regular("a"), end=bytes(10240 - 512)),
    layer("cut-in-data", regular("a", pattern(1000))[: 512 + 700], end=b""),
    layer("cut-before-data", regular("a", pattern(1000))[:512], end=b""),
    layer("B24-cut-before-padding", regular("a", pattern(1000))[: 512 + 1000], end=b"", refusal="B24"),
    layer("B24-cut-in-padding", regular("a", pattern(1000))[: 512 + 1010], end=b"", refusal="B24"),
    layer("B24-cut-in-pax-padding", pax({"path": "x"})[: 512 + 100], end=b"", refusal="B24"),
    layer("B24-dangling-pax", regular("a"), pax({"path": "x"}), end=b"", refusal="B24"),
    layer("B24-dangling-pax-at-marker", regular("a"), pax({"path": "x"}), refusal="B24"),
    layer("B24-dangling-long-name", regular("a"), gnu_long(b"L", b"x"), end=b"", refusal="B24"),
    layer("B24-cut-in-global-padding", global_pax({"comment": "x"})[: 512 + 60], end=b"", refusal="B24"),
    layer("cut-in-pax-body", pax({"path": "x"})[: 512 + 3], end=b""),
    layer("cut-in-long-name", gnu_long(b"L", b"x" * 200)[: 512 + 100], end=b""),
    # pax records
    layer(
        "pax-all",
        pax({"path": "p/q", "uid": "77", "gid": "88", "mtime": "9.25", "atime": "-1.5", "ctime": "4"}),
        regular("f"),
        findings=None,
    ),
    layer("pax-size", pax({"size": "5"}), header("f", size=0) + padded(b"12345")),
    layer("pax-size-overrides-larger", pax({"size": "0"}), header("f", size=512), regular("g")),
    layer("pax-size-on-directory", pax({"size": "512"}), directory("d"), regular("g")),
    layer("pax-size-negative", pax({"size": "-1"}), regular("f")),
    layer("pax-size-negative-directory", pax({"size": "-1"}), directory("f")),
    layer("pax-linkpath", pax({"linkpath": "target"}), symlink("s", "other")),
    layer(
        "pax-empty-values",
        pax({"path": "", "uid": "", "mtime": "", "size": ""}),
        regular("f", b"1", uid=5, mtime=6),
    ),
    layer("pax-empty-xattr", regular("f", xattrs={"user.e": b""})),
    layer("pax-last-wins", pax([("uid", "1"), ("uid", "2"), ("path", "a"), ("path", "b")]), regular("f")),
    layer("pax-empty-after-value", pax([("path", "a"), ("path", "")]), regular("f")),
    layer("pax-twice", pax({"path": "a", "uid": "5"}), pax({"path": "b"}), regular("f")),
    layer("pax-then-long-link", pax({"linkpath": "a"}), gnu_long(b"K", b"b"), symlink("s", "c")),
    layer("pax-signs", pax({"uid": "+5", "gid": "007"}), regular("f")),
    layer("pax-length-signs", pax(b"+9 uid=1\n" + b"0011 gid=2\n"), regular("f")),
    layer("pax-length-leading-zeros", pax(b"00012 uid=1\n"), regular("f")),
    layer("pax-empty-body", pax(b""), regular("f")),
    layer("pax-nul-in-xattr", regular("f", xattrs={"user.n": b"a\0b"})),
    layer("pax-newline-in-value", regular("f", xattrs={"user.n": b"a\nb=c\n"})),
    layer("pax-equals-in-value", pax({"path": "a=b"}), regular("f")),
    layer("pax-nul-in-unknown-key-value", pax({"comment": b"a\0b"}), regular("f")),
    *(
        layer(f"pax-bad-{name}", pax(body), regular("f"))
        for name, body in {
            "trailing-nul": b"8 uid=1\n\0",
            "no-newline": b"8 uid=1x",
            "too-long": b"99 uid=1\n",
            "too-short": b"4 u=1\n",
            "length-5": b"5 a=\n",
            "length-6": b"6 a=1\n",
            "no-space": b"uid=1\n",
            "no-equals": b"8 uid-1\n",
            "empty-key": b"6 =ab\n",
            "nul-in-key": b"8 u\0d=1\n",
            "nul-in-path": b"10 path=\0\n"[:11],
            "length-text": b"x uid=1\n",
            "length-hex": b"0x8 uid=1\n",
            "length-empty": b" uid=1\n",
            "length-minus": b"-8 uid=1\n",
            "length-huge": b"99999999999999999999 uid=1\n",
            "length-underscore": b"1_0 uid=12\n",
            "only-space": b"3 \n",
            "uid-text": b"8 uid=x\n",
            "uid-space": b"9 uid= 1\n",
            "uid-underscore": b"10 uid=1_\n",
            "uid-huge": pax_body({"uid": "9223372036854775808"}),
            "uid-float": pax_body({"uid": "1.0"}),
            "mtime-no-seconds": pax_body({"mtime": ".5"}),
            "mtime-text": pax_body({"mtime": "1.x"}),
            "mtime-exponent": pax_body({"mtime": "1e5"}),
            "mtime-two-dots": pax_body({"mtime": "1.2.3"}),
            "mtime-minus-only": pax_body({"mtime": "-"}),
            "mtime-fraction-sign": pax_body({"mtime": "1.-5"}),
            "sparse-order": pax_body([("GNU.sparse.numbytes", "1"), ("GNU.sparse.offset", "1")]),
            "sparse-twice-offset": pax_body([("GNU.sparse.offset", "1"), ("GNU.sparse.offset", "1")]),
            "sparse-comma": pax_body([("GNU.sparse.offset", "1,2"), ("GNU.sparse.numbytes", "1")]),
            "sparse-half": pax_body([("GNU.sparse.offset", "1")]),
        }.items()
    ),
    layer(
        "pax-times",
        *(
            regular(f"t{i}", mtime=text)
            for i, text in enumerate(
                [
                    "1.",
                    "1.1234567891",
                    "+3.5",
                    "-0.5",
                    "-0",
                    "-1.000000001",
                    "-0.0000000001",
                    "007.70",
                    "1.999999999999",
                ]
            )
        ),
        findings=None,
    ),
    layer(
        "pax-time-edges",
        *(
            regular(f"t{i}", mtime=str(t))
            for i, t in enumerate([-(1 << 63), (1 << 63) - 1, -62135596800, -62135596799, -62135596801])
        ),
        findings=None,
    ),
    layer("pax-time-wraps", regular("t", mtime="-9223372036854775808.5"), findings=None),
    layer("pax-time-too-large", regular("t", mtime="9223372036854775808")),
    layer("pax-time-zero-time-with-ns", regular("t", mtime="-62135596800.000000001"), findings=None),
    # global headers
    layer("B7-global", global_pax({"comment": "x", "path": "ignored-later"}), regular("f"), findings="B7"),
    layer("B7-global-xattrs", global_pax({"SCHILY.xattr.user.g": "1"}), regular("f"), findings="B7"),
    layer(
        "B7-global-drops-pax", pax({"path": "x"}), global_pax({"comment": "y"}), regular("f"), findings="B7"
    ),
    layer(
        "B7-global-drops-long",
        gnu_long(b"L", b"x"),
        global_pax({"comment": "y"}),
        regular("f"),
        findings="B7",
    ),
    layer(
        "B7-global-bad-number",
        global_pax({"uid": "x", "SCHILY.xattr.user.g": "1"}),
        regular("f"),
        findings="B7",
    ),
    layer("B7-global-with-parents", global_pax({"comment": "x"}, name="some/where/g"), findings=None),
    layer(
        "N4-global-unstable",
        *(global_pax({"path": f"p{i}", "uid": "x"}, name="g") for i in range(8)),
        findings=None,
    ),
    layer("global-bad-syntax", global_pax(b"8 uid=1\n\0"), regular("f")),
    layer("global-empty", global_pax(b""), regular("f"), findings="B7"),
    # sparse files
    *(
        layer(
            f"sparse-pax-{version}",
            pax_sparse("sp", 300000, SPARSE_FRAGMENTS, version=version),
            regular("next"),
        )
        for version in ["0.0", "0.1", "1.0"]
    ),
    layer("sparse-gnu", gnu_sparse("sp", 300000, SPARSE_FRAGMENTS), regular("next")),
    layer(
        "sparse-gnu-extended",
        gnu_sparse("sp", 100000, [(i * 1000, pattern(9, i)) for i in range(60)]),
        regular("b"),
    ),
    *(
        layer(
            f"sparse-gnu-{count}-blocks",
            gnu_sparse("sp", 100_000, [(i, b"x") for i in range(4 + 21 * count)]),
            findings=None,
        )
        for count in (2047, 2048)
    ),
    layer("sparse-gnu-empty-map", gnu_sparse("sp", 10000, []), regular("b")),
    layer("sparse-gnu-not-gnu", entry("sp", type=b"S")),
    layer("sparse-gnu-prefix-times", gnu_sparse("sp", 600, [(0, b"x")], atime=5, ctime=6)),
    layer("sparse-gnu-overlap", gnu_sparse("sp", 600, [(10, b"xx"), (11, b"y")])),
    layer("sparse-gnu-beyond", gnu_sparse("sp", 600, [(599, b"xx")])),
    layer("sparse-gnu-bad-number", gnu_sparse("sp", 600, [(0, b"x")], replace={386: b"z"})),
    layer("sparse-gnu-negative-size", gnu_sparse("sp", -1, [])),
    layer("sparse-gnu-missing-data", gnu_sparse("sp", 600, [(0, b"xx")], stored=1)),
    layer("sparse-gnu-unreferenced", gnu_sparse("sp", 600, [(0, b"xx")], stored=3)),
    layer("sparse-size-0-unreferenced", gnu_sparse("sp", 0, [(0, b"")], stored=2) + padded(b"xy")),
    layer("sparse-hole-only", pax_sparse("sp", 5 * MIB, [], version="1.0")),
    layer("sparse-hole-at-end", pax_sparse("sp", 100000, [(0, b"start")], version="0.1")),
    layer("sparse-1.0-name-with-nul", pax_sparse(b"a\0b", 10, [(0, b"x")], version="1.0"), findings=None),
    layer(
        "sparse-1.0-no-name",
        entry(
            "n",
            padded(b"1\n0\n1\n") + b"x",
            records={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.size": "4"},
        ),
    ),
    *(
        layer(
            f"sparse-1.0-{name}",
            entry(
                "n",
                data,
                records={"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "600"},
            ),
            regular("next"),
        )
        for name, data in {
            "two-map-blocks": padded(b"100\n" + b"500\n0\n" * 100),
            "map-over-blocks": padded(b"1\n" + b"0" * 600 + b"5\n2\n") + b"xy",
            "minus": padded(b"-1\n"),
            "plus": padded(b"+1\n+0\n+2\n") + b"xy",
            "bad": padded(b"1\nx\n2\n") + b"xy",
            "space": padded(b"1\n 0\n2\n") + b"xy",
            "empty-line": padded(b"\n0\n2\n") + b"xy",
            "no-map": b"",
            "short-map": padded(b"5\n0\n1\n"),
            "huge-count": padded(b"4611686018427387904\n"),
            "large-count": padded(b"4611686018427387903\n"),
            "no-lf": padded(b"1" * 512),
            "missing": padded(b"1\n0\n3\n") + b"xy",
            "unreferenced": padded(b"1\n0\n1\n") + b"xy",
            "descending": padded(b"2\n5\n1\n3\n1\n") + b"xy",
            "empty-entries": padded(b"3\n5\n0\n5\n0\n6\n2\n") + b"xy",
            "empty-entry-beyond": padded(b"1\n601\n0\n"),
            "overflow": padded(b"1\n9223372036854775807\n1\n") + b"x",
        }.items()
    ),
    layer("sparse-1.0-directory", directory("d", records={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"})),
    layer(
        "sparse-0.1-directory",
        directory(
            "d", records={"GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "0"}
        ),
    ),
    layer(
        "sparse-2.0-is-plain",
        entry(
            "n",
            b"data",
            records={"GNU.sparse.major": "2", "GNU.sparse.minor": "0", "GNU.sparse.name": "other"},
        ),
    ),
    layer(
        "sparse-map-only",
        entry(
            "n",
            b"da",
            records={"GNU.sparse.map": "1,2", "GNU.sparse.numblocks": "1", "GNU.sparse.realsize": "9"},
        ),
    ),
    layer("sparse-no-map", entry("n", b"data", records={"GNU.sparse.size": "100", "GNU.sparse.name": "x"})),
    layer(
        "sparse-numblocks-wrong",
        entry(
            "n", b"da", records={"GNU.sparse.map": "1,2", "GNU.sparse.numblocks": "2", "GNU.sparse.size": "9"}
        ),
    ),
    layer(
        "sparse-numblocks-missing",
        entry("n", b"da", records={"GNU.sparse.map": "1,2", "GNU.sparse.size": "9"}),
    ),
    layer(
        "sparse-numblocks-0",
        entry(
            "n",
            records={
                "GNU.sparse.major": "0",
                "GNU.sparse.minor": "1",
                "GNU.sparse.numblocks": "0",
                "GNU.sparse.size": "9",
            },
        ),
    ),
    layer(
        "sparse-size-bad",
        entry(
            "n", b"da", records={"GNU.sparse.map": "1,2", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "x"}
        ),
    ),
    layer(
        "sparse-size-negative",
        entry(
            "n",
            records={
                "GNU.sparse.major": "0",
                "GNU.sparse.minor": "1",
                "GNU.sparse.numblocks": "0",
                "GNU.sparse.size": "-1",
            },
        ),
    ),
    layer(
        "sparse-size-before-realsize",
        entry(
            "n",
            records={
                "GNU.sparse.major": "0",
                "GNU.sparse.minor": "1",
                "GNU.sparse.numblocks": "0",
                "GNU.sparse.size": "5",
                "GNU.sparse.realsize": "7",
            },
        ),
    ),
    layer("sparse-whiteout-not-read", gnu_sparse(".wh.x", 600, [(0, b"xx")], stored=3), findings=None),
]


def xattr_set(*names: str, size: int = 1) -> dict[str, bytes]:
    return {name: pattern(size, i) for i, name in enumerate(names)}


MIXED = ["user", "trusted", "security", "system"]
FAULTS = [
    layer(
        "B2-13-mixed",
        regular("f", xattrs=xattr_set(*(f"{MIXED[i % 3]}.{'n' * (20 - i)}{i}" for i in range(24)), size=20)),
        findings="B2",
    ),
    layer(
        "B2-60-mixed",
        regular(
            "f", xattrs=xattr_set(*(f"{MIXED[i * 7 % 3]}.{'x' * (i * 5 % 11)}{i}" for i in range(60)), size=9)
        ),
        findings="B2",
    ),
    layer(
        "B2-200-mixed",
        regular("f", xattrs=xattr_set(*(f"{MIXED[i * 7 % 3]}.{i * 37 % 211}" for i in range(180)), size=0)),
        findings="B2",
    ),
    layer("B2-200-rising", regular("f", xattrs=xattr_set(*(f"user.{i:03}" for i in range(190)), size=0))),
    layer(
        "B2-200-same-length-two-prefixes",
        regular("f", xattrs=xattr_set(*(f"{MIXED[i % 2]}.{i:03}" for i in range(190)), size=0)),
        findings=None,
    ),
    layer(
        "B2-few-index-7",
        regular(
            "f",
            xattrs={"system.zz": pattern(100), "user.yyyyyyyyyy": pattern(100), "trusted.x": pattern(100)},
        ),
        findings=None,
    ),
    layer(
        "B2-few-index-8",
        regular(
            "f",
            xattrs={"system.richacl": pattern(100), "trusted.abcdef": pattern(100), "user.y": pattern(100)},
        ),
        findings=None,
    ),
    layer("B3-negative-times", regular("f", mtime="-1", atime="-2147483648", ctime="-0.25"), findings="B3"),
    layer(
        "B4-times-after-2038",
        regular("f", mtime="2147483648", atime="4294967295.5", ctime="6442450944"),
        findings="B4",
    ),
    layer("B4b-before-1901", regular("f", mtime="-2147483649", atime="-99999999999"), findings=None),
    layer(
        "B4b-after-2446",
        regular("f", mtime="15032385535", atime="15032385536", ctime="15032385536.5"),
        findings=None,
    ),
    layer(
        "B5-acl",
        directory(
            "d", xattrs={"system.posix_acl_access": ACL_ACCESS, "system.posix_acl_default": ACL_DEFAULT}
        ),
        findings="B5",
    ),
    layer("B5-acl-empty", directory("d", xattrs={"system.posix_acl_access": acl()}), findings=None),
    *(
        layer(f"B5-acl-{name}", regular("f", xattrs={"system.posix_acl_access": value}), findings=None)
        for name, value in {
            "version-1": acl((1, 7, NO_ID), version=1),
            "version-3": acl((1, 7, NO_ID), version=3),
            "short": ACL_ACCESS[:-3],
            "no-bytes": b"",
            "four-bytes": ACL_ACCESS[:4],
            "unknown-tag": acl((1, 6, NO_ID), (0x40, 1, 2), (4, 4, NO_ID), (32, 4, NO_ID)),
            "large": acl(
                (1, 6, NO_ID), *((2, 4, i) for i in range(450)), (4, 4, NO_ID), (16, 6, NO_ID), (32, 4, NO_ID)
            ),
        }.items()
    ),
    layer(
        "B6-opaque-with-acl",
        directory("a", xattrs={"system.posix_acl_access": ACL_ACCESS, "user.z": b"1"}),
        regular("a/.wh..wh..opq"),
        findings=None,
    ),
    layer(
        "B6-opaque-with-empty-name",
        directory("a", xattrs={"user.": b"1", "user.z": b"2"}),
        regular("a/.wh..wh..opq"),
        findings=None,
    ),
    layer(
        "B6-opaque-with-empty-name-in-block",
        directory("a", xattrs={"user.": pattern(200), "user.z": pattern(200)}),
        regular("a/.wh..wh..opq"),
        findings=None,
    ),
    *(
        layer(
            f"B7-type-{t.decode()}",
            entry("v", b"volume" if t != b"D" else b"", type=t),
            regular("f"),
            findings=None,
        )
        for t in [b"V", b"D", b"M", b"X", b"A", b"N", b"Z", b"8"]
    ),
    layer("B7-dumpdir-with-data", entry("v/", b"Yf\0\0", type=b"D"), regular("v/f"), findings=None),
    layer(
        "B8-empty-again",
        regular("f", xattrs={"user.a": b"1"}),
        regular("f", xattrs={"user.b": b"2"}),
        findings="B8",
    ),
    layer(
        "B8-block-xattrs",
        regular("f", xattrs={"user.a": pattern(300)}),
        regular("f", xattrs={"user.b": b"2"}),
        findings=None,
    ),
    layer(
        "B8-block-both",
        regular("f", xattrs={"user.a": pattern(300)}),
        regular("f", xattrs={"user.b": pattern(200)}),
        findings=None,
    ),
    layer(
        "B8-directory",
        directory("d", xattrs={"user.a": b"1"}),
        directory("d", xattrs={"user.b": b"2"}),
        findings="B8",
    ),
    layer(
        "B8-type-change", regular("f", xattrs={"user.a": b"1"}), fifo("f"), symlink("f", "x"), findings=None
    ),
    layer("B8-whiteout-over-empty", regular("f", xattrs={"user.a": b"1"}), regular(".wh.f"), findings=None),
    layer("B9-file-again", regular("f", b"1"), regular("f", b"22"), findings=None),
    layer("B9-file-over-long-symlink", symlink("f", "t" * 80), regular("f"), findings=None),
    layer("B9-directory-over-file", regular("f"), directory("f"), regular("f/x"), findings=None),
    layer("B9-file-over-directory", directory("f"), regular("f/x"), regular("f"), findings=None),
    layer("B9-whiteout-beside-file", regular("f", b"1"), regular(".wh.f"), findings=None),
    layer("B9-whiteout-beside-directory", directory("f"), regular(".wh.f"), findings=None),
    layer("B9-file-beside-whiteout", regular(".wh.f"), regular("f", b"1"), findings=None),
    layer("B9-directory-beside-whiteout", regular(".wh.f"), directory("f"), findings=None),
    layer("B9-implicit-directory-beside-whiteout", regular(".wh.f"), regular("f/x"), findings=None),
    layer("B9-link-beside-whiteout", regular("a"), regular(".wh.f"), hardlink("f", "a"), findings=None),
    layer("B9-whiteout-twice", regular(".wh.f"), regular(".wh.f"), findings=None),
    layer(
        "B9-whiteout-beside-linked-file", regular("f"), hardlink("g", "f"), regular(".wh.f"), findings=None
    ),
    layer("B9-whiteout-beside-symlink", symlink("f", "t" * 80), regular(".wh.f"), findings=None),
    layer("B9-whiteout-beside-device", fifo("f", mode=0o600), regular(".wh.f"), findings=None),
    layer("B9-link-over-single", regular("a", b"1"), regular("b", b"2"), hardlink("b", "a"), findings=None),
    layer("B9-link-over-itself", regular("a", b"1"), hardlink("a", "a"), findings=None),
    layer("B9-link-over-directory", regular("a", b"1"), directory("b"), hardlink("b", "a"), findings=None),
    layer("B9-file-as-parent", regular("a"), regular("a/b"), findings=None),
    layer("B9-root-as-file", regular("/", b"1"), findings=None),
    layer("B9-whiteout-then-directory", regular(".wh.f"), directory("f"), findings=None),
    layer(
        "B9-whiteout-then-directory-twice", regular(".wh.f"), directory("f"), directory("f"), findings=None
    ),
    layer("B9-whiteout-then-parent-twice", regular(".wh.f"), regular("f/x"), directory("f"), findings=None),
    layer("B9-whiteout-of-nothing", regular(".wh."), findings=None),
    layer("B9-whiteout-dot", directory("a"), regular("a/.wh.."), findings=None),
    layer("B9-whiteout-dotdot", directory("a"), regular("a/.wh..."), findings=None),
    layer("B10-opaque-over-file", regular("a"), regular("a/.wh..wh..opq"), findings=None),
    layer(
        "B11-through-symlink",
        directory("usr/lib"),
        symlink("lib", "usr/lib"),
        regular("lib/x", b"1"),
        findings=None,
    ),
    layer(
        "B11-through-absolute-symlink",
        directory("usr"),
        symlink("u", "/usr"),
        directory("u/d"),
        regular("u/d/x"),
        findings=None,
    ),
    layer(
        "B11-through-dotdot-symlink",
        directory("a/b"),
        symlink("a/l", "../../../a/b"),
        regular("a/l/x"),
        findings=None,
    ),
    layer("B11-dangling-symlink", symlink("l", "nowhere/d"), regular("l/x"), findings=None),
    layer("B11-long-symlink-again", symlink("l", "t" * 80), symlink("l", "d"), regular("l/x"), findings=None),
    layer("B11-symlink-loop", symlink("a", "b"), symlink("b", "a"), regular("a/x"), findings=None),
    layer(
        "B11-whiteout-through-symlink", directory("d"), symlink("l", "d"), regular("l/.wh.x"), findings=None
    ),
    layer(
        "B11-opaque-through-symlink",
        directory("d"),
        symlink("l", "d"),
        regular("l/.wh..wh..opq"),
        findings=None,
    ),
    layer("B12-link-to-nothing", hardlink("h", "missing"), findings=None),
    layer("B12-link-to-later", hardlink("h", "later"), regular("later", b"1"), findings=None),
    layer("B12-link-to-directory", directory("d"), hardlink("h", "d"), findings=None),
    layer("B12-link-through-missing", hardlink("h", "no/where"), findings=None),
    layer(
        "B13-parents",
        directory(
            "s", mode=0o7751, uid=9, gid=8, mtime="1.5", atime="2.5", ctime="3.5", xattrs={"user.x": b"1"}
        ),
        regular("s/a/b/c/f", b"1"),
        findings="B13",
    ),
    layer("B14-xattr-name-256", regular("f", xattrs={b"user." + b"n" * 256: b"1"}), refusal="B14"),
    layer(
        "B14-xattr-name-300-block",
        regular("f", xattrs={b"user." + b"n" * 300: pattern(100), "user.b": pattern(90)}),
        refusal="B14",
    ),
    layer("N6-xattr-name-300", regular("f", xattrs={b"x" * 300: b"1"}), findings="N6"),
    layer("B15-xattr-too-large", regular("f", xattrs={"user.a": pattern(4048)}), findings=None),
    layer(
        "B15-xattrs-too-many",
        regular("f", xattrs=xattr_set(*(f"user.{i}" for i in range(60)), size=60)),
        findings=None,
    ),
    layer("B16-symlink-empty", symlink("s", ""), refusal="B16"),
    layer("B16-symlink-4096", symlink("s", "t" * 4096), refusal="B16"),
    layer("B16-symlink-5000", symlink("s", "t" * 5000), refusal="B16"),
    layer("B17-uid-33-bits", regular("f", uid=1 << 32), refusal="B17"),
    layer("B17-gid-negative", regular("f", gid=-1), refusal="B17"),
    layer(
        "B18-aufs",
        directory(".wh..wh.plnk/"),
        regular(".wh..wh.plnk/1.2", b"x"),
        regular(".wh..wh.aufs"),
        directory(".wh..wh.orph/"),
        regular("f"),
        findings="B18",
    ),
    layer(
        "B18-aufs-beside-opaque-directory",
        regular(".wh..wh.aufs"),
        directory("d"),
        directory("d/.wh..wh..opq/"),
        findings="B18",
    ),
    layer("B19-inline-again", regular("f", pattern(100)), regular("f", pattern(90)), findings=None),
    layer(
        "B19-inline-empty-again",
        regular("f", b""),
        regular("f", b"1"),
        regular("g", b"1"),
        symlink("g", "x"),
        findings=None,
    ),
    layer("B19-inline-opaque", regular("f", pattern(50)), regular("f/.wh..wh..opq"), findings=None),
    layer("B19-system-data-given", regular("f", pattern(50), xattrs={"system.data": b"1"}), findings=None),
    layer(
        "N1-opaque-name-240",
        directory("a", xattrs={b"user." + b"n" * 240: b"v"}),
        regular("a/.wh..wh..opq"),
        findings="N1",
    ),
    layer(
        "N1-opaque-name-239", directory("a", xattrs={b"user." + b"n" * 239: b"v"}), regular("a/.wh..wh..opq")
    ),
    layer(
        "N1-opaque-name-255",
        directory("a", xattrs={b"user." + b"n" * 255: b"v"}),
        regular("a/.wh..wh..opq"),
        findings="N1",
    ),
    layer(
        "N1-opaque-name-300",
        directory("a", xattrs={b"user." + b"n" * 300: b"v"}),
        regular("a/.wh..wh..opq"),
        refusal="B14",
    ),
    layer(
        "N3-parents-of-old",
        directory("a", mtime="-5", atime="3000000000.5"),
        regular("a/b/c/d/f"),
        findings=None,
    ),
    layer(
        "N3-opaque-of-old",
        directory("a", mtime="-5", atime="3000000000", ctime="-99999999999"),
        regular("a/.wh..wh..opq"),
        regular("a/.wh..wh..opq"),
        findings=None,
    ),
    layer(
        "N3-copy-of-overflow", directory("a", mtime="15032385535.999999999"), regular("a/b/f"), findings=None
    ),
    layer("N5-devmajor-4096", char_device("c", 4096, 0), refusal="N5"),
    layer("N5-devminor-2-20", block_device("b", 8, 1 << 20), refusal="N5"),
    layer("N5-devminor-negative", block_device("b", 8, -1), refusal="N5"),
    layer("N5-dev-of-regular", regular("f", devmajor=99999, devminor=-5), findings=None),
    layer("N6-unknown-prefix", regular("f", xattrs={"com.apple.x": b"1", "user.a": b"2"}), findings=None),
    layer("N6-empty-xattr-name", regular("f", xattrs={"": b"1"}), findings=None),
    layer("N6-prefix-only", regular("f", xattrs={"user": b"1"}), findings=None),
    layer("B6-user-dot", regular("f", xattrs={"user.": b"1", "trusted.": b"2"}), findings=None),
    layer(
        "N7-acl-suffix",
        regular("f", xattrs={"system.posix_acl_accessX": b"1", "system.richaclY": b"2"}),
        findings=None,
    ),
    layer("N7-system-other", regular("f", xattrs={"system.nfs4_acl": b"1"}), findings=None),
    layer("N7-richacl", regular("f", xattrs={"system.richacl": b"1"}), findings=None),
    layer("N9-many-inodes", *(regular(f"f{i}") for i in range(3000))),
    layer("invalid-name-256", regular("n" * 256)),
    layer("invalid-link-name-256", regular("a"), hardlink("b", "n" * 256)),
    layer("name-256-as-parent", regular("n" * 256 + "/f"), findings=None),
    layer("name-with-nul", pax_sparse(b"a\0b/c\0", 0, [], version="1.0"), findings=None),
    layer("file-too-big", header("f", replace={124: base256((1 << 37) + 1, 12)})),
    layer("file-largest-then-cut", header("f", replace={124: base256(1 << 37, 12)}), end=b"x" * 10),
]


def subdirectories(count: int) -> bytes:
    return archive(directory("d"), *(directory(f"d/{i}") for i in range(count)))


def links(count: int) -> bytes:
    return archive(regular("f"), *(hardlink(f"l{i % 100}/{i}", "f") for i in range(count)))


def empty_files(count: int) -> bytes:
    """The files take one inode each, nothing else."""
    parts = [directory(f"d{i}") for i in range(100)]
    model = bytearray(header(b"d00/0000000"))
    base = sum(model[:148]) + sum(model[156:]) - sum(b"d00/0000000") + 8 * 32
    for i in range(count - len(parts)):
        name = b"d%02d/%07d" % (i % 100, i)
        model[: len(name)] = name
        model[148:156] = b"%06o\0 " % (base + sum(name))
        parts.append(bytes(model))
    return archive(*parts)


# More bytes or entries than the rest: these run with few options.
LARGE = [
    Layer(
        "two-extents",
        lambda: archive(pax_sparse("f", 128 * MIB + 1, [(5, b"x")], version="1.0"), regular("g")),
    ),
    Layer(
        "extent-index",
        lambda: archive(
            directory("d"),
            pax_sparse("d/f", 512 * MIB + 1, [(0, b"a"), (512 * MIB, b"z")], version="1.0"),
            regular("g", b"1"),
        ),
    ),
    Layer("B23-subdirectories-64998", lambda: subdirectories(64998)),
    Layer("B23-subdirectories-64999", lambda: subdirectories(64999), None),
    Layer("B23-links-65000", lambda: links(64999), None),
    Layer("B23-links-65001", lambda: links(65000), None),
    Layer(
        "groups-of-inodes",
        lambda: archive(*(regular(f"{i % 50}/{i}", pattern(i % 50)) for i in range(36000))),
        None,
    ),
    Layer(
        "deep-path", lambda: archive(regular("/".join(["d"] * 3000)), regular("/".join(["e"] * 1000))), None
    ),
]
# Minutes of the reference's time, and gigabytes of zeros.
HUGE = [
    Layer(
        "B1-340-extents",
        lambda: archive(
            pax_sparse("f", 340 * 128 * MIB, [(0, b"a"), (340 * 128 * MIB - 1, b"z")], version="1.0")
        ),
        None,
    ),
    Layer(
        "B1-341-extents",
        lambda: archive(
            pax_sparse("f", 340 * 128 * MIB + 4097, [(7, b"a")], version="1.0"), regular("g", b"1")
        ),
        None,
    ),
    # Root, lost+found and the nine reserved numbers come on top.
    Layer("N2-no-groups", lambda: empty_files(2_097_345 - 11), None),
    Layer("N2b-wrapped", lambda: empty_files(2_097_361 - 11), None),
]

SMALL = [*PLAIN, *TAR_FORMS, *FAULTS]
BY_NAME = {one.name: one for one in [*SMALL, *LARGE, *HUGE]}
assert len(BY_NAME) == len(SMALL) + len(LARGE) + len(HUGE), "two layers share a name"
