"""An entry meets what has its name: nodes made, reused, replaced and taken away."""

from __future__ import annotations

from collections.abc import Callable

from ...errdefs import DiskSizeExceeded, InvalidEntry, quote
from ..ext4.format import features
from ..ext4.format.xattr import SYSTEM_DATA
from ..ext4.hcsshim import times as hcsshim_times
from ..ext4.hcsshim.xattrs import crash
from ..ext4.storage import Storage, inode_xattrs_as_hcsshim, xattrs_as_hcsshim
from ..faults import Fault, Faults
from ..tree import (
    EPOCH,
    FIXED,
    INLINE,
    MAX_NAME_LEN,
    OPAQUE,
    STORED,
    TYPE_MASK,
    USED,
    WHITEOUT,
    FileType,
    Tree,
    Xattrs,
)
from ..units import InodeNumber
from .attributes import NO_DEVICE, OPAQUE_VALUE, Attributes
from .attributes import OPAQUE as OPAQUE_XATTR

# From this many on, directories are held against the disk's size as they are made.
_MANY_DIRECTORIES = 1 << 16

_DIRECTORY = int(FileType.DIRECTORY)
_REGULAR = int(FileType.REGULAR)
_SYMLINK = int(FileType.SYMLINK)
_CHARACTER_DEVICE = int(FileType.CHARACTER_DEVICE)


class Merge:
    """The layer as far as it is merged: what entries meant, and where their data is."""

    def __init__(self, tree: Tree, storage: Storage, faults: Faults) -> None:
        self.tree = tree
        self.storage = storage
        self.faults = faults
        # Directories there are, of at least a block each.
        self._directories = sum(map(tree.is_dir, tree.numbers()))

    def create(self, parent: InodeNumber, name: bytes, attributes: Attributes) -> InodeNumber:
        """Create a node, or make what has the name into it."""
        existing = self.find(parent, name)
        is_dir = attributes.mode & TYPE_MASK == _DIRECTORY
        if existing is not None:
            reused = self._resolve_existing(parent, name, existing, attributes)
            if reused is not None:
                self._reuse(reused, attributes)
                return reused
        elif is_dir:
            self._check_links(parent)
        tree = self.tree
        mode, size, flags = self._checked(attributes)
        number = tree.add(
            mode, flags, 2 if is_dir else 1, attributes.uid, attributes.gid, size, attributes.mtime
        )
        if is_dir:
            self._directories += 1
            self._check_capacity()
        self._equip(number, attributes, None)
        if existing is not None:
            old = tree.names.child(parent, name)
            if old is not None:
                tree.links[old] -= 1
        tree.names.insert(parent, name, number)
        if is_dir:
            tree.links[parent] += 1
        return number

    def check_link(self, parent: InodeNumber, name: bytes) -> InodeNumber | None:
        """Refuse a link in place of what has the name as hcsshim does, before the target is looked for; return that."""
        existing = self.find(parent, name)
        if (
            existing is not None
            and self.faults.reproduces(Fault.B9ReplacingLink)
            and (self.tree.is_dir(existing) or self.tree.links[existing] < 2)
        ):
            raise InvalidEntry("a link cannot take the place of a directory or of a file's last name")
        return existing

    def link(
        self,
        parent: InodeNumber,
        name: bytes,
        existing: InodeNumber | None,
        node: InodeNumber,
        target: bytes,
    ) -> None:
        """Make a hard link to a node, which the entry calls `target`, in place of the existing one."""
        tree = self.tree
        if tree.is_dir(node):
            raise InvalidEntry(f"the link's target {quote(target)} is a directory")
        if existing == node:
            if tree.links[node] < 2:
                self.faults.found(Fault.B9LinkToItself)
            return
        max_links = self.storage.layout.max_links
        if tree.links[node] >= max_links:
            raise DiskSizeExceeded(
                f"the link's target {quote(target)} has {max_links} links, which is the maximum"
            )
        if existing is not None:
            if not tree.is_dir(existing) and tree.links[existing] >= 2:
                tree.links[existing] -= 1
            else:
                self.faults.found(Fault.B9ReplacingLink)
                self.remove(parent, name, existing)
                if not tree.flags[node] & USED:
                    raise InvalidEntry(
                        f"the link replaces the directory that its target {quote(target)} is in"
                    )
        tree.links[node] += 1
        tree.names.insert(parent, name, node)

    def whiteout(self, parent: InodeNumber, name: bytes) -> None:
        """Make an overlayfs whiteout: a character device 0:0."""
        tree = self.tree
        if not self.faults.reproduces(Fault.B9WhiteoutOfFile):
            old = self.find(parent, name)
            if old is not None and tree.is_dir(old):
                # Only the lower layers' contents go, so that those of this layer stay.
                self.faults.found(Fault.B9WhiteoutOfDirectory)
                return self.make_opaque(old)
            if old is not None and not tree.flags[old] & WHITEOUT:
                self.faults.found(Fault.B9WhiteoutOfFile)
                return None
        number = self.create(parent, name, Attributes(_CHARACTER_DEVICE))
        tree.flags[number] |= WHITEOUT
        return None

    def make_opaque(self, directory: InodeNumber) -> None:
        """Mark a directory as opaque; its other attributes stay."""
        attributes = self._marked(directory)
        if self._copies_wrongly(directory):
            self.faults.found(Fault.N3Marker)
        self._reuse(directory, attributes)

    def mark_file(self, number: InodeNumber, parent: InodeNumber, name: bytes) -> None:
        """B10, reproduced: what is not a directory is created once more, with one attribute more."""
        tree = self.tree
        attributes = self._marked(number)
        is_symlink = tree.is_symlink(number)
        if tree.flags[number] & STORED or (not is_symlink and tree.size[number] > 0):
            raise InvalidEntry("an opaque marker in a file or long symlink")
        if is_symlink:
            attributes.target = tree.text_of(number)
        self.create(parent, name, attributes)

    def make_parent(self, above: InodeNumber, name: bytes, opaque: bool) -> InodeNumber:
        """Make a directory that no entry has made: its attributes are those of the one above (B13)."""
        if self._copies_wrongly(above):
            self.faults.found(Fault.N3Parent)
        attributes = self._attributes_of(above)
        attributes.opaque = opaque
        return self.create(above, name, attributes)

    def remove_named(self, is_meant: Callable[[bytes], bool]) -> None:
        """Remove everything that has, or is below, a name that is meant."""
        for parent, name in self.tree.names.matching(is_meant):
            number = self.tree.names.child(parent, name)
            if number is not None:
                self.remove(parent, name, number)

    def remove(self, parent: InodeNumber, name: bytes, number: InodeNumber) -> None:
        """Remove a name and everything reachable only through it."""
        tree = self.tree
        if tree.flags[number] & FIXED:
            raise InvalidEntry("the root directory and lost+found cannot be replaced")
        tree.names.remove(parent, name)
        if tree.is_dir(number):
            tree.links[parent] -= 1
        unnamed = [number]
        while unnamed:
            number = unnamed.pop()
            tree.links[number] -= 1
            if tree.is_dir(number):
                self._directories -= 1
                unnamed.extend(tree.names.take_children(number))
            elif tree.links[number] > 0:
                continue
            self.storage.free(number)
            tree.forget(number)

    def find(self, parent: InodeNumber, name: bytes) -> InodeNumber | None:
        """Return what has a name that an entry is to get. The root has an empty name."""
        if not name:
            return self.tree.root
        if len(name) > MAX_NAME_LEN or b"\0" in name:
            self._check_name(name)
        tree = self.tree
        if tree.mode[parent] & TYPE_MASK != _DIRECTORY:
            raise InvalidEntry("the path leads through a file")
        names = tree.names.get(parent)
        return None if names is None else names.get(name)

    def _check_name(self, name: bytes) -> None:
        if len(name) > MAX_NAME_LEN:
            raise InvalidEntry(
                f"the name {quote(name)} has {len(name)} bytes, at most {MAX_NAME_LEN} are allowed"
            )
        if not self.faults.reproduces(Fault.N11):
            raise InvalidEntry(f"the name {quote(name)} holds a NUL byte", code=Fault.N11.code)

    def _check_capacity(self) -> None:
        """Refuse what cannot fit in the end before it takes memory.

        A few bytes of a path are a directory of at least a block. Below that, the final check suffices, as in
        hcsshim, where something else may be wrong before.
        """
        if self._directories >= _MANY_DIRECTORIES:
            self.storage.check_capacity(self._directories, self.tree.highest())

    def _resolve_existing(
        self, parent: InodeNumber, name: bytes, old: InodeNumber, attributes: Attributes
    ) -> InodeNumber | None:
        """Decide what becomes of the node that has the name: reused (returned), left as it is, or taken away."""
        tree = self.tree
        was_dir = tree.is_dir(old)
        if was_dir == attributes.is_dir:
            if was_dir:
                return old
            if tree.links[old] >= 2:
                return None
            self._reuse_file(old)
            return old
        if self.faults.reproduces(Fault.B9ChangedType):
            if was_dir:
                raise InvalidEntry("a directory cannot be replaced with a file")
            raise InvalidEntry("a file cannot be replaced with a directory")
        self.faults.found(Fault.B9ChangedType)
        # The lower layers' directory of this name is gone; this one must not show through to it.
        attributes.opaque |= not was_dir and bool(tree.flags[old] & WHITEOUT)
        self.remove(parent, name, old)
        if attributes.is_dir:
            self._check_links(parent)
        return None

    def _check_links(self, parent: InodeNumber) -> None:
        """B23: more subdirectories than i_links_count can count."""
        max_links = self.storage.layout.max_links
        if self.tree.links[parent] < max_links:
            return
        if self.faults.reproduces(Fault.B23):
            raise DiskSizeExceeded(f"the directory above has {max_links} links, which is the maximum")
        self.storage.require(features.DIR_NLINK)
        self.faults.found(Fault.B23)

    def _reuse_file(self, number: InodeNumber) -> None:
        """Prepare a file that has one name for being replaced."""
        if not self.tree.flags[number] & STORED:
            return
        if self.faults.reproduces(Fault.B9ReplacedData):
            raise InvalidEntry("a file with data blocks cannot be replaced")
        self.faults.found(Fault.B9ReplacedData)
        self.storage.free_data(number)

    def _checked(self, attributes: Attributes) -> tuple[int, int, int]:
        """Return the mode, the size and the flags that a node with the attributes has."""
        mode = attributes.mode
        kind = mode & TYPE_MASK
        flags = USED | OPAQUE if attributes.opaque else USED
        if kind == _REGULAR or kind == 0:
            size = attributes.size
            max_size = self.storage.layout.max_file_size
            if size > max_size:
                raise DiskSizeExceeded(f"the file has {size} bytes, at most {max_size} are allowed")
            if size <= self.storage.max_inline_size:
                flags |= INLINE
            return mode | _REGULAR, size, flags
        if kind == _SYMLINK:
            return mode | 0o777, len(attributes.target), flags
        return mode, 0, flags

    def _reuse(self, number: InodeNumber, attributes: Attributes) -> None:
        """Give a used node its attributes. It keeps its number, links and xattr block."""
        old = self._surviving_xattrs(number, attributes)
        tree = self.tree
        mode, size, flags = self._checked(attributes)
        tree.mode[number] = mode
        tree.flags[number] = flags | tree.flags[number] & (OPAQUE | FIXED)
        tree.uid[number] = attributes.uid
        tree.gid[number] = attributes.gid
        tree.size[number] = size
        tree.data[number] = 0
        tree.set_times(number, attributes.mtime, attributes.atime, attributes.ctime)
        tree.set_device(number, NO_DEVICE)
        self._equip(number, attributes, old)

    def _equip(self, number: InodeNumber, attributes: Attributes, old: Xattrs | None) -> None:
        """Give a node what few have, and open it if it is a file with data.

        `old`: of a used node, the xattrs that live on where the entry does not give them.
        """
        tree = self.tree
        flags = tree.flags[number]
        if attributes.atime is not EPOCH or attributes.ctime is not EPOCH:
            tree.set_times(number, attributes.mtime, attributes.atime, attributes.ctime)
        if attributes.device is not NO_DEVICE:
            tree.set_device(number, attributes.device)
        xattrs = attributes.xattrs
        if attributes.opaque:
            xattrs = xattrs | {OPAQUE_XATTR: OPAQUE_VALUE}
        if old:
            xattrs = old | xattrs
        if xattrs or flags & INLINE or old is not None:
            self.storage.store_xattrs(number, xattrs)
        kind = attributes.mode & TYPE_MASK
        if kind == _SYMLINK:
            self.storage.store_target(number, attributes.target)
        elif tree.size[number] or flags & INLINE:
            self.storage.open(number)

    def _surviving_xattrs(self, number: InodeNumber, attributes: Attributes) -> Xattrs:
        """Return the xattrs of a used node that live on in it.

        None but an opaque marker's, which is not an entry; reproducing B8, those in the inode.
        """
        old = inode_xattrs_as_hcsshim(self.tree, number, self.faults)
        if old is None:
            raise crash()
        if self.faults.reproduces(Fault.B8KeptXattrs):
            return old
        surviving: Xattrs = {}
        if self.tree.flags[number] & OPAQUE:
            if OPAQUE_XATTR not in old and not attributes.give(OPAQUE_XATTR):
                self.faults.found(Fault.B8LostMarker)
            surviving[OPAQUE_XATTR] = OPAQUE_VALUE
        lost = [name for name in old if not attributes.give(name) and name not in surviving]
        if any(name != SYSTEM_DATA for name in lost):
            self.faults.found(Fault.B8KeptXattrs)
        elif lost:
            self.faults.found(Fault.B19KeptData)
        return surviving

    def _marked(self, number: InodeNumber) -> Attributes:
        """Return a node's attributes with those of an opaque marker."""
        attributes = self._attributes_of(number)
        attributes.xattrs = self._xattrs_for_marker(number)
        attributes.opaque = True
        return attributes

    def _xattrs_for_marker(self, number: InodeNumber) -> Xattrs:
        """Return the xattrs that a node keeps when it is marked."""
        as_hcsshim = xattrs_as_hcsshim(self.tree, number, self.faults)
        if self.faults.reproduces(Fault.B6):
            if as_hcsshim is None:
                raise crash()
            as_hcsshim.pop(SYSTEM_DATA, None)
            return as_hcsshim
        xattrs = self.tree.xattrs(number)
        if as_hcsshim is None:
            self.faults.found(Fault.N1)
        elif len(as_hcsshim) != len(xattrs):
            self.faults.found(Fault.B6)
        return xattrs

    def _attributes_of(self, number: InodeNumber) -> Attributes:
        """Return a node's attributes without its xattrs, for a copy of it."""
        tree = self.tree
        times = tree.times(number)
        if self.faults.reproduces(Fault.N3Parent):
            mtime, atime, ctime = map(hcsshim_times.copy, times)
        else:
            mtime, atime, ctime = times
        return Attributes(
            tree.mode[number],
            tree.uid[number],
            tree.gid[number],
            mtime=mtime,
            atime=atime,
            ctime=ctime,
            device=tree.device(number),
        )

    def _copies_wrongly(self, number: InodeNumber) -> bool:
        """Tell whether hcsshim changes one of the node's times when it copies them."""
        return not all(map(hcsshim_times.survives_copy, self.tree.times(number)))
