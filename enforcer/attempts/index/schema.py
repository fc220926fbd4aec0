"""The tables of the index, the same in every database but for the spelling of types.

`attempts` has one row a line and is kept in one partition a month (of `time`, in UTC). Counts that are asked for
all the time are kept beside it: `hours` and `singles` by
hour, `folds` by who and what with `pairs` above them, `totals` for ever. What is NULL
in the record is an empty text where it is part of a key.
"""

from collections.abc import Mapping
from dataclasses import dataclass

HOUR_MS = 3_600_000

COLUMNS: Mapping[str, str] = {
    "seq": "INTEGER NOT NULL",
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
    "granularity": "TEXT NOT NULL",
    "prev": "BLOB NOT NULL",
}
"""The columns of `attempts`, in their order, with SQLite's types."""

HOURLY = ("service", "part", "evidence", "layer", "action", "realm", "source")
"""What `hours` splits by together, beside the hour: few values each, so that an hour has few rows."""

SINGLE = ("rule", "group")
"""What `singles` counts by the hour each by itself: together with the rest they would be as many rows as attempts."""

SUBJECT = ("device", "realm", "client_ip", "service")
"""What an incident is named by: a device alone, or a realm and an address; and the service."""

FOLDED = (*SUBJECT, "part", "layer", "action", "evidence")

FOLDED_ROWS = (
    "coalesce(device, '')",
    "CASE WHEN device IS NULL THEN realm ELSE '' END",
    "CASE WHEN device IS NULL THEN coalesce(client_ip, '') ELSE '' END",
    *FOLDED[3:],
)
"""FOLDED, said of the rows of `attempts`."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table of counts: its key, and what is added up or replaced when the key is there already."""

    name: str
    keys: tuple[str, ...]
    numbers: tuple[str, ...]
    update: str

    def upsert(self) -> str:
        """The statement that adds one row; its values are the keys and then the numbers."""
        columns = (*self.keys, *self.numbers)
        return (
            f"INSERT INTO {self.name} ({_list(columns)}) VALUES ({', '.join('?' * len(columns))})"  # noqa: S608
            f" ON CONFLICT ({_list(self.keys)}) DO UPDATE SET {self.update}"
        )


TOTALS = Table(
    "totals", ("service", "layer", "action", "source"), ("attempts",), "attempts = totals.attempts + excluded.attempts"
)
HOURS = Table(
    "hours",
    ("hour", *HOURLY),
    ("attempts", "lines"),
    "attempts = hours.attempts + excluded.attempts, lines = hours.lines + excluded.lines",
)
SINGLES = Table(
    "singles",
    ("what", "value", "hour"),
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

COUNTS = (TOTALS, HOURS, SINGLES, PAIRS, FOLDS)
"""What a batch adds to, in the order in which it does."""

_TEXTS = {*FOLDED, *HOURLY, "what", "value", "group", "id", "node", "event", "detail", "state", "note", "who"}


def create(table: Table) -> str:
    """The statement that makes a table of counts, with SQLite's types."""
    kinds = {"prev": "BLOB"}
    columns = [
        f'"{name}" {kinds.get(name, "TEXT" if name in _TEXTS else "INTEGER")} NOT NULL'
        for name in (*table.keys, *table.numbers)
    ]
    return f"CREATE TABLE {table.name} ({', '.join(columns)}, PRIMARY KEY ({_list(table.keys)}))"


INDEXES: Mapping[str, tuple[str, ...]] = {
    "time": ("time", "seq", "device", "service", "count"),  # all that counting devices needs
    "device": ("device", "time", "seq"),
    "client": ("client_ip", "time", "seq"),
    "name": ("name", "time", "seq", "count"),
    "id": ("id",),
}
"""The indexes of `attempts`; those that a page is read along end in the page's order."""

BESIDE: tuple[str, ...] = (
    "CREATE INDEX events_time ON events (time, seq)",
    "CREATE INDEX pairs_last ON pairs (last)",
    "CREATE INDEX singles_hour ON singles (hour)",
)
PLACE: tuple[str, ...] = (
    """CREATE TABLE place
        (day TEXT NOT NULL, read INTEGER NOT NULL, seq INTEGER NOT NULL, sha256 BLOB, floor INTEGER NOT NULL)""",
    "INSERT INTO place VALUES ('', 0, 0, NULL, 0)",
)
"""How far the log was read, the hash of the line before that place, and before when (ms) nothing is kept."""


def _list(columns: tuple[str, ...]) -> str:
    return ", ".join(f'"{column}"' for column in columns)
