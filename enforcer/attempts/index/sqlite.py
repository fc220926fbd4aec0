"""The index in SQLite files, beside which there is no server to run: one for each month's attempts, one for the rest.

One writer, the hub, follows the log. A batch's attempts are written first, each under its number, so writing them
again changes nothing; then, in one transaction, the counts, the events, and how far the log was read. So nothing is
counted twice or left out, whatever is killed in between. Readers open the files read-only. Retention deletes files.
A damaged index is moved aside and made again.
"""

import os
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import Lock
from urllib.parse import quote

from enforcer.attempts.index import Filter
from enforcer.attempts.index.batch import Row, Value
from enforcer.attempts.index.counts import Counts
from enforcer.attempts.index.database import Ask, where
from enforcer.attempts.index.folds import Folds
from enforcer.attempts.index.follow import STALE, VERSION, Follower
from enforcer.attempts.index.months import month_of
from enforcer.attempts.index.pages import Pages, Step
from enforcer.attempts.index.schema import BESIDE, INDEXES, INDEXES_BESIDE, KINDS, NAMES, OWN, PLACE, Table, listed
from enforcer.errors import Unavailable

_MONTH = re.compile(r"\d{4}-\d\d\.sqlite")
_INSERT = f"INSERT OR REPLACE INTO attempts VALUES ({', '.join('?' * len(OWN))})"  # noqa: S608 - no input

_MAIN = (*(f"{table.create()} STRICT, WITHOUT ROWID" for table in BESIDE), *INDEXES_BESIDE, *PLACE)
_PART = (
    f"CREATE TABLE attempts ({', '.join(f'"{name}" {kind}' for name, kind in OWN.items())}, PRIMARY KEY (seq)) STRICT",
    *(f"CREATE INDEX attempts_{name} ON attempts ({listed(columns)})" for name, columns in INDEXES.items()),
    f"{KINDS.create()} STRICT",
    f"{NAMES.create()} STRICT, WITHOUT ROWID",
)
_CACHE = -64 << 10  # kilobytes, of each file that is written to: its indexes grow at many places
_WAL = 8192  # pages, after which they are copied to the file and put on the disk
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class SqliteIndex(Pages, Counts, Folds):
    """The reading end. Every method raises Unavailable when a file cannot be read."""

    def __init__(self, path: Path) -> None:
        """Open read-only; the months' files are beside. Raises Unavailable where there is no index yet."""
        self._path = path
        self._lock = Lock()
        self._opened: dict[str, tuple[int, sqlite3.Connection]] = {}  # by month, with the file's number
        try:
            self._db = _connect(path)
        except sqlite3.Error as error:
            raise Unavailable(
                f"{path}: cannot be opened ({error}); start the hub, or run enforcer attempts reindex"
            ) from error

    def close(self) -> None:
        """See Index."""
        self._db.close()
        self._close_months()

    def _close_months(self) -> None:
        for _, db in self._opened.values():
            db.close()
        self._opened.clear()

    def _ask(self, sql: str, values: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        return _asked(self._db, sql, values)

    def _along(
        self, part: Ask, column: str, values: Sequence[Value], which: Filter, step: Step
    ) -> Sequence[tuple[int, int]]:
        """One value after the other, which costs little here; what lies behind a page's worth is not read."""
        found: list[tuple[int, int]] = []
        for value in values:
            condition, more = step.bounded(*where(which))
            sql = f"SELECT time, seq FROM attempts WHERE {column} = ? AND {condition} {step.order} LIMIT ?"  # noqa: S608
            rows = part(sql, (value, *more, step.limit))
            if not rows:
                continue
            found = step.first([*found, *rows])
            if len(found) == step.limit:
                which = step.until(found[-1], which)
        return found

    def _parts(self, since_ms: int, until_ms: int) -> Sequence[Ask]:
        """The months' files that are there now: one that was deleted or made again is let go of."""
        with self._lock:
            there = _months(self._path.parent)
            for month in self._opened.keys() - set(there):
                self._opened.pop(month)[1].close()
            first, last = month_of(since_ms), month_of(until_ms - 1)
            return [self._part(month) for month in reversed(there) if first <= month <= last]

    def _part(self, month: str) -> Ask:
        path = self._file(month)
        try:
            number = path.stat().st_ino
            known = self._opened.get(month)
            if known is None or known[0] != number:
                if known is not None:
                    known[1].close()
                known = self._opened[month] = number, _connect(path)
        except (OSError, sqlite3.Error) as error:
            raise Unavailable(f"{path}: cannot be opened ({error}); run enforcer attempts reindex") from error
        db = known[1]
        return lambda sql, values: _asked(db, sql, values)

    def _file(self, month: str) -> Path:
        return self._path.with_name(f"{month}.sqlite")


class SqliteWriter(SqliteIndex, Follower):
    """The writing end, of the hub alone."""

    def __init__(self, path: Path, log: Path) -> None:
        """Open or create; begin again where the file is damaged, or the log is another one."""
        Follower.__init__(self, log)
        self._path = path
        self._lock = Lock()
        self._opened = {}
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._db = _made(path, _MAIN)
            if not self.agrees():
                raise sqlite3.DatabaseError(STALE)
        except (sqlite3.DatabaseError, Unavailable):
            self.rebuild()

    def rebuild(self) -> None:
        """Begin again: `follow` then reads the whole log. The damaged main file is kept beside, the months are not."""
        self._known.clear()
        with suppress(AttributeError):
            self.close()
        for path in (self._path, *map(self._file, _months(self._path.parent))):
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            if path != self._path:
                path.unlink()
            elif path.exists():
                path.replace(path.with_name(path.name + ".damaged"))
        self._db = _made(self._path, _MAIN)

    @contextmanager
    def _writing(self) -> Iterator[None]:
        """See Follower. What is damaged is made again."""
        try:
            yield
        except (sqlite3.Error, Unavailable) as error:
            cause = error.__cause__ or error
            if getattr(cause, "sqlite_errorcode", 0) & 0xFF in _DAMAGE:
                with suppress(OSError, sqlite3.Error):
                    self.rebuild()
            raise Unavailable(f"the index cannot be written: {cause}") from error

    def _transaction(self) -> AbstractContextManager[object]:
        return _transaction(self._db)

    def _run(self, sql: str, values: Sequence[object]) -> None:
        self._db.execute(sql, values)

    def _add(self, table: Table, rows: Sequence[Row]) -> None:
        self._db.executemany(table.upsert(), rows)

    def _append(self, month: str, rows: Sequence[Row], kinds: Sequence[Row], names: Sequence[Row]) -> None:
        if month not in self._opened:
            self._close_months()  # each has its cache, and a log that is indexed again has many
        db = self._writable(month)
        with _transaction(db):
            db.executemany(_INSERT, rows)
            db.executemany(KINDS.upsert(), kinds)
            db.executemany(NAMES.upsert(), names)

    def _months(self) -> Sequence[str]:
        return _months(self._path.parent)

    def _drop(self, month: str) -> None:
        path = self._file(month)
        try:
            if month in self._opened:
                self._opened.pop(month)[1].close()
            path.unlink()
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
        except OSError as error:
            raise Unavailable(f"{path}: cannot be deleted: {error}") from error

    def _part(self, month: str) -> Ask:
        db = self._writable(month)
        return lambda sql, values: _asked(db, sql, values)

    def _writable(self, month: str) -> sqlite3.Connection:
        if month not in self._opened:
            self._opened[month] = 0, _made(self._file(month), _PART)
        return self._opened[month][1]


def _connect(path: Path) -> sqlite3.Connection:
    """Read-only, for any thread: SQLite itself lets one in at a time."""
    return sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True, check_same_thread=False)


def _made(path: Path, statements: Sequence[str]) -> sqlite3.Connection:
    """Open to write, and make the tables where there is nothing yet."""
    db = sqlite3.connect(path, autocommit=True, check_same_thread=False)
    try:
        path.chmod(0o600)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")
        db.execute(f"PRAGMA cache_size = {_CACHE}")
        db.execute(f"PRAGMA wal_autocheckpoint = {_WAL}")
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version not in {0, VERSION}:
            raise sqlite3.DatabaseError(f"{path} is of version {version}, and this program writes {VERSION}")
        if not version:
            with _transaction(db):
                for statement in statements:
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")
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


def _asked(db: sqlite3.Connection, sql: str, values: Sequence[object]) -> list[tuple]:  # type: ignore[type-arg]
    try:
        return db.execute(sql, values).fetchall()
    except sqlite3.Error as error:
        raise Unavailable(f"the index cannot be read: {error}") from error


def _months(folder: Path) -> list[str]:
    """The months of which there is a file, oldest first."""
    names = os.listdir(folder)  # noqa: PTH208  as a path each would cost more
    return sorted(name[:7] for name in names if _MONTH.fullmatch(name))
