"""Extended headers: records of one entry, and global ones."""

from __future__ import annotations

from tarfiles import directory, global_pax, gnu_long, header, padded, pax, pax_body, regular, symlink

from layers.table import layer

PAX = [
    layer(
        "pax-all",
        pax({"path": "p/q", "uid": "77", "gid": "88", "mtime": "9.25", "atime": "-1.5", "ctime": "4"}),
        regular("f"),
        findings="B13 B3",
    ),
    layer("pax-size", pax({"size": "5"}), header("f", size=0) + padded(b"12345")),
    layer("pax-size-overrides-larger", pax({"size": "0"}), header("f", size=512), regular("g")),
    layer("pax-size-on-directory", pax({"size": "512"}), directory("d"), regular("g")),
    layer("pax-size-negative", pax({"size": "-1"}), regular("f"), refusal="InvalidTar"),
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
    layer("pax-length-5", pax(b"5 a=\n"), regular("f")),
    layer("pax-length-6", pax(b"6 a=1\n"), regular("f")),
    *(
        layer(f"pax-bad-{name}", pax(body), regular("f"), refusal="InvalidTar")
        for name, body in {
            "trailing-nul": b"8 uid=1\n\0",
            "no-newline": b"8 uid=1x",
            "too-long": b"99 uid=1\n",
            "too-short": b"4 u=1\n",
            "second-too-long": b"8 uid=1\n99 gid=1\n",
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
        findings="B3",
    ),
    layer(
        "pax-time-edges",
        *(
            regular(f"t{i}", mtime=str(t))
            for i, t in enumerate([-(1 << 63), (1 << 63) - 1, -62135596800, -62135596799, -62135596801])
        ),
        findings="B4b",
    ),
    layer("pax-time-wraps", regular("t", mtime="-9223372036854775808.5"), findings="B4b"),
    layer("pax-time-too-large", regular("t", mtime="9223372036854775808"), refusal="InvalidTar"),
    layer("pax-time-zero-time-with-ns", regular("t", mtime="-62135596800.000000001"), findings="B4b"),
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
    layer("B7-global-with-parents", global_pax({"comment": "x"}, name="some/where/g"), findings="B7"),
    layer(
        "N4-global-unstable",
        *(global_pax({"path": f"p{i}", "uid": "x"}, name="g") for i in range(8)),
        findings="B7",
    ),
    layer("global-bad-syntax", global_pax(b"8 uid=1\n\0"), regular("f"), refusal="InvalidTar"),
    layer("global-empty", global_pax(b""), regular("f"), findings="B7"),
]
