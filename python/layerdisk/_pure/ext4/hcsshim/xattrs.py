"""N7, B6, N1: how hcsshim splits the names of xattrs, and reads them again from an image."""

from __future__ import annotations

from ....errdefs import NotReproducible
from ...faults import Fault
from ...tree import Xattrs
from ..format.xattr import PREFIXES, entry_at, full_name

# From this stored length on hcsshim crashes when it reads a region again.
_CRASH_NAME_LEN = 240


def split_name(full: bytes) -> tuple[int, bytes]:
    """Return e_name_index and stored name: `system.posix_acl_accessX` is X of index 2 (N7)."""
    for prefix, index in PREFIXES:
        if full.startswith(prefix):
            return index, full[len(prefix) :]
    return 0, full


def read(region: bytes, value_base: int) -> Xattrs | None:
    """Return the attributes of a region as hcsshim reads them.

    It stops at an empty stored name (B6), and crashes at others (N1: None).
    """
    found: Xattrs = {}
    start = 0
    while True:
        if start + 2 > len(region):
            return None
        name_len = region[start]
        if name_len == 0:
            return found
        at = entry_at(region, start, value_base) if name_len < _CRASH_NAME_LEN else None
        if at is None:
            return None
        entry, start = at
        found[full_name(entry.name_index, entry.name)] = entry.value


def crash() -> NotReproducible:
    """N1: hcsshim's process dies."""
    return NotReproducible(
        "hcsshim crashes when it reads the directory's xattrs again: a stored name of 240 bytes or more",
        code=Fault.N1.code,
    )
