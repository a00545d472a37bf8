"""The snapshotter's database: SQLite in WAL mode, every commit on stable storage before it is answered.

Source: containerd core/snapshots/storage (bolt.go): the same rules for kinds, parents and errors.
"""

from __future__ import annotations

import contextlib
import enum
import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from ...errdefs import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound

SCHEMA_VERSION = 1
_SCHEMA = """
CREATE TABLE snapshots (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    key TEXT NOT NULL UNIQUE,
    parent INTEGER REFERENCES snapshots (id),
    kind INTEGER NOT NULL,
    created_ns INTEGER NOT NULL,
    updated_ns INTEGER NOT NULL,
    size INTEGER NOT NULL DEFAULT 0,
    inodes INTEGER NOT NULL DEFAULT 0,
    diff_id TEXT NOT NULL DEFAULT '',
    root_hash TEXT NOT NULL DEFAULT ''
);
CREATE INDEX snapshots_parent ON snapshots (parent);
CREATE TABLE labels (
    snapshot INTEGER NOT NULL REFERENCES snapshots (id) ON DELETE CASCADE,
    key TEXT NOT NULL,
    value TEXT NOT NULL,
    PRIMARY KEY (snapshot, key)
) WITHOUT ROWID;
CREATE TABLE disks (
    blob TEXT NOT NULL,
    form TEXT NOT NULL,
    diff_id TEXT NOT NULL,
    size INTEGER NOT NULL,
    root_hash TEXT NOT NULL DEFAULT '',
    PRIMARY KEY (blob, form)
) WITHOUT ROWID;
"""
_BUSY_SECONDS = 30
# containerd pkg/labels/validate.go: key and value together.
MAX_LABEL_BYTES = 4096
# No limit there; a key is "<namespace>/<number>/<name>", and names have a few hundred bytes.
MAX_KEY_BYTES = 4096


class Kind(enum.IntEnum):
    """Kinds of snapshots, with the numbers of the gRPC API."""

    VIEW = 1
    ACTIVE = 2
    COMMITTED = 3


@dataclass(frozen=True, slots=True)
class Usage:
    """What a snapshot takes on disk.

    Attributes:
        size: in bytes.
        inodes: files and directories.
    """

    size: int = 0
    inodes: int = 0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A row of the database.

    Attributes:
        id: number, also the name of its directory; never given twice.
        key: its name, with the namespace.
        parent: key of its parent, "" for none.
        parent_ids: numbers of its ancestors, nearest first.
        diff_id: digest of the plain tar that its disk was made of, "" for none.
        root_hash: of its disk's dm-verity tree, "" for none.
        created_ns: in nanoseconds since 1970.
        updated_ns: the same.
    """

    id: int
    key: str
    parent: str
    kind: Kind
    created_ns: int
    updated_ns: int
    usage: Usage = Usage()
    labels: Mapping[str, str] = field(default_factory=dict)
    parent_ids: tuple[int, ...] = ()
    diff_id: str = ""
    root_hash: str = ""


@dataclass(frozen=True, slots=True)
class Disk:
    """What a blob became: the digest and size of its plain tar, and the root hash of its disk ("" without one)."""

    diff_id: str
    size: int
    root_hash: str = ""


class Database:
    """Snapshots by key.

    Args:
        path: of the database file, made if it is not there.

    One connection for each thread; writers wait for each other.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = os.fspath(path)
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        with self.writing() as connection:
            version = connection.execute("PRAGMA user_version").fetchone()[0]
            if version == 0:
                for statement in _SCHEMA.split(";\n"):
                    connection.execute(statement)
                connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            elif version != SCHEMA_VERSION:
                raise FailedPrecondition(
                    f"{self._path} has schema {version}, this version knows {SCHEMA_VERSION}"
                )

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = threading.local()

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Run statements as one transaction: all of them are done, or none."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def create(
        self, connection: sqlite3.Connection, kind: Kind, key: str, parent: str, labels: Mapping[str, str]
    ) -> Snapshot:
        """Add an active snapshot or a view.

        Raises:
            AlreadyExists: there is one of this key.
            NotFound: there is no such parent.
            InvalidArgument: the parent is not committed, or a key or label is not allowed.
        """
        check_key(key)
        check_labels(labels)
        parent_id = None
        if parent:
            above = self._row(connection, parent)
            if Kind(above["kind"]) is not Kind.COMMITTED:
                raise InvalidArgument(f"parent {parent!r} is not a committed snapshot")
            parent_id = above["id"]
        now = time.time_ns()
        try:
            cursor = connection.execute(
                "INSERT INTO snapshots (key, parent, kind, created_ns, updated_ns) VALUES (?, ?, ?, ?, ?)",
                (key, parent_id, kind, now, now),
            )
        except sqlite3.IntegrityError:
            raise AlreadyExists(f"snapshot {key!r} exists") from None
        self._set_labels(connection, cursor.lastrowid or 0, labels)
        return self._snapshot(connection, self._row(connection, key))

    def commit(
        self, connection: sqlite3.Connection, key: str, name: str, usage: Usage, labels: Mapping[str, str]
    ) -> Snapshot:
        """Turn an active snapshot into a committed one of another name.

        Raises:
            NotFound: there is no such active snapshot.
            AlreadyExists: there is one of the new name.
            FailedPrecondition: the snapshot is not active.
        """
        check_key(name)
        check_labels(labels)
        row = self._row(connection, key)
        if Kind(row["kind"]) is not Kind.ACTIVE:
            raise FailedPrecondition(f"snapshot {key!r} is not active")
        now = time.time_ns()
        try:
            connection.execute(
                "UPDATE snapshots SET key = ?, kind = ?, created_ns = ?, updated_ns = ?, size = ?, inodes = ?"
                " WHERE id = ?",
                (name, Kind.COMMITTED, now, now, usage.size, usage.inodes, row["id"]),
            )
        except sqlite3.IntegrityError:
            raise AlreadyExists(f"snapshot {name!r} exists") from None
        self._set_labels(connection, row["id"], labels)  # in place of those of the active snapshot
        return self._snapshot(connection, self._row(connection, name))

    def remove(self, connection: sqlite3.Connection, key: str) -> Snapshot:
        """Take a snapshot out.

        Raises:
            NotFound: there is none of this key.
            FailedPrecondition: it has children.
        """
        snapshot = self._snapshot(connection, self._row(connection, key))
        child = connection.execute(
            "SELECT 1 FROM snapshots WHERE parent = ? LIMIT 1", (snapshot.id,)
        ).fetchone()
        if child is not None:
            raise FailedPrecondition(f"cannot remove snapshot {key!r} with child")
        connection.execute("DELETE FROM snapshots WHERE id = ?", (snapshot.id,))
        return snapshot

    def update(
        self,
        connection: sqlite3.Connection,
        key: str,
        labels: Mapping[str, str],
        paths: Sequence[str] = (),
    ) -> Snapshot:
        """Change labels: all of them, or those that field paths name (`labels`, `labels.<key>`).

        Raises:
            NotFound: there is no such snapshot.
            InvalidArgument: a path names what cannot be changed.
        """
        check_labels(labels)
        snapshot = self._snapshot(connection, self._row(connection, key))
        merged = dict(snapshot.labels)
        if not paths:
            merged = dict(labels)
        for path in paths:
            if path == "labels":
                merged = dict(labels)
            elif path.startswith("labels."):
                name = path.removeprefix("labels.")
                if name in labels:
                    merged[name] = labels[name]
                else:
                    merged.pop(name, None)
            else:
                raise InvalidArgument(
                    f"cannot update field {path!r} of snapshot {key!r}: only labels can be changed"
                )
        self._set_labels(connection, snapshot.id, {name: value for name, value in merged.items() if value})
        connection.execute("UPDATE snapshots SET updated_ns = ? WHERE id = ?", (time.time_ns(), snapshot.id))
        return self._snapshot(connection, self._row(connection, key))

    def get(self, key: str) -> Snapshot:
        """Return a snapshot; NotFound if there is none of this key."""
        connection = self._connection()
        return self._snapshot(connection, self._row(connection, key))

    def by_id(self, number: int) -> Snapshot:
        """Return the snapshot of this number; NotFound if there is none."""
        connection = self._connection()
        row = connection.execute("SELECT * FROM snapshots WHERE id = ?", (number,)).fetchone()
        if row is None:
            raise NotFound(f"snapshot number {number} does not exist")
        return self._snapshot(connection, row)

    def all(self) -> list[Snapshot]:
        """Return all snapshots, sorted by key, as they are at one moment."""
        connection = self._connection()
        with self._reading(connection):
            rows = connection.execute("SELECT * FROM snapshots ORDER BY key").fetchall()
            keys = {row["id"]: row["key"] for row in rows}
            above = {row["id"]: row["parent"] for row in rows}
            labels: dict[int, dict[str, str]] = {}
            for row in connection.execute("SELECT * FROM labels"):
                labels.setdefault(row["snapshot"], {})[row["key"]] = row["value"]
        return [
            _snapshot(
                row, keys.get(row["parent"], ""), labels.get(row["id"], {}), tuple(_chain(row["id"], above))
            )
            for row in rows
        ]

    def known_disk(self, blob: str, form: str) -> Disk | None:
        """Return what a blob became when it was converted in this form, if that is known."""
        row = (
            self._connection()
            .execute("SELECT diff_id, size, root_hash FROM disks WHERE blob = ? AND form = ?", (blob, form))
            .fetchone()
        )
        return None if row is None else Disk(row["diff_id"], row["size"], row["root_hash"])

    def remember_disk(self, blob: str, form: str, disk: Disk) -> None:
        """Keep what a blob became."""
        with self.writing() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO disks VALUES (?, ?, ?, ?, ?)",
                (blob, form, disk.diff_id, disk.size, disk.root_hash),
            )

    def forget_disks(self, diff_id: str, form: str) -> None:
        """Forget which blobs became a disk that is gone."""
        with self.writing() as connection:
            connection.execute("DELETE FROM disks WHERE diff_id = ? AND form = ?", (diff_id, form))

    def set_disk(self, number: int, diff_id: str, root_hash: str) -> None:
        """Keep which disk a snapshot has."""
        with self.writing() as connection:
            connection.execute(
                "UPDATE snapshots SET diff_id = ?, root_hash = ? WHERE id = ?", (diff_id, root_hash, number)
            )

    @contextlib.contextmanager
    def _reading(self, connection: sqlite3.Connection) -> Iterator[None]:
        connection.execute("BEGIN")
        try:
            yield
        finally:
            connection.execute("COMMIT")

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
            with self._lock:
                self._connections.append(connection)
        return connection

    def _row(self, connection: sqlite3.Connection, key: str) -> sqlite3.Row:
        row: sqlite3.Row | None = connection.execute(
            "SELECT * FROM snapshots WHERE key = ?", (key,)
        ).fetchone()
        if row is None:
            raise NotFound(f"snapshot {key!r} does not exist")
        return row

    def _snapshot(self, connection: sqlite3.Connection, row: sqlite3.Row) -> Snapshot:
        chain = connection.execute(
            "WITH RECURSIVE chain (id, key, parent, depth) AS ("
            " SELECT id, key, parent, 0 FROM snapshots WHERE id = ?"
            " UNION ALL SELECT s.id, s.key, s.parent, depth + 1 FROM snapshots s JOIN chain c ON s.id = c.parent)"
            " SELECT id, key FROM chain ORDER BY depth",
            (row["parent"],),
        ).fetchall()
        labels = connection.execute("SELECT key, value FROM labels WHERE snapshot = ?", (row["id"],))
        return _snapshot(
            row,
            chain[0]["key"] if chain else "",
            {label["key"]: label["value"] for label in labels},
            tuple(above["id"] for above in chain),
        )

    def _set_labels(self, connection: sqlite3.Connection, number: int, labels: Mapping[str, str]) -> None:
        connection.execute("DELETE FROM labels WHERE snapshot = ?", (number,))
        self._add_labels(connection, number, labels)

    def _add_labels(self, connection: sqlite3.Connection, number: int, labels: Mapping[str, str]) -> None:
        connection.executemany(
            "INSERT OR REPLACE INTO labels VALUES (?, ?, ?)",
            [(number, key, value) for key, value in labels.items()],
        )


def check_key(key: str) -> None:
    """Refuse a key that is empty, too long or not text that can be stored."""
    if not key or "\0" in key:
        raise InvalidArgument("the snapshot's key is empty or has a NUL byte")
    if len(key.encode("utf-8", "surrogatepass")) > MAX_KEY_BYTES:
        raise InvalidArgument(f"the snapshot's key has more than {MAX_KEY_BYTES} bytes")


def check_labels(labels: Mapping[str, str]) -> None:
    """Refuse labels that containerd refuses. Source: containerd pkg/labels/validate.go."""
    for key, value in labels.items():
        length = len(key.encode()) + len(value.encode())
        if length > MAX_LABEL_BYTES:
            raise InvalidArgument(
                f"label key and value length ({length} bytes) greater than maximum size ({MAX_LABEL_BYTES} bytes),"
                f" key: {key[:10]!r}"
            )


def _snapshot(
    row: sqlite3.Row, parent: str, labels: Mapping[str, str], parent_ids: tuple[int, ...]
) -> Snapshot:
    return Snapshot(
        row["id"],
        row["key"],
        parent,
        Kind(row["kind"]),
        row["created_ns"],
        row["updated_ns"],
        Usage(row["size"], row["inodes"]),
        labels,
        parent_ids,
        row["diff_id"],
        row["root_hash"],
    )


def _chain(number: int, above: Mapping[int, int | None]) -> Iterator[int]:
    parent = above.get(number)
    while parent is not None:
        yield parent
        parent = above.get(parent)
