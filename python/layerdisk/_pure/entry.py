"""What a tar entry means for the file system."""

from __future__ import annotations

from ..errdefs import InvalidEntry, NotReproducible, quote
from . import whiteout
from .ext4 import acl, inode, timestamp, xattr
from .ext4.close import Image, close
from .ext4.place import MAX_NAME_LEN, PlacingWriter
from .ext4.writer import MAX_FILE_SIZE, Attributes
from .ext4.xattr import Xattrs
from .faults import Fault
from .options import Options
from .path import components
from .tar import Entry, Reader
from .units import U32_MAX, InodeNumber

_REGULAR = ord("0")
_LINK = ord("1")

# The types that every layout has; `kind` says what becomes of others.
_KINDS = {
    _REGULAR: inode.TYPE_REGULAR,
    _LINK: inode.TYPE_REGULAR,
    ord("7"): inode.TYPE_REGULAR,
    ord("S"): inode.TYPE_REGULAR,
    ord("2"): inode.TYPE_SYMLINK,
    ord("3"): inode.TYPE_CHARACTER,
    ord("4"): inode.TYPE_BLOCK,
    ord("5"): inode.TYPE_DIRECTORY,
    ord("6"): inode.TYPE_FIFO,
}

# The names in ACL attributes that ext4 stores in a form of its own.
_ACLS = (b"system.posix_acl_access", b"system.posix_acl_default")

# Directories whose path is remembered, so that entries in a row need not be looked up from the root.
_REMEMBERED_MAX = 1024

_PERMISSIONS = 0xFFFF & ~inode.TYPE_MASK


class Mapper:
    """Puts entries into an image."""

    def __init__(self, writer: PlacingWriter, options: Options) -> None:
        self.faults = writer.faults
        self._writer = writer
        self._convert_whiteout = options.convert_whiteout
        self._convert_backslash = options.convert_backslash
        self._has_aufs = False
        # What a name must not hold to be taken as it is.
        self._odd = [b"\0"]
        if options.convert_whiteout:
            self._odd.append(whiteout.PREFIX)
        if options.convert_backslash:
            self._odd.append(b"\\")
        # Raw path before an entry's name -> the directory's names; only good while nothing is taken away.
        self._remembered: dict[bytes, dict[bytes, InodeNumber]] = {}
        self._removals = 0

    def close(self) -> Image:
        """End the image."""
        if self._has_aufs:
            self._writer.remove_named(whiteout.is_aufs_file)
        return close(self._writer)

    def add(self, entry: Entry, reader: Reader) -> None:
        """Add an entry with its data."""
        is_plain = entry.typeflag == _REGULAR and self._add_plain_file(entry)
        if not is_plain and not self._add_any(entry):
            return
        writer = self._writer
        while (data := reader.data()) is not None:
            if isinstance(data, int):
                writer.write_zeros(data)
            else:
                writer.write(data)
        if writer.open_number:
            writer.finish_file()

    def _add_plain_file(self, entry: Entry) -> bool:
        """Take the short way with what most entries are; False if this is another one."""
        name = entry.name
        directory, _, last = name.rpartition(b"/")
        names = self._remembered.get(directory)
        mtime = entry.mtime
        if (
            names is None
            or last in names
            or last in (b"", b".", b"..")
            or entry.xattrs
            or len(last) > MAX_NAME_LEN
            or mtime is None
            or entry.atime is not None
            or entry.ctime is not None
        ):
            return False
        for odd in self._odd:
            if odd in name:
                return False
        uid = entry.uid
        gid = entry.gid
        size = entry.size
        seconds, nanoseconds = mtime
        if (
            self._writer.inline_data
            or self._removals != self._writer.removals
            or not 0 <= uid <= U32_MAX
            or not 0 <= gid <= U32_MAX
            or not 0 <= seconds < timestamp.PLAIN_SECONDS
            or size > MAX_FILE_SIZE
        ):
            return False
        mode = entry.mode & _PERMISSIONS | inode.TYPE_REGULAR
        self._writer.add_plain_file(names, last, mode, uid, gid, seconds | nanoseconds << 34, size)
        return True

    def _add_any(self, entry: Entry) -> bool:
        """Add any entry; tell whether data is to be taken from it."""
        kind = self._kind(entry)
        if kind is None:
            return False
        name = self._slashed(entry.name)
        parts = components(name)
        if self._convert_whiteout and self._add_whiteout(name, parts):
            return False
        resolved = self._writer.resolved
        parent = self._writer.make_parents(parts)
        last = parts[-1] if parts else b""
        if entry.typeflag == _LINK:
            self._writer.link(parent, last, self._slashed(entry.linkname))
            return False
        self._writer.create(parent, last, self._attributes(entry, kind))
        if self._writer.resolved == resolved:
            self._remember(name, last, parent)
        return kind != inode.TYPE_DIRECTORY  # a GNU dump directory has data: the list of its files

    def _remember(self, name: bytes, last: bytes, parent: InodeNumber) -> None:
        """Remember the directory that an entry was put into without any detour."""
        directory, _, file = name.rpartition(b"/")
        if file != last or not last:
            return
        if self._removals != self._writer.removals or len(self._remembered) >= _REMEMBERED_MAX:
            self._removals = self._writer.removals
            self._remembered.clear()
        self._remembered[directory] = self._writer.tree.names[parent]

    def _kind(self, entry: Entry) -> int | None:
        """Give the type bits, 0 where the type flag gives none; None for an entry that is to be left out."""
        typeflag = entry.typeflag
        kind = _KINDS.get(typeflag)
        if kind is not None:
            return kind
        faults = self.faults
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
            return inode.TYPE_DIRECTORY
        faults.found_with(Fault.B7UnknownType, quote(bytes([typeflag])))
        return 0

    def _add_whiteout(self, name: bytes, parts: list[bytes]) -> bool:
        """Add a whiteout or opaque marker; False for an ordinary entry."""
        faults = self.faults
        if not faults.reproduces(Fault.B18) and whiteout.is_aufs(name):
            faults.found(Fault.B18)
            self._has_aufs = True  # kept until the end, since links may lead to them
            return False
        kind, directory, hidden = whiteout.kind(name)
        if kind is whiteout.Kind.NONE:
            return False
        try:
            parent = self._writer.make_parents(parts)
        except InvalidEntry as error:
            if kind is whiteout.Kind.OPAQUE and not faults.reproduces(Fault.B10):
                raise InvalidEntry(
                    error.message, code=Fault.B10.code
                ) from None  # hcsshim takes one in a file
            raise
        if kind is whiteout.Kind.OPAQUE:
            self._writer.make_opaque(parent, parts[:-1])
        elif hidden not in (b"", b".", b".."):
            self._writer.whiteout(parent, hidden)
        elif faults.reproduces(Fault.B9WhiteoutOfDirectory):
            # hcsshim takes the name as a path, which mostly leads to a directory.
            path = components(directory + hidden)
            self._writer.whiteout(self._writer.locate(path), path[-1] if path else b"")
        else:
            raise InvalidEntry("the whiteout names no file")
        return True

    def _attributes(self, entry: Entry, kind: int) -> Attributes:
        is_device = kind in (inode.TYPE_CHARACTER, inode.TYPE_BLOCK)
        self._check_range("uid", entry.uid, U32_MAX, Fault.B17)
        self._check_range("gid", entry.gid, U32_MAX, Fault.B17)
        if is_device:
            self._check_range("devmajor", entry.devmajor, inode.MAX_MAJOR, Fault.N5)
            self._check_range("devminor", entry.devminor, inode.MAX_MINOR, Fault.N5)
        device = 0
        if is_device:
            device = inode.device_number(entry.devmajor & U32_MAX, entry.devminor & U32_MAX)
        return Attributes(
            mode=entry.mode & _PERMISSIONS | kind,
            uid=entry.uid & U32_MAX,
            gid=entry.gid & U32_MAX,
            atime=self._timestamp(entry.atime),
            ctime=self._timestamp(entry.ctime),
            mtime=self._timestamp(entry.mtime),
            size=entry.size,
            target=self._slashed(entry.linkname) if kind == inode.TYPE_SYMLINK else b"",
            device=device,
            xattrs=self._xattrs(entry) if entry.xattrs else {},
        )

    def _timestamp(self, time: tuple[int, int] | None) -> int:
        if time is None:
            return 0
        seconds, nanoseconds = time
        if 0 <= seconds < timestamp.PLAIN_SECONDS:
            return seconds | nanoseconds << 34
        fault = Fault.B3 if seconds < 0 else Fault.B4
        hcsshim = timestamp.hcsshim(seconds, nanoseconds)
        if self.faults.reproduces(fault):
            return hcsshim
        exact = timestamp.exact(seconds, nanoseconds)
        if exact != hcsshim:
            self.faults.found_with(fault, seconds)
        elif timestamp.is_clamped(exact, seconds):
            self.faults.found_with(Fault.B4b, seconds)
        return exact

    def _xattrs(self, entry: Entry) -> Xattrs:
        faults = self.faults
        if faults.reproduces(Fault.B5):
            return dict(entry.xattrs)
        xattrs: Xattrs = {}
        for name, value in entry.xattrs:
            index, _ = xattr.split_name(name, False)
            if index == 0:
                faults.found_with(Fault.N6, quote(name))
                continue
            xattr.check_name(name)
            if name == xattr.SYSTEM_DATA:
                faults.found(Fault.B19GivenData)
                continue
            if index != xattr.split_name(name, True)[0]:
                faults.found_with(Fault.N7, quote(name))
            stored: bytes | None = value
            if name in _ACLS:
                faults.found(Fault.B5)
                stored = acl.to_ext4(name, value)
            if stored is not None:
                xattrs[name] = stored
        return xattrs

    def _slashed(self, name: bytes) -> bytes:
        return name.replace(b"\\", b"/") if self._convert_backslash else name

    def _check_range(self, field: str, value: int, largest: int, fault: Fault) -> None:
        if not 0 <= value <= largest and not self.faults.reproduces(fault):
            raise InvalidEntry(f"{field} is {value}, 0 to {largest} are possible", code=fault.code)
