"""What is known of sessions and revocations, kept over restarts: one SQLite file that all processes of a host share.

A revocation, and an event with all that it revokes, is on disk when its call returns. Uses of sessions are written in
batches, without waiting for the disk: a killed process loses nothing, a host that loses its power a second or two. Each
write of a batch takes the next sequence number, so that others read only what is new to them.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from secrets import token_hex
from threading import Lock
from typing import Final

from pdp.identity.caller import FOREVER
from pdp.identity.revocations import SESSION, TOKEN, Revocation

FILE: Final = "sessions.db"
APPLICATION_ID: Final = 0x43485053  # "CHPS"
VERSION: Final = 1
MAX_REVOCATIONS: Final = 1_000_000
"""Every worker holds all of them in memory."""

OF_TRANSMITTERS: Final = "transmitter "
"""What the source of a revocation by an event begins with."""

IDLE: Final = "idle"
TOO_OLD: Final = "too-old"

SCHEMA: Final = """
CREATE TABLE counter (only INTEGER PRIMARY KEY CHECK (only = 1), sequence INTEGER NOT NULL, clock INTEGER NOT NULL);
INSERT INTO counter VALUES (1, 0, 0);
CREATE TABLE revocations (
    kind TEXT NOT NULL, issuer TEXT NOT NULL, value TEXT NOT NULL, not_before INTEGER NOT NULL,
    reason TEXT NOT NULL, source TEXT NOT NULL, recorded INTEGER NOT NULL, id TEXT NOT NULL, sequence INTEGER NOT NULL,
    PRIMARY KEY (kind, issuer, value)
) WITHOUT ROWID;
CREATE UNIQUE INDEX revocations_sequence ON revocations (sequence);
CREATE TABLE sessions (
    key BLOB PRIMARY KEY, generation INTEGER NOT NULL, floor INTEGER NOT NULL, opened INTEGER NOT NULL,
    used INTEGER NOT NULL, ended TEXT NOT NULL, idle INTEGER NOT NULL, absolute INTEGER NOT NULL,
    kept_until INTEGER NOT NULL, sequence INTEGER NOT NULL
) WITHOUT ROWID;
CREATE INDEX sessions_sequence ON sessions (sequence);
CREATE TABLE events (
    issuer TEXT NOT NULL, token TEXT NOT NULL, digest BLOB NOT NULL, type TEXT NOT NULL, effect TEXT NOT NULL,
    recorded INTEGER NOT NULL, PRIMARY KEY (issuer, token)
) WITHOUT ROWID;
"""

# As `Session.merged` does.
SAVE_SESSION: Final = """
INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE SET
    ended = CASE WHEN excluded.generation > max(generation, used) THEN excluded.ended
                 WHEN generation > max(excluded.generation, excluded.used) OR ended <> '' THEN ended
                 ELSE excluded.ended END,
    opened = CASE WHEN excluded.generation > generation THEN excluded.opened
                  WHEN excluded.generation < generation THEN opened ELSE min(opened, excluded.opened) END,
    generation = max(generation, excluded.generation),
    floor = max(floor, excluded.floor),
    used = max(used, excluded.used),
    idle = excluded.idle,
    absolute = excluded.absolute,
    kept_until = max(kept_until, excluded.kept_until),
    sequence = excluded.sequence
"""
SAVE_REVOCATION: Final = """
INSERT INTO revocations VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (kind, issuer, value) DO UPDATE SET
    not_before = excluded.not_before, reason = excluded.reason, source = excluded.source,
    recorded = excluded.recorded, sequence = excluded.sequence
"""
REVOCATION: Final = "issuer, kind, value, not_before, reason, source, recorded, id, sequence"
COLUMNS: Final = ("key", "generation", "floor", "opened", "used", "ended", "idle", "absolute", "kept_until")
SESSION_ROW: Final = ", ".join(COLUMNS)


class StoreError(Exception):
    """The store cannot be read, or cannot be written. The message is for the operator."""


@dataclass(slots=True)
class Session:
    """What is known of one session. Instants and spans are microseconds."""

    key: bytes
    generation: int  # its latest authentication; 0: no token has told one
    floor: int  # tokens that are older than this do not belong to it any more; 0: all do
    opened: int  # since when its age counts
    used: int
    ended: str  # "", or the word that says why it is over
    idle: int  # the limits that it is under, 0: none
    absolute: int
    kept_until: int

    def merged(self, other: Session) -> None:
        """Take in what another worker knows. An authentication that is newer than all that the other one has seen wins;
        else what has ended for one of them has ended.
        """
        if other.generation > max(self.generation, self.used):
            self.ended = other.ended
        elif self.generation <= max(other.generation, other.used):
            self.ended = self.ended or other.ended
        if other.generation > self.generation:
            self.opened = other.opened
        elif other.generation == self.generation:
            self.opened = min(self.opened, other.opened)
        self.generation = max(self.generation, other.generation)
        self.floor, self.used = max(self.floor, other.floor), max(self.used, other.used)
        self.kept_until = max(self.kept_until, other.kept_until)

    def settle(self, high: int, low: int) -> None:
        """The clock was set back from `high` to `low`: what was over by then is over, and nothing was used later."""
        if not self.ended and self.idle and self.used + self.idle < high:
            self.ended = IDLE
        if not self.ended and self.absolute and self.opened + self.absolute < high:
            self.ended = TOO_OLD
        self.used = min(self.used, low)


class Store:
    """One connection. Safe for threads, which take turns."""

    def __init__(self, directory: Path, wait_seconds: float = 5.0) -> None:
        """Raises StoreError."""
        self._path = directory / FILE
        self._lock = Lock()
        with self._said("cannot be opened"):
            self._inode = os.stat(self._path).st_ino
            with ExitStack() as undo:
                self._connection = _connect(self._path, "rw", wait_seconds)
                undo.callback(self._connection.close)
                self._recognise()
                undo.pop_all()

    def _recognise(self) -> None:
        execute = self._connection.execute
        if execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise StoreError(f"{self._path} is no store of sessions")
        if execute("PRAGMA user_version").fetchone() != (VERSION,):
            raise StoreError(f"{self._path} was made by another version")
        if execute("PRAGMA journal_mode=WAL").fetchone() != ("wal",):
            raise StoreError(f"{self._path} cannot be shared by processes where it is (WAL is refused)")

    def examine(self) -> None:
        """Look through all of it. Raises StoreError."""
        with self._reading():
            if self._connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                raise StoreError(f"{self._path} is damaged")

    def close(self) -> None:
        with self._lock:
            self._connection.close()

    # ------------------------------------------------------------------------------------------------------- reading

    def version(self) -> int:
        """Another number when somebody else has written since. Raises StoreError, also where the file was replaced:
        what is written to another one would never be seen here.
        """
        with self._reading():
            if os.stat(self._path).st_ino != self._inode:
                raise StoreError(f"{self._path} was replaced while it was in use: start the service again")
            return int(self._connection.execute("PRAGMA data_version").fetchone()[0])

    def clock(self) -> int:
        """The latest instant that sessions were written at."""
        with self._reading():
            return int(self._connection.execute("SELECT clock FROM counter").fetchone()[0])

    def sequence(self) -> int:
        with self._reading():
            return int(self._connection.execute("SELECT sequence FROM counter").fetchone()[0])

    def revocations(self, after: int = 0, limit: int = -1) -> list[Revocation]:
        """Those with a later sequence number, in that order."""
        query = f"SELECT {REVOCATION} FROM revocations WHERE sequence > ? ORDER BY sequence LIMIT ?"
        with self._reading():
            return [Revocation(*row) for row in self._connection.execute(query, (after, limit))]

    def sessions(self, after: int) -> list[Session]:
        query = f"SELECT {SESSION_ROW} FROM sessions WHERE sequence > ?"
        with self._reading():
            return [Session(*row) for row in self._connection.execute(query, (after,))]

    def session(self, key: bytes) -> Session | None:
        with self._reading():
            row = self._connection.execute(f"SELECT {SESSION_ROW} FROM sessions WHERE key = ?", (key,)).fetchone()
        return None if row is None else Session(*row)

    # ------------------------------------------------------------------------------------------------------- writing

    def revoke(self, revocations: Sequence[Revocation], now: int) -> list[Revocation]:
        """On disk when this returns. What it gives back is what is in force: never an earlier instant than before."""
        with self._writing(durable=True):
            return [self._revoke(each, now) for each in revocations]

    def take_event(
        self, issuer: str, token: str, event: bytes, kind: str, revocations: Sequence[Revocation], now: int
    ) -> bool:
        """Note an event by its `jti`, with all that it revokes. False where this `jti` was used for another event;
        the very same event again changes nothing.
        """
        digest = sha256(event).digest()
        with self._writing(durable=True):
            query = "SELECT digest FROM events WHERE issuer = ? AND token = ?"
            before = self._connection.execute(query, (issuer, token)).fetchone()
            if before is not None:
                return bool(before[0] == digest)
            effect = ", ".join(sorted({each.kind for each in revocations}))
            row = (issuer, token, digest, kind, effect, now)
            self._connection.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?)", row)
            for each in revocations:
                self._revoke(each, now)
        return True

    def save(self, sessions: Sequence[Session], now: int) -> None:
        """Write what is new about sessions. In force for other processes at once, on disk a little later."""
        with self._writing(durable=False):
            sequence = self._next()
            self._connection.execute("UPDATE counter SET clock = ?", (now,))
            rows = ((*(getattr(each, name) for name in COLUMNS), sequence) for each in sessions)
            self._connection.executemany(SAVE_SESSION, rows)

    def settle(self, high: int, low: int) -> None:
        """The same for all sessions as `Session.settle` for one."""
        with self._writing(durable=False):
            execute, sequence = self._connection.execute, self._next()
            for word, column, span in ((IDLE, "used", "idle"), (TOO_OLD, "opened", "absolute")):
                over = f"ended = '' AND {span} > 0 AND {column} + {span} < ?"
                execute(f"UPDATE sessions SET ended = ?, sequence = ? WHERE {over}", (word, sequence, high))
            execute("UPDATE sessions SET used = ?, sequence = ? WHERE used > ?", (low, sequence, low))
            execute("UPDATE counter SET clock = ?", (low,))

    def forget(self, now: int, remember_microseconds: int) -> None:
        """Drop what cannot matter any more: no token that it could refuse is still valid."""
        before = now - remember_microseconds
        with self._writing(durable=False):
            execute = self._connection.execute
            execute("DELETE FROM sessions WHERE kept_until < ?", (now,))
            # What its own provider has ended it does not renew. What an operator has ended it may renew for years.
            execute(
                "DELETE FROM revocations WHERE recorded < ?"
                " AND (not_before < ? OR (not_before = ? AND kind IN (?, ?) AND source LIKE ?))",
                (before, before, FOREVER, SESSION, TOKEN, OF_TRANSMITTERS + "%"),
            )
            execute("DELETE FROM events WHERE recorded < ?", (before,))

    def _revoke(self, revocation: Revocation, now: int) -> Revocation:
        query = f"SELECT {REVOCATION} FROM revocations WHERE kind = ? AND issuer = ? AND value = ?"
        key = (revocation.kind, revocation.issuer, revocation.value)
        row = self._connection.execute(query, key).fetchone()
        before = None if row is None else Revocation(*row)
        if before is not None and (before.not_before, _lasts(before)) >= (revocation.not_before, _lasts(revocation)):
            return before
        if before is None and self._count() >= MAX_REVOCATIONS:
            raise StoreError(f"{self._path} holds {MAX_REVOCATIONS} revocations, and no more fit")
        known = before.id if before is not None else token_hex(8)
        kept = replace(revocation, recorded=now, id=known, sequence=self._next())
        row = (*key, kept.not_before, kept.reason, kept.source, kept.recorded, kept.id, kept.sequence)
        self._connection.execute(SAVE_REVOCATION, row)
        return kept

    def _count(self) -> int:
        return int(self._connection.execute("SELECT count(*) FROM revocations").fetchone()[0])

    def _next(self) -> int:
        query = "UPDATE counter SET sequence = sequence + 1 RETURNING sequence"
        return int(self._connection.execute(query).fetchall()[0][0])

    @contextmanager
    def _reading(self) -> Iterator[None]:
        with self._lock, self._said("cannot be read"):
            yield

    @contextmanager
    def _writing(self, durable: bool) -> Iterator[None]:
        """One transaction: all of it, or nothing."""
        with self._lock, self._said("cannot be written"):
            self._connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            finally:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")

    @contextmanager
    def _said(self, what: str) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, sqlite3.Warning, OSError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise StoreError(f"{self._path} {what}: {reason}") from error


def _lasts(revocation: Revocation) -> bool:
    """Is a permanent one never forgotten?"""
    return not revocation.source.startswith(OF_TRANSMITTERS)


def prepare(directory: Path) -> None:
    """The directory, for us alone, with a store that is whole; made where there is none. Raises StoreError."""
    path = directory / FILE
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if directory.stat().st_mode & 0o007:
            raise StoreError(f"{directory} is open to every user here: make it 0700, or name a directory within")
        if not path.exists():
            _make(path)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise StoreError(f"{path} cannot be made: {reason}") from error
    store = Store(directory)
    try:
        store.examine()
    finally:
        store.close()


def _make(path: Path) -> None:
    """Whole, then linked to its name: an empty file of that name is a damaged store and never a new one."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    os.close(os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    try:
        connection = _connect(fresh, "rw", 5.0)
        connection.executescript(f"PRAGMA application_id={APPLICATION_ID}; PRAGMA user_version={VERSION}; {SCHEMA}")
        connection.close()
        with suppress(FileExistsError):  # Another one was faster.
            os.link(fresh, path)
        directory = os.open(path.parent, os.O_RDONLY | os.O_CLOEXEC)
        os.fsync(directory)
        os.close(directory)
    finally:
        fresh.unlink(missing_ok=True)


def _connect(path: Path, mode: str, wait_seconds: float) -> sqlite3.Connection:
    where = f"{path.absolute().as_uri()}?mode={mode}"
    return sqlite3.connect(where, uri=True, timeout=wait_seconds, isolation_level=None, check_same_thread=False)
