"""A layer for every fault code of docs/format.md; a name starts with the code that the layer triggers."""

from __future__ import annotations

from collections.abc import Callable

from tarfiles import (
    ACL_ACCESS,
    ACL_DEFAULT,
    NO_ID,
    acl,
    base256,
    block_device,
    char_device,
    directory,
    entry,
    fifo,
    hardlink,
    header,
    pax,
    pax_sparse,
    regular,
    symlink,
)

from layers.table import layer, pattern


def xattr_set(*names: str, size: int = 1) -> dict[str, bytes]:
    return {name: pattern(size, i) for i, name in enumerate(names)}


CAPABILITY = b"\1\0\0\2\0\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0"
# What cannot have xattrs of the user.
N12_NODES: dict[str, Callable[[dict[str, bytes]], bytes]] = {
    "symlink": lambda xattrs: symlink("symlink", "target", xattrs=xattrs),
    "device": lambda xattrs: char_device("device", 1, 2, xattrs=xattrs),
    "fifo": lambda xattrs: fifo("fifo", xattrs=xattrs),
}
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
        findings="B2",
    ),
    layer(
        "B2-few-index-7",
        regular(
            "f",
            xattrs={"system.zz": pattern(100), "user.yyyyyyyyyy": pattern(100), "trusted.x": pattern(100)},
        ),
    ),
    layer(
        "B2-few-index-8",
        regular(
            "f",
            xattrs={"system.richacl": pattern(100), "trusted.abcdef": pattern(100), "user.y": pattern(100)},
        ),
    ),
    layer("B3-negative-times", regular("f", mtime="-1", atime="-2147483648", ctime="-0.25"), findings="B3"),
    layer(
        "B4-times-after-2038",
        regular("f", mtime="2147483648", atime="4294967295.5", ctime="6442450944"),
        findings="B4",
    ),
    layer("B4b-before-1901", regular("f", mtime="-2147483649", atime="-99999999999"), findings="B4b"),
    layer(
        "B4b-after-2446",
        regular("f", mtime="15032385535", atime="15032385536", ctime="15032385536.5"),
        findings="B4b",
    ),
    layer(
        "B5-acl",
        directory(
            "d", xattrs={"system.posix_acl_access": ACL_ACCESS, "system.posix_acl_default": ACL_DEFAULT}
        ),
        findings="B5",
    ),
    layer(
        "B5-acl-of-symlink",
        symlink("l", "t", xattrs={"system.posix_acl_access": ACL_ACCESS, "trusted.a": b"1"}),
        findings="B5",
    ),
    layer(
        "B5-default-acl-of-file", regular("f", xattrs={"system.posix_acl_default": ACL_DEFAULT}), refusal="B5"
    ),
    *(
        layer(f"B5-invalid-{name}", directory("d", xattrs={"system.posix_acl_access": value}), refusal="B5")
        for name, value in {
            "no-mask": acl((1, 6, NO_ID), (2, 4, 1000), (4, 4, NO_ID), (32, 4, NO_ID)),
            "order": acl((4, 4, NO_ID), (1, 6, NO_ID), (32, 4, NO_ID)),
            "twice": acl((1, 6, NO_ID), (1, 6, NO_ID), (4, 4, NO_ID), (32, 4, NO_ID)),
            "no-other": acl((1, 6, NO_ID), (4, 4, NO_ID)),
            "nobody": acl((1, 6, NO_ID), (2, 4, NO_ID), (4, 4, NO_ID), (16, 6, NO_ID), (32, 4, NO_ID)),
            "permissions": acl((1, 8, NO_ID), (4, 4, NO_ID), (32, 4, NO_ID)),
        }.items()
    ),
    layer("B5-acl-empty", directory("d", xattrs={"system.posix_acl_access": acl()}), findings="B5"),
    *(
        layer(f"B5-acl-{name}", regular("f", xattrs={"system.posix_acl_access": value}), refusal="B5")
        for name, value in {
            "version-1": acl((1, 7, NO_ID), version=1),
            "version-3": acl((1, 7, NO_ID), version=3),
            "short": ACL_ACCESS[:-3],
            "unknown-tag": acl((1, 6, NO_ID), (0x40, 1, 2), (4, 4, NO_ID), (32, 4, NO_ID)),
        }.items()
    ),
    *(
        layer(f"B5-acl-{name}", regular("f", xattrs={"system.posix_acl_access": value}), findings="B5")
        for name, value in {
            "no-bytes": b"",
            "four-bytes": ACL_ACCESS[:4],
            "large": acl(
                (1, 6, NO_ID), *((2, 4, i) for i in range(450)), (4, 4, NO_ID), (16, 6, NO_ID), (32, 4, NO_ID)
            ),
        }.items()
    ),
    layer(
        "B6-opaque-with-acl",
        directory("a", xattrs={"system.posix_acl_access": ACL_ACCESS, "user.z": b"1"}),
        regular("a/.wh..wh..opq"),
        findings="B5 B6",
    ),
    layer(
        "N6-opaque-without-a-name",
        directory("a", xattrs={"user.": b"1", "user.z": b"2"}),
        regular("a/.wh..wh..opq"),
        findings="N6",
    ),
    layer(
        "N6-opaque-without-a-name-in-block",
        directory("a", xattrs={"user.": pattern(200), "user.z": pattern(200)}),
        regular("a/.wh..wh..opq"),
        findings="N6",
    ),
    layer("B7-type-V", entry("v", b"volume", type=b"V"), regular("f"), findings="B7"),
    layer("B7-type-D", entry("v", type=b"D"), regular("f"), findings="B7"),
    *(
        layer(f"B7-type-{t.decode()}", entry("v", b"volume", type=t), regular("f"), findings="B7=")
        for t in [b"M", b"X", b"A", b"N", b"Z", b"8"]
    ),
    layer("B7-dumpdir-with-data", entry("v/", b"Yf\0\0", type=b"D"), regular("v/f"), findings="B7"),
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
    ),
    layer(
        "B8-block-both",
        regular("f", xattrs={"user.a": pattern(300)}),
        regular("f", xattrs={"user.b": pattern(200)}),
    ),
    layer(
        "B8-directory",
        directory("d", xattrs={"user.a": b"1"}),
        directory("d", xattrs={"user.b": b"2"}),
        findings="B8",
    ),
    layer(
        "B8-marker-in-block",
        directory("d", xattrs={"security.x": pattern(60)}),
        regular("d/.wh..wh..opq"),
        directory("d"),
        findings="B8",
    ),
    layer(
        "B8-type-change", regular("f", xattrs={"user.a": b"1"}), fifo("f"), symlink("f", "x"), findings="B8"
    ),
    layer("B8-whiteout-over-empty", regular("f", xattrs={"user.a": b"1"}), regular(".wh.f"), findings="B9"),
    layer("B9-file-again", regular("f", b"1"), regular("f", b"22"), findings="B9"),
    layer("B9-file-over-long-symlink", symlink("f", "t" * 80), regular("f"), findings="B9"),
    layer("B9-directory-over-file", regular("f"), directory("f"), regular("f/x"), findings="B9"),
    layer("B9-file-over-directory", directory("f"), regular("f/x"), regular("f"), findings="B9"),
    layer("B9-whiteout-beside-file", regular("f", b"1"), regular(".wh.f"), findings="B9"),
    layer("B9-whiteout-beside-directory", directory("f"), regular(".wh.f"), findings="B9"),
    layer("B9-file-beside-whiteout", regular(".wh.f"), regular("f", b"1")),
    layer("B9-directory-beside-whiteout", regular(".wh.f"), directory("f"), findings="B9"),
    layer("B9-implicit-directory-beside-whiteout", regular(".wh.f"), regular("f/x"), findings="B13 B9"),
    layer("B9-link-beside-whiteout", regular("a"), regular(".wh.f"), hardlink("f", "a"), findings="B9"),
    layer("B9-whiteout-twice", regular(".wh.f"), regular(".wh.f")),
    layer(
        "B9-whiteout-beside-linked-file", regular("f"), hardlink("g", "f"), regular(".wh.f"), findings="B9"
    ),
    layer("B9-whiteout-beside-symlink", symlink("f", "t" * 80), regular(".wh.f"), findings="B9"),
    layer("B9-whiteout-beside-device", fifo("f", mode=0o600), regular(".wh.f"), findings="B9"),
    layer("B9-link-over-single", regular("a", b"1"), regular("b", b"2"), hardlink("b", "a"), findings="B9"),
    layer("B9-link-over-itself", regular("a", b"1"), hardlink("a", "a"), findings="B9"),
    layer("B9-link-over-directory", regular("a", b"1"), directory("b"), hardlink("b", "a"), findings="B9"),
    layer("B9-file-as-parent", regular("a"), regular("a/b"), refusal="InvalidEntry"),
    layer("B9-root-as-file", regular("/", b"1"), refusal="InvalidEntry"),
    layer("B9-whiteout-then-directory", regular(".wh.f"), directory("f"), findings="B9"),
    layer(
        "B9-whiteout-then-directory-twice", regular(".wh.f"), directory("f"), directory("f"), findings="B9"
    ),
    layer(
        "B9-whiteout-then-parent-twice", regular(".wh.f"), regular("f/x"), directory("f"), findings="B13 B9"
    ),
    layer("B9-whiteout-of-nothing", regular(".wh."), refusal="InvalidEntry"),
    layer("B9-whiteout-dot", directory("a"), regular("a/.wh.."), refusal="InvalidEntry"),
    layer("B9-whiteout-dotdot", directory("a"), regular("a/.wh..."), refusal="InvalidEntry"),
    layer("B10-opaque-over-file", regular("a"), regular("a/.wh..wh..opq"), refusal="B10"),
    layer(
        "B11-through-symlink",
        directory("usr/lib"),
        symlink("lib", "usr/lib"),
        regular("lib/x", b"1"),
        findings="B11 B13",
    ),
    layer(
        "B11-through-absolute-symlink",
        directory("usr"),
        symlink("u", "/usr"),
        directory("u/d"),
        regular("u/d/x"),
        findings="B11",
    ),
    layer(
        "B11-through-dotdot-symlink",
        directory("a/b"),
        symlink("a/l", "../../../a/b"),
        regular("a/l/x"),
        findings="B11 B13",
    ),
    layer("B11-dangling-symlink", symlink("l", "nowhere/d"), regular("l/x"), findings="B11 B13"),
    layer(
        "B11-long-symlink-again",
        symlink("l", "t" * 80),
        symlink("l", "d"),
        regular("l/x"),
        findings="B11 B13 B9",
    ),
    layer("B11-symlink-loop", symlink("a", "b"), symlink("b", "a"), regular("a/x"), refusal="InvalidEntry"),
    layer(
        "B11-whiteout-through-symlink", directory("d"), symlink("l", "d"), regular("l/.wh.x"), findings="B11"
    ),
    layer(
        "B11-opaque-through-symlink",
        directory("d"),
        symlink("l", "d"),
        regular("l/.wh..wh..opq"),
        findings="B11",
    ),
    layer("B12-link-to-nothing", hardlink("h", "missing"), refusal="InvalidEntry"),
    layer("B12-link-to-later", hardlink("h", "later"), regular("later", b"1"), refusal="InvalidEntry"),
    layer("B12-link-to-directory", directory("d"), hardlink("h", "d"), refusal="InvalidEntry"),
    layer("B12-link-through-missing", hardlink("h", "no/where"), refusal="InvalidEntry"),
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
    layer("B15-xattr-too-large", regular("f", xattrs={"user.a": pattern(4048)}), refusal="B15"),
    layer(
        "B15-xattrs-too-many",
        regular("f", xattrs=xattr_set(*(f"user.{i}" for i in range(60)), size=60)),
        refusal="B15",
    ),
    layer("B16-symlink-empty", symlink("s", ""), refusal="B16"),
    layer("B16-symlink-4096", symlink("s", "t" * 4096), refusal="B16"),
    layer("B16-symlink-5000", symlink("s", "t" * 5000), refusal="B16"),
    layer("uid-negative", regular("f", uid=-2, gid=-(1 << 31))),
    layer("B17-uid-below-negatives", regular("f", uid=-(1 << 31) - 1), refusal="B17"),
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
        findings="B18 N16",
    ),
    layer("B19-inline-again", regular("f", pattern(100)), regular("f", pattern(90)), findings="B9"),
    layer(
        "B19-inline-empty-again",
        regular("f", b""),
        regular("f", b"1"),
        regular("g", b"1"),
        symlink("g", "x"),
        findings="B9",
    ),
    layer("B19-inline-opaque", regular("f", pattern(50)), regular("f/.wh..wh..opq"), refusal="B10"),
    layer("B19-system-data-given", regular("f", pattern(50), xattrs={"system.data": b"1"}), findings="B19"),
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
        findings="B13 B3 B4 N3",
    ),
    layer(
        "N3-opaque-of-old",
        directory("a", mtime="-5", atime="3000000000", ctime="-99999999999"),
        regular("a/.wh..wh..opq"),
        regular("a/.wh..wh..opq"),
        findings="B3 B4 B4b N3",
    ),
    layer(
        "N3-copy-of-overflow", directory("a", mtime="15032385535.999999999"), regular("a/b/f"), findings="B13"
    ),
    layer("N5-devmajor-4096", char_device("c", 4096, 0), refusal="N5"),
    layer("N5-devminor-2-20", block_device("b", 8, 1 << 20), refusal="N5"),
    layer("N5-devminor-negative", block_device("b", 8, -1), refusal="N5"),
    layer("N5-dev-of-regular", regular("f", devmajor=99999, devminor=-5)),
    layer("N6-unknown-prefix", regular("f", xattrs={"com.apple.x": b"1", "user.a": b"2"}), findings="N6"),
    layer("N6-empty-xattr-name", regular("f", xattrs={"": b"1"}), findings="N6"),
    layer("N6-prefix-only", regular("f", xattrs={"user": b"1"}), findings="N6"),
    layer("N6-prefixes-without-names", regular("f", xattrs={"user.": b"1", "trusted.": b"2"}), findings="N6"),
    layer(
        "N7-acl-suffix",
        regular("f", xattrs={"system.posix_acl_accessX": b"1", "system.richaclY": b"2"}),
        findings="N7",
    ),
    layer("N7-system-other", regular("f", xattrs={"system.nfs4_acl": b"1"})),
    layer("N7-richacl", regular("f", xattrs={"system.richacl": b"1"})),
    *(
        layer(
            f"N12-user-xattr-{name}",
            make({"user.a": b"1", "trusted.a": b"2"}),
            findings="N12",
        )
        for name, make in N12_NODES.items()
    ),
    *(
        layer(f"N13-capability-{name}", regular("f", xattrs={"security.capability": value}), refusal="N13")
        for name, value in {
            "empty": b"",
            "short": CAPABILITY[:-1],
            "revision-3-short": b"\0\0\0\3" + CAPABILITY[4:],
            "revision-4": b"\0\0\0\4" + CAPABILITY[4:] + bytes(4),
            "unknown-flag": b"\2\0\0\2" + CAPABILITY[4:],
        }.items()
    ),
    layer(
        "capability-revisions",
        regular("one", xattrs={"security.capability": b"\0\0\0\1" + CAPABILITY[4:12]}),
        regular("two", xattrs={"security.capability": CAPABILITY}),
        regular("three", xattrs={"security.capability": b"\1\0\0\3" + CAPABILITY[4:] + b"\1\2\3\4"}),
    ),
    layer(
        "N14-overlay-xattrs",
        directory("d", xattrs={"trusted.overlay.redirect": b"/etc", "trusted.overlay.opaque": b"y"}),
        regular("f", b"1", xattrs={"trusted.overlay.metacopy": b"", "trusted.other": b"1"}),
        findings="N14",
    ),
    layer("N15-opaque-root", regular(".wh..wh..opq"), regular("f"), findings="N15"),
    layer("N16-whiteout-directory", directory(".wh.x/"), regular("d/.wh.y/"), findings="B13 N16"),
    layer("N17-not-a-layer", end=bytes(1080) + b"\x53\xef" + bytes(4000), findings="N17"),
    layer("N18-path-4095", pax({"path": "/".join(["n" * 255] * 16)}), regular("f"), findings="B13"),
    layer("N18-path-4097", pax({"path": "/".join(["n" * 255] * 16 + ["f"])}), regular("f"), refusal="N18"),
    layer(
        "N18-path-beside-the-last",
        pax({"path": "/".join(["n" * 250] * 16) + "/f"}),
        regular("f"),
        pax({"path": "/".join(["n" * 250] * 16) + "/" + "f" * 200}),
        regular("f"),
        refusal="N18",
    ),
    layer("N9-many-inodes", *(regular(f"f{i}") for i in range(3000))),
    layer("invalid-name-256", regular("n" * 256), refusal="InvalidEntry"),
    layer("invalid-link-name-256", regular("a"), hardlink("b", "n" * 256), refusal="InvalidEntry"),
    layer("name-256-as-parent", regular("n" * 256 + "/f"), refusal="InvalidEntry"),
    layer("N11-name-with-nul", pax_sparse(b"a\0b/c\0", 0, [], version="1.0"), refusal="N11"),
    layer("file-too-big", header("f", replace={124: base256((1 << 37) + 1, 12)}), refusal="DiskSizeExceeded"),
    layer(
        "file-largest-then-cut",
        header("f", replace={124: base256(1 << 37, 12)}),
        end=b"x" * 10,
        refusal="TruncatedTar",
    ),
]
