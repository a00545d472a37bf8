"""POSIX ACLs: the form that getxattr shows (version 2) and the one that ext4 stores (version 1).

Source: kernel, include/uapi/linux/posix_acl_xattr.h and fs/ext4/acl.h.
"""

from __future__ import annotations

import struct

from ....errdefs import InvalidEntry, quote
from ...faults import Fault

# Attributes that hold ACLs.
# A default one is what is made in a directory gets.
DEFAULT_NAME = b"system.posix_acl_default"
NAMES = (b"system.posix_acl_access", DEFAULT_NAME)

_XATTR_VERSION = 2
_EXT4_VERSION = 1
# a_version, which both forms start with.
_HEADER = struct.Struct("<I")
# e_tag, e_perm, e_id in version 2. In version 1 only entries that name somebody have an id.
_ENTRY = struct.Struct("<HHI")
_SHORT_ENTRY = struct.Struct("<HH")
assert (_HEADER.size, _ENTRY.size, _SHORT_ENTRY.size) == (4, 8, 4)
# e_tag
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 0x01, 0x02, 0x04, 0x08, 0x10, 0x20
# Tags whose entry names somebody.
_NAMED = (_USER, _GROUP)
# Read, write, execute.
_PERMISSIONS = 7
# An id that stands for nobody.
_NO_ID = 0xFFFFFFFF
# What an entry has and what is expected -> what is expected next; 0 is the end.
_NEXT = {
    (_USER_OBJ, _USER_OBJ): _USER,
    (_USER, _USER): _USER,
    (_GROUP_OBJ, _USER): _GROUP,
    (_GROUP, _GROUP): _GROUP,
    (_MASK, _GROUP): _OTHER,
    (_OTHER, _OTHER): 0,
}


def check(full_name: bytes, value: bytes) -> bool:
    """Refuse what is not an ACL of version 2; tell whether it has entries: one without means no ACL."""

    def invalid(why: str) -> InvalidEntry:
        return InvalidEntry(
            f"xattr {quote(full_name)} is no POSIX ACL of version {_XATTR_VERSION}: {why}",
            code=Fault.B5Malformed.code,
        )

    if not value:
        return False
    if len(value) < _HEADER.size:
        raise invalid(f"it has {len(value)} bytes, at least {_HEADER.size} are needed")
    (version,) = _HEADER.unpack_from(value)
    if version != _XATTR_VERSION:
        raise invalid(f"its version is {version}")
    entries = value[_HEADER.size :]
    if len(entries) % _ENTRY.size:
        raise invalid(f"its length of {len(value)} bytes is not {_HEADER.size} + {_ENTRY.size} n")
    wrong = _what_is_wrong(list(_ENTRY.iter_unpack(entries)))
    if wrong:
        raise invalid(wrong)
    return bool(entries)


def _what_is_wrong(entries: list[tuple[int, int, int]]) -> str:
    """Return what breaks the kernel's rules for entries, or "".

    Source: kernel, fs/posix_acl.c, posix_acl_valid.
    """
    expected = _USER_OBJ if entries else 0
    needs_mask = False
    for position, (tag, permissions, owner) in enumerate(entries):
        following = _NEXT.get((tag, expected))
        if (tag, expected) == (_OTHER, _GROUP) and not needs_mask:
            following = 0
        if following is None:
            return f"its entry {position} has tag {tag:#x}, which does not belong there"
        expected = following
        needs_mask |= tag in _NAMED
        if permissions & ~_PERMISSIONS:
            return f"its entry {position} has permissions {permissions:#x}, at most {_PERMISSIONS:#x} are allowed"
        if tag in _NAMED and owner == _NO_ID:
            return f"its entry {position} names nobody: the id is {_NO_ID}"
    return "it ends before the entry for others" if expected else ""


def to_ext4(value: bytes) -> bytes:
    """Return the stored form of an ACL that was checked."""
    stored = [_HEADER.pack(_EXT4_VERSION)]
    for tag, permissions, owner in _ENTRY.iter_unpack(value[_HEADER.size :]):
        stored.append(
            _ENTRY.pack(tag, permissions, owner) if tag in _NAMED else _SHORT_ENTRY.pack(tag, permissions)
        )
    return b"".join(stored)
