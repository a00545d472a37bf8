"""File capabilities, the value of security.capability. Source: kernel, include/uapi/linux/capability.h."""

from __future__ import annotations

import struct

from ....errdefs import InvalidEntry
from ...faults import Fault

NAME = b"security.capability"

# magic_etc; permitted and inheritable, the lower halves; from revision 2 on the upper ones; from 3 on rootid.
_CAPABILITIES = ("<I2I", "<I4I", "<I5I")
# Revision -> length of its form in bytes.
_REVISIONS = {(i + 1) << 24: struct.calcsize(form) for i, form in enumerate(_CAPABILITIES)}
assert list(_REVISIONS.values()) == [12, 20, 24]

# The one flag of magic_etc.
_FLAG_EFFECTIVE = 1


def check(value: bytes) -> None:
    """Refuse what the kernel takes for no capabilities (N13)."""
    magic = int.from_bytes(value[:4], "little") if len(value) >= 4 else 0
    if _REVISIONS.get(magic & ~_FLAG_EFFECTIVE) != len(value):
        raise InvalidEntry(
            f'xattr "security.capability" has {len(value)} bytes and revision {magic:#010x}:'
            " it must be 12 bytes of revision 1, 20 of revision 2 or 24 of revision 3",
            code=Fault.N13.code,
        )
