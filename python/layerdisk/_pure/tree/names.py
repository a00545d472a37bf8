"""Names: for each directory what it has under a name."""

from __future__ import annotations

from collections.abc import Callable

from ..units import InodeNumber

# Longest name of a directory entry in bytes. Source: Linux, NAME_MAX.
MAX_NAME_LEN = 255


class Names(dict[InodeNumber, dict[bytes, InodeNumber]]):
    """Of each directory that has any: name -> number."""

    def child(self, parent: InodeNumber, name: bytes) -> InodeNumber | None:
        """Return what a directory has under a name."""
        names = self.get(parent)
        return None if names is None else names.get(name)

    def insert(self, parent: InodeNumber, name: bytes, child: InodeNumber) -> None:
        """Give a name to a node, in place of the node that has it. Link counts are the caller's."""
        names = self.get(parent)
        if names is None:
            self[parent] = {name: child}
        else:
            names[name] = child

    def remove(self, parent: InodeNumber, name: bytes) -> None:
        """Take a name away."""
        self.get(parent, {}).pop(name, None)

    def take_children(self, parent: InodeNumber) -> list[InodeNumber]:
        """Take all entries out of a directory; return what they pointed to."""
        return list(self.pop(parent, {}).values())

    def matching(self, is_meant: Callable[[bytes], bool]) -> list[tuple[InodeNumber, bytes]]:
        """Return directory and name of each entry whose name is meant."""
        return [(parent, name) for parent, names in self.items() for name in names if is_meant(name)]
