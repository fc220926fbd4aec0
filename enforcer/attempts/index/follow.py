"""How an index follows the log: read on from where it was, in batches, each stored whole or not at all."""

import json
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Protocol

from enforcer.attempts.index import Index
from enforcer.attempts.index.batch import Batch
from enforcer.attempts.log import Cursor, read
from enforcer.attempts.place import agrees, line_hash

STALE = "the log is not the one that was indexed"


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
