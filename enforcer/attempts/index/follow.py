"""How an index follows the log: read on from where it was, in batches, each stored whole or not at all.

And what retention lets go of. A database says how it is written to.
"""

import json
from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from enforcer.attempts.index import Index
from enforcer.attempts.index.batch import Batch, Row
from enforcer.attempts.index.database import DAY_MS, FOREVER_MS, Database
from enforcer.attempts.index.months import bounds
from enforcer.attempts.index.schema import BESIDE, FOLDED_ROWS, FOLDS, HOUR_MS, Table
from enforcer.attempts.log import Cursor, read
from enforcer.attempts.place import agrees, line_hash
from enforcer.errors import Unavailable

VERSION = 2
"""Of the tables. An index of an older one is made again from the log, which is what it is for."""

STALE = "the log is not the one that was indexed"

_SUBTRACTED = f"""SELECT {", ".join(FOLDED_ROWS)}, sum(count), count(*) FROM attempts JOIN kinds USING (kind)
    WHERE time >= ? AND time < ? GROUP BY {", ".join(str(i + 1) for i in range(len(FOLDED_ROWS)))}"""  # noqa: S608


class IndexWriter(Index, Protocol):
    """The end that follows the log. trouble: why it does not; None while it does."""

    trouble: str | None

    def follow(self, until: Cursor, limit: int) -> int:
        """Index the log's next lines, at most `limit` of them and none behind `until`; returns how many.

        Never raises: trouble is kept in `trouble`, and the same lines are tried again the next time.
        """

    def rebuild(self) -> None:
        """Begin again: `follow` then reads the whole log."""

    def drop_before(self, floor_ms: int) -> None:
        """Let go of everything before a moment, a midnight in UTC. Raises Unavailable."""


class Follower(Database):
    """The writing end of an index. trouble: why it does not follow the log; None while it does."""

    def __init__(self, log: Path) -> None:
        """log: the folder of the day log."""
        self.trouble: str | None = None
        self._log = log
        self._known: dict[str, set[int]] = {}  # kinds that are stored, by month: they need not be sent again

    @abstractmethod
    def _writing(self) -> AbstractContextManager[None]:
        """Around all that writes: an error of the database leaves it as Unavailable."""

    @abstractmethod
    def _transaction(self) -> AbstractContextManager[object]:
        """All that is written beside `attempts` within, or nothing of it."""

    @abstractmethod
    def _run(self, sql: str, values: Sequence[object]) -> None:
        """Change the tables beside."""

    @abstractmethod
    def _add(self, table: Table, rows: Sequence[Row]) -> None:
        """Add rows to a table beside, each key once."""

    @abstractmethod
    def _append(self, month: str, rows: Sequence[Row], kinds: Sequence[Row], names: Sequence[Row]) -> None:
        """Add rows of a month to `attempts`, `kinds` and `names`; those that are there already change nothing."""

    @abstractmethod
    def _months(self) -> Sequence[str]:
        """The months of which there are attempts, oldest first."""

    @abstractmethod
    def _drop(self, month: str) -> None:
        """Let go of a month's attempts."""

    def follow(self, until: Cursor, limit: int) -> int:
        """See IndexWriter."""
        try:
            with self._writing():
                done = self.advance(until, limit)
        except Unavailable as error:
            self.trouble = str(error)
        except (OSError, ValueError, KeyError, TypeError) as error:
            self.trouble = f"the index cannot follow the log: {error}"
        else:
            self.trouble = None
            return done
        self._known.clear()
        return 0

    def agrees(self) -> bool:
        """Whether the line at our place is the one that was indexed last; also when that day was purged meanwhile."""
        return agrees(self._log, *self._place())

    def advance(self, until: Cursor, limit: int) -> int:
        """Index the next lines, at most `limit` of them and none behind `until`; returns how many."""
        place, _ = self._place()
        batch = Batch()
        done, line = 0, b""
        for line, day, offset in read(self._log, place, until):
            raw = json.loads(line)
            place = Cursor(day, offset, raw["seq"])
            batch.add(raw)
            done += 1
            if done == limit:
                break
        if done:
            self._store(batch, place, line_hash(line))
        return done

    def drop_before(self, floor_ms: int) -> None:
        """See IndexWriter. What is counted goes with it, and the attempts of months that are wholly before it.

        The rest of the first month that is kept stays, and is not found, until that month is over as well.
        """
        self._known.clear()
        with self._writing():
            old_ms = self._floor()
            over = [month for month in self._months() if bounds(month)[1] <= floor_ms]
            with self._transaction():
                for month in over:
                    if bounds(month)[1] > old_ms:
                        self._subtract(*bounds(month))
                for table in ("spans", "singles"):
                    self._run(f"DELETE FROM {table} WHERE span * start < ?", (floor_ms // HOUR_MS,))  # noqa: S608
                self._run("DELETE FROM events WHERE time < ?", (floor_ms,))
                self._run("DELETE FROM folds WHERE last < ? OR lines <= 0", (floor_ms,))
                self._run("DELETE FROM pairs WHERE last < ?", (floor_ms,))
                for table in ("folds", "pairs"):
                    self._run(f"UPDATE {table} SET first = ? WHERE first < ?", (floor_ms, floor_ms))  # noqa: S608
                self._run("UPDATE place SET floor = ? WHERE floor < ?", (floor_ms, floor_ms))
            for month in over:
                self._drop(month)

    def _subtract(self, first_ms: int, end_ms: int) -> None:
        """Take the attempts of some days out of the folds, a day at a time: a month may be more than memory holds."""
        for day_ms in range(first_ms, end_ms, DAY_MS):
            for part in self._parts(day_ms, day_ms + DAY_MS):
                rows = part(_SUBTRACTED, (day_ms, day_ms + DAY_MS))
                self._add(FOLDS, [(*key, -int(attempts), -int(lines), FOREVER_MS, 0) for *key, attempts, lines in rows])

    def _place(self) -> tuple[Cursor, bytes | None]:
        """How far the log was read, and the SHA-256 of the line before that place; None at the beginning."""
        rows = self._ask("SELECT day, read, seq, sha256 FROM place")
        if len(rows) != 1:
            raise Unavailable("the index has lost its place; run enforcer attempts reindex")
        day, offset, seq, digest = rows[0]
        return Cursor(day, offset, seq), digest

    def _store(self, batch: Batch, place: Cursor, digest: bytes) -> None:
        """Store a batch and the place behind it: both, or neither."""
        with self._transaction():
            names = sorted((name,) for name in batch.names)
            for month, rows in batch.attempts.items():
                known = self._known.get(month, ())
                kinds = [(number, *kind) for number, kind in batch.kinds.items() if number not in known]
                self._append(month, rows, kinds, names)
            beside = batch.rows()
            for table in BESIDE:
                self._add(table, beside[table.name])
            self._run(
                "UPDATE place SET day = ?, read = ?, seq = ?, sha256 = ?", (place.day, place.offset, place.seq, digest)
            )
        self._known = {month: self._known.get(month, set()).union(batch.kinds) for month in batch.attempts}
