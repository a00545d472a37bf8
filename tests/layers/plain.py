"""What fits: the kernel mounts these, nothing is wrong with them."""

from __future__ import annotations

from tarfiles import block_device, char_device, directory, fifo, hardlink, regular, symlink

from layers.table import MIB, layer, pattern

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
    ),
    layer("lost-and-found", regular("lost+found/x", b"1")),
    layer(
        "backslashes",
        regular("a\\b\\c", b"1"),
        symlink("s", "..\\x\\y"),
        hardlink("h", "a\\b\\c"),
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
            part
            for size, xattrs in [(size, {"trusted.x": pattern(size)}) for size in [1, 500]]
            for part in [
                directory(f"d{size}", xattrs=xattrs),
                regular(f"f{size}", b"1", xattrs=xattrs),
                symlink(f"s{size}", "target", xattrs=xattrs),
                symlink(f"S{size}", "t" * 70, xattrs=xattrs),
                char_device(f"c{size}", 1, 2, xattrs=xattrs),
                fifo(f"p{size}", xattrs=xattrs),
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
        findings="B13 N16",
    ),
    layer("whiteout-longest-name", regular(b".wh." + b"n" * 251)),
    layer(
        "opaque",
        directory("a", mode=0o750, uid=3, gid=4, mtime="5.5", xattrs={"user.x": b"1"}),
        regular("a/f", b"1"),
        regular("a/.wh..wh..opq"),
    ),
    layer(
        "opaque-with-xattr-block", directory("a", xattrs={"user.x": pattern(300)}), regular("a/.wh..wh..opq")
    ),
    layer("opaque-twice", directory("a"), regular("a/.wh..wh..opq"), regular("a/.wh..wh..opq")),
    layer("B10-opaque-first", regular("a/.wh..wh..opq"), directory("a", mode=0o700), findings="B13"),
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
    layer("hardlink-over-hardlink", regular("a"), hardlink("b", "a"), hardlink("b", "a")),
    layer("replace-one-of-two-links", regular("a", b"1"), hardlink("b", "a"), regular("b", b"2")),
    layer(
        "devices",
        *(char_device(f"c{a}-{i}", a, i) for a in [0, 1, 255, 4095] for i in [0, 255, 256, 0xFFFFF]),
    ),
]
