"""POSIX ACLs: the form that getxattr shows (version 2) and the one that ext4 stores (version 1).

Source: kernel, include/uapi/linux/posix_acl_xattr.h and fs/ext4/acl.h.
"""

from __future__ import annotations

import struct

from ....errdefs import InvalidEntry, quote
from ...faults import Fault

# Attributes that hold ACLs.
NAMES = (b"system.posix_acl_access", b"system.posix_acl_default")

_XATTR_VERSION = 2
_EXT4_VERSION = 1
# a_version, which both forms start with.
_HEADER = struct.Struct("<I")
# e_tag, e_perm, e_id in version 2. In version 1 only entries that name somebody have an id.
_ENTRY = struct.Struct("<HHI")
_SHORT_ENTRY = struct.Struct("<HH")
assert (_HEADER.size, _ENTRY.size, _SHORT_ENTRY.size) == (4, 8, 4)
# Tags whose entry names somebody: ACL_USER and ACL_GROUP.
_NAMED = (0x02, 0x08)
# Tags that name nobody: user object, group object, mask, other.
_UNNAMED = (0x01, 0x04, 0x10, 0x20)


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
    for tag, _, _ in _ENTRY.iter_unpack(entries):
        if tag not in _NAMED and tag not in _UNNAMED:
            raise invalid(f"it has an entry with tag {tag:#x}")
    return bool(entries)


def to_ext4(value: bytes) -> bytes:
    """Return the stored form of an ACL that was checked."""
    stored = [_HEADER.pack(_EXT4_VERSION)]
    for tag, permissions, owner in _ENTRY.iter_unpack(value[_HEADER.size :]):
        stored.append(
            _ENTRY.pack(tag, permissions, owner) if tag in _NAMED else _SHORT_ENTRY.pack(tag, permissions)
        )
    return b"".join(stored)
