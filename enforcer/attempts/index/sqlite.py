"""The index in one SQLite file, beside which there is no server to run.

One writer, the hub, follows the log; how far it is stands in the same transaction as what it read, so nothing is
indexed twice or left out. Readers open the file read-only. A damaged file is moved aside and made again.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from urllib.parse import quote

from enforcer.attempts.attempt import Attempt, Line, milliseconds, unstamp
from enforcer.attempts.block import Block, Recorded, Response
from enforcer.attempts.index import Before, By, Count, Filter, TopDevices
from enforcer.attempts.log import BEGIN, Cursor, read
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.errors import Unavailable
from enforcer.policy.verdict import Layer

type Value = str | int | None

_COLUMNS: Mapping[str, str] = {
    "seq": "INTEGER PRIMARY KEY",
    "id": "TEXT NOT NULL",
    **dict.fromkeys(("time", "last", "logged", "count"), "INTEGER NOT NULL"),
    **dict.fromkeys(("node", "worker"), "TEXT NOT NULL"),
    **dict.fromkeys(("epoch", "first", "to"), "INTEGER NOT NULL"),
    **dict.fromkeys(("layer", "action"), "TEXT NOT NULL"),
    "response": "TEXT",
    **dict.fromkeys(("service", "part", "evidence"), "TEXT NOT NULL"),
    "ban": "TEXT",
    **dict.fromkeys(("ruleset", "rule", "rule_kind"), "TEXT NOT NULL"),
    **dict.fromkeys(("name", "via", "qtype", "rcode"), "TEXT"),
    "ede": "INTEGER",
    "alpn": "TEXT",
    "ech": "INTEGER",
    **dict.fromkeys(("transport", "realm"), "TEXT NOT NULL"),
    "client_ip": "TEXT",
    "client_port": "INTEGER",
    "dest_ip": "TEXT",
    "dest_port": "INTEGER",
    **dict.fromkeys(("device", "group"), "TEXT"),
    **dict.fromkeys(("source", "confidence", "state"), "TEXT NOT NULL"),
    "age_s": "INTEGER",
    **dict.fromkeys(("granularity", "prev"), "TEXT NOT NULL"),
}
_INSERT = f"INSERT OR REPLACE INTO attempts VALUES ({', '.join('?' * len(_COLUMNS))})"  # noqa: S608 - no input
_SELECT = f"SELECT {', '.join(f'"{column}"' for column in _COLUMNS)} FROM attempts"  # noqa: S608 - no input
_ADD = "INSERT INTO totals VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
_MOVE = "UPDATE place SET day = ?, offset = ?, seq = ?, sha256 = ?"

# One entry a version: what brings a file from the version before to this one.
_MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE attempts (" + ", ".join(f'"{name}" {kind}' for name, kind in _COLUMNS.items()) + ") STRICT",
        "CREATE UNIQUE INDEX attempts_id ON attempts (id)",
        "CREATE INDEX attempts_time ON attempts (time, service, device, count)",  # all that counting devices needs
        "CREATE INDEX attempts_device ON attempts (device, time)",
        "CREATE INDEX attempts_service ON attempts (service, time)",
        "CREATE INDEX attempts_layer ON attempts (layer, time)",
        """CREATE TABLE totals (service TEXT NOT NULL, layer TEXT NOT NULL, action TEXT NOT NULL,
            source TEXT NOT NULL, count INTEGER NOT NULL, PRIMARY KEY (service, layer, action, source))
            STRICT, WITHOUT ROWID""",
        "CREATE TABLE place (day TEXT NOT NULL, offset INTEGER NOT NULL, seq INTEGER NOT NULL, sha256 BLOB) STRICT",
        "INSERT INTO place VALUES ('', 0, 0, NULL)",
    ),
)
_SPLITS = {
    By.DAY: "strftime('%Y-%m-%d', time / 1000, 'unixepoch')",
    By.HOUR: "strftime('%Y-%m-%dT%H:00Z', time / 1000, 'unixepoch')",
}
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_STALE = "the log is not the one that was indexed"


class SqliteIndex:
    """The reading end. Every method raises Unavailable when the file cannot be read."""

    def __init__(self, path: Path) -> None:
        """Open read-only. Raises Unavailable where there is no index yet."""
        try:
            self._db = sqlite3.connect(f"file:{quote(str(path))}?mode=ro", uri=True)
        except sqlite3.Error as error:
            raise Unavailable(
                f"{path}: cannot be opened ({error}); start the hub, or run enforcer attempts reindex"
            ) from error

    def find(self, which: Filter, limit: int, before: Before | None = None) -> Sequence[Line]:
        """See Index."""
        where, values = _where(which)
        if before is not None:
            where += " AND (time, seq) < (?, ?)"
            values += (before.time_ms, before.seq)
        rows = self._ask(f"{_SELECT} WHERE {where} ORDER BY time DESC, seq DESC LIMIT ?", (*values, limit))
        return [_line(row) for row in rows]

    def get(self, id: str) -> Line | None:  # noqa: A002
        """See Index."""
        rows = self._ask(f"{_SELECT} WHERE id = ?", (id,))
        return _line(rows[0]) if rows else None

    def stats(self, by: By, which: Filter) -> Sequence[Count]:
        """See Index."""
        where, values = _where(which)
        split = _SPLITS.get(by, f'"{by}"')
        sql = f"SELECT {split}, sum(count), count(*) FROM attempts WHERE {where} GROUP BY 1 ORDER BY 2 DESC, 1"  # noqa: S608
        return [Count(*row) for row in self._ask(sql, values)]

    def totals(self) -> Mapping[tuple[str, str, str, str], int]:
        """See Index."""
        rows = self._ask("SELECT service, layer, action, source, count FROM totals")
        return {(service, layer, action, source): count for service, layer, action, source, count in rows}

    def devices_attempting(self, since_ms: int) -> Mapping[str, int]:
        """See Index."""
        sql = (
            "SELECT service, count(DISTINCT device) FROM attempts WHERE time >= ? AND device NOT NULL GROUP BY service"
        )
        return dict(self._ask(sql, (since_ms,)))

    def top_devices(self, devices: int, since_ms: int) -> TopDevices:
        """See Index."""
        sql = "SELECT device, service, sum(count) FROM attempts WHERE time >= ? AND device NOT NULL GROUP BY 1, 2"
        counts: dict[str, dict[str, int]] = defaultdict(dict)
        for device, service, count in self._ask(sql, (since_ms,)):
            counts[device][service] = count
        order = sorted(counts, key=lambda device: (-sum(counts[device].values()), device))
        rest: Counter[str] = Counter()
        for device in order[devices:]:
            rest.update(counts[device])
        return TopDevices({(device, key): n for device in order[:devices] for key, n in counts[device].items()}, rest)

    def seq(self) -> int:
        """The number of the last line of the log that is indexed."""
        return int(self._ask("SELECT seq FROM place")[0][0])

    def close(self) -> None:
        """Let go of the file."""
        self._db.close()

    def _ask(self, sql: str, values: tuple[Value, ...] = ()) -> list[tuple]:  # type: ignore[type-arg]
        try:
            return self._db.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            raise Unavailable(f"the index cannot be read: {error}") from error


class SqliteWriter(SqliteIndex):
    """The writing end, of the hub alone. trouble: why the index does not follow the log; None while it does."""

    def __init__(self, path: Path, log: Path) -> None:
        """Open or create; begin again where the file is damaged, or the log is another one."""
        self.trouble: str | None = None
        self._path, self._log = path, log
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        try:
            self._open()
            if not self._agrees():
                raise sqlite3.DatabaseError(_STALE)
        except (sqlite3.DatabaseError, TypeError):  # TypeError: a table without its one row
            self.rebuild()

    def follow(self, until: Cursor, limit: int) -> int:
        """Index the log's next lines, at most `limit` of them and none behind `until`; returns how many.

        Trouble is kept in `trouble`, and the same lines are tried again the next time: it never stops the hub.
        """
        try:
            done = self._follow(until, limit)
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
        """Move the file aside and begin again: `follow` then reads the whole log."""
        with suppress(AttributeError):
            self._db.close()
        for suffix in ("-wal", "-shm"):
            self._path.with_name(self._path.name + suffix).unlink(missing_ok=True)
        if self._path.exists():
            self._path.replace(self._path.with_name(self._path.name + ".damaged"))
        self._open()

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, autocommit=True)
        self._path.chmod(0o600)
        self._db.execute("PRAGMA journal_mode = WAL")
        self._db.execute("PRAGMA synchronous = NORMAL")
        version = self._db.execute("PRAGMA user_version").fetchone()[0]
        for number, statements in enumerate(_MIGRATIONS[version:], version + 1):
            with self._transaction():
                for statement in statements:
                    self._db.execute(statement)
                self._db.execute(f"PRAGMA user_version = {number}")

    def _place(self) -> Cursor:
        return Cursor(*self._db.execute("SELECT day, offset, seq FROM place").fetchone())

    def _agrees(self) -> bool:
        """Whether the line at our place is the one that was indexed last; also when that day was purged meanwhile."""
        place = self._place()
        path = self._log / f"{place.day}.ndjson"
        if place == BEGIN or not path.exists():
            return True
        with path.open("rb") as file:
            start = file.seek(max(place.offset - 8192, 0))
            lines = file.read(place.offset - start).split(b"\n")
        digest = self._db.execute("SELECT sha256 FROM place").fetchone()[0]
        return len(lines) > 1 and not lines[-1] and sha256(lines[-2]).digest() == digest

    def _follow(self, until: Cursor, limit: int) -> int:
        place = self._place()
        rows: list[tuple[Value, ...]] = []
        totals: Counter[tuple[str, str, str, str]] = Counter()
        done, line = 0, b""
        for line, day, offset in read(self._log, place, until):
            raw = json.loads(line)
            place = Cursor(day, offset, raw["seq"])
            if raw["type"] == "attempt":
                rows.append(_row(raw))
                totals[raw["service"], raw["layer"], raw["action"], raw["identity"]["source"]] += raw["count"]
            done += 1
            if done == limit:
                break
        if done:
            digest = sha256(line).digest()
            with self._transaction():
                self._db.executemany(_INSERT, rows)
                self._db.executemany(_ADD, [(*key, count) for key, count in totals.items()])
                self._db.execute(_MOVE, (place.day, place.offset, place.seq, digest))
        return done

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            with suppress(sqlite3.Error):
                self._db.execute("ROLLBACK")
            raise
        self._db.execute("COMMIT")


def _where(which: Filter) -> tuple[str, tuple[Value, ...]]:
    parts: list[str] = ["1"]
    values: list[Value] = []
    if which.since_ms is not None:
        parts.append("time >= ?")
        values.append(which.since_ms)
    if which.until_ms is not None:
        parts.append("time < ?")
        values.append(which.until_ms)
    for column in ("service", "layer", "action", "realm", "device", "group", "client_ip", "rule"):
        if (value := getattr(which, column)) is not None:
            parts.append(f'"{column}" = ?')
            values.append(value)
    if which.name is not None:
        parts.append("(name = ? OR substr(name, -?) = ?)")
        values += (which.name, len(which.name) + 1, f".{which.name}")
    return " AND ".join(parts), tuple(values)


def _row(raw: dict) -> tuple[Value, ...]:  # type: ignore[type-arg]
    """A parsed attempt line as the columns want it."""
    source, identity, alpn = raw["src"], raw["identity"], raw["alpn"]
    flat = {
        **raw,
        **identity,
        "time": milliseconds(raw["time"]),
        "last": milliseconds(raw["last"]),
        "logged": milliseconds(raw["logged"]),
        "worker": source["worker"],
        "epoch": source["epoch"],
        "first": source["from"],
        "to": source["to"],
        "alpn": None if alpn is None else json.dumps(alpn),
    }
    return tuple(flat[column] for column in _COLUMNS)


def _line(row: tuple) -> Line:  # type: ignore[type-arg]
    """What `_row` stored."""
    raw = dict(zip(_COLUMNS, row, strict=True))
    block = {field: raw[field] for field in Block.__dataclass_fields__}
    block["layer"] = Layer(raw["layer"])
    block["action"] = Recorded(raw["action"])
    block["response"] = raw["response"] and Response(raw["response"])
    block["alpn"] = raw["alpn"] and tuple(json.loads(raw["alpn"]))
    block["ech"] = None if raw["ech"] is None else bool(raw["ech"])
    identity = Identity(
        Source(raw["source"]),
        Confidence(raw["confidence"]),
        State(raw["state"]),
        raw["age_s"],
        Granularity(raw["granularity"]),
    )
    attempt = Attempt(
        ulid_ms=unstamp(raw["id"]),
        time_ms=raw["time"],
        last_ms=raw["last"],
        node=raw["node"],
        worker=raw["worker"],
        epoch=raw["epoch"],
        first=raw["first"],
        to=raw["to"],
        block=Block(**block),
        client_ip=raw["client_ip"],
        client_port=raw["client_port"],
        owner=Owner(raw["device"], raw["group"], identity),
    )
    return Line(raw["id"], raw["seq"], raw["logged"], raw["prev"], attempt)
