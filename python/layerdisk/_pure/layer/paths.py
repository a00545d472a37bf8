"""Paths into the tree: walked, symlinks followed inside the root, missing parents made."""

from __future__ import annotations

import enum
from typing import NamedTuple

from ...errdefs import InvalidEntry, quote
from ..faults import Fault
from ..tree import WHITEOUT
from ..units import InodeNumber
from .merge import Merge

# Symlinks followed in one path. Source: containerd, continuity/fs/path.go.
_MAX_SYMLINKS = 255
# Steps of one path through symlinks: their targets could make a path of a few bytes a million steps long.
_MAX_STEPS = 1 << 13
# Longest path in bytes (N18). Source: Linux, PATH_MAX less the NUL.
MAX_PATH_LEN = 4095


class Walked(NamedTuple):
    """Where a path led to.

    Attributes:
        directory: in hcsshim's own way that may be a file: what is put into it is then refused.
        is_plain: it led through nothing else than directories.
    """

    directory: InodeNumber
    is_plain: bool


class Missing(enum.Enum):
    """What becomes of directories that are missing on a path."""

    MADE = enum.auto()
    LEFT = enum.auto()  # the path leads nowhere


_MADE = Missing.MADE


class Paths:
    """The ways through the tree of a layer."""

    def __init__(self, merge: Merge) -> None:
        self._merge = merge
        self._tree = merge.tree
        self._faults = merge.faults

    def make_parents(self, parts: list[bytes]) -> Walked:
        """Make the directories above an entry that are not there yet; return the last of them."""
        self._check_path(parts)
        made_before = self._tree.highest()
        walked = self._walk(parts[:-1], _MADE)
        if walked is None:
            raise _missing(parts)
        made = self._tree.highest() - made_before
        if made > 0:
            plural = "y" if made == 1 else "ies"
            self._faults.found_with(Fault.B13, f"{made} parent director{plural}")
        return walked

    def _check_path(self, parts: list[bytes]) -> None:
        length = sum(map(len, parts)) + len(parts) - 1
        if length > MAX_PATH_LEN and not self._faults.reproduces(Fault.N18):
            raise InvalidEntry(
                f"the path has {length} bytes, at most {MAX_PATH_LEN} are allowed", code=Fault.N18.code
            )

    def directory_above(self, parts: list[bytes]) -> InodeNumber:
        """Return the directory above the last part, which must be there."""
        walked = self._walk(parts[:-1], Missing.LEFT)
        if walked is None:
            raise _missing(parts)
        return walked.directory

    def find(self, parts: list[bytes]) -> InodeNumber | None:
        """Return what a path leads to; its last part is not followed."""
        if not parts:
            return self._tree.root
        walked = self._walk(parts[:-1], Missing.LEFT)
        return None if walked is None else self._tree.names.child(walked.directory, parts[-1])

    def _walk(self, parts: list[bytes], on_missing: Missing) -> Walked | None:
        """Follow a path from the root."""
        tree = self._tree
        directory = tree.root
        for part in parts:
            child = tree.names.child(directory, part)
            if child is None:
                if on_missing is not _MADE:
                    return None
                child = self._merge.make_parent(directory, part, opaque=False)
            elif not tree.is_dir(child) and not self._faults.reproduces(Fault.B11):
                return self._walk_resolving(parts, on_missing)
            directory = child
        return Walked(directory, True)

    def _walk_resolving(self, parts: list[bytes], on_missing: Missing) -> Walked | None:
        """Walk where there is something else than a directory: symlinks are followed inside the root (B11)."""
        tree = self._tree
        rest = parts[::-1]
        above: list[InodeNumber] = []
        directory = tree.root
        followed = steps = 0
        while rest:
            part = rest.pop()
            steps += 1
            if steps > _MAX_STEPS:
                raise InvalidEntry(f"the path leads through symlinks to more than {_MAX_STEPS} steps")
            if part in (b"", b"."):
                continue
            if part == b"..":
                directory = above.pop() if above else tree.root
                continue
            child = tree.names.child(directory, part)
            if child is None and on_missing is not _MADE:
                return None
            if child is not None and tree.is_symlink(child):
                followed += 1
                if followed > _MAX_SYMLINKS:
                    raise InvalidEntry(f"the path leads through more than {_MAX_SYMLINKS} symlinks")
                target = tree.target_of(child)
                self._faults.found(Fault.B11)
                if target.startswith(b"/"):
                    directory = tree.root
                    above.clear()
                rest.extend(reversed(target.split(b"/")))
                continue
            above.append(directory)
            directory = self._step(directory, part, child, on_missing)
        return Walked(directory, False)

    def _step(
        self, directory: InodeNumber, part: bytes, child: InodeNumber | None, on_missing: Missing
    ) -> InodeNumber:
        """Step into what is there, or into what is made."""
        tree = self._tree
        if child is None:
            return self._merge.make_parent(directory, part, opaque=False)
        if tree.is_dir(child):
            return child
        if tree.flags[child] & WHITEOUT and on_missing is _MADE:
            self._faults.found(Fault.B9PathThroughWhiteout)
            self._merge.remove(directory, part, child)
            return self._merge.make_parent(directory, part, opaque=True)
        raise InvalidEntry(f"the path leads through {quote(part)}, which is a file")


def _missing(parts: list[bytes]) -> InvalidEntry:
    return InvalidEntry(f"the path {quote(b'/'.join(parts))} is not in the layer")
