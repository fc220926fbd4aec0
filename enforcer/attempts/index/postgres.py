"""The index in PostgreSQL 15 or newer, for many readers and long retention: tables of the schema `enforcer`.

One writer, the hub, follows the log. A batch is one transaction: attempts by COPY into the month's partition, counts,
events, and how far the log was read; so nothing is counted twice or left out, whatever is killed or cut off.
Retention drops partitions. A database that is away is trouble that passes: the hub goes on, and tries again.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock

import psycopg

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

OLDEST = 150_000

_CONNECT_S = 5
_ASK_MS = 60_000
_WRITER = 0x656E666F72636572  # the advisory lock of whoever writes: "enforcer" in ASCII
_TIME = list(COLUMNS).index("time")
_TYPES = {"INTEGER": "bigint", "TEXT": 'text COLLATE "C"', "BLOB": "bytea"}
_COPY = f"COPY attempts ({', '.join(f'"{column}"' for column in COLUMNS)}) FROM STDIN"

# One entry a version: what brings a database from the version before to this one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE attempts ("
        + ", ".join(f'"{name}" {kind}' for name, kind in COLUMNS.items())
        + ") PARTITION BY RANGE (time)",
        "CREATE INDEX attempts_seq ON attempts (seq)",
        *(f"CREATE INDEX attempts_{name} ON attempts ({', '.join(columns)})" for name, columns in INDEXES.items()),
        *map(create, (*COUNTS, MARKS, EVENTS)),
        *BESIDE,
        *PLACE,
    ),
)


class PostgresIndex(SqlIndex):
    """The reading end. Every method raises Unavailable when the database cannot be asked; the next one tries again."""

    def __init__(self, url: str) -> None:
        """url: as libpq wants it. Connects when something is asked."""
        self._url = url
        self._lock = RLock()
        self._db: psycopg.Connection | None = None

    def close(self) -> None:
        """See Index."""
        with self._lock:
            if self._db is not None:
                self._db.close()
                self._db = None

    def _ask(self, sql: str, values: Sequence[Value] = ()) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock, self._told():
            return self._connected().execute(_query(sql), values).fetchall()

    def _parts(self, since_ms: int, until_ms: int) -> Sequence[Ask]:  # noqa: ARG002 (the database finds them itself)
        return (self._ask,)

    def _connected(self) -> psycopg.Connection:
        if self._db is None or self._db.closed:
            self._db = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=_CONNECT_S,
                application_name="enforcer",
                options=f"-c search_path=enforcer -c statement_timeout={_ASK_MS}",
            )
            if self._db.info.server_version < OLDEST:
                self.close()
                raise Unavailable(f"the index needs PostgreSQL {OLDEST // 10_000} or newer")
            self._prepare(self._db)
        return self._db

    def _prepare(self, db: psycopg.Connection) -> None:
        """What is done once a connection, before anything is asked."""

    @contextmanager
    def _told(self) -> Iterator[None]:
        """An error of the database as ours, without the URL."""
        try:
            yield
        except psycopg.errors.UndefinedTable as error:
            raise Unavailable("there is no index yet; start the hub, or run enforcer attempts reindex") from error
        except psycopg.Error as error:
            self.close()
            raise Unavailable(f"the index cannot be asked: {_first_line(error)}") from error


class PostgresWriter(PostgresIndex, Follower):
    """The writing end, of the hub alone: another one finds the lock taken."""

    def __init__(self, url: str, log: Path) -> None:
        PostgresIndex.__init__(self, url)
        Follower.__init__(self, log)

    def follow(self, until: Cursor, limit: int) -> int:
        """Index the log's next lines, at most `limit` of them and none behind `until`; returns how many.

        Trouble is kept in `trouble`, and the same lines are tried again the next time: it never stops the hub.
        """
        try:
            with self._lock, self._told():
                done = self.advance(until, limit)
        except Unavailable as error:
            self.trouble = str(error)
            return 0
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.trouble = f"the index cannot follow the log: {error}"
            return 0
        self.trouble = None
        return done

    def rebuild(self) -> None:
        """Begin again: `follow` then reads the whole log. Raises Unavailable."""
        with self._lock, self._told():
            self._begin_again(self._connected())

    def drop_before(self, floor_ms: int) -> None:
        """Let go of all attempts and events before a moment, a midnight in UTC, which nobody can find from now on.

        What is counted goes with it, and the partitions of months that are wholly before it. Raises Unavailable.
        """
        with self._lock, self._told():
            db = self._connected()
            old_ms = self._floor()
            with db.transaction():
                for name, first_ms, end_ms in self._partitions(db):
                    if end_ms <= floor_ms:
                        if end_ms > old_ms:
                            db.execute(_query(_SUBTRACT), (first_ms, end_ms))
                        db.execute(_query(f"DROP TABLE {name}"))
                for table in ("hours", "singles"):
                    db.execute(_query(f"DELETE FROM {table} WHERE hour < ?"), (floor_ms // HOUR_MS,))  # noqa: S608
                db.execute("DELETE FROM events WHERE time < %s", (floor_ms,))
                db.execute("DELETE FROM folds WHERE last < %s OR lines <= 0", (floor_ms,))
                db.execute("DELETE FROM pairs WHERE last < %s", (floor_ms,))
                for table in ("folds", "pairs"):
                    db.execute(_query(f"UPDATE {table} SET first = ? WHERE first < ?"), (floor_ms, floor_ms))  # noqa: S608
                db.execute("UPDATE place SET floor = greatest(floor, %s)", (floor_ms,))

    def _prepare(self, db: psycopg.Connection) -> None:
        """Take the lock, bring the tables up to date, and begin again where the log is another one."""
        row = db.execute("SELECT pg_try_advisory_lock(%s)", (_WRITER,)).fetchone()
        if row is None or not row[0]:
            self.close()
            raise Unavailable("another hub writes this index; give each a database of its own")
        db.execute("SET statement_timeout = 0")
        self._migrate(db)
        if not self.agrees():
            self.trouble = STALE
            self._begin_again(db)

    def _begin_again(self, db: psycopg.Connection) -> None:
        db.execute("DROP SCHEMA enforcer CASCADE")
        self._migrate(db)

    def _migrate(self, db: psycopg.Connection) -> None:
        db.execute("CREATE SCHEMA IF NOT EXISTS enforcer")
        db.execute("CREATE TABLE IF NOT EXISTS version (number integer NOT NULL)")
        row = db.execute("SELECT coalesce(max(number), 0) FROM version").fetchone()
        version = 0 if row is None else int(row[0])
        if version > len(_MIGRATIONS):
            raise Unavailable("the index is of a newer version of Enforcer; use that, or another database")
        for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
            with db.transaction():
                for statement in statements:
                    db.execute(_typed(statement))
                db.execute("INSERT INTO version VALUES (%s)", (number,))

    def _place(self) -> tuple[Cursor, bytes | None]:
        row = self._connected().execute("SELECT day, read, seq, sha256 FROM place").fetchone()
        if row is None:
            raise Unavailable("the index has lost its place; run enforcer attempts reindex")
        day, offset, seq, digest = row
        return Cursor(day, offset, seq), digest

    def _store(self, batch: Batch, place: Cursor, digest: bytes) -> None:
        db = self._connected()
        with db.transaction(), db.cursor() as cursor:
            self._make_partitions(db, {_month(row[_TIME]) for row in batch.attempts})  # type: ignore[arg-type]
            with cursor.copy(_query(_COPY)) as copy:
                for row in batch.attempts:
                    copy.write_row(row)
            counts = batch.counts()
            for table in COUNTS:
                _add(cursor, table.upsert(), counts[table.name])
            _add(cursor, EVENTS.upsert(), batch.events)
            _add(cursor, MARKS.upsert(), batch.marks)
            cursor.execute(
                "UPDATE place SET day = %s, read = %s, seq = %s, sha256 = %s",
                (place.day, place.offset, place.seq, digest),
            )

    def _make_partitions(self, db: psycopg.Connection, months: Iterable[str]) -> None:
        there = {name for name, _, _ in self._partitions(db)} if months else set()
        for month in sorted(months):
            name = f"attempts_{month.replace('-', '_')}"
            if name not in there:
                first_ms, end_ms = _bounds(month)
                db.execute(
                    _query(f"CREATE TABLE {name} PARTITION OF attempts FOR VALUES FROM ({first_ms}) TO ({end_ms})")
                )

    def _partitions(self, db: psycopg.Connection) -> Sequence[tuple[str, int, int]]:
        """Each partition with the times it is for, the oldest first."""
        rows = db.execute("SELECT relid::regclass::text FROM pg_partition_tree('attempts') WHERE isleaf").fetchall()
        names = sorted(str(row[0]).rpartition(".")[2] for row in rows)
        return [(name, *_bounds(name.removeprefix("attempts_").replace("_", "-"))) for name in names]


_SUBTRACT = (
    "UPDATE folds f SET attempts = f.attempts - d.attempts, lines = f.lines - d.lines FROM (SELECT "  # noqa: S608
    + ", ".join(f'{row} AS "{key}"' for key, row in zip(FOLDS.keys, FOLDED_ROWS, strict=True))
    + ", sum(count)::bigint AS attempts, count(*) AS lines FROM attempts WHERE time >= ? AND time < ? GROUP BY "
    + ", ".join(str(number + 1) for number in range(len(FOLDED_ROWS)))
    + ") d WHERE "
    + " AND ".join(f"f.{key} = d.{key}" for key in FOLDS.keys)
)


def _query(sql: str) -> bytes:
    """Our SQL in psycopg's spelling."""
    return sql.replace("?", "%s").encode()


def _typed(sql: str) -> bytes:
    """A statement that makes something, with PostgreSQL's types."""
    for ours, theirs in _TYPES.items():
        sql = sql.replace(f" {ours}", f" {theirs}")
    return sql.encode()


def _add(cursor: psycopg.Cursor, sql: str, rows: Sequence[Row]) -> None:
    if rows:
        cursor.executemany(_query(sql), rows)


def _month(ms: int) -> str:
    return moment(ms)[:7]


def _bounds(month: str) -> tuple[int, int]:
    """The first moment of a month, and that of the next one."""
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + number // 12:04d}-{number % 12 + 1:02d}"
    return milliseconds(f"{month}-01T00:00:00.000Z"), milliseconds(f"{following}-01T00:00:00.000Z")


def _first_line(error: psycopg.Error) -> str:
    """What is wrong, without what was sent: libpq's first line names host and reason, never a password."""
    with suppress(IndexError):
        return str(error).splitlines()[0]
    return type(error).__name__
