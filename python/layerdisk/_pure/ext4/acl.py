"""POSIX ACLs: the form that getxattr shows (version 2) into the one that ext4 stores (version 1).

Source: kernel, include/uapi/linux/posix_acl_xattr.h and fs/ext4/acl.h.
"""

from __future__ import annotations

import struct

from ...errdefs import InvalidEntry, quote
from ..faults import Fault

_XATTR_VERSION = 2
_EXT4_VERSION = 1
_VERSION = struct.Struct("<I")
# tag, permissions, id
_ENTRY = struct.Struct("<HHI")
_SHORT_LEN = 4
# Tags whose entry names somebody: ACL_USER and ACL_GROUP.
_NAMED = (0x02, 0x08)
# Tags that name nobody: user object, group object, mask, other.
_UNNAMED = (0x01, 0x04, 0x10, 0x20)


def to_ext4(full_name: bytes, value: bytes) -> bytes | None:
    """Give the stored form of the ACL, or None for one with no entries, which means no ACL."""

    def invalid(why: str) -> InvalidEntry:
        return InvalidEntry(
            f"xattr {quote(full_name)} is no POSIX ACL of version {_XATTR_VERSION}: {why}",
            code=Fault.B5Malformed.code,
        )

    if not value:
        return None
    if len(value) < _VERSION.size:
        raise invalid(f"it has {len(value)} bytes, at least {_VERSION.size} are needed")
    (version,) = _VERSION.unpack_from(value)
    if version != _XATTR_VERSION:
        raise invalid(f"its version is {version}")
    entries = value[_VERSION.size :]
    if not entries:
        return None
    if len(entries) % _ENTRY.size:
        raise invalid(f"its length of {len(value)} bytes is not {_VERSION.size} + {_ENTRY.size} n")
    stored = [_VERSION.pack(_EXT4_VERSION)]
    for at in range(0, len(entries), _ENTRY.size):
        (tag, _, _) = _ENTRY.unpack_from(entries, at)
        if tag not in _NAMED and tag not in _UNNAMED:
            raise invalid(f"it has an entry with tag {tag:#x}")
        stored.append(entries[at : at + (_ENTRY.size if tag in _NAMED else _SHORT_LEN)])
    return b"".join(stored)
