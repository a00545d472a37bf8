"""What a mounted image must show: the tree that a layer stands for, by the entries that archive/tar lists.

Plain rules, written for layers of every kind that layerdisk accepts in its default mode: the last entry of a
name wins, directories merge, parents that no entry makes take their parent's attributes, links in paths are
followed inside the root.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

TYPES = {
    b"2": stat.S_IFLNK,
    b"3": stat.S_IFCHR,
    b"4": stat.S_IFBLK,
    b"5": stat.S_IFDIR,
    b"D": stat.S_IFDIR,
    b"6": stat.S_IFIFO,
}
NS = 1_000_000_000
EARLIEST = -(1 << 31) * NS
LATEST_SECONDS = 0x37FFFFFFF
OVERFLOW_ID = 65534  # what the kernel shows for the id -1, which is none
NAME_MAX = 255
NOTHING = hashlib.sha256().hexdigest()
KERNEL_PREFIXES = (b"user.", b"trusted.", b"security.")
KERNEL_NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")
LONGEST_XATTR_NAME = (
    255  # XATTR_NAME_MAX, prefix included: the kernel lists longer ones but does not read them
)
EMPTY_ACL_BYTES = 4  # an ACL without entries is none
OVERLAY_PREFIX = b"trusted.overlay."  # overlayfs's own, which no layer is to set by itself
OPAQUE = OVERLAY_PREFIX + b"opaque"


@dataclass
class Node:
    """One inode, as stat, readlink, listxattr and read show it."""

    mode: int
    uid: int = 0
    gid: int = 0
    mtime_ns: int = 0
    atime_ns: int = 0
    ctime_ns: int = 0
    size: int | None = None  # not compared for directories
    content: str = NOTHING  # sha256
    target: bytes = b""
    device: tuple[int, int] = (0, 0)
    xattrs: dict[bytes, bytes] = field(default_factory=dict)
    children: dict[bytes, Node] = field(default_factory=dict)

    @property
    def is_directory(self) -> bool:
        return stat.S_ISDIR(self.mode)


def whiteout() -> Node:
    return Node(stat.S_IFCHR, size=0)


class NoSuchTree(Exception):
    """The model has no opinion: the layer asks for something that has to be refused."""


class Tree:
    """The tree under construction."""

    def __init__(self, convert_whiteout: bool) -> None:
        self.root = Node(stat.S_IFDIR | 0o755)
        self.root.children[b"lost+found"] = Node(stat.S_IFDIR | 0o700)
        self._convert_whiteout = convert_whiteout

    def add(self, entry: dict[str, Any]) -> None:
        name = base64.b64decode(entry["name"])
        kind = bytes([entry["typeflag"]])
        if kind in b"gV":
            return
        head, slash, last = name.rpartition(b"/")
        if self._convert_whiteout:
            if any(part.startswith(b".wh..wh.") and part != b".wh..wh..opq" for part in name.split(b"/")):
                return
            if last == b".wh..wh..opq":
                self._node_at(self._steps(head))[0].xattrs[OPAQUE] = b"y"
                return
            if last.startswith(b".wh."):
                self._whiteout(head + slash, last[4:])
                return
        if kind == b"1":
            target = self._find(base64.b64decode(entry["linkname"]))
            if target is None or target.is_directory:
                raise NoSuchTree("a link to what is not there")
            parent, base = self._place(name)
            parent.children[base] = target
            return
        node = node_of(entry, kind)
        steps = self._steps(name)
        if not steps:
            if not node.is_directory:
                raise NoSuchTree("the root as a file")
            node.children = self.root.children
            self.root = node
            return
        parent, base = self._place(name)
        if len(base) > NAME_MAX or b"\0" in base:
            raise NoSuchTree("no valid name")
        old = parent.children.get(base)
        if old is not None and node.is_directory:
            node.children = old.children
            if self._convert_whiteout and (old == whiteout() or OPAQUE in old.xattrs):
                node.xattrs.setdefault(OPAQUE, b"y")
        parent.children[base] = node

    def _whiteout(self, head: bytes, last: bytes) -> None:
        """The lower layers' file is gone; what this layer has stays, a directory without what was below."""
        if last in (b"", b".", b".."):
            raise NoSuchTree("a whiteout of nothing")
        parent, base = self._place(head + last)
        here = parent.children.setdefault(base, whiteout())
        if here.is_directory:
            here.xattrs[OPAQUE] = b"y"

    def _place(self, name: bytes) -> tuple[Node, bytes]:
        steps = self._steps(name)
        if not steps:
            raise NoSuchTree("the root")
        return self._node_at(steps[:-1])[0], steps[-1]

    @staticmethod
    def _steps(name: bytes) -> list[bytes]:
        steps: list[bytes] = []
        for part in name.split(b"/"):
            if part == b"..":
                del steps[-1:]
            elif part not in (b"", b"."):
                steps.append(part)
        return steps

    def _find(self, name: bytes) -> Node | None:
        steps = self._steps(name)
        if not steps:
            return self.root
        node = self._node_at(steps[:-1], make=False)
        return node[0].children.get(steps[-1]) if node else None

    def _node_at(self, steps: list[bytes], make: bool = True) -> list[Node]:
        """The directory at a path, as the first of the chain up to the root; empty if there is none."""
        chain = [self.root]
        todo = list(reversed(steps))
        for hops in itertools.count():
            if not todo:
                return chain
            if hops > 10000:
                raise NoSuchTree("links without end")
            step = todo.pop()
            if step in (b"", b"."):
                continue
            if step == b"..":
                chain = chain[1:] or chain
                continue
            child = chain[0].children.get(step)
            if child is not None and stat.S_ISLNK(child.mode):
                if child.target.startswith(b"/"):
                    chain = chain[-1:]
                todo += reversed(child.target.split(b"/"))
                continue
            if child is None or not child.is_directory:
                if not make:
                    return []
                if child is not None and child != whiteout():
                    raise NoSuchTree("a path through a file")
                if len(step) > NAME_MAX or b"\0" in step:
                    raise NoSuchTree("no valid name")
                xattrs = {} if child is None else {OPAQUE: b"y"}
                child = replace(chain[0], children={}, xattrs=xattrs)
                chain[0].children[step] = child
            chain.insert(0, child)
        raise AssertionError


def tree_of(listing: dict[str, Any], *, convert_whiteout: bool) -> Node:
    """Build the tree of a listing (tarlist of the oracle)."""
    tree = Tree(convert_whiteout)
    for entry in listing["entries"]:
        tree.add(entry)
    return tree.root


def node_of(entry: dict[str, Any], kind: bytes) -> Node:
    format = TYPES.get(kind, stat.S_IFREG)
    permissions = 0o777 if kind == b"2" else 0
    node = Node(format | (entry["mode"] & 0o7777) | permissions)
    node.uid, node.gid = (
        entry[key] % (1 << 32) if entry[key] != 0xFFFFFFFF else OVERFLOW_ID for key in ("uid", "gid")
    )
    for key in ("mtime", "atime", "ctime"):
        setattr(node, f"{key}_ns", kernel_time(entry[key]))
    for xattr in entry["xattrs"] or []:
        name, value = base64.b64decode(xattr["name"]), base64.b64decode(xattr["value"])
        if name in KERNEL_NAMES and (format == stat.S_IFLNK or len(value) <= EMPTY_ACL_BYTES):
            continue
        if not name.startswith(OVERLAY_PREFIX):
            node.xattrs[name] = value
    if format == stat.S_IFREG:
        node.size, node.content = entry["size"], entry["content"]
    elif format == stat.S_IFLNK:
        node.target = base64.b64decode(entry["linkname"])
        node.size = len(node.target)
    elif format in (stat.S_IFCHR, stat.S_IFBLK):
        node.device = (entry["devmajor"], entry["devminor"])
    return node


def kernel_time(time: dict[str, int] | None) -> int:
    """Nanoseconds since 1970, as ext4 can hold them."""
    if time is None:
        return 0
    if time["seconds"] > LATEST_SECONDS:
        return LATEST_SECONDS * NS
    return max(EARLIEST, time["seconds"] * NS + time["nanoseconds"])


def walk(node: Node, path: bytes = b"") -> Iterator[tuple[bytes, Node]]:
    """Every path with its node, the root's path being empty."""
    yield path, node
    for name, child in sorted(node.children.items()):
        yield from walk(child, path + b"/" + name)


def differences(root: Node, mount: Path) -> list[str]:
    """Compare a mounted file system with the tree; gives what is different, a line each."""
    found: list[str] = []
    expected = dict(walk(root))
    seen: dict[bytes, os.stat_result] = {}
    groups: dict[int, list[bytes]] = {}
    top = os.fsencode(mount)
    pending = [b""]
    while pending:
        path = pending.pop()
        info = os.lstat(top + path)
        seen[path] = info
        groups.setdefault(info.st_ino, []).append(path)
        if stat.S_ISDIR(info.st_mode):
            pending += [path + b"/" + name for name in os.listdir(top + path)]
    found += [f"{path!r} is missing" for path in sorted(expected.keys() - seen.keys())]
    found += [f"{path!r} should not be there" for path in sorted(seen.keys() - expected.keys())]
    for path in sorted(expected.keys() & seen.keys()):
        wanted, actual = attributes_of(expected[path]), attributes_seen(top + path, seen[path])
        found += [
            f"{path!r}: {key} is {actual[key]!r}, should be {wanted[key]!r}"
            for key in wanted
            if wanted[key] is not None and wanted[key] != actual[key]
        ]
    wanted_groups: dict[int, list[bytes]] = {}
    for path, node in expected.items():
        wanted_groups.setdefault(id(node), []).append(path)
    if sorted(map(sorted, wanted_groups.values())) != sorted(map(sorted, groups.values())) and not found:
        found.append("the groups of hard links differ")
    return found


def attributes_of(node: Node) -> dict[str, Any]:
    regular = stat.S_ISREG(node.mode)
    shown = {name: value for name, value in node.xattrs.items() if is_readable(name, node.mode)}
    return {
        "mode": oct(node.mode),
        "uid": node.uid,
        "gid": node.gid,
        "mtime": node.mtime_ns,
        "atime": node.atime_ns,
        "ctime": node.ctime_ns,
        "size": node.size,
        "content": node.content if regular else None,
        "target": node.target if stat.S_ISLNK(node.mode) else None,
        "device": node.device,
        "xattrs": shown,
    }


def attributes_seen(path: bytes, info: os.stat_result) -> dict[str, Any]:
    regular, link = stat.S_ISREG(info.st_mode), stat.S_ISLNK(info.st_mode)
    names = [os.fsencode(name) for name in os.listxattr(path, follow_symlinks=False)]
    return {
        "mode": oct(info.st_mode),
        "uid": info.st_uid,
        "gid": info.st_gid,
        "mtime": info.st_mtime_ns,
        "atime": info.st_atime_ns,
        "ctime": info.st_ctime_ns,
        "size": info.st_size,
        "content": sha256_of(path) if regular else None,
        "target": os.readlink(path) if link else None,
        "device": (os.major(info.st_rdev), os.minor(info.st_rdev)),
        "xattrs": {name: xattr_value(path, name) for name in names if is_readable(name, info.st_mode)},
    }


def is_readable(name: bytes, mode: int) -> bool:
    """Whether the kernel gives the value of such an attribute for a file of this type."""
    if name.startswith(b"user.") and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        return False
    plain = name.startswith(KERNEL_PREFIXES) and name not in KERNEL_PREFIXES
    return (plain or name in KERNEL_NAMES) and len(name) <= LONGEST_XATTR_NAME


def xattr_value(path: bytes, name: bytes) -> bytes | str:
    try:
        return os.getxattr(path, name, follow_symlinks=False)
    except OSError as error:
        return f"unreadable: {error.strerror}"


def sha256_of(path: bytes) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
