"""The names grouped by directory, once all are there."""

from __future__ import annotations

from ..units import InodeNumber
from .names import Names


class Children:
    """The entries of each directory in their order on disk."""

    def __init__(self, names: Names) -> None:
        self._names = names

    def of(self, parent: InodeNumber) -> list[tuple[InodeNumber, bytes]]:
        """Return the entries of a directory, sorted by number, then name."""
        names = self._names.get(parent)
        if names is None:
            return []
        return sorted(zip(names.values(), names.keys(), strict=True))
