"""The database: one SQLite file, WAL, one writer at a time, a versioned schema, a fresh start where it is corrupt."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from engine.jobs.job_errors import StorageError

BUSY_S = 10.0  # how long a write waits for another process's
STATES = ("queued", "running", "done", "failed", "cancelled", "interrupted")

_STATE = f"TEXT NOT NULL DEFAULT 'queued' CHECK (status IN {STATES})"
MIGRATIONS = (
    # 1: the first schema. `revision` counts what a viewer of the job would see change; triggers keep it.
    f"""
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        ticket INTEGER NOT NULL,
        visitor TEXT NOT NULL,
        document TEXT NOT NULL,
        noise_floor INTEGER NOT NULL DEFAULT 0,
        created REAL NOT NULL,
        started REAL,
        ended REAL,
        status {_STATE},
        phase TEXT,
        error TEXT,
        cancel INTEGER NOT NULL DEFAULT 0,
        pinned INTEGER NOT NULL DEFAULT 0,
        deleted REAL,
        bytes INTEGER NOT NULL DEFAULT 0,
        revision INTEGER NOT NULL DEFAULT 1
    );
    CREATE INDEX waiting ON jobs (ticket) WHERE status = 'queued';
    CREATE TABLE runs (
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        policy TEXT,
        plan TEXT NOT NULL,
        status {_STATE},
        skip INTEGER NOT NULL DEFAULT 0,
        phase TEXT,
        step INTEGER NOT NULL DEFAULT 0,
        steps INTEGER NOT NULL,
        stage INTEGER,
        rate REAL,
        seconds_left REAL,
        preview TEXT,
        error TEXT,
        reused TEXT,
        video TEXT,
        heatmap TEXT,
        PRIMARY KEY (job_id, number)
    ) WITHOUT ROWID;
    CREATE TABLE timings (key TEXT PRIMARY KEY, document TEXT NOT NULL, updated REAL NOT NULL);
    CREATE TABLE notices (
        id INTEGER PRIMARY KEY, created REAL NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL, job_id TEXT
    );
    CREATE TABLE counters (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
    INSERT INTO counters VALUES ('library', 0), ('ticket', 0);
    CREATE TRIGGER run_changed AFTER UPDATE ON runs BEGIN
        UPDATE jobs SET revision = revision + 1 WHERE id = NEW.job_id;
    END;
    CREATE TRIGGER job_changed AFTER UPDATE OF status, phase, error, cancel, pinned, deleted ON jobs BEGIN
        UPDATE jobs SET revision = revision + 1 WHERE id = NEW.id;
    END;
    CREATE TRIGGER queue_moved AFTER UPDATE OF status ON jobs WHEN OLD.status = 'queued' BEGIN
        UPDATE jobs SET revision = revision + 1 WHERE status = 'queued';
    END;
    CREATE TRIGGER library_grew AFTER INSERT ON jobs BEGIN
        UPDATE counters SET value = value + 1 WHERE name = 'library';
    END;
    CREATE TRIGGER library_shrank AFTER DELETE ON jobs BEGIN
        UPDATE counters SET value = value + 1 WHERE name = 'library';
    END;
    CREATE TRIGGER library_changed AFTER UPDATE OF status, pinned, deleted ON jobs BEGIN
        UPDATE counters SET value = value + 1 WHERE name = 'library';
    END;
    """,
    # 2: what the library is searched and sorted by, so that it need not read every job to show a page.
    """
    ALTER TABLE jobs ADD COLUMN model TEXT NOT NULL DEFAULT '';
    ALTER TABLE jobs ADD COLUMN words TEXT NOT NULL DEFAULT '';
    UPDATE jobs SET model = json_extract(document, '$.model'), words = casefold(
        json_extract(document, '$.prompt') || char(10) || json_extract(document, '$.model') || char(10)
        || (SELECT group_concat(name, char(10)) FROM runs WHERE job_id = jobs.id));
    CREATE INDEX newest ON jobs (created);
    """,
    # 3: whose a job is where strangers come, and who has opened which job of others by its link.
    """
    ALTER TABLE jobs ADD COLUMN owner TEXT NOT NULL DEFAULT '';
    CREATE INDEX owned ON jobs (owner) WHERE owner != '';
    CREATE TABLE opened (
        job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE, owner TEXT NOT NULL, UNIQUE (owner, job_id)
    );
    CREATE INDEX opened_jobs ON opened (job_id);
    """,
)
VERSION = len(MIGRATIONS)


class Store:
    """An open database. Threads share it; so do processes."""

    def __init__(self, path: Path, *, busy_s: float = BUSY_S) -> None:
        self.path = path
        self._writing, self._reading = threading.RLock(), threading.Lock()
        with _told():
            self._writer = _connect(path, busy_s)
            try:
                self._reader = _connect(path, busy_s)
                self._migrate()
            except BaseException:
                self.close()
                raise

    def close(self) -> None:
        """Close both connections; what they wrote stays."""
        for connection in (self._writer, getattr(self, "_reader", None)):
            if connection is not None:
                connection.close()

    @contextlib.contextmanager
    def transaction(self, *, lasting: bool = True) -> Iterator[sqlite3.Connection]:
        """All or nothing; the database's one writer while the block runs. Raises StorageError.

        A `lasting` one is on the disk when the block has ended; without, a power cut may undo it.
        """
        with self._writing, _told():
            self._writer.execute(f"PRAGMA synchronous = {'FULL' if lasting else 'NORMAL'}")
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
            except BaseException:
                with contextlib.suppress(sqlite3.Error):  # SQLite has rolled back by itself after some errors
                    self._writer.execute("ROLLBACK")
                raise
            self._writer.execute("COMMIT")

    def read(self, sql: str, *values: object) -> list[sqlite3.Row]:
        """The rows of a query; never waits for a writer. Raises StorageError."""
        with self._reading, _told():
            return self._reader.execute(sql, values).fetchall()

    def _migrate(self) -> None:
        with self.transaction() as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version > VERSION:
                raise StorageError(
                    f"{self.path.name} was made by a newer Resolute (schema {version}, this one reads {VERSION}); "
                    "use that version, or another --data-dir."
                )
            for number in range(version, VERSION):
                for statement in _statements(MIGRATIONS[number]):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")


def open_or_renew(path: Path, *, busy_s: float = BUSY_S) -> tuple[Store, Path | None]:
    """The database, and where a corrupt one that stood in its place has been put (None: it was sound)."""
    if not path.exists() or _sound(path, busy_s):
        return Store(path, busy_s=busy_s), None
    aside = _aside(path)
    return Store(path, busy_s=busy_s), aside


def _sound(path: Path, busy_s: float) -> bool:
    """Whether SQLite can read all of it. Raises StorageError where it could not be looked at."""
    try:
        connection = _connect(path, busy_s)
        try:
            return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok") and _ours(connection)
        finally:
            connection.close()
    except sqlite3.OperationalError as error:
        raise _as_told(error) from None
    except sqlite3.DatabaseError:
        return False


def _ours(connection: sqlite3.Connection) -> bool:
    """A version without its tables is what a file cut off at its first pages looks like."""
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    tables = {row[0] for row in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    return (version == 0 and not tables) or {"jobs", "runs", "timings", "notices", "counters"} <= tables


def _aside(path: Path) -> Path:
    """Rename a corrupt database and its log; nothing of it is lost."""
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S-%f")
    for suffix in ("-wal", "-shm", ""):
        with contextlib.suppress(FileNotFoundError):
            os.replace(f"{path}{suffix}", f"{path}{suffix}.corrupt-{stamp}")
    return path.with_name(f"{path.name}.corrupt-{stamp}")


def _connect(path: Path, busy_s: float) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=busy_s, isolation_level=None, check_same_thread=False)
    try:
        connection.row_factory = sqlite3.Row
        connection.create_function("casefold", 1, lambda text: text and text.casefold(), deterministic=True)
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA foreign_keys = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; `executescript` would commit the transaction around it."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


@contextlib.contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise _as_told(error) from error


def _as_told(error: sqlite3.Error) -> StorageError:
    text = str(error).lower()
    if "locked" in text or "busy" in text:
        return StorageError("the database is busy; try again in a moment.")
    if "full" in text:
        return StorageError("the disk is full; delete results or make room.")
    return StorageError(f"the database cannot be used: {text}.")


def now() -> float:
    """Seconds since 1970."""
    return time.time()
