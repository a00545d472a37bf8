"""The snapshotter: what containerd asks of one, for layer disks.

Source: containerd core/snapshots (snapshotter.go), plugins/snapshots/lcow (mounts of mode "lcow"),
plugins/snapshots/overlay (mounts of mode "overlay").
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import stat
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from ... import errdefs
from ...errdefs import FailedPrecondition, InvalidArgument, LayerdiskError, NotFound
from ...io import fsync_directory
from ...lcow import LAYER_FILE, MOUNT_TYPE
from ...mount import Mount
from .database import Database, Kind, Snapshot, Usage
from .disks import DiskPool
from .mounts import mount_disk, mounts_below, unmount

Mode = Literal["lcow", "overlay"]

_log = logging.getLogger(__name__)
_UPPER = "fs"
_WORK = "work"
# Source: containerd core/snapshots/snapshotter.go, UnpackKeyPrefix.
_EXTRACT = "extract-"
# Without redirects and metadata-only copies, the upper directory alone tells all that was changed.
_OVERLAY_OPTIONS = ("index=off", "redirect_dir=off", "metacopy=off")

# (directory that was changed, disk to make of it) -> root hash of the disk, "" without one
ConvertUpper = Callable[[str, str], str]
# (disk, root hash): raises where they do not fit
CheckDisk = Callable[[str, str], None]


@dataclass(frozen=True, slots=True)
class Paths:
    """Where the parts of one snapshot are."""

    directory: str

    @property
    def disk(self) -> str:
        """The disk of a committed snapshot."""
        return os.path.join(self.directory, LAYER_FILE)

    @property
    def upper(self) -> str:
        """What an active snapshot changes; in a committed one, where its disk is mounted."""
        return os.path.join(self.directory, _UPPER)

    @property
    def work(self) -> str:
        """The overlay's own directory, of an active snapshot."""
        return os.path.join(self.directory, _WORK)


class Snapshotter:
    """Snapshots below one directory.

    Args:
        root: directory, made if it is not there; nobody else may use it.
        mode: "lcow", mounts of type lcow-layer for a virtual machine; "overlay", mounts that containers of this
            machine run on.
        form: name of all that makes other bytes of one layer, for the pool of disks.
        convert_upper: makes a disk (second argument) of a changed directory (first), for commits of what a
            container changed; without it such a commit is refused.
        check_disk: called with a disk and its root hash before the first mount; raises to refuse it.

    What a crash left behind is put away when the object is made.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        mode: Mode = "lcow",
        *,
        form: str = "default",
        convert_upper: ConvertUpper | None = None,
        check_disk: CheckDisk | None = None,
    ) -> None:
        if mode not in get_args(Mode):
            raise InvalidArgument(f"mode is {mode!r}, it must be one of {', '.join(get_args(Mode))}")
        self.root = os.path.realpath(root)
        self.mode = mode
        self._snapshots = os.path.join(self.root, "snapshots")
        os.makedirs(self._snapshots, mode=0o700, exist_ok=True)
        self._database = Database(os.path.join(self.root, "snapshots.db"))
        self.disks = DiskPool(os.path.join(self.root, "disks"), self._database, form)
        self._convert_upper = convert_upper
        self._check_disk = check_disk
        self._lock = threading.RLock()  # directories and mounts change together with the database
        self.cleanup()

    def close(self) -> None:
        """Close the database; mounts and files stay for the next start."""
        self._database.close()

    # The calls of containerd's interface.

    def prepare(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        """Make an active snapshot.

        Raises:
            AlreadyExists, NotFound, InvalidArgument: as Database.create.
        """
        return self._create(Kind.ACTIVE, key, parent, labels or {})

    def view(self, key: str, parent: str = "", labels: Mapping[str, str] | None = None) -> list[Mount]:
        """Make a read-only snapshot; raises as `prepare`."""
        return self._create(Kind.VIEW, key, parent, labels or {})

    def mounts(self, key: str) -> list[Mount]:
        """Return the mounts of an active snapshot or view.

        Raises:
            NotFound: there is none of this key.
            FailedPrecondition: it is committed.
        """
        with self._lock:
            snapshot = self._database.get(key)
            if snapshot.kind is Kind.COMMITTED:
                raise FailedPrecondition(f"snapshot {key!r} is not active")
            self._mount_lowers(snapshot)
            return self._mounts(snapshot)

    def commit(self, name: str, key: str, labels: Mapping[str, str] | None = None) -> None:
        """Turn an active snapshot into a committed one, with a disk of what was changed.

        Raises:
            NotFound, AlreadyExists, FailedPrecondition, InvalidArgument: as Database.commit.
        """
        snapshot = self._database.get(key)
        paths = self.paths(snapshot.id)
        if snapshot.kind is Kind.ACTIVE and not os.path.exists(paths.disk):
            self._make_disk(snapshot, paths)
        with self._lock:
            with self._database.writing() as connection:
                self._database.commit(connection, key, name, _disk_usage(paths), labels or {})
            if self.mode == "overlay":
                _empty(paths.upper)
                _delete(paths.work)
            self._unmount_unused()

    def remove(self, key: str) -> None:
        """Remove a snapshot and its files.

        Raises:
            NotFound: there is none of this key.
            FailedPrecondition: it has children.
        """
        with self._lock:
            with self._database.writing() as connection:
                snapshot = self._database.remove(connection, key)
            removed = self._put_aside(snapshot)
            self._unmount_unused()
        _delete(removed)
        if snapshot.diff_id:
            self.disks.sweep(snapshot.diff_id)

    def stat(self, key: str) -> Snapshot:
        """Return what is known of a snapshot; NotFound if there is none of this key."""
        return self._database.get(key)

    def update(self, key: str, labels: Mapping[str, str], paths: Sequence[str] = ()) -> Snapshot:
        """Change labels; raises as Database.update."""
        with self._database.writing() as connection:
            return self._database.update(connection, key, labels, paths)

    def all(self) -> list[Snapshot]:
        """Return all snapshots."""
        return self._database.all()

    def usage(self, key: str) -> Usage:
        """Return what a snapshot takes on disk: as it was committed, or as it is now."""
        snapshot = self._database.get(key)
        if snapshot.kind is Kind.COMMITTED:
            return snapshot.usage
        paths = self.paths(snapshot.id)
        changed = _tree_usage(paths.upper) if self.mode == "overlay" else Usage()
        disk = _disk_usage(paths)
        return Usage(changed.size + disk.size, changed.inodes + disk.inodes)

    def cleanup(self) -> None:
        """Put away whatever the database does not name: directories, mounts, disks and temporary files."""
        with self._lock:
            known = {str(snapshot.id): snapshot for snapshot in self._database.all()}
            for name in os.listdir(self._snapshots):
                path = os.path.join(self._snapshots, name)
                if name not in known:
                    self._delete_directory(path)
                else:
                    _delete_temporary(path)
            self._unmount_unused()
            if self.mode == "overlay":
                self._finish_commits(known.values())
        self.disks.sweep()

    def _finish_commits(self, snapshots: Iterable[Snapshot]) -> None:
        """Do what a crash after the transaction of a commit left undone."""
        mounted = set(mounts_below(self._snapshots))
        for snapshot in snapshots:
            paths = self.paths(snapshot.id)
            if snapshot.kind is Kind.COMMITTED and paths.upper not in mounted:
                _empty(paths.upper)
                _delete(paths.work)

    # For the differ.

    def paths(self, number: int) -> Paths:
        """Return where a snapshot's parts are."""
        return Paths(os.path.join(self._snapshots, str(number)))

    def active_of_directory(self, directory: str) -> Snapshot:
        """Return the active snapshot whose mount has this source.

        Raises:
            InvalidArgument: the directory is not one of a snapshot of this root.
            NotFound: the snapshot is gone.
            FailedPrecondition: it is not active.
        """
        above, name = os.path.split(os.path.normpath(directory))
        if above != self._snapshots or not (name.isascii() and name.isdecimal()):
            raise InvalidArgument("the mount's source is not a snapshot of this snapshotter")
        snapshot = self._database.by_id(int(name))
        if snapshot.kind is not Kind.ACTIVE:
            raise FailedPrecondition(f"snapshot {snapshot.key!r} is not active")
        return snapshot

    def layer_directories(self, mounts: Sequence[Mount]) -> list[str]:
        """Return the directories of the layers that mounts of this snapshotter are made of, nearest first.

        Raises:
            NotImplemented: the mounts are not those of this snapshotter in mode "overlay"; another may know them.
            NotFound: a snapshot is gone.
        """
        if len(mounts) != 1:
            raise errdefs.NotImplemented(f"{len(mounts)} mounts, a snapshot of this snapshotter has 1")
        mount = mounts[0]
        if mount.type == "bind":
            directories = [mount.source]
        elif mount.type == "overlay":
            directories = _option(mount, "upperdir=") + _option(mount, "lowerdir=")
        else:
            raise errdefs.NotImplemented(f"a mount of type {mount.type!r} is not one of this snapshotter")
        return [path for path in directories if self._kind_of_layer(path) is not Kind.VIEW]

    def _kind_of_layer(self, path: str) -> Kind:
        directory, last = os.path.split(os.path.normpath(path))
        above, name = os.path.split(directory)
        if last != _UPPER or above != self._snapshots or not (name.isascii() and name.isdecimal()):
            raise errdefs.NotImplemented("a directory of the mount is not a snapshot of this snapshotter")
        return self._database.by_id(int(name)).kind

    def set_disk(self, number: int, diff_id: str, root_hash: str) -> None:
        """Keep which disk was put into a snapshot."""
        self._database.set_disk(number, diff_id, root_hash)

    def _create(self, kind: Kind, key: str, parent: str, labels: Mapping[str, str]) -> list[Mount]:
        with self._lock:
            with self._database.writing() as connection:
                snapshot = self._database.create(connection, kind, key, parent, labels)
                paths = self.paths(snapshot.id)
                self._delete_directory(paths.directory)  # of a transaction that was undone
                os.mkdir(paths.directory, 0o700)
                if self.mode == "overlay":
                    self._make_upper(snapshot, paths)
                fsync_directory(self._snapshots)
            try:
                self._mount_lowers(snapshot)
                self._take_owner(snapshot, paths)
            except BaseException:
                self.remove(key)
                raise
            return self._mounts(snapshot)

    def _make_upper(self, snapshot: Snapshot, paths: Paths) -> None:
        """Make the directories of an overlay."""
        os.mkdir(paths.upper, 0o755)
        os.chmod(paths.upper, 0o755)
        if snapshot.kind is Kind.ACTIVE:
            os.mkdir(paths.work, 0o711)

    def _take_owner(self, snapshot: Snapshot, paths: Paths) -> None:
        """Give the new root the owner of the one below, as containerd does."""
        if self.mode == "overlay" and snapshot.parent_ids and not _is_extraction(snapshot):
            below = os.stat(self.paths(snapshot.parent_ids[0]).upper)
            os.chown(paths.upper, below.st_uid, below.st_gid)

    def _mounts(self, snapshot: Snapshot) -> list[Mount]:
        if self.mode == "lcow" or _is_extraction(snapshot):
            return [self._lcow_mount(snapshot)]
        return [self._overlay_mount(snapshot)]

    def _lcow_mount(self, snapshot: Snapshot) -> Mount:
        directories = [self.paths(number).directory for number in snapshot.parent_ids]
        source = self.paths(snapshot.id).directory
        if snapshot.kind is Kind.VIEW and directories:
            source, *directories = directories
        access = "ro" if snapshot.kind is Kind.VIEW else "rw"
        # As Go has it, a list that is not there is null.
        parents = json.dumps(directories or None, ensure_ascii=False, separators=(",", ":"))
        return Mount(MOUNT_TYPE, source, options=(access, f"parentLayerPaths={parents}"))

    def _overlay_mount(self, snapshot: Snapshot) -> Mount:
        paths = self.paths(snapshot.id)
        lowers = [self.paths(number).upper for number in snapshot.parent_ids]
        if snapshot.kind is Kind.VIEW:
            if len(lowers) < 2:
                return Mount("bind", lowers[0] if lowers else paths.upper, options=("ro", "rbind"))
            return Mount("overlay", "overlay", options=(*_OVERLAY_OPTIONS, f"lowerdir={':'.join(lowers)}"))
        if not lowers:
            return Mount("bind", paths.upper, options=("rw", "rbind"))
        layers = (f"workdir={paths.work}", f"upperdir={paths.upper}", f"lowerdir={':'.join(lowers)}")
        return Mount("overlay", "overlay", options=(*_OVERLAY_OPTIONS, *layers))

    def _mount_lowers(self, snapshot: Snapshot) -> None:
        if self.mode != "overlay" or _is_extraction(snapshot):
            return
        mounted = set(mounts_below(self._snapshots))
        for number in snapshot.parent_ids:
            paths = self.paths(number)
            if paths.upper not in mounted:
                if self._check_disk is not None:
                    self._check_disk(paths.disk, self._database.by_id(number).root_hash)
                mount_disk(paths.disk, paths.upper)

    def _unmount_unused(self) -> None:
        """Unmount the disks that no active snapshot or view stands on."""
        if self.mode != "overlay":
            return
        used = {
            self.paths(number).upper
            for snapshot in self._database.all()
            if snapshot.kind is not Kind.COMMITTED and not _is_extraction(snapshot)
            for number in snapshot.parent_ids
        }
        for point in list(mounts_below(self._snapshots)):
            if point not in used:
                _tolerantly(unmount, point)

    def _make_disk(self, snapshot: Snapshot, paths: Paths) -> None:
        if self.mode != "overlay":
            raise FailedPrecondition(
                f"snapshot {snapshot.key!r} has no {LAYER_FILE}: nothing was applied to it"
            )
        if self._convert_upper is None:
            raise FailedPrecondition("commits of changed directories are not set up")
        self.set_disk(snapshot.id, "", self._convert_upper(paths.upper, paths.disk))

    def _put_aside(self, snapshot: Snapshot) -> str:
        """Take a directory out of the way, so that deleting it holds nobody up; a crash leaves it to `cleanup`."""
        path = self.paths(snapshot.id).directory
        aside = f"{path}.removed"
        for point in list(mounts_below(path)):
            _tolerantly(unmount, point)
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, aside)
        return aside

    def _delete_directory(self, path: str) -> None:
        for point in list(mounts_below(path)):
            _tolerantly(unmount, point)
        if list(mounts_below(path)):
            return  # the next cleanup tries again
        _delete(path)


def _is_extraction(snapshot: Snapshot) -> bool:
    """Return whether containerd only unpacks a layer into the snapshot, and runs nothing on it."""
    return snapshot.kind is Kind.ACTIVE and snapshot.key.rsplit("/", 1)[-1].startswith(_EXTRACT)


def _option(mount: Mount, name: str) -> list[str]:
    """Return the directories of an overlay's option, none where it is not given."""
    found = [option.removeprefix(name).split(":") for option in mount.options if option.startswith(name)]
    return found[-1] if found else []


def _tolerantly(do: Callable[[str], None], path: str) -> None:
    """Go on after a failure that the next cleanup may mend."""
    try:
        do(path)
    except (LayerdiskError, OSError) as error:
        _log.warning("cleaning up %s failed", os.path.basename(path), extra={"error": str(error)})


def _delete(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


def _empty(directory: str) -> None:
    """Make a directory empty that is about to be mounted on."""
    _delete(directory)
    os.mkdir(directory, 0o755)


def _delete_temporary(directory: str) -> None:
    """Delete what an apply that was cut short left beside its layer.vhd."""
    for name in os.listdir(directory):
        if name not in (LAYER_FILE, _UPPER, _WORK):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(os.path.join(directory, name))


def _disk_usage(paths: Paths) -> Usage:
    try:
        return Usage(os.stat(paths.disk).st_blocks * 512, 1)
    except FileNotFoundError:
        return Usage()


def _tree_usage(top: str) -> Usage:
    """Return what a directory takes on disk, hard-linked files once. Source: containerd continuity/fs (du_unix.go)."""
    if not os.path.isdir(top):
        raise NotFound("the snapshot's directory is gone")
    seen: set[tuple[int, int]] = set()
    size = 0
    for entry in _walk(top):
        if (entry.st_dev, entry.st_ino) not in seen:
            seen.add((entry.st_dev, entry.st_ino))
            size += entry.st_blocks * 512
    return Usage(size, len(seen))


def _walk(top: str) -> Iterable[os.stat_result]:
    pending = [top]
    while pending:
        path = pending.pop()
        try:
            status = os.lstat(path)
            if stat.S_ISDIR(status.st_mode):
                pending += [os.path.join(path, name) for name in os.listdir(path)]
        except FileNotFoundError:
            continue  # a container works on it at the same time
        yield status
