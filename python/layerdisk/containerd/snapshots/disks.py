"""The disks of a snapshotter's layers, each kept once by diffID and form, and hard-linked into snapshots."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterator

from ...descriptor import parse_digest
from ...io import fsync_directory
from .database import Database, Disk

_SUFFIX = ".vhd"


class DiskPool:
    """Disks by diffID.

    Args:
        root: directory, made if it is not there, on the file system of the snapshots.
        database: remembers which blob became which disk.
        form: all that makes other bytes of one layer (layout number and options), as a name.

    What no snapshot links any more goes away with `sweep`.
    """

    def __init__(self, root: str, database: Database, form: str) -> None:
        self._root = os.path.join(root, form)
        self._database = database
        self._form = form
        self._lock = threading.Lock()
        os.makedirs(self._root, mode=0o700, exist_ok=True)

    def link_known(self, blob: str, target: str) -> Disk | None:
        """Link the disk that a blob became before to a new place.

        Args:
            blob: digest of the compressed layer.
            target: path of the link, replaced if it is there.

        Returns:
            What the blob became; None if that is not known or the disk is gone.
        """
        disk = self._database.known_disk(blob, self._form)
        if disk is None or not self._link(self._path(disk.diff_id), target):
            return None
        return disk

    def add(self, blob: str, disk: Disk, path: str) -> None:
        """Keep a new disk; where there is one of its diffID already, the new one becomes a link to that.

        Args:
            blob: digest of the compressed layer.
            disk: what it became.
            path: of the complete disk file.
        """
        kept = self._path(disk.diff_id)
        os.makedirs(os.path.dirname(kept), mode=0o700, exist_ok=True)
        if not self._link(kept, path):
            with contextlib.suppress(FileExistsError), self._lock:
                os.link(path, kept)
            fsync_directory(os.path.dirname(kept))
        self._database.remember_disk(blob, self._form, disk)

    def sweep(self, diff_id: str | None = None) -> None:
        """Delete disks that no snapshot uses: one, or all such."""
        for path in [self._path(diff_id)] if diff_id else list(self._files()):
            with self._lock, contextlib.suppress(FileNotFoundError):
                if os.stat(path).st_nlink == 1:
                    os.unlink(path)
                    self._database.forget_disks(self._diff_id(path), self._form)

    def _link(self, source: str, target: str) -> bool:
        """Put a link in place of the target, in one step."""
        new = f"{target}.link"
        with self._lock:  # so that a sweep does not take it away in between
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            try:
                os.link(source, new)
            except FileNotFoundError:
                return False
        os.replace(new, target)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(new)  # replacing a link by one to the same file leaves both
        fsync_directory(os.path.dirname(target))
        return True

    def _path(self, diff_id: str) -> str:
        algorithm, digits = parse_digest(diff_id)
        return os.path.join(self._root, digits[:2], f"{algorithm}-{digits}{_SUFFIX}")

    def _diff_id(self, path: str) -> str:
        return os.path.basename(path).removesuffix(_SUFFIX).replace("-", ":", 1)

    def _files(self) -> Iterator[str]:
        for directory, _, names in os.walk(self._root):
            for name in names:
                if name.endswith(_SUFFIX):
                    yield os.path.join(directory, name)
