"""The index in PostgreSQL 15 or newer, for many readers and long retention: tables of the schema `enforcer`.

One writer, the hub, follows the log. A batch is one transaction: attempts by COPY into the month's partition, counts,
events, and how far the log was read; so nothing is counted twice or left out, whatever is killed or cut off.
Retention drops partitions. A database that is away is trouble that passes: the hub goes on, and tries again.
"""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from threading import RLock

import psycopg

from enforcer.attempts.index import Filter
from enforcer.attempts.index.batch import Row, Value
from enforcer.attempts.index.counts import Counts
from enforcer.attempts.index.database import Ask, where
from enforcer.attempts.index.folds import Folds
from enforcer.attempts.index.follow import STALE, VERSION, Follower
from enforcer.attempts.index.months import bounds
from enforcer.attempts.index.pages import Pages, Step
from enforcer.attempts.index.schema import BESIDE, INDEXES, INDEXES_BESIDE, KINDS, NAMES, OWN, PLACE, Table, listed
from enforcer.errors import Unavailable

OLDEST = 150_000

_CONNECT_S = 5
_ASK_MS = 60_000
_WRITER = 0x656E666F72636572  # the advisory lock of whoever writes: "enforcer" in ASCII
_TYPES = {"INTEGER": "bigint", "TEXT": 'text COLLATE "C"', "BLOB": "bytea"}
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})

_TABLES = (
    f"CREATE TABLE attempts ({', '.join(f'"{name}" {kind}' for name, kind in OWN.items())}) PARTITION BY RANGE (time)",
    "CREATE INDEX attempts_seq ON attempts (seq)",
    *(f"CREATE INDEX attempts_{name} ON attempts ({listed(columns)})" for name, columns in INDEXES.items()),
    *(table.create() for table in (KINDS, NAMES, *BESIDE)),
    *INDEXES_BESIDE,
    *PLACE,
    "CREATE TABLE version (number integer NOT NULL)",
    f"INSERT INTO version VALUES ({VERSION})",  # noqa: S608 - no input
)


class PostgresIndex(Pages, Counts, Folds):
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

    def _ask(self, sql: str, values: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        with self._lock, self._told():
            return self._connected().execute(_query(sql), values).fetchall()

    def _parts(self, since_ms: int, until_ms: int) -> Sequence[Ask]:  # noqa: ARG002 (the database finds them itself)
        return (self._ask,)

    def _along(
        self, part: Ask, column: str, values: Sequence[Value], which: Filter, step: Step
    ) -> Sequence[tuple[int, int]]:
        """All values in one question, each along its index."""
        condition, more = step.bounded(*where(which))
        kind = "bigint" if column == "kind" else "text"
        sql = f"""SELECT found.time, found.seq FROM unnest(?::{kind}[]) value CROSS JOIN LATERAL (
            SELECT time, seq FROM attempts WHERE {column} = value AND {condition} {step.order} LIMIT ?) found
            {step.order} LIMIT ?"""  # noqa: S608
        return part(sql, (list(values), *more, step.limit, step.limit))

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

    def close(self) -> None:
        """See Index. The lock is given back first, since a session takes a while to end."""
        with self._lock, suppress(psycopg.Error):
            if self._db is not None:
                self._db.execute("SELECT pg_advisory_unlock_all()")
        super().close()

    def rebuild(self) -> None:
        """Begin again: `follow` then reads the whole log. Raises Unavailable."""
        self._known.clear()
        with self._lock, self._told():
            self._begin_again(self._connected())

    def _prepare(self, db: psycopg.Connection) -> None:
        """Take the lock, bring the tables up to date, and begin again where the log is another one."""
        row = db.execute("SELECT pg_try_advisory_lock(%s)", (_WRITER,)).fetchone()
        if row is None or not row[0]:
            self.close()
            raise Unavailable("another hub writes this index; give each a database of its own")
        db.execute("SET statement_timeout = 0")
        self._make(db)
        for table in (KINDS, NAMES, *BESIDE):
            db.execute(_query(f"CREATE TEMP TABLE new_{table.name} (LIKE {table.name}) ON COMMIT DELETE ROWS"))
        if not self.agrees():
            self.trouble = STALE
            self._begin_again(db)

    def _begin_again(self, db: psycopg.Connection) -> None:
        db.execute("DROP SCHEMA enforcer CASCADE")
        self._make(db)

    def _make(self, db: psycopg.Connection) -> None:
        """Make the tables where there are none, or those of an older version."""
        db.execute("CREATE SCHEMA IF NOT EXISTS enforcer")
        version = 0
        with suppress(psycopg.errors.UndefinedTable):
            row = db.execute("SELECT max(number) FROM version").fetchone()
            version = int(row[0]) if row else 0
        if version > VERSION:
            raise Unavailable("the index is of a newer version of Enforcer; use that, or another database")
        if version == VERSION:
            return
        with db.transaction():
            db.execute("DROP SCHEMA enforcer CASCADE")
            db.execute("CREATE SCHEMA enforcer")
            for statement in _TABLES:
                db.execute(_typed(statement))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with self._lock, self._told():
            yield

    def _transaction(self) -> AbstractContextManager[object]:
        return self._connected().transaction()

    def _run(self, sql: str, values: Sequence[object]) -> None:
        self._connected().execute(_query(sql), values)

    def _add(self, table: Table, rows: Sequence[Row]) -> None:
        if rows:
            self._copy(f"new_{table.name}", table.columns, rows)
            self._run(table.upsert(f"SELECT * FROM new_{table.name}"), ())  # noqa: S608 - no input

    def _append(self, month: str, rows: Sequence[Row], kinds: Sequence[Row], names: Sequence[Row]) -> None:
        self._make_partition(self._connected(), month)
        self._copy("attempts", tuple(OWN), rows)
        self._add(KINDS, kinds)
        self._add(NAMES, names)

    def _copy(self, table: str, columns: Sequence[str], rows: Sequence[Row]) -> None:
        """The fastest way in: one text, made here."""
        copied = _query(f"COPY {table} ({listed(columns)}) FROM STDIN")
        with self._connected().cursor() as cursor, cursor.copy(copied) as copy:
            copy.write("".join([_line(row) for row in rows]).encode())

    def _make_partition(self, db: psycopg.Connection, month: str) -> None:
        first_ms, end_ms = bounds(month)
        values = f"FOR VALUES FROM ({first_ms}) TO ({end_ms})"
        db.execute(_query(f"CREATE TABLE IF NOT EXISTS {_partition(month)} PARTITION OF attempts {values}"))

    def _months(self) -> Sequence[str]:
        rows = self._ask("SELECT relid::regclass::text FROM pg_partition_tree('attempts') WHERE isleaf")
        return sorted(str(row[0])[-7:].replace("_", "-") for row in rows)

    def _drop(self, month: str) -> None:
        db = self._connected()
        db.execute(_query(f"DROP TABLE {_partition(month)}"))
        db.execute("DELETE FROM kinds k WHERE NOT EXISTS (SELECT FROM attempts a WHERE a.kind = k.kind)")
        db.execute("DELETE FROM names n WHERE NOT EXISTS (SELECT FROM attempts a WHERE a.name = n.name)")


def _line(row: Row) -> str:
    """A row in COPY's text format."""
    return "\t".join([_text(value) for value in row]) + "\n"


def _text(value: Value) -> str:
    if isinstance(value, int):
        return str(value)
    if value is None:
        return "\\N"
    if isinstance(value, bytes):
        return f"\\\\x{value.hex()}"
    return value.translate(_ESCAPES)


def _partition(month: str) -> str:
    return f"attempts_{month.replace('-', '_')}"


def _query(sql: str) -> bytes:
    """Our SQL in psycopg's spelling."""
    return sql.replace("?", "%s").encode()


def _typed(sql: str) -> bytes:
    """A statement that makes something, with PostgreSQL's types."""
    for ours, theirs in _TYPES.items():
        sql = sql.replace(f" {ours}", f" {theirs}")
    return sql.encode()


def _first_line(error: psycopg.Error) -> str:
    """What is wrong, without what was sent: libpq's first line names host and reason, never a password."""
    with suppress(IndexError):
        return str(error).splitlines()[0]
    return type(error).__name__
