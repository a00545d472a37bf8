"""Entries into the tree: paths found, parents made, names given, nodes reused, replaced and taken away."""

from __future__ import annotations

from collections.abc import Callable

from ...errdefs import DiskSizeExceeded, InvalidEntry, quote
from ..path import components
from ..units import BLOCK_SIZE, LOST_AND_FOUND, ROOT, InodeNumber
from . import inode, timestamp, xattr
from .rules import Rules
from .tree import EXTENTS, USED, WHITEOUT
from .writer import Attributes, Writer, crash

# Longest name of a directory entry in bytes.
MAX_NAME_LEN = 255
# Most links of an inode. Source: kernel, EXT4_LINK_MAX.
MAX_LINKS = 65000
# Symlinks followed in one path. Source: containerd, continuity/fs/path.go.
_MAX_SYMLINKS = 255
# From so many on they are held against the disk's size at once.
_MANY_DIRECTORIES = 1 << 16


class PlacingWriter(Writer):
    """A writer that puts inodes into a tree of names.

    Attributes:
        removals: how often something was taken away, after which what a path led to must be looked up anew.
        resolved: how often a path led through something else than directories.
    """

    removals = 0
    resolved = 0

    def make_parents(self, parts: list[bytes]) -> InodeNumber:
        """Make the directories above an entry that are not there yet; give the last of them.

        In hcsshim's own way that may be a file: what is put into it is then refused.
        """
        made_before = self.tree.highest()
        parent = self._walk(parts[:-1], make=True)
        if parent is None:
            raise _missing(parts)
        made = self.tree.highest() - made_before
        if made > 0:
            plural = "y" if made == 1 else "ies"
            self.note(
                "B13", True, f"{made} parent director{plural} not in the layer: made like the one above"
            )
        return parent

    def create(self, parent: InodeNumber, name: bytes, attributes: Attributes) -> InodeNumber:
        """Create a node, or make what has the name into it."""
        existing = self._find_child(parent, name)
        reused = self._make_room(parent, name, existing, attributes)
        if reused is not None:
            self.set_attributes(reused, attributes, reused=True)
            return reused
        tree = self.tree
        is_dir = attributes.is_dir
        number = tree.add(0, 0, 1 if is_dir else 0, 0, 0, 0, 0, 0, 0)
        if is_dir:
            self.directories += 1
            self._check_room(number)
        self.set_attributes(number, attributes, reused=False)
        old = tree.child(parent, name)
        if old is not None:
            tree.links[old] -= 1
        tree.insert_name(parent, name, number)
        tree.links[number] += 1
        if is_dir:
            tree.links[parent] += 1
        return number

    def add_plain_file(
        self,
        names: dict[bytes, InodeNumber],
        name: bytes,
        mode: int,
        uid: int,
        gid: int,
        mtime: int,
        size: int,
    ) -> None:
        """Do what `make_parents` and `create` come to for most entries.

        That is a regular file with no xattrs and no times but mtime, whose data is not inline, in a directory
        with these names, of which the file's is not one.
        """
        number = self.tree.add(mode, USED, 1, uid, gid, 0, 0, mtime, size)
        if size:
            self.open(number, self.output.block())
        names[name] = number

    def link(self, parent: InodeNumber, name: bytes, target: bytes) -> None:
        """Make a hard link to what another entry made."""
        tree = self.tree
        existing = self._find_child(parent, name)
        if (
            self.rules.reproduce
            and existing is not None
            and (tree.is_dir(existing) or tree.links[existing] < 2)
        ):
            raise InvalidEntry("a link cannot take the place of a directory or of a file's last name")
        node = self._find(components(target))
        if node is None:
            raise InvalidEntry(f"the link's target {quote(target)} is not in the layer")
        if tree.is_dir(node):
            raise InvalidEntry(f"the link's target {quote(target)} is a directory")
        if existing == node:
            if tree.links[node] < 2:
                self.note("B9", False, "hcsshim refuses a link to the name itself")
            return
        if tree.links[node] >= MAX_LINKS:
            raise DiskSizeExceeded(
                f"the link's target {quote(target)} has {MAX_LINKS} links, the most possible"
            )
        if existing is not None:
            if not tree.is_dir(existing) and tree.links[existing] >= 2:
                tree.links[existing] -= 1
            else:
                self.note("B9", False, "hcsshim refuses a link in place of an earlier entry")
                self._remove(parent, name, existing)
                if not tree.flags[node] & USED:
                    raise InvalidEntry(
                        f"the link replaces the directory that its target {quote(target)} is in"
                    )
        tree.links[node] += 1
        tree.insert_name(parent, name, node)

    def whiteout(self, parent: InodeNumber, name: bytes) -> None:
        """Make an overlayfs whiteout: a character device 0:0."""
        tree = self.tree
        if not self.rules.reproduce:
            old = self._find_child(parent, name)
            if old is not None and tree.is_dir(old):
                # Only the lower layers' contents go, so that those of this layer stay.
                self.note("B9", False, "hcsshim refuses a whiteout beside a directory of its own layer")
                return self.make_opaque(old)
            if old is not None and not tree.flags[old] & WHITEOUT:
                self.note(
                    "B9", False, "hcsshim lets the whiteout replace or collide with its own layer's file"
                )
                return None
        number = self.create(parent, name, Attributes(mode=inode.TYPE_CHARACTER))
        tree.flags[number] |= WHITEOUT
        return None

    def whiteout_path(self, parts: list[bytes]) -> None:
        """Make hcsshim's whiteout, by the path of what it hides."""
        self.whiteout(self._parent_of(parts), parts[-1] if parts else b"")

    def make_opaque(self, directory: InodeNumber) -> None:
        """Mark a directory as opaque; its other attributes stay."""
        attributes = self._attributes_of(directory)
        as_hcsshim = self.tree.xattrs_as_hcsshim(directory)
        attributes.xattrs = self.tree.xattrs(directory)
        if as_hcsshim is None:
            self.note("N1", False, "hcsshim crashes when it reads the directory's xattrs again")
        elif as_hcsshim != attributes.xattrs:
            self.note(
                "B6", False, "hcsshim loses xattrs of the directory behind one with an empty stored name"
            )
        if self._copies_wrongly(directory):
            self.note("N3", False, "hcsshim changes the directory's times when it marks it as opaque")
        attributes.opaque = True
        self.set_attributes(directory, attributes, reused=True)

    def make_opaque_path(self, parts: list[bytes]) -> None:
        """Go hcsshim's way: what the path names, a file perhaps, is created again with one attribute more."""
        tree = self.tree
        number = self._find(parts)
        if number is None:
            raise _missing(parts)
        attributes = self._attributes_of(number)
        xattrs = tree.xattrs_as_hcsshim(number)
        if xattrs is None:
            raise crash()
        xattrs.pop(xattr.SYSTEM_DATA, None)
        xattrs[xattr.OPAQUE] = b"y"
        attributes.xattrs = xattrs
        if tree.kind(number) == inode.TYPE_SYMLINK:
            is_refused = bool(tree.flags[number] & EXTENTS)
            attributes.target = tree.text_of(number)
        else:
            is_refused = tree.size[number] > 0 and not tree.is_dir(number)
        if is_refused:
            raise InvalidEntry("an opaque marker in a file or long symlink")
        self.create(self._parent_of(parts), parts[-1] if parts else b"", attributes)

    def remove_named(self, is_meant: Callable[[bytes], bool]) -> None:
        """Take away all that has, or is below, a name of which this is true."""
        for parent, name in self.tree.names_that(is_meant):
            number = self.tree.child(parent, name)
            if number is not None:
                self._remove(parent, name, number)

    def _check_room(self, number: InodeNumber) -> None:
        """Refuse what cannot fit in the end before it takes memory: a few bytes of a path are a directory of a block.

        With fewer of them the end will tell, as in hcsshim, where something else may be wrong before.
        """
        if self.directories >= _MANY_DIRECTORIES:
            self.output.check_room(self.directories * BLOCK_SIZE + number * inode.LEN)

    def _find(self, parts: list[bytes]) -> InodeNumber | None:
        if not parts:
            return ROOT
        parent = self._walk(parts[:-1], make=False)
        return None if parent is None else self.tree.child(parent, parts[-1])

    def _parent_of(self, parts: list[bytes]) -> InodeNumber:
        parent = self._walk(parts[:-1], make=False)
        if parent is None:
            raise _missing(parts)
        return parent

    def _find_child(self, parent: InodeNumber, name: bytes) -> InodeNumber | None:
        """Give what has a name that an entry is to get. The root has an empty name."""
        if not name:
            return ROOT
        _check_name(name, self.rules)
        if not self.tree.is_dir(parent):
            raise InvalidEntry("the path leads through a file")
        return self.tree.child(parent, name)

    def _walk(self, parts: list[bytes], make: bool) -> InodeNumber | None:
        """Follow a path from the root; with `make`, make what is missing."""
        tree = self.tree
        directory = ROOT
        for part in parts:
            child = tree.child(directory, part)
            if child is None:
                if not make:
                    return None
                directory = self._make_parent(directory, part, opaque=False)
            elif self.rules.reproduce or tree.is_dir(child):
                directory = child
            else:
                return self._walk_resolving(parts, make)
        return directory

    def _walk_resolving(self, parts: list[bytes], make: bool) -> InodeNumber | None:
        """Walk where there is more than directories: symlinks are followed inside the root (B11)."""
        self.resolved += 1
        tree = self.tree
        rest = parts[::-1]
        above: list[InodeNumber] = []
        directory = ROOT
        followed = 0
        while rest:
            part = rest.pop()
            if part in (b"", b"."):
                continue
            if part == b"..":
                directory = above.pop() if above else ROOT
                continue
            child = tree.child(directory, part)
            if child is None:
                if not make:
                    return None
                above.append(directory)
                directory = self._make_parent(directory, part, opaque=False)
            elif tree.is_dir(child):
                above.append(directory)
                directory = child
            elif tree.kind(child) == inode.TYPE_SYMLINK:
                followed += 1
                if followed > _MAX_SYMLINKS:
                    raise InvalidEntry(f"the path leads through more than {_MAX_SYMLINKS} symlinks")
                target = tree.target_of(child)
                self.note("B11", False, "hcsshim refuses a path through a symlink")
                if target.startswith(b"/"):
                    directory = ROOT
                    above.clear()
                rest.extend(reversed(target.split(b"/")))
            elif tree.flags[child] & WHITEOUT and make:
                self.note("B9", False, "hcsshim refuses a path through a whiteout of the same layer")
                self._remove(directory, part, child)
                above.append(directory)
                directory = self._make_parent(directory, part, opaque=True)
            else:
                raise InvalidEntry(f"the path leads through {quote(part)}, which is a file")
        return directory

    def _make_parent(self, above: InodeNumber, name: bytes, opaque: bool) -> InodeNumber:
        """Make a directory that no entry has made: its attributes are those of the one above (B13)."""
        if self._copies_wrongly(above):
            self.note("N3", False, "hcsshim changes the times that it copies to a parent directory")
        attributes = self._attributes_of(above)
        attributes.opaque = opaque
        return self.create(above, name, attributes)

    def _make_room(
        self, parent: InodeNumber, name: bytes, existing: InodeNumber | None, attributes: Attributes
    ) -> InodeNumber | None:
        """Decide what becomes of the node that has the name: reused (returned), left, or taken away."""
        if existing is None:
            self._check_links(parent, attributes)
            return None
        tree = self.tree
        was_dir = tree.is_dir(existing)
        if was_dir == attributes.is_dir:
            if was_dir:
                return existing
            if tree.links[existing] >= 2:
                return None
            self._reuse_file(existing)
            return existing
        if self.rules.reproduce:
            if was_dir:
                raise InvalidEntry("a directory cannot be replaced with a file")
            raise InvalidEntry("a file cannot be replaced with a directory")
        self.note(
            "B9", False, "hcsshim refuses to replace a directory with a file or a file with a directory"
        )
        # The lower layers' directory of this name is gone; this one must not show through to it.
        attributes.opaque |= not was_dir and bool(tree.flags[existing] & WHITEOUT)
        self._remove(parent, name, existing)
        self._check_links(parent, attributes)
        return None

    def _check_links(self, parent: InodeNumber, attributes: Attributes) -> None:
        """B23: more subdirectories than i_links_count can count."""
        if not attributes.is_dir or self.tree.links[parent] < MAX_LINKS:
            return
        if self.rules.reproduce:
            raise DiskSizeExceeded(f"the directory above has {MAX_LINKS} links, the most possible")
        self.dir_nlink = True
        self.note("B23", False, f"hcsshim refuses a directory with more than {MAX_LINKS} links")

    def _reuse_file(self, number: InodeNumber) -> None:
        """Prepare a file with one name for its next life."""
        if not self.tree.flags[number] & EXTENTS:
            return
        if self.rules.reproduce:
            raise InvalidEntry("a file with data blocks cannot be replaced")
        self.note("B9", False, "hcsshim refuses to replace a file with data blocks")
        self._free_data(number)

    def _remove(self, parent: InodeNumber, name: bytes, number: InodeNumber) -> None:
        """Take a name away, and all that only it leads to."""
        if number in (ROOT, LOST_AND_FOUND):
            raise InvalidEntry("the root directory and lost+found cannot be replaced")
        self.removals += 1
        tree = self.tree
        tree.remove_name(parent, name)
        if tree.is_dir(number):
            tree.links[parent] -= 1
        unnamed = [number]
        while unnamed:
            number = unnamed.pop()
            tree.links[number] -= 1
            if tree.is_dir(number):
                self.directories -= 1
                unnamed.extend(tree.take_children(number))
            elif tree.links[number] > 0:
                continue
            self._release(number)

    def _release(self, number: InodeNumber) -> None:
        self._free_data(number)
        xattr_block = self.tree.xattr_block[number]
        if xattr_block:
            self.freed.append((xattr_block, 1))
        self.tree.forget(number)

    def _free_data(self, number: InodeNumber) -> None:
        tree = self.tree
        if tree.flags[number] & EXTENTS:
            run = self.run_of(number)
            tree.flags[number] &= ~EXTENTS
            tree.long_targets.pop(number, None)
            self.freed.append((run.start, run.blocks + run.leaves(self.rules)))

    def _attributes_of(self, number: InodeNumber) -> Attributes:
        """Give a node's attributes without its xattrs, for a copy of it."""
        tree = self.tree
        is_device = tree.kind(number) in (inode.TYPE_CHARACTER, inode.TYPE_BLOCK)
        return Attributes(
            mode=tree.mode[number],
            uid=tree.uid[number],
            gid=tree.gid[number],
            atime=self._copied(tree.atime[number]),
            ctime=self._copied(tree.ctime[number]),
            mtime=self._copied(tree.mtime[number]),
            device=tree.data[number] if is_device else 0,
        )

    def _copied(self, time: int) -> int:
        """Give a time as it is when it was taken over from another inode."""
        return timestamp.hcsshim_copy(time) if self.rules.reproduce else time

    def _copies_wrongly(self, number: InodeNumber) -> bool:
        """Tell whether hcsshim changes one of the node's times when it copies them."""
        tree = self.tree
        times = (tree.atime[number], tree.ctime[number], tree.mtime[number])
        return not all(map(timestamp.survives_hcsshim_copy, times))


def _check_name(name: bytes, rules: Rules) -> None:
    if len(name) > MAX_NAME_LEN:
        raise InvalidEntry(
            f"the name {quote(name)} has {len(name)} bytes, at most {MAX_NAME_LEN} are allowed"
        )
    if b"\0" in name and not rules.reproduce:
        raise InvalidEntry(f"the name {quote(name)} holds a NUL byte", code="N11")


def _missing(parts: list[bytes]) -> InvalidEntry:
    return InvalidEntry(f"the path {quote(b'/'.join(parts))} is not in the layer")
