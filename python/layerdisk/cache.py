"""Results of conversions, kept for whoever asks again: by diffID, layout and options.

A cache is a folder, or any URL that fsspec knows, for as many processes and hosts at a time as there are. An entry is
a record, `<2 digits>/<diffID>-<options>.json`, and where a disk belongs to it, that disk beside it. Both appear whole,
the disk first. What is not as its record says is dropped and made anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from .cancel import Cancel, checker
from .descriptor import parse_digest
from .errdefs import InvalidArgument
from .io import OutputFile
from .options import LAYOUT_VERSIONS
from .places import PlaceFile, open_place, write_all

__all__ = ["Cache", "CacheEntry", "Cached"]

_log = logging.getLogger(__name__)

_FORMAT = 1  # of the records
_PIECE_BYTES = 1024 * 1024
_RECORD, _DISK, _LOCK = ".json", ".disk", ".lock"


@dataclass(frozen=True, slots=True)
class Cached:
    """A result.

    Attributes:
        result: what was stored, as JSON has it.
        is_hit: it was there, and nothing was converted.
    """

    result: Any
    is_hit: bool


@dataclass(frozen=True, slots=True)
class CacheEntry:
    """What a cache has.

    Attributes:
        name: of the entry.
        diff_id: of the layer.
        size: of all of its files, in bytes.
        used: when it was last used, or where the store does not note that, made; seconds since 1970.
        files: their names.
    """

    name: str
    diff_id: str
    size: int
    used: float
    files: tuple[str, ...]


class _Damaged(Exception):
    """An entry is not what its record says."""


class Cache:
    """Results by diffID, layout and options; threads, processes and hosts may share it.

    On a path, two that want the same result make it once, since the second waits for the first; behind a URL both may
    make it.

    Args:
        where: a folder, which is made when something is stored, or a URL that fsspec knows (extra `remote`).
    """

    def __init__(self, where: str | os.PathLike[str]) -> None:
        self._place = open_place(where)

    @property
    def where(self) -> str:
        """The folder or URL."""
        return self._place.where

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as where it is."""
        return Cache, (self.where,)

    def result(
        self,
        diff_id: str,
        options: Mapping[str, Any],
        make: Callable[[], Any],
        *,
        disk: str | os.PathLike[str] | None = None,
        cancel: Cancel | None = None,
    ) -> Cached:
        """Return what is stored for a layer and options, or make and store it.

        A failure to store is logged and does no harm.

        Args:
            diff_id: of the layer, a digest of SHA-256.
            options: all that makes another result of the same layer, each as JSON has it, or
                with a repr that says all of it; "layout" must be among them.
            make: returns the result, as JSON has it, and where `disk` is given, makes that file.
            disk: path of the disk that belongs to the result; it gets the stored one's content, which is compared with
                its digest on the way.
            cancel: ends the wait for another process, and copying.

        Raises:
            InvalidArgument: not a diffID, or the options have no known layout.
            Canceled: it was canceled.
            Exception: as `make`, of which nothing is stored.
        """
        check = checker(cancel)
        key = _key(diff_id, options)
        name = _name(key)
        if (found := self._find(name, key, disk, check, drop=False)) is not None:
            return found
        with self._place.locked(name + _LOCK, check):
            if (found := self._find(name, key, disk, check, drop=True)) is not None:
                return found
            result = make()
            try:
                self._store(name, key, result, disk)
            except OSError as error:
                _log.warning("%s: entry %s cannot be stored: %s", self.where, name, error)
            return Cached(result, is_hit=False)

    def entries(self) -> list[CacheEntry]:
        """Return what the cache has, the least recently used first."""
        gathered: dict[str, list[PlaceFile]] = {}
        for file in self._place.files():
            name, suffix = os.path.splitext(file.name)
            if suffix in (_RECORD, _DISK):
                gathered.setdefault(name, []).append(file)
        entries = [_entry(name, files) for name, files in gathered.items()]
        return sorted(entries, key=lambda entry: (entry.used, entry.name))

    def prune(self, max_size: int) -> list[CacheEntry]:
        """Remove entries, the least recently used first, until the rest is at most `max_size` bytes.

        Who reads one at that moment reads on, or makes the result anew.

        Returns:
            The entries that were removed.
        """
        if max_size < 0:
            raise InvalidArgument(f"max_size is {max_size}, not 0 or more")
        self._place.clean()
        entries = self.entries()
        size = sum(entry.size for entry in entries)
        removed = []
        for entry in entries:
            if size <= max_size:
                break
            self._drop(entry.name)
            self._place.remove_lock(entry.name + _LOCK)
            size -= entry.size
            removed.append(entry)
        return removed

    def _find(
        self,
        name: str,
        key: Any,
        disk: str | os.PathLike[str] | None,
        check: Callable[[], None],
        *,
        drop: bool,
    ) -> Cached | None:
        """Return a sound entry; a damaged one is dropped if nobody else can be making it at the moment."""
        try:
            record = self._read(name, key)
            if disk is not None:
                if record["disk"] is None:
                    return None  # made for somebody who needed no disk
                self._fetch(name, record["disk"], disk, check)
        except FileNotFoundError:
            return None
        except _Damaged as error:
            if drop:
                _log.warning("%s: entry %s is damaged and made anew: %s", self.where, name, error)
                self._drop(name)
            return None
        self._place.touch(name + _RECORD)
        return Cached(record["result"], is_hit=True)

    def _read(self, name: str, key: Any) -> dict[str, Any]:
        with self._place.open(name + _RECORD) as file:
            content = file.read()
        try:
            record = json.loads(content)
            check = record.pop("sha256")
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise _Damaged(f"the record cannot be read: {error}") from error
        if check != _sha256(record) or record["key"] != key:
            raise _Damaged("the record is not what was written")
        return dict(record)

    def _fetch(
        self, name: str, stored: Mapping[str, Any], disk: str | os.PathLike[str], check: Callable[[], None]
    ) -> None:
        """Copy a disk to a path, where it appears if it is as its record says."""
        with self._place.open(name + _DISK) as source, OutputFile(disk) as output:
            digest = hashlib.sha256()
            size = 0
            while piece := source.read(_PIECE_BYTES):
                check()
                digest.update(piece)
                size += len(piece)
                write_all(output.file, piece)
            if (size, digest.hexdigest()) != (stored["size"], stored["sha256"]):
                raise _Damaged(
                    f"the disk has {size} bytes of sha256:{digest.hexdigest()}, "
                    f"not {stored['size']} of sha256:{stored['sha256']}"
                )
            output.commit()

    def _store(self, name: str, key: Any, result: Any, disk: str | os.PathLike[str] | None) -> None:
        record: dict[str, Any] = {"key": key, "result": result, "disk": None}
        if disk is not None:
            with open(disk, "rb") as file:
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                record["disk"] = {"size": file.tell(), "sha256": digest}
            self._place.put(name + _DISK, os.fspath(disk))
        record["sha256"] = _sha256(record)
        self._place.write(name + _RECORD, _canonical(record))

    def _drop(self, name: str) -> None:
        for suffix in (_RECORD, _DISK):
            self._place.remove(name + suffix)


def _key(diff_id: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that the result depends on, as JSON has it."""
    algorithm, _ = parse_digest(diff_id)
    layout = options.get("layout")
    if algorithm != "sha256" or layout not in LAYOUT_VERSIONS:
        raise InvalidArgument(
            f"a cache needs a diffID of sha256 and a layout of {', '.join(LAYOUT_VERSIONS)}, "
            f"not {algorithm} and {layout}"
        )
    key: dict[str, Any] = {
        "format": _FORMAT,
        "diff_id": diff_id,
        "layout_version": LAYOUT_VERSIONS[layout],
        "options": dict(options),
    }
    key = json.loads(_canonical(key))  # as it comes back from a record
    return key


def _name(key: Mapping[str, Any]) -> str:
    digits = str(key["diff_id"]).partition(":")[2]
    return f"{digits[:2]}/{digits}-{_sha256(key)[:16]}"


def _entry(name: str, files: Iterable[PlaceFile]) -> CacheEntry:
    files = sorted(files)
    digits = name.rpartition("/")[2].partition("-")[0]
    record = [file.used for file in files if file.name.endswith(_RECORD)]  # a disk alone is what a crash left
    return CacheEntry(
        name,
        f"sha256:{digits}",
        sum(file.size for file in files),
        record[0] if record else 0.0,
        tuple(file.name for file in files),
    )


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=repr).encode()


def _sha256(value: Any) -> str:
    return hashlib.sha256(_canonical(value)).hexdigest()
