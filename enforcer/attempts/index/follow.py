"""How an index follows the log: read on from where it was, in batches, each stored whole or not at all."""

import json
from abc import ABC, abstractmethod
from pathlib import Path

from enforcer.attempts.index.batch import Batch
from enforcer.attempts.log import Cursor, read
from enforcer.attempts.place import agrees, line_hash

STALE = "the log is not the one that was indexed"


class Follower(ABC):
    """The writing end of an index. trouble: why it does not follow the log; None while it does."""

    def __init__(self, log: Path) -> None:
        """log: the folder of the day log."""
        self.trouble: str | None = None
        self._log = log

    @abstractmethod
    def _place(self) -> tuple[Cursor, bytes | None]:
        """How far the log was read, and the SHA-256 of the line before that place; None at the beginning."""

    @abstractmethod
    def _store(self, batch: Batch, place: Cursor, digest: bytes) -> None:
        """Store a batch and the place behind it: both, or neither."""

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
