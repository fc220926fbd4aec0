"""How a database is asked: each says its own way, and what is asked is made of the same conditions everywhere."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from enforcer.attempts.index import Filter
from enforcer.attempts.index.batch import Value
from enforcer.attempts.index.schema import HOUR_MS, KIND

type Ask = Callable[[str, Sequence[object]], list[tuple]]  # type: ignore[type-arg]
"""Asks one question; `?` stands for a value."""

DAY_MS = 24 * HOUR_MS
FOREVER_MS = 253_402_300_800_000

NARROWING = tuple(column for column in KIND if column in Filter.__dataclass_fields__)
"""What a filter can say of a kind."""

_NAMES_MAX = 100  # names that are looked up one by one


class Database(ABC):
    """The reading end."""

    @abstractmethod
    def _ask(self, sql: str, values: Sequence[object] = ()) -> list[tuple]:  # type: ignore[type-arg]
        """Ask all tables but `attempts`, `kinds` and `names`. Raises Unavailable."""

    @abstractmethod
    def _parts(self, since_ms: int, until_ms: int) -> Sequence[Ask]:
        """The partitions of `attempts` with rows between two times, the newest first, each with its kinds and names.

        Raises Unavailable.
        """

    def seq(self) -> int:
        """See Index."""
        return int(self._ask("SELECT seq FROM place")[0][0])

    def _floor(self) -> int:
        return int(self._ask("SELECT floor FROM place")[0][0])

    def _kept(self, which: Filter) -> Filter:
        """The filter with both times, and nothing that retention has let go."""
        since_ms, until_ms = max(which.since_ms or 0, self._floor()), which.until_ms
        return replace(which, since_ms=since_ms, until_ms=FOREVER_MS if until_ms is None else until_ms)


def names_below(part: Ask, name: str) -> list[str] | None:
    """The names in a part that are `name` or below it; None where there are too many to look up each."""
    condition, values = _below(name)
    found = part(f"SELECT name FROM names WHERE {condition} LIMIT ?", (*values, _NAMES_MAX + 1))  # noqa: S608
    return [row[0] for row in found] if len(found) <= _NAMES_MAX else None


def where(which: Filter) -> tuple[str, tuple[Value, ...]]:
    """The condition of a filter on rows of `attempts`, with its values."""
    parts = ["1 = 1"]
    values: list[Value] = []
    for condition, value in (
        ("time >= ?", which.since_ms),
        ("time < ?", which.until_ms),
        ("device = ?", which.device),
        ("client_ip = ?", which.client_ip),
    ):
        if value is not None:
            parts.append(condition)
            values.append(value)
    if which.name is not None:
        condition, names = _below(which.name)
        parts.append(condition)
        values += names
    if kind := narrowing(which):
        condition, of_kind = equal(kind)
        parts.append(f"kind IN (SELECT kind FROM kinds WHERE {condition})")  # noqa: S608
        values += of_kind
    return " AND ".join(parts), tuple(values)


def _below(name: str) -> tuple[str, tuple[str, str]]:
    escaped = name.replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return "(name = ? OR name LIKE ? ESCAPE '!')", (name, f"%.{escaped}")


def narrowing(which: Filter) -> Mapping[str, str]:
    """What a filter says of kinds."""
    found = {column: getattr(which, column) for column in NARROWING}
    return {column: value for column, value in found.items() if value is not None}


def equal(columns: Mapping[str, str], table: str = "") -> tuple[str, tuple[Value, ...]]:
    """The condition that these columns have these values, with the values. table: its short name and a dot."""
    return " AND ".join(["1 = 1", *(f'{table}"{column}" = ?' for column in columns)]), tuple(columns.values())


def marks(values: Collection[object]) -> str:
    """A question mark for each value."""
    return ", ".join("?" * len(values))
