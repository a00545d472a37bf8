"""Tar archives built byte by byte: every header format, pax record and sparse form, right or wrong.

A layer is a concatenation of parts: `archive(directory("a"), regular("a/f", b"data"))`. Names are bytes or
str (UTF-8). A value that does not fit its field goes where tar puts it: numbers to base-256, long names to a
pax record. `replace={offset: bytes}` patches a header before its checksum is made, so that any field can be
corrupted; `checksum=b"..."` gives the checksum field itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

BLOCK = 512
END = bytes(2 * BLOCK)
Text = bytes | str
Time = int | str | bytes  # a text goes into a pax record as it is
Records = Mapping[Text, Text] | Sequence[tuple[Text, Text]]

MAGIC = {"ustar": b"ustar\0" + b"00", "star": b"ustar\0" + b"00", "gnu": b"ustar  \0", "v7": bytes(8)}
TYPES = {
    "regular": b"0",
    "hardlink": b"1",
    "symlink": b"2",
    "char": b"3",
    "block": b"4",
    "directory": b"5",
    "fifo": b"6",
}


def raw(text: Text) -> bytes:
    return text.encode() if isinstance(text, str) else text


def padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % BLOCK)


def number(value: int, width: int) -> bytes:
    """Octal if it fits, else base-256 (negative values too)."""
    digits = b"%0*o" % (width - 1, value) if value >= 0 else b""
    if 0 < len(digits) < width:
        return digits + b"\0"
    return base256(value, width)


def base256(value: int, width: int) -> bytes:
    encoded = value.to_bytes(width, "big", signed=True)
    return bytes([encoded[0] | 0x80]) + encoded[1:]


def header(
    name: Text = b"",
    *,
    type: bytes = b"0",
    size: int = 0,
    mode: int = 0o644,
    uid: int = 0,
    gid: int = 0,
    mtime: int = 0,
    linkname: Text = b"",
    devmajor: int = 0,
    devminor: int = 0,
    prefix: Text = b"",
    atime: int | None = None,
    ctime: int | None = None,
    format: str = "ustar",
    replace: Mapping[int, bytes] | None = None,
    checksum: bytes | None = None,
) -> bytes:
    """One 512-byte header. `atime` and `ctime` have fields in the formats `gnu` and `star` only."""
    block = bytearray(BLOCK)

    def put(offset: int, width: int, value: bytes) -> None:
        if len(value) > width:
            raise ValueError(f"{value!r} has {len(value)} bytes, the field at {offset} holds {width}")
        block[offset : offset + len(value)] = value

    put(0, 100, raw(name))
    put(100, 8, number(mode, 8))
    put(108, 8, number(uid, 8))
    put(116, 8, number(gid, 8))
    put(124, 12, number(size, 12))
    put(136, 12, number(mtime, 12))
    put(156, 1, type)
    put(157, 100, raw(linkname))
    put(257, 8, MAGIC[format])
    if format != "v7":
        put(329, 8, number(devmajor, 8))
        put(337, 8, number(devminor, 8))
        put(345, {"ustar": 155, "star": 131, "gnu": 155}[format], raw(prefix))
    if format == "star":
        put(508, 4, b"tar\0")
        put(476, 12, number(atime or 0, 12))
        put(488, 12, number(ctime or 0, 12))
    elif format == "gnu":
        if atime is not None:
            put(345, 12, number(atime, 12))
        if ctime is not None:
            put(357, 12, number(ctime, 12))
    for offset, value in (replace or {}).items():
        put(offset, BLOCK - offset, value)
    if checksum is None:
        block[148:156] = b" " * 8
        checksum = b"%06o\0 " % sum(block)
    put(148, 8, checksum)
    return bytes(block)


def pax_record(key: Text, value: Text) -> bytes:
    """One record, its length field counting itself."""
    body = b" " + raw(key) + b"=" + raw(value) + b"\n"
    length = len(body) + 1
    while len(b"%d" % length) + len(body) != length:
        length = len(b"%d" % length) + len(body)
    return b"%d" % length + body


def pax_body(records: Records) -> bytes:
    pairs: Iterable[tuple[Text, Text]] = records.items() if isinstance(records, Mapping) else records
    return b"".join(pax_record(key, value) for key, value in pairs)


def pax(
    records: Records | bytes, *, type: bytes = b"x", name: Text = b"PaxHeaders/x", **fields: Any
) -> bytes:
    """An extended header; bytes are taken as its body as they are."""
    body = records if isinstance(records, bytes) else pax_body(records)
    fields.setdefault("size", len(body))
    return header(name, type=type, **fields) + padded(body)


def global_pax(records: Records | bytes, *, name: Text = b"pax_global_header", **fields: Any) -> bytes:
    return pax(records, type=b"g", name=name, **fields)


def gnu_long(type: bytes, value: bytes) -> bytes:
    """A GNU long name (`L`) or long link name (`K`) entry."""
    return header(b"././@LongLink", type=type, size=len(value), format="gnu") + padded(value)


def entry(
    name: Text,
    data: bytes = b"",
    *,
    type: bytes = b"0",
    size: int | None = None,
    linkname: Text = b"",
    mtime: Time = 0,
    atime: Time | None = None,
    ctime: Time | None = None,
    xattrs: Mapping[Text, bytes] | None = None,
    records: Records | None = None,
    format: str = "ustar",
    **fields: Any,
) -> bytes:
    """A whole entry: extended header where one is needed, header, data, padding."""
    name, linkname = raw(name), raw(linkname)
    extended: list[tuple[Text, Text]] = []
    long = b""
    if len(name) > 100:
        if format == "gnu":
            long += gnu_long(b"L", name + b"\0")
        else:
            extended.append((b"path", name))
        name = name[:100]
    if len(linkname) > 100:
        if format == "gnu":
            long += gnu_long(b"K", linkname + b"\0")
        else:
            extended.append((b"linkpath", linkname))
        linkname = linkname[:100]
    times: dict[str, Any] = {}
    for key, time in (("mtime", mtime), ("atime", atime), ("ctime", ctime)):
        if isinstance(time, (str, bytes)):
            extended.append((key, time))
        elif time is not None and (key == "mtime" or format in ("gnu", "star")):
            times[key] = time
        elif time is not None:
            extended.append((key, str(time)))
    extended += [(b"SCHILY.xattr." + raw(key), value) for key, value in (xattrs or {}).items()]
    if records is not None:
        extended += records.items() if isinstance(records, Mapping) else records
    return (
        (pax(extended) if extended else b"")
        + long
        + header(
            name,
            type=type,
            size=len(data) if size is None else size,
            linkname=linkname,
            format=format,
            **times,
            **fields,
        )
        + padded(data)
    )


def directory(name: Text, **fields: Any) -> bytes:
    fields.setdefault("mode", 0o755)
    return entry(name, type=TYPES["directory"], **fields)


def regular(name: Text, data: bytes = b"", **fields: Any) -> bytes:
    return entry(name, data, type=TYPES["regular"], **fields)


def symlink(name: Text, target: Text, **fields: Any) -> bytes:
    fields.setdefault("mode", 0o777)
    return entry(name, type=TYPES["symlink"], linkname=target, **fields)


def hardlink(name: Text, target: Text, **fields: Any) -> bytes:
    return entry(name, type=TYPES["hardlink"], linkname=target, **fields)


def char_device(name: Text, major: int, minor: int, **fields: Any) -> bytes:
    return entry(name, type=TYPES["char"], devmajor=major, devminor=minor, **fields)


def block_device(name: Text, major: int, minor: int, **fields: Any) -> bytes:
    return entry(name, type=TYPES["block"], devmajor=major, devminor=minor, **fields)


def fifo(name: Text, **fields: Any) -> bytes:
    return entry(name, type=TYPES["fifo"], **fields)


Fragments = Sequence[tuple[int, bytes]]  # offset and content of what is not a hole


def gnu_sparse(name: Text, size: int, fragments: Fragments, **fields: Any) -> bytes:
    """A sparse file of the old GNU form: four map entries in the header, then 21 in each further block.

    `size` is the logical size; `stored` replaces what the size field says.
    """
    sparse_map = [number(offset, 12) + number(len(data), 12) for offset, data in fragments]
    first, rest = sparse_map[:4], sparse_map[4:]
    replace = {386: b"".join(first), 482: bytes([bool(rest)]), 483: number(size, 12)}
    replace |= fields.pop("replace", {})
    extension = b""
    while rest:
        now, rest = rest[:21], rest[21:]
        extension += b"".join(now).ljust(504, b"\0") + bytes([bool(rest)]) + bytes(7)
    data = b"".join(data for _, data in fragments)
    stored = fields.pop("stored", len(data))
    return (
        entry(name, type=b"S", size=stored, format="gnu", replace=replace, **fields)
        + extension
        + padded(data)
    )


def pax_sparse(name: Text, size: int, fragments: Fragments, *, version: str, **fields: Any) -> bytes:
    """A sparse file of pax form 0.0, 0.1 or 1.0."""
    data = b"".join(data for _, data in fragments)
    pairs = [(offset, len(data)) for offset, data in fragments]
    flat = [value for pair in pairs for value in pair]
    major, minor = version.split(".")
    records: list[tuple[Text, Text]] = [("GNU.sparse.major", major), ("GNU.sparse.minor", minor)]
    if version == "1.0":
        records += [("GNU.sparse.name", name), ("GNU.sparse.realsize", str(size))]
        data = padded(b"".join(b"%d\n" % value for value in [len(pairs), *flat])) + data
    else:
        records += [("GNU.sparse.size", str(size)), ("GNU.sparse.numblocks", str(len(pairs)))]
        if version == "0.0":
            for offset, length in pairs:
                records += [("GNU.sparse.offset", str(offset)), ("GNU.sparse.numbytes", str(length))]
        else:
            records += [("GNU.sparse.map", ",".join(map(str, flat)))]
            records += [("GNU.sparse.name", name)]
    records += fields.pop("records", [])
    stored_name = name if version == "0.0" else b"GNUSparseFile.1/x"
    return entry(stored_name, data, records=records, **fields)


def archive(*parts: bytes, end: bytes = END) -> bytes:
    return b"".join(parts) + end


def acl(*entries: tuple[int, int, int], version: int = 2) -> bytes:
    """An ACL as tar records hold it: (tag, permissions, id) each; the id of unnamed tags is 0xFFFFFFFF."""
    body = b"".join(
        tag.to_bytes(2, "little") + perm.to_bytes(2, "little") + id.to_bytes(4, "little")
        for tag, perm, id in entries
    )
    return version.to_bytes(4, "little") + body


NO_ID = 0xFFFFFFFF
ACL_ACCESS = acl((1, 6, NO_ID), (2, 4, 1000), (4, 4, NO_ID), (8, 6, 4), (16, 6, NO_ID), (32, 4, NO_ID))
ACL_DEFAULT = acl((1, 7, NO_ID), (4, 5, NO_ID), (8, 5, 4), (16, 5, NO_ID), (32, 0, NO_ID))
