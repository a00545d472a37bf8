"""Hypothesis strategies: layers that are mostly sound, and archives that are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from hypothesis import strategies as st
from layers import pattern
from tarfiles import (
    ACL_ACCESS,
    ACL_DEFAULT,
    BLOCK,
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
    pax,
    pax_sparse,
    regular,
    symlink,
)

SIZES = st.one_of(
    st.sampled_from([0, 0, 0, 1, 59, 60, 61, 135, 136, 137, 511, 512, 4095, 4096, 4097, 8192, 40960, 70001]),
    st.integers(0, 20000),
)
_EDGE_SECONDS = [
    0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**32, 2**33, 3 * 2**32 - 1, 0x37FFFFFFF, 0x380000000,
    -(2**31), -(2**31) - 1, -62135596800, 2**63 - 1, -(2**63), 1700000000,
]  # fmt: skip
_FRACTIONS = ["", ".", ".5", ".000000001", ".999999999", ".123456789123", ".0"]
SANE_TIMES = st.integers(0, 2**31 - 1) | st.builds(
    lambda s, f: f"{s}{f}", st.integers(0, 2**31 - 1), st.sampled_from(_FRACTIONS)
)
EDGE_TIMES = st.builds(
    lambda s, f: f"{s}{f}",
    st.sampled_from(_EDGE_SECONDS) | st.integers(-(2**34), 2**35),
    st.sampled_from(_FRACTIONS),
)
_NO_DOT_SLASH_NUL = bytes.maketrans(b"./\0", b",-0")
COMPONENTS = st.one_of(
    st.sampled_from(
        [b"a", b"b", b"c", b"bin", b"etc", b"\xc3\xa4", b"\xff\x80", b"a b", b"x\\y", b"\n", b"..."]
    ),
    st.builds(
        lambda n, c: c * n,
        st.sampled_from([1, 4, 5, 12, 99, 200, 247, 252, 255]),
        st.sampled_from([b"n", b"m"]),
    ),
    st.binary(min_size=1, max_size=6).map(lambda b: b.translate(_NO_DOT_SLASH_NUL)),
)
_PREFIXES = [
    b"user.",
    b"user.",
    b"user.",
    b"trusted.",
    b"trusted.",
    b"security.",
    b"security.",
    b"system.",
    b"",
]
XATTR_NAMES = st.one_of(
    st.builds(
        lambda prefix, n, c: prefix + c * n,
        st.sampled_from(_PREFIXES[:7]),
        st.sampled_from([1, 2, 3, 4, 5, 8, 17, 30, 76, 80]),
        st.sampled_from([b"a", b"b", b"z", b"\xff"]),
    ),
    st.builds(lambda prefix, i: prefix + b"k%d" % i, st.sampled_from(_PREFIXES[:7]), st.integers(0, 300)),
)
_ODD_LENGTHS = [0, 238, 239, 240, 255, 256]
ODD_XATTR_NAMES = st.one_of(
    st.builds(lambda prefix, n: prefix + b"n" * n, st.sampled_from(_PREFIXES), st.sampled_from(_ODD_LENGTHS)),
    st.sampled_from(
        [
            b"system.posix_acl_access",
            b"system.posix_acl_default",
            b"system.posix_acl_accessX",
            b"system.richacl",
            b"system.richacl2",
            b"system.data",
            b"trusted.overlay.opaque",
            b"com.apple.quarantine",
            b"user",
        ]
    ),
)
XATTR_SIZES = st.one_of(
    st.integers(0, 40),
    st.sampled_from([0, 1, 3, 4, 60, 72, 76, 77, 80, 81, 200, 1000, 2000, 3900, 4036, 4040, 4044]),
)


@st.composite
def xattrs(draw: st.DrawFn, odd: bool = True) -> dict[bytes, bytes]:
    names = draw(st.lists(XATTR_NAMES, max_size=draw(st.sampled_from([0, 1, 2, 4, 20, 60])), unique=True))
    if odd and draw(st.integers(0, 5)) == 0:
        names += draw(st.lists(ODD_XATTR_NAMES, min_size=1, max_size=2, unique=True))
    small = len(names) > 4
    found = {}
    for i, name in enumerate(names):
        size = draw(st.integers(0, 24)) if small else draw(XATTR_SIZES)
        found[name] = pattern(size, i)
        if name.startswith(b"system.posix_acl") and draw(st.booleans()):
            found[name] = draw(st.sampled_from([ACL_ACCESS, ACL_DEFAULT]) | acls())
    return found


@st.composite
def acls(draw: st.DrawFn) -> bytes:
    tags = st.sampled_from([1, 2, 4, 8, 16, 32])
    entries = st.tuples(tags, st.integers(0, 7), st.sampled_from([0, 1000, NO_ID]))
    return acl(*draw(st.lists(entries, max_size=8)))


@dataclass
class Names:
    """What the layer holds so far, by kind, so that most of the entries drawn next are possible."""

    directories: list[bytes] = field(default_factory=lambda: [b""])
    files: list[bytes] = field(default_factory=list)
    others: list[bytes] = field(default_factory=list)

    @property
    def all(self) -> list[bytes]:
        return self.directories + self.files + self.others


@st.composite
def entries(draw: st.DrawFn, chaos: bool = True) -> list[bytes]:
    """The parts of one archive. Without chaos all of it is sound and every name is used once."""
    names = Names()
    parts = []
    for _ in range(draw(st.integers(0, 14))):
        if chaos and draw(st.integers(0, 9)) == 0:
            parts.append(draw(odd_entry(names)))
        else:
            parts.append(draw(sound_entry(names, chaos)))
    return parts


@st.composite
def sound_entry(draw: st.DrawFn, names: Names, chaos: bool) -> bytes:
    parent = draw(st.sampled_from(names.directories))
    taken = {path.rstrip(b"/") for path in names.all} | {b"lost+found"}
    if draw(st.integers(0, 6)) == 0:  # a parent that no entry makes
        implicit = parent + draw(COMPONENTS)
        if chaos or implicit not in taken:
            taken.add(implicit)
            parent = implicit + b"/"
            names.directories.append(parent)
    name = parent + draw(COMPONENTS)
    if not chaos and name in taken:
        name = parent + b"new-%d" % len(taken)
    fields = draw(attributes(chaos))
    kind = draw(
        st.sampled_from(["d", "d", "d", "f", "f", "f", "f", "l", "h", "h", "s", "c", "b", "p", "w", "o"])
    )
    if kind == "d":
        names.directories.append(name + b"/")
        return directory(name + draw(st.sampled_from([b"", b"/"])), **fields)
    if kind == "l":
        names.others.append(name)
        size = draw(st.sampled_from([1, 5, 58, 59, 60, 61, 100, 101, 300, 4095]))
        return symlink(name, b"t" * size, **fields)
    if kind == "h" and names.files + names.others:
        target = draw(st.sampled_from(names.files + names.others))
        names.others.append(name)
        return hardlink(name, target, format=fields["format"])
    if kind == "s":
        names.files.append(name)
        return draw(sparse_file(name))
    if kind in "cb":
        names.others.append(name)
        major, minor = draw(st.sampled_from([(1, 3), (0, 0), (8, 300), (4095, 0xFFFFF), (255, 256)]))
        return (char_device if kind == "c" else block_device)(name, major, minor, **fields)
    if kind == "p":
        names.others.append(name)
        return fifo(name, **fields)
    if kind == "w" and chaos:
        return regular(parent + b".wh." + draw(COMPONENTS))
    if kind == "o" and chaos:
        return regular(draw(st.sampled_from(names.directories)) + b".wh..wh..opq")
    names.files.append(name)
    return regular(name, pattern(draw(SIZES), len(name)), **fields)


@st.composite
def attributes(draw: st.DrawFn, chaos: bool = True) -> dict[str, object]:
    """Fields of an entry; often the plain ones, so that findings do not hide everything else."""
    fields: dict[str, object] = {
        "format": draw(st.sampled_from(["ustar", "ustar", "ustar", "gnu", "star", "v7"]))
    }
    if draw(st.booleans()):
        fields["mode"] = draw(st.sampled_from([0, 0o644, 0o755, 0o4755, 0o2770, 0o1777, 0o7777, 0o100600]))
        fields["uid"] = draw(st.sampled_from([0, 1, 1000, 65535, 65536, 2**32 - 2]))
        fields["gid"] = draw(st.sampled_from([0, 1, 1000, 65535, 65536, 2**32 - 2]))
        if chaos and draw(st.integers(0, 19)) == 0:
            fields["uid"] = draw(st.sampled_from([-1, 2**32 - 1, 2**32, 2**40 + 5]))
    if draw(st.booleans()):
        for key in ["mtime", "atime", "ctime"]:
            if key == "mtime" or draw(st.booleans()):
                edge = chaos and draw(st.integers(0, 5)) == 0
                fields[key] = draw(EDGE_TIMES if edge else SANE_TIMES)
    if draw(st.integers(0, 2)) == 0:
        fields["xattrs"] = draw(xattrs(odd=chaos))
    return fields


@st.composite
def sparse_file(draw: st.DrawFn, name: bytes) -> bytes:
    fragments = []
    position = 0
    for i in range(draw(st.sampled_from([0, 1, 2, 5, 30]))):
        position += draw(st.sampled_from([0, 1, 512, 4096, 5000]))
        data = pattern(draw(st.sampled_from([0, 1, 100, 512, 5000])), i)
        fragments.append((position, data))
        position += len(data)
    size = position + draw(st.sampled_from([0, 1, 4096, 100000]))
    form = draw(st.sampled_from(["gnu", "0.0", "0.1", "1.0"]))
    if form == "gnu":
        return gnu_sparse(name, size, fragments)
    return pax_sparse(name, size, fragments, version=form)


@st.composite
def odd_entry(draw: st.DrawFn, names: Names) -> bytes:
    """Something that hcsshim treats in its own way or refuses."""
    old = draw(st.sampled_from(names.all))
    fresh = draw(COMPONENTS)
    data = pattern(draw(st.sampled_from([0, 0, 0, 1, 50, 100, 5000])))
    fields = draw(attributes())
    make: Callable[[], bytes] = draw(
        st.sampled_from(
            [
                lambda: regular(old or b"/", data, **fields),
                lambda: directory(old or b"/", **fields),
                lambda: symlink(old or b".", b"t" * 70, **fields),
                lambda: fifo(old.rstrip(b"/"), **fields),
                lambda: hardlink(old, fresh),
                lambda: hardlink(old.rstrip(b"/"), names.all[-1]),
                lambda: hardlink(fresh, names.all[0]),
                lambda: regular(b".wh." + fresh[:251], data),
                lambda: regular(
                    old.rstrip(b"/").rpartition(b"/")[0] + b"/.wh." + old.rstrip(b"/").rpartition(b"/")[2]
                ),
                lambda: regular(old + b"/.wh..wh..opq"),
                lambda: regular(old + b"/" + fresh, data),
                lambda: regular(b"../" + old + b"//./" + fresh + b"/../x", data),
                lambda: symlink(fresh, b""),
                lambda: symlink(fresh, b"/" + old),
                lambda: global_pax({"comment": "x", "SCHILY.xattr.user.g": "1"}),
                lambda: entry(
                    fresh, data, type=draw(st.sampled_from([b"7", b"V", b"D", b"M", b"X", b"\0", b"Q"]))
                ),
                lambda: char_device(fresh, 4096, 1 << 20),
                lambda: gnu_long(b"L", fresh + b"/x"),
                lambda: pax({"path": fresh, "uid": "5"}),
                lambda: regular(b".wh..wh.plnk/" + fresh, data),
                lambda: regular(fresh + b"n" * 250),
                lambda: regular(fresh + b"\\" + fresh, data),
            ]
        )
    )
    return make()


@st.composite
def layers(draw: st.DrawFn, chaos: bool = True) -> bytes:
    """A whole archive."""
    parts = draw(entries(chaos))
    end = draw(st.sampled_from([bytes(1024)] * 6 + [b"", bytes(512), bytes(9216), bytes(1024) + b"rest"]))
    return archive(*parts, end=end)


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """An archive with a few faults: bytes changed (checksum corrected or not), blocks moved, cut."""
    tar = bytearray(draw(layers()))
    for _ in range(draw(st.integers(1, 3))):
        if len(tar) < BLOCK:
            break
        block = draw(st.integers(0, len(tar) // BLOCK - 1)) * BLOCK
        fault = draw(
            st.sampled_from(
                ["byte", "field", "field", "field", "text", "cut", "cut", "delete", "double", "zero"]
            )
        )
        if fault == "byte":
            tar[block + draw(st.integers(0, BLOCK - 1))] = draw(st.integers(0, 255))
        elif fault == "field":
            _change_field(draw, tar, block)
        elif fault == "text":
            _change_text(draw, tar)
        elif fault == "cut":
            del tar[draw(st.integers(0, len(tar))) :]
        elif fault == "delete":
            del tar[block : block + BLOCK]
        elif fault == "double":
            tar[block:block] = tar[block : block + BLOCK]
        else:
            tar[block : block + BLOCK] = bytes(BLOCK)
    return bytes(tar)


_FIELDS = {0: 100, 100: 8, 108: 8, 116: 8, 124: 12, 136: 12, 156: 1, 157: 100, 257: 8, 329: 8, 337: 8}
_FIELDS |= {345: 12, 357: 12, 386: 12, 398: 12, 410: 12, 482: 1, 483: 12, 476: 12, 488: 12, 508: 4}
_HEADER_OFFSETS = list(_FIELDS)


def _change_field(draw: st.DrawFn, tar: bytearray, block: int) -> None:
    """Put something into a header field and make the checksum right again."""
    offset = draw(st.sampled_from(_HEADER_OFFSETS))
    width = _FIELDS[offset]
    digits = [b"", b" " * width, b"0" * width, b"7" * width, b"1" * (width - 1) + b"\0", b"8", b"-1"]
    types = [b"L", b"K", b"x", b"g", b"S", b"1", b"5", b"\0", b"V"]
    magics = [b"ustar  \0", b"ustar\x0000", b"tar\0", b"\xff" * width]
    largest = 1 << (8 * width - 3)
    values = st.one_of(
        st.sampled_from(digits + types + magics),
        st.integers(-largest, largest).map(lambda v: base256(v, width)),
        st.integers(0, 5000).map(lambda v: b"%o" % v),
        st.binary(max_size=width),
    )
    value = draw(values)[:width]
    tar[block + offset : block + offset + width] = value.ljust(width, b"\0")
    tar[block + 148 : block + 156] = b" " * 8
    tar[block + 148 : block + 156] = b"%06o\0 " % sum(tar[block : block + BLOCK])


_TEXTS = [b"SCHILY.xattr.", b"mtime=", b"path=", b"uid=", b"GNU.sparse.", b"=", b"\n", b".wh.", b"user."]


def _change_text(draw: st.DrawFn, tar: bytearray) -> None:
    """Change a byte at or behind some text of the archive, where records live."""
    position = tar.find(draw(st.sampled_from(_TEXTS)), draw(st.integers(0, len(tar))))
    if position >= 0:
        target = min(position + draw(st.integers(-4, 14)), len(tar) - 1)
        tar[max(0, target)] = draw(st.sampled_from(b"\0 \n=0123456789.-+axL/") | st.integers(0, 255))
