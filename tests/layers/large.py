"""More bytes or entries than the rest: these run with few options."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from tarfiles import END, Records, directory, entry, hardlink, header, padded, pax_sparse, regular

from layers.table import MIB, made, pattern


def subdirectories(count: int) -> Iterable[bytes]:
    return [directory("d"), *(directory(f"d/{i}") for i in range(count)), END]


def links(count: int) -> Iterable[bytes]:
    return [regular("f"), *(hardlink(f"l{i % 100}/{i}", "f") for i in range(count)), END]


def empty_files(count: int) -> Iterator[bytes]:
    """Files in 100 directories, one inode each: of one header the name and the checksum change."""
    yield from (directory(f"d{i:02}") for i in range(100))
    model = bytearray(header(b"d00/0000000"))
    base = sum(model[11:148]) + sum(model[156:]) + 8 * 32
    for i in range(count - 100):
        name = b"d%02d/%07d" % (i % 100, i)
        model[:11] = name
        model[148:156] = b"%06o\0 " % (base + sum(name))
        yield bytes(model)
    yield END


def sparse_map(entries: int) -> Iterable[bytes]:
    """A map of pax form 1.0 with entries of 4 bytes, all of them empty."""
    records: Records = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "600"}
    return [entry("f", padded(b"%d\n" % entries + b"5\n0\n" * entries), records=records), regular("g"), END]


LARGE = [
    made("sparse-map-of-1-mib", lambda: sparse_map(262_140)),
    made("sparse-map-over-1-mib", lambda: sparse_map(262_143), refusal="InvalidTar"),
    made(
        "two-extents", lambda: [pax_sparse("f", 128 * MIB + 1, [(5, b"x")], version="1.0"), regular("g"), END]
    ),
    made(
        "extent-index",
        lambda: [
            directory("d"),
            pax_sparse("d/f", 512 * MIB + 1, [(0, b"a"), (512 * MIB, b"z")], version="1.0"),
            regular("g", b"1"),
            END,
        ],
    ),
    made("B23-subdirectories-64998", lambda: subdirectories(64998)),
    made("B23-subdirectories-64999", lambda: subdirectories(64999), "B23"),
    made("B23-links-65000", lambda: links(64999), "B13"),
    made("B23-links-65001", lambda: links(65000), refusal="DiskSizeExceeded"),
    made(
        "groups-of-inodes",
        lambda: [*(regular(f"{i % 50}/{i}", pattern(i % 50)) for i in range(36000)), END],
        "B13",
    ),
    made("deep-path", lambda: [regular("/".join(["d"] * 2000)), regular("/".join(["e"] * 1000)), END], "B13"),
    made(
        "extents-339",
        lambda: [
            pax_sparse("f", 339 * 128 * MIB, [(0, b"a"), (339 * 128 * MIB - 1, b"z")], version="1.0"),
            END,
        ],
    ),
    made(
        "B1-340-extents",
        lambda: [
            pax_sparse("f", 340 * 128 * MIB, [(0, b"a"), (340 * 128 * MIB - 1, b"z")], version="1.0"),
            END,
        ],
        "B1",
    ),
    made(
        "B1-341-extents",
        lambda: [
            pax_sparse("f", 340 * 128 * MIB + 4097, [(7, b"a")], version="1.0"),
            regular("g", b"1"),
            END,
        ],
        "B1",
    ),
]
# A gigabyte of headers each, and minutes of the reference's time. Root, lost+found and the nine reserved numbers
# come on top.
HUGE = [
    made("N2-no-groups", lambda: empty_files(2_097_345 - 11), "N2"),
    made("N2b-wrapped", lambda: empty_files(2_097_361 - 11), "N2"),
]
