"""Entries into the tree: paths found, parents made, names given, nodes reused, replaced and taken away."""

from __future__ import annotations

from collections.abc import Callable

from ...errdefs import DiskSizeExceeded, InvalidEntry, quote
from ..faults import Fault, Faults
from ..path import components
from ..units import BLOCK_SIZE, LOST_AND_FOUND, ROOT, InodeNumber
from . import inode, timestamp, xattr
from .tree import EXTENTS, USED, WHITEOUT
from .writer import Attributes, Writer, crash
from .xattr import Xattrs

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
            self.faults.found_with(Fault.B13, f"{made} parent director{plural}")
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
            existing is not None
            and self.faults.reproduces(Fault.B9ReplacingLink)
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
                self.faults.found(Fault.B9LinkToItself)
            return
        if tree.links[node] >= MAX_LINKS:
            raise DiskSizeExceeded(
                f"the link's target {quote(target)} has {MAX_LINKS} links, the most possible"
            )
        if existing is not None:
            if not tree.is_dir(existing) and tree.links[existing] >= 2:
                tree.links[existing] -= 1
            else:
                self.faults.found(Fault.B9ReplacingLink)
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
        if not self.faults.reproduces(Fault.B9WhiteoutOfFile):
            old = self._find_child(parent, name)
            if old is not None and tree.is_dir(old):
                # Only the lower layers' contents go, so that those of this layer stay.
                self.faults.found(Fault.B9WhiteoutOfDirectory)
                return self.make_opaque(old, [])
            if old is not None and not tree.flags[old] & WHITEOUT:
                self.faults.found(Fault.B9WhiteoutOfFile)
                return None
        number = self.create(parent, name, Attributes(mode=inode.TYPE_CHARACTER))
        tree.flags[number] |= WHITEOUT
        return None

    def locate(self, parts: list[bytes]) -> InodeNumber:
        """Return the directory that a whiteout without a name (`.wh.`, `.wh..`, `.wh...`) leads hcsshim to."""
        parent = self._walk(parts[:-1], make=False)
        if parent is None:
            raise _missing(parts)
        return parent

    def make_opaque(self, directory: InodeNumber, parts: list[bytes]) -> None:
        """Mark a directory as opaque; its other attributes stay. `parts` is the path to it."""
        attributes = self._attributes_of(directory)
        attributes.xattrs = self._xattrs_for_marker(directory)
        attributes.opaque = True
        if not self.tree.is_dir(directory):
            return self._mark_file(directory, parts, attributes)
        if self._copies_wrongly(directory):
            self.faults.found(Fault.N3Marker)
        self.set_attributes(directory, attributes, reused=True)
        return None

    def _xattrs_for_marker(self, directory: InodeNumber) -> Xattrs:
        """Return the attributes that a directory keeps when it is marked."""
        as_hcsshim = self.tree.xattrs_as_hcsshim(directory)
        if self.faults.reproduces(Fault.B6):
            if as_hcsshim is None:
                raise crash()
            as_hcsshim.pop(xattr.SYSTEM_DATA, None)
            return as_hcsshim
        xattrs = self.tree.xattrs(directory)
        if as_hcsshim is None:
            self.faults.found(Fault.N1)
        elif as_hcsshim != xattrs:
            self.faults.found(Fault.B6)
        return xattrs

    def _mark_file(self, number: InodeNumber, parts: list[bytes], attributes: Attributes) -> None:
        """B10, reproduced: what is not a directory is created once more, with one attribute more."""
        tree = self.tree
        is_symlink = tree.kind(number) == inode.TYPE_SYMLINK
        if tree.flags[number] & EXTENTS or (not is_symlink and tree.size[number] > 0):
            raise InvalidEntry("an opaque marker in a file or long symlink")
        if is_symlink:
            attributes.target = tree.text_of(number)
        self.create(self.locate(parts), parts[-1] if parts else b"", attributes)

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

    def _find_child(self, parent: InodeNumber, name: bytes) -> InodeNumber | None:
        """Give what has a name that an entry is to get. The root has an empty name."""
        if not name:
            return ROOT
        _check_name(name, self.faults)
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
            elif tree.is_dir(child) or self.faults.reproduces(Fault.B11):
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
                self.faults.found(Fault.B11)
                if target.startswith(b"/"):
                    directory = ROOT
                    above.clear()
                rest.extend(reversed(target.split(b"/")))
            elif tree.flags[child] & WHITEOUT and make:
                self.faults.found(Fault.B9PathThroughWhiteout)
                self._remove(directory, part, child)
                above.append(directory)
                directory = self._make_parent(directory, part, opaque=True)
            else:
                raise InvalidEntry(f"the path leads through {quote(part)}, which is a file")
        return directory

    def _make_parent(self, above: InodeNumber, name: bytes, opaque: bool) -> InodeNumber:
        """Make a directory that no entry has made: its attributes are those of the one above (B13)."""
        if self._copies_wrongly(above):
            self.faults.found(Fault.N3Parent)
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
        if self.faults.reproduces(Fault.B9ChangedType):
            if was_dir:
                raise InvalidEntry("a directory cannot be replaced with a file")
            raise InvalidEntry("a file cannot be replaced with a directory")
        self.faults.found(Fault.B9ChangedType)
        # The lower layers' directory of this name is gone; this one must not show through to it.
        attributes.opaque |= not was_dir and bool(tree.flags[existing] & WHITEOUT)
        self._remove(parent, name, existing)
        self._check_links(parent, attributes)
        return None

    def _check_links(self, parent: InodeNumber, attributes: Attributes) -> None:
        """B23: more subdirectories than i_links_count can count."""
        if not attributes.is_dir or self.tree.links[parent] < MAX_LINKS:
            return
        if self.faults.reproduces(Fault.B23):
            raise DiskSizeExceeded(f"the directory above has {MAX_LINKS} links, the most possible")
        self.dir_nlink = True
        self.faults.found(Fault.B23)

    def _reuse_file(self, number: InodeNumber) -> None:
        """Prepare a file with one name for its next life."""
        if not self.tree.flags[number] & EXTENTS:
            return
        if self.faults.reproduces(Fault.B9ReplacedData):
            raise InvalidEntry("a file with data blocks cannot be replaced")
        self.faults.found(Fault.B9ReplacedData)
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
            self.freed.append((run.start, run.blocks + run.leaves(self.faults)))

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
        return timestamp.hcsshim_copy(time) if self.faults.reproduces(Fault.N3Parent) else time

    def _copies_wrongly(self, number: InodeNumber) -> bool:
        """Tell whether hcsshim changes one of the node's times when it copies them."""
        tree = self.tree
        times = (tree.atime[number], tree.ctime[number], tree.mtime[number])
        return not all(map(timestamp.survives_hcsshim_copy, times))


def _check_name(name: bytes, faults: Faults) -> None:
    if len(name) > MAX_NAME_LEN:
        raise InvalidEntry(
            f"the name {quote(name)} has {len(name)} bytes, at most {MAX_NAME_LEN} are allowed"
        )
    if b"\0" in name and not faults.reproduces(Fault.N11):
        raise InvalidEntry(f"the name {quote(name)} holds a NUL byte", code=Fault.N11.code)


def _missing(parts: list[bytes]) -> InvalidEntry:
    return InvalidEntry(f"the path {quote(b'/'.join(parts))} is not in the layer")
