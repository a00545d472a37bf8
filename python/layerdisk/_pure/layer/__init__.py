"""What a layer means: each entry of a tar becomes nodes, names and data."""

from __future__ import annotations

from ...errdefs import InvalidEntry, NotReproducible, quote
from ..ext4.storage import Storage
from ..faults import Fault, Faults
from ..tar import Entry, Reader
from ..tree import USED, FileType, Tree
from ..units import InodeNumber
from . import attributes
from .merge import Merge
from .name import EntryName, components, is_aufs, is_aufs_file
from .paths import MAX_PATH_LEN, Paths

_LINK = ord("1")
_DIRECTORY = int(FileType.DIRECTORY)
_SYMLINK = int(FileType.SYMLINK)

# The types that every layer has; `_kind` says what becomes of others.
_KINDS = {
    ord("0"): int(FileType.REGULAR),
    _LINK: int(FileType.REGULAR),
    ord("7"): int(FileType.REGULAR),
    ord("S"): int(FileType.REGULAR),
    ord("2"): _SYMLINK,
    ord("3"): int(FileType.CHARACTER_DEVICE),
    ord("4"): int(FileType.BLOCK_DEVICE),
    ord("5"): _DIRECTORY,
    ord("6"): int(FileType.FIFO),
}

# Directories whose path is remembered, so that entries in a row need not be looked up from the root.
_REMEMBERED_MAX = 1024


class LayerWriter:
    """Puts entries into a tree and a storage, in the order of the tar.

    Args:
        tree: as it is before the first entry.
        storage: where data goes.
        faults: those that are reproduced, and found.
        convert_whiteout: names that start with `.wh.` are whiteouts.
        convert_backslash: a backslash in names and link targets is a slash.
    """

    def __init__(
        self, tree: Tree, storage: Storage, faults: Faults, convert_whiteout: bool, convert_backslash: bool
    ) -> None:
        self._storage = storage
        self._faults = faults
        self._merge = Merge(tree, storage, faults)
        self._paths = Paths(self._merge)
        self._flags = tree.flags
        self._convert_whiteout = convert_whiteout
        self._convert_backslash = convert_backslash
        self._has_aufs = False
        # Raw path before an entry's name -> the directory that it led to, by nothing but directories: it does so for
        # as long as that one is there.
        self._remembered: dict[bytes, InodeNumber] = {}

    def finish(self) -> None:
        """End the layer."""
        if self._has_aufs:
            self._merge.remove_named(is_aufs_file)

    def add(self, entry: Entry, reader: Reader) -> None:
        """Add an entry with its data."""
        kind = _KINDS.get(entry.typeflag)
        if kind is None:
            kind = self._kind(entry)
            if kind is None:
                return
        name = EntryName(self._slashed(entry.name) if self._convert_backslash else entry.name)
        place = self._place(name)
        if place is None:
            return
        parent, last = place
        if entry.typeflag == _LINK:
            self._add_link(parent, last, self._slashed(entry.linkname))
            return
        target = self._slashed(entry.linkname) if kind == _SYMLINK else b""
        given = attributes.of_entry(entry, kind, target, self._faults)
        self._merge.create(parent, last, given)
        if kind == _DIRECTORY:
            return  # a GNU dump directory has data: the list of its files
        storage = self._storage
        while (data := reader.data()) is not None:
            if isinstance(data, int):
                storage.write_zeros(data)
            else:
                storage.write(data)
        if storage.is_open:
            storage.finish_file()

    def _kind(self, entry: Entry) -> int | None:
        """Return the type bits of an entry, 0 where its type flag gives none; None for one that is to be left out."""
        typeflag = entry.typeflag
        faults = self._faults
        if typeflag == ord("g") and entry.global_unstable and faults.reproduces(Fault.N4):
            raise NotReproducible(
                "hcsshim names the file that it makes of a global header at random: one of its records is"
                " malformed",
                code=Fault.N4.code,
            )
        if typeflag == ord("g") and not faults.reproduces(Fault.B7GlobalHeader):
            faults.found(Fault.B7GlobalHeader)
            return None
        if typeflag == ord("V") and not faults.reproduces(Fault.B7VolumeLabel):
            faults.found(Fault.B7VolumeLabel)
            return None
        if typeflag == ord("D") and not faults.reproduces(Fault.B7DumpDirectory):
            faults.found(Fault.B7DumpDirectory)
            return _DIRECTORY
        faults.found_with(Fault.B7UnknownType, quote(bytes([typeflag])))
        return 0

    def _place(self, name: EntryName) -> tuple[InodeNumber, bytes] | None:
        """Return the directory and name of an entry; None for a whiteout, which is then done."""
        is_plain = name.is_plain(self._convert_whiteout)
        if is_plain and len(name.raw) <= MAX_PATH_LEN:
            known = self._remembered.get(name.directory)
            if known is not None and self._flags[known] & USED:
                return known, name.file
        parts = name.parts()
        aufs = is_aufs(parts)
        if self._convert_whiteout and not aufs and name.is_whiteout_directory():
            self._faults.found_with(Fault.N16, quote(name.raw))
        if self._convert_whiteout and self._add_whiteout(name, parts, aufs):
            return None
        walked = self._paths.make_parents(parts)
        if walked.is_plain and is_plain and not aufs:
            if len(self._remembered) >= _REMEMBERED_MAX:
                self._remembered.clear()
            self._remembered[name.directory] = walked.directory
        return walked.directory, parts[-1] if parts else b""

    def _add_whiteout(self, name: EntryName, parts: list[bytes], aufs: bool) -> bool:
        """Add a whiteout or opaque marker; False for an ordinary entry."""
        faults = self._faults
        if aufs and not faults.reproduces(Fault.B18):
            faults.found(Fault.B18)
            self._has_aufs = True  # kept until the end, since links may lead to them
            return False
        if name.is_opaque_marker():
            self._add_opaque_marker(parts)
            return True
        hidden = name.hidden()
        if hidden is None:
            return False
        parent = self._paths.make_parents(parts).directory
        if hidden not in (b"", b".", b".."):
            self._merge.whiteout(parent, hidden)
        elif faults.reproduces(Fault.B9WhiteoutOfDirectory):
            # hcsshim takes the name as a path, which mostly leads to a directory.
            path = components(name.directory + b"/" + hidden)
            self._merge.whiteout(self._paths.directory_above(path), path[-1] if path else b"")
        else:
            raise InvalidEntry("the whiteout names no file")
        return True

    def _add_opaque_marker(self, parts: list[bytes]) -> None:
        try:
            directory = self._paths.make_parents(parts).directory
        except InvalidEntry as error:
            if self._faults.reproduces(Fault.B10):
                raise
            raise InvalidEntry(error.message, code=Fault.B10.code) from None  # hcsshim takes one in a file
        if directory == self._merge.tree.root:
            self._faults.found(Fault.N15)
        if self._merge.tree.is_dir(directory):
            return self._merge.make_opaque(directory)
        path = parts[:-1]
        return self._merge.mark_file(directory, self._paths.directory_above(path), path[-1] if path else b"")

    def _add_link(self, parent: InodeNumber, name: bytes, target: bytes) -> None:
        existing = self._merge.check_link(parent, name)
        node = self._paths.find(components(target))
        if node is None:
            raise InvalidEntry(f"the link's target {quote(target)} is not in the layer")
        self._merge.link(parent, name, existing, node, target)

    def _slashed(self, name: bytes) -> bytes:
        return name.replace(b"\\", b"/") if self._convert_backslash else name
