"""More bytes or entries than the rest: these run with few options."""

from __future__ import annotations

from tarfiles import archive, directory, hardlink, header, pax_sparse, regular

from layers.table import MIB, Layer, pattern


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
