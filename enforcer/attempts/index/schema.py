"""The tables of the index, the same in every database but for the spelling of types.

`attempts` has one row a line and is kept in one partition a month (of `time`, in UTC). What many attempts have in
common is in `kinds` once, and a row has its number: rows are short, and a page that is narrowed by several columns is
read along the few kinds that have them. `names` has each name once. Counts that are asked for all the time are kept
beside it: `spans` and `singles` by hour and by day, `folds` by who and what with `pairs` above them, `totals` for ever.
What is NULL in the record is an empty text where it is part of a key.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

HOUR_MS = 3_600_000

KIND: Mapping[str, str] = {
    **dict.fromkeys(("node", "layer", "action"), "TEXT NOT NULL"),
    "response": "TEXT",
    **dict.fromkeys(("service", "part", "evidence"), "TEXT NOT NULL"),
    "ban": "TEXT",
    **dict.fromkeys(("rule", "rule_kind"), "TEXT NOT NULL"),
    "rcode": "TEXT",
    "ede": "INTEGER",
    **dict.fromkeys(("transport", "realm"), "TEXT NOT NULL"),
    "group": "TEXT",
    **dict.fromkeys(("source", "confidence", "state", "granularity"), "TEXT NOT NULL"),
}
"""The columns of `kinds` behind its number, with SQLite's types: what lists and the site decide.

Nothing that a client chooses freely is among them, or it could make as many kinds as attempts.
"""

OWN: Mapping[str, str] = {
    **dict.fromkeys(("seq", "time", "last", "logged", "count", "kind", "epoch", "first"), "INTEGER NOT NULL"),
    **dict.fromkeys(("age_s", "ech", "client_port", "dest_port"), "INTEGER"),
    **dict.fromkeys(("id", "worker", "ruleset"), "TEXT NOT NULL"),
    **dict.fromkeys(("name", "via", "qtype", "alpn", "client_ip", "dest_ip", "device"), "TEXT"),
    "prev": "BLOB NOT NULL",
}
"""The columns of `attempts`, in their order, with SQLite's types."""

SPANS = (24, 1)
"""How many hours are counted together, by `spans` and `singles`: a row begins at `start` times so many, from 1970."""

TOGETHER = ("service", "part", "evidence", "layer", "action", "realm", "source")
"""What `spans` splits by together: few values each, so that a span has few rows."""

SINGLE = ("rule", "group")
"""What `singles` counts each by itself: together with the rest they would be as many rows as attempts."""

SUBJECT = ("device", "realm", "client_ip", "service")
"""What an incident is named by: a device alone, or a realm and an address; and the service."""

FOLDED = (*SUBJECT, "part", "layer", "action", "evidence")

FOLDED_ROWS = (
    "coalesce(device, '')",
    "CASE WHEN device IS NULL THEN realm ELSE '' END",
    "CASE WHEN device IS NULL THEN coalesce(client_ip, '') ELSE '' END",
    *FOLDED[3:],
)
"""FOLDED, said of the rows of `attempts` with their kinds."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table with a key: what is added up or replaced when the key is there already. No update: nothing is."""

    name: str
    keys: tuple[str, ...]
    numbers: tuple[str, ...]
    update: str

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns in the order of a row: the key's, and then the rest."""
        return (*self.keys, *self.numbers)

    def upsert(self, rows: str | None = None) -> str:
        """The statement that adds rows. rows: a query that has them; None for the values of one."""
        rows = rows or f"VALUES ({', '.join('?' * len(self.columns))})"
        then = f"UPDATE SET {self.update}" if self.update else "NOTHING"
        return f"INSERT INTO {self.name} ({listed(self.columns)}) {rows} ON CONFLICT ({listed(self.keys)}) DO {then}"

    def type_of(self, column: str) -> str:
        """SQLite's type of a column, and whether it can be NULL."""
        if self is KINDS:
            return KIND.get(column, "INTEGER NOT NULL")
        return "BLOB NOT NULL" if column == "prev" else f"{'TEXT' if column in _TEXTS else 'INTEGER'} NOT NULL"

    def create(self) -> str:
        """The statement that makes the table, with SQLite's types."""
        columns = ", ".join(f'"{column}" {self.type_of(column)}' for column in self.columns)
        return f"CREATE TABLE {self.name} ({columns}, PRIMARY KEY ({listed(self.keys)}))"


def listed(columns: Iterable[str]) -> str:
    """Columns as SQL names them."""
    return ", ".join(f'"{column}"' for column in columns)


KINDS = Table("kinds", ("kind",), tuple(KIND), "")
NAMES = Table("names", ("name",), (), "")
TOTALS = Table(
    "totals", ("service", "layer", "action", "source"), ("attempts",), "attempts = totals.attempts + excluded.attempts"
)
COUNTS = Table(
    "spans",
    ("span", "start", *TOGETHER),
    ("attempts", "lines"),
    "attempts = spans.attempts + excluded.attempts, lines = spans.lines + excluded.lines",
)
SINGLES = Table(
    "singles",
    ("what", "value", "span", "start"),
    ("attempts", "lines"),
    "attempts = singles.attempts + excluded.attempts, lines = singles.lines + excluded.lines",
)
PAIRS = Table(
    "pairs",
    SUBJECT,
    ("group", "first", "last"),
    '"group" = CASE WHEN excluded.last >= pairs.last THEN excluded."group" ELSE pairs."group" END,'
    " first = CASE WHEN excluded.first < pairs.first THEN excluded.first ELSE pairs.first END,"
    " last = CASE WHEN excluded.last > pairs.last THEN excluded.last ELSE pairs.last END",
)
FOLDS = Table(
    "folds",
    FOLDED,
    ("attempts", "lines", "first", "last"),
    "attempts = folds.attempts + excluded.attempts, lines = folds.lines + excluded.lines,"
    " first = CASE WHEN excluded.first < folds.first THEN excluded.first ELSE folds.first END,"
    " last = CASE WHEN excluded.last > folds.last THEN excluded.last ELSE folds.last END",
)
MARKS = Table(
    "marks",
    SUBJECT,
    ("state", "note", "who", "time", "seq"),
    "state = excluded.state, note = excluded.note, who = excluded.who, time = excluded.time, seq = excluded.seq",
)
EVENTS = Table("events", ("seq",), ("id", "time", "logged", "node", "event", "detail", "prev"), "id = excluded.id")

BESIDE = (TOTALS, COUNTS, SINGLES, PAIRS, FOLDS, EVENTS, MARKS)
"""What a batch adds to beside `attempts`, `kinds` and `names`, in the order in which it does."""

_TEXTS = {*FOLDED, *TOGETHER, "what", "value", "group", "name", "id", "node", "event", "detail", "state", "note", "who"}

INDEXES: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "seq", "device", "kind", "count"),  # all that counting devices needs
    "kind": ("kind", "time", "seq"),
    "device": ("device", "time", "seq", "kind", "count", "last"),  # all that its counts and its timeline need
    "client": ("client_ip", "time", "seq"),
    "name": ("name", "time", "seq"),
    "id": ("id",),
}
"""The indexes of `attempts`; those that a page is read along end in the page's order."""

INDEXES_BESIDE: tuple[str, ...] = (
    "CREATE INDEX events_time ON events (time, seq)",
    "CREATE INDEX pairs_last ON pairs (last)",
)
PLACE: tuple[str, ...] = (
    """CREATE TABLE place
        (day TEXT NOT NULL, read INTEGER NOT NULL, seq INTEGER NOT NULL, sha256 BLOB, floor INTEGER NOT NULL)""",
    "INSERT INTO place VALUES ('', 0, 0, NULL, 0)",
)
"""How far the log was read, the hash of the line before that place, and before when (ms) nothing is kept."""
