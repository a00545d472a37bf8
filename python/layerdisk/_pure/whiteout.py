"""How a layer says that something of the layers below is gone, by names that start with `.wh.`.

Source: OCI image specification, layer.md, and for the rest of the family AUFS.
"""

from __future__ import annotations

import enum

from .path import components, split_file

PREFIX = b".wh."
OPAQUE = b".wh..wh..opq"
# Bookkeeping of AUFS: `.wh..wh.plnk`, `.wh..wh.aufs`, `.wh..wh.orph`.
_AUFS_PREFIX = b".wh..wh."


class Kind(enum.Enum):
    """What a raw entry name stands for. A trailing slash makes the entry an ordinary one."""

    NONE = enum.auto()  # an entry like any other
    OPAQUE = enum.auto()  # nothing of the lower layers shows in the directory
    WHITEOUT = enum.auto()  # the lower layers' file of this name is gone


def kind(name: bytes) -> tuple[Kind, bytes, bytes]:
    """Give the kind of a name, the directory before it with its `/`, and the name that is hidden."""
    directory, file = split_file(name)
    if file == OPAQUE:
        return Kind.OPAQUE, directory, b""
    if file.startswith(PREFIX):
        return Kind.WHITEOUT, directory, file[len(PREFIX) :]
    return Kind.NONE, directory, b""


def is_aufs(name: bytes) -> bool:
    """Tell whether the entry is, or is below, a file in which AUFS keeps its books."""
    return any(map(is_aufs_file, components(name)))


def is_aufs_file(name: bytes) -> bool:
    """Tell whether that is the name of such a file."""
    return name.startswith(_AUFS_PREFIX) and name != OPAQUE
