"""The index in SQLite files, beside which there is no server to run: one for each month's attempts, one for the rest.

One writer, the hub, follows the log. A batch's attempts are written first, each under its number, so writing them
again changes nothing; then, in one transaction, the counts, the events, and how far the log was read. So nothing is
counted twice or left out, whatever is killed in between. Readers open the files read-only. Retention deletes files.
A damaged index is moved aside and made again.
"""

import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from enforcer.attempts.attempt import milliseconds, moment
from enforcer.attempts.index.batch import Batch, Row, Value
from enforcer.attempts.index.follow import STALE, Follower
from enforcer.attempts.index.schema import (
    BESIDE,
    COLUMNS,
    COUNTS,
    EVENTS,
    FOLDED_ROWS,
    FOLDS,
    HOUR_MS,
    INDEXES,
    MARKS,
    PLACE,
    create,
)
from enforcer.attempts.index.sql import Ask, SqlIndex
from enforcer.attempts.log import Cursor
from enforcer.errors import Unavailable

_MONTH = re.compile(r"\d{4}-\d\d\.sqlite")
_INSERT = f"INSERT OR REPLACE INTO attempts VALUES ({', '.join('?' * len(COLUMNS))})"  # noqa: S608 - no input
_TIME = list(COLUMNS).index("time")

# One entry a version: what brings a file from the version before to this one. A file of another line of versions,
# and one that is newer than this program, is made again.
_MAIN: tuple[tuple[str, ...], ...] = (
    (*(f"{create(table)} STRICT, WITHOUT ROWID" for table in (*COUNTS, MARKS, EVENTS)), *BESIDE, *PLACE),
)
_PART: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE attempts ("
        + ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
        + ", PRIMARY KEY (seq)) STRICT",
        *(
            f"CREATE {'UNIQUE ' if name == 'id' else ''}INDEX attempts_{name} ON attempts"
            f" ({', '.join(column for column in columns)})"
            for name, columns in INDEXES.items()
        ),
    ),
)
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SqliteIndex(SqlIndex):
    """The reading end. Every method raises Unavailable when a file cannot be read."""

    def __init__(self, path: Path) -> None:
        """Open read-only; the months' files are beside. Raises Unavailable where there is no index yet."""
        self._path = path
        self._lock = Lock()
        self._months: dict[Path, tuple[int, sqlite3.Connection]] = {}
        try:
            self._db = _connect(path)
        except sqlite3.Error as error:
            raise Unavailable(
                f"{path}: cannot be opened ({error}); start the hub, or run enforcer attempts reindex"
            ) from error

    def close(self) -> None:
        """See Index."""
        self._db.close()
        for _, db in self._months.values():
            db.close()
        self._months.clear()

    def _ask(self, sql: str, values: Sequence[Value] = ()) -> list[tuple]:  # type: ignore[type-arg]
        return _asked(self._db, sql, values)

    def _parts(self, since_ms: int, until_ms: int) -> Sequence[Ask]:
        """The months' files that are there now: one that was deleted or made again is let go of."""
        with self._lock:
            there = _months(self._path.parent)
            for path in self._months.keys() - set(there):
                self._months.pop(path)[1].close()
            first, last = _month(since_ms), _month(until_ms - 1)
            return [self._part(path) for path in reversed(there) if first <= path.stem <= last]

    def _part(self, path: Path) -> Ask:
        try:
            number = path.stat().st_ino
            known = self._months.get(path)
            if known is None or known[0] != number:
                if known is not None:
                    known[1].close()
                known = self._months[path] = number, _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"{path}: cannot be opened ({error}); run enforcer attempts reindex") from error
        db = known[1]
        return lambda sql, values: _asked(db, sql, values)


class SqliteWriter(SqliteIndex, Follower):
    """The writing end, of the hub alone."""

    def __init__(self, path: Path, log: Path) -> None:
        """Open or create; begin again where the file is damaged, or the log is another one."""
        Follower.__init__(self, log)
        self._path = path
        self._lock = Lock()
        self._months = {}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._db = _migrated(path, _MAIN)
            if not self.agrees():
                raise sqlite3.DatabaseError(STALE)
        except (sqlite3.DatabaseError, TypeError):  # TypeError: a table without its one row
            self.rebuild()

    def follow(self, until: Cursor, limit: int) -> int:
        """Index the log's next lines, at most `limit` of them and none behind `until`; returns how many.

        Trouble is kept in `trouble`, and the same lines are tried again the next time: it never stops the hub.
        """
        try:
            done = self.advance(until, limit)
        except sqlite3.DatabaseError as error:
            self.trouble = f"the index cannot be written: {error}"
            if getattr(error, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
                with suppress(OSError, sqlite3.Error):
                    self.rebuild()
            return 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.trouble = f"the index cannot follow the log: {error}"
            return 0
        self.trouble = None
        return done

    def rebuild(self) -> None:
        """Begin again: `follow` then reads the whole log. The damaged main file is kept beside, the months are not."""
        with suppress(AttributeError):
            self.close()
        for path in (self._path, *_months(self._path.parent)):
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            if path != self._path:
                path.unlink()
            elif path.exists():
                path.replace(path.with_name(path.name + ".damaged"))
        self._db = _migrated(self._path, _MAIN)

    def drop_before(self, floor_ms: int) -> None:
        """Let go of all attempts and events before a moment, a midnight in UTC, which nobody can find from now on.

        What is counted goes with it, and the files of months that are wholly before it. The rest of the first month
        that is kept stays in its file until that month is over as well. Raises Unavailable.
        """
        try:
            old_ms = self._floor()
            with _transaction(self._db):
                for path in _months(self._path.parent):
                    if old_ms < _end_ms(path) <= floor_ms:
                        self._subtract(path)
                for table in ("hours", "singles"):
                    self._db.execute(f"DELETE FROM {table} WHERE hour < ?", (floor_ms // HOUR_MS,))  # noqa: S608
                self._db.execute("DELETE FROM events WHERE time < ?", (floor_ms,))
                self._db.execute("DELETE FROM folds WHERE last < ? OR lines <= 0", (floor_ms,))
                self._db.execute("DELETE FROM pairs WHERE last < ?", (floor_ms,))
                for table in ("folds", "pairs"):
                    self._db.execute(f"UPDATE {table} SET first = ? WHERE first < ?", (floor_ms, floor_ms))  # noqa: S608
                self._db.execute("UPDATE place SET floor = max(floor, ?)", (floor_ms,))
            for path in _months(self._path.parent):
                if _end_ms(path) <= floor_ms:
                    self._forget(path)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"the index cannot be written: {error}") from error

    def _subtract(self, path: Path) -> None:
        """Take a month's attempts out of the folds."""
        keys = ", ".join(FOLDED_ROWS)
        rows = self._writable(path).execute(f"SELECT {keys}, sum(count), count(*) FROM attempts GROUP BY {keys}")  # noqa: S608
        where = " AND ".join(f"{column} = ?" for column in FOLDS.keys)
        sql = f"UPDATE folds SET attempts = attempts - ?, lines = lines - ? WHERE {where}"  # noqa: S608
        self._db.executemany(sql, ((attempts, lines, *key) for *key, attempts, lines in rows))

    def _forget(self, path: Path) -> None:
        if path in self._months:
            self._months.pop(path)[1].close()
        path.unlink()
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)

    def _place(self) -> tuple[Cursor, bytes | None]:
        day, offset, seq, digest = self._db.execute("SELECT day, read, seq, sha256 FROM place").fetchone()
        return Cursor(day, offset, seq), digest

    def _store(self, batch: Batch, place: Cursor, digest: bytes) -> None:
        by_month: dict[str, list[Row]] = defaultdict(list)
        for row in batch.attempts:
            by_month[_month(row[_TIME])].append(row)  # type: ignore[arg-type]
        for month, rows in by_month.items():
            db = self._writable(self._path.with_name(f"{month}.sqlite"))
            with _transaction(db):
                db.executemany(_INSERT, rows)
        with _transaction(self._db):
            counts = batch.counts()
            for table in COUNTS:
                self._db.executemany(table.upsert(), counts[table.name])
            self._db.executemany(EVENTS.upsert(), batch.events)
            self._db.executemany(MARKS.upsert(), batch.marks)
            self._db.execute(
                "UPDATE place SET day = ?, read = ?, seq = ?, sha256 = ?",
                (place.day, place.offset, place.seq, digest),
            )

    def _part(self, path: Path) -> Ask:
        db = self._writable(path)
        return lambda sql, values: _asked(db, sql, values)

    def _writable(self, path: Path) -> sqlite3.Connection:
        if path not in self._months:
            self._months[path] = 0, _migrated(path, _PART)
        return self._months[path][1]


def _connect(path: Path) -> sqlite3.Connection:
    """Read-only, for any thread: SQLite itself lets one in at a time."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)


def _migrated(path: Path, versions: Sequence[Sequence[str]]) -> sqlite3.Connection:
    """Open to write, and bring up to date."""
    db = sqlite3.connect(path, autocommit=True, check_same_thread=False)
    try:
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version > len(versions):
            raise sqlite3.DatabaseError(f"{path} is of a newer version")
        for number, statements in enumerate(versions[version:], version + 1):
            with _transaction(db):
                for statement in statements:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {number}")
    except BaseException:
        db.close()
        raise
    return db


@contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        with suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise
    db.execute("COMMIT")


def _asked(db: sqlite3.Connection, sql: str, values: Sequence[Value]) -> list[tuple]:  # type: ignore[type-arg]
    try:
        return db.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise Unavailable(f"the index cannot be read: {error}") from error


def _months(folder: Path) -> list[Path]:
    """The months' files, oldest first."""
    return sorted(path for path in folder.iterdir() if _MONTH.fullmatch(path.name))


def _month(ms: int) -> str:
    return moment(ms)[:7]


def _end_ms(path: Path) -> int:
    """The end of a file's month."""
    year, month = int(path.stem[:4]), int(path.stem[5:])
    following = f"{year + month // 12:04d}-{month % 12 + 1:02d}"
    return milliseconds(f"{following}-01T00:00:00.000Z")
