"""Sparse files: the old GNU form, and pax 0.0, 0.1 and 1.0."""

from __future__ import annotations

from tarfiles import directory, entry, gnu_sparse, padded, pax_sparse, regular

from layers.table import MIB, layer, pattern

FRAGMENTS = [(0, pattern(512)), (10000, b"x" * 100), (65536, pattern(5000)), (200000, b"")]
SPARSE = [
    *(
        layer(
            f"sparse-pax-{version}",
            pax_sparse("sp", 300000, FRAGMENTS, version=version),
            regular("next"),
        )
        for version in ["0.0", "0.1", "1.0"]
    ),
    layer("sparse-gnu", gnu_sparse("sp", 300000, FRAGMENTS), regular("next")),
    layer(
        "sparse-gnu-extended",
        gnu_sparse("sp", 100000, [(i * 1000, pattern(9, i)) for i in range(60)]),
        regular("b"),
    ),
    layer("sparse-gnu-2047-blocks", gnu_sparse("sp", 100_000, [(i, b"x") for i in range(4 + 21 * 2047)])),
    layer(
        "sparse-gnu-2048-blocks",
        gnu_sparse("sp", 100_000, [(i, b"x") for i in range(4 + 21 * 2048)]),
        refusal="InvalidTar",
    ),
    layer("sparse-gnu-empty-map", gnu_sparse("sp", 10000, []), regular("b")),
    layer("sparse-gnu-not-gnu", entry("sp", type=b"S"), refusal="InvalidTar"),
    layer("sparse-gnu-prefix-times", gnu_sparse("sp", 600, [(0, b"x")], atime=5, ctime=6)),
    layer("sparse-gnu-overlap", gnu_sparse("sp", 600, [(10, b"xx"), (11, b"y")]), refusal="InvalidTar"),
    layer("sparse-gnu-beyond", gnu_sparse("sp", 600, [(599, b"xx")]), refusal="InvalidTar"),
    layer(
        "sparse-gnu-bad-number", gnu_sparse("sp", 600, [(0, b"x")], replace={386: b"z"}), refusal="InvalidTar"
    ),
    layer("sparse-gnu-negative-size", gnu_sparse("sp", -1, []), refusal="InvalidTar"),
    layer("sparse-gnu-missing-data", gnu_sparse("sp", 600, [(0, b"xx")], stored=1), refusal="InvalidTar"),
    layer("sparse-gnu-unreferenced", gnu_sparse("sp", 600, [(0, b"xx")], stored=3), refusal="InvalidTar"),
    layer(
        "sparse-size-0-unreferenced",
        gnu_sparse("sp", 0, [(0, b"")], stored=2) + padded(b"xy"),
        refusal="InvalidTar",
    ),
    layer("sparse-hole-only", pax_sparse("sp", 5 * MIB, [], version="1.0")),
    layer("sparse-hole-at-end", pax_sparse("sp", 100000, [(0, b"start")], version="0.1")),
    layer("sparse-1.0-name-with-nul", pax_sparse(b"a\0b", 10, [(0, b"x")], version="1.0"), refusal="N11"),
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
            refusal=refusal,
        )
        for name, (data, refusal) in {
            "two-map-blocks": (padded(b"100\n" + b"500\n0\n" * 100), None),
            "map-over-blocks": (padded(b"1\n" + b"0" * 600 + b"5\n2\n") + b"xy", None),
            "minus": (padded(b"-1\n"), "InvalidTar"),
            "plus": (padded(b"+1\n+0\n+2\n") + b"xy", None),
            "bad": (padded(b"1\nx\n2\n") + b"xy", "InvalidTar"),
            "space": (padded(b"1\n 0\n2\n") + b"xy", "InvalidTar"),
            "empty-line": (padded(b"\n0\n2\n") + b"xy", "InvalidTar"),
            "no-map": (b"", "TruncatedTar"),
            "short-map": (padded(b"5\n0\n1\n"), "TruncatedTar"),
            "huge-count": (padded(b"4611686018427387904\n"), "InvalidTar"),
            "large-count": (padded(b"4611686018427387903\n"), "TruncatedTar"),
            "no-lf": (padded(b"1" * 512), "TruncatedTar"),
            "missing": (padded(b"1\n0\n3\n") + b"xy", "InvalidTar"),
            "unreferenced": (padded(b"1\n0\n1\n") + b"xy", "InvalidTar"),
            "descending": (padded(b"2\n5\n1\n3\n1\n") + b"xy", "InvalidTar"),
            "empty-entries": (padded(b"3\n5\n0\n5\n0\n6\n2\n") + b"xy", None),
            "empty-entry-beyond": (padded(b"1\n601\n0\n"), "InvalidTar"),
            "overflow": (padded(b"1\n9223372036854775807\n1\n") + b"x", "InvalidTar"),
        }.items()
    ),
    layer(
        "sparse-1.0-directory",
        directory("d", records={"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}),
        refusal="TruncatedTar",
    ),
    layer(
        "sparse-0.1-directory",
        directory(
            "d", records={"GNU.sparse.map": "0,0", "GNU.sparse.numblocks": "1", "GNU.sparse.size": "0"}
        ),
        refusal="InvalidTar",
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
        refusal="InvalidTar",
    ),
    layer(
        "sparse-numblocks-missing",
        entry("n", b"da", records={"GNU.sparse.map": "1,2", "GNU.sparse.size": "9"}),
        refusal="InvalidTar",
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
        refusal="InvalidTar",
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
        refusal="InvalidTar",
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
    layer("sparse-whiteout-not-read", gnu_sparse(".wh.x", 600, [(0, b"xx")], stored=3)),
]
