"""An entry's name, parsed once: its parts, and what it says as a whiteout.

Purely lexical; symlinks are the tree's business. Source for whiteouts: OCI image specification, layer.md, and for the
rest of the family AUFS.
"""

from __future__ import annotations

from collections.abc import Iterable

_WHITEOUT_PREFIX = b".wh."
_OPAQUE_MARKER = b".wh..wh..opq"
# Bookkeeping of AUFS: `.wh..wh.plnk`, `.wh..wh.aufs`, `.wh..wh.orph`.
_AUFS_PREFIX = b".wh..wh."
_SPECIAL = (b"", b".", b"..")


class EntryName:
    """A raw name, split after its last `/`.

    Attributes:
        directory: without that `/`; "" for a name in the root as well as for one that starts with its only `/`.
        file: empty where the name ends in `/`.
    """

    __slots__ = ("directory", "file", "raw")

    def __init__(self, raw: bytes) -> None:
        self.raw = raw
        self.directory, _, self.file = raw.rpartition(b"/")

    def parts(self) -> list[bytes]:
        """Return the name as components."""
        return components(self.raw)

    def is_opaque_marker(self) -> bool:
        """Tell whether it says that nothing of the lower layers shows in the directory."""
        return self.file == _OPAQUE_MARKER

    def hidden(self) -> bytes | None:
        """Return the name of the lower layers' file that is gone, if it says that one is."""
        if self.file == _OPAQUE_MARKER or not self.file.startswith(_WHITEOUT_PREFIX):
            return None
        return self.file[len(_WHITEOUT_PREFIX) :]

    def is_whiteout_directory(self) -> bool:
        """Tell whether the name would be a whiteout without the slash at its end."""
        if self.file or not self.directory:
            return False
        name = EntryName(self.directory)
        return name.is_opaque_marker() or name.hidden() is not None

    def is_plain(self, convert_whiteout: bool) -> bool:
        """Tell whether the file's name stands for itself.

        It is then neither special to paths nor, where whiteouts are converted, one of their family.
        """
        file = self.file
        return file not in _SPECIAL and not (convert_whiteout and file.startswith(_WHITEOUT_PREFIX))


def components(name: bytes) -> list[bytes]:
    """Return the components of `/` + name: no empty ones, no `.`; `..` takes the one before it."""
    parts: list[bytes] = []
    for part in name.split(b"/"):
        if part == b"..":
            if parts:
                parts.pop()
        elif part and part != b".":
            parts.append(part)
    return parts


def is_aufs(parts: Iterable[bytes]) -> bool:
    """Tell whether one of the parts is an AUFS bookkeeping file."""
    return any(map(is_aufs_file, parts))


def is_aufs_file(name: bytes) -> bool:
    """Tell whether that is the name of such a file."""
    return name.startswith(_AUFS_PREFIX) and name != _OPAQUE_MARKER
