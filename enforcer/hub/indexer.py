"""The index follows the log in a thread: a database that is slow or away delays neither the recorder nor an answer."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from threading import Lock

from enforcer.attempts.index import Index
from enforcer.attempts.index.follow import IndexWriter
from enforcer.attempts.log import Cursor, DayLog
from enforcer.errors import Unavailable
from enforcer.hub.metrics import WINDOWS
from enforcer.hub.rows import Total

BATCH = 5000
POLL_S = 0.1
FIGURES_S = 60.0  # how often devices are counted anew

_CLOSE_S = 5.0  # a database that hangs may hold up the end so long


@dataclass(frozen=True, slots=True)
class Devices:
    """Different devices by service and window; attempts by device and service, `other` for the rest."""

    attempting: Mapping[tuple[str, str], int]
    top: Mapping[tuple[str, str], int]


class Indexer:
    """Owns the writing end. seq: the last line that is indexed. before: what was logged before this hub began.

    While the index is being made again, `before` is as far as it has come. devices: counted once a minute.
    """

    def __init__(
        self, writer: IndexWriter, reader: Callable[[], Index], log: DayLog, now_ms: Callable[[], int], devices: int
    ) -> None:
        """reader: opens the reading end, for counting. devices: how many have a series of their own."""
        self._writer, self._reader, self._log, self._now_ms, self._top = writer, reader, log, now_ms, devices
        self._begun = log.synced  # what was logged before is counted by the index, the rest by the recorder
        self._whole = False
        self._floor_ms: int | None = None
        self._counted_ms = 0
        self._working = Lock()
        self.seq = 0
        self.before: Mapping[Total, int] = {}
        self.devices = Devices({}, {})

    @property
    def trouble(self) -> str | None:
        """Why the index does not follow; None while it does."""
        return self._writer.trouble

    async def run(self) -> None:
        """Follow the log until cancelled."""
        while True:
            done = await asyncio.to_thread(self.work)
            await asyncio.sleep(0 if done >= BATCH else POLL_S)

    def work(self) -> int:
        """One batch, and what is due beside it; returns how many lines were indexed."""
        with self._working:
            # At first no further than where this hub began: the totals there are what its own are added to.
            done = self._writer.follow(self._log.synced if self._whole else self._begun, BATCH)
            with suppress(Unavailable):
                self._look()
                if self._floor_ms is not None and done < BATCH:
                    self._writer.drop_before(self._floor_ms)
                    self._floor_ms = None
                now_ms = self._now_ms()
                if done < BATCH and abs(now_ms - self._counted_ms) >= FIGURES_S * 1000:
                    self._counted_ms = now_ms
                    self.devices = self._count(now_ms)
            return done

    def drop_before(self, floor_ms: int) -> None:
        """Retention has deleted what was logged before a moment: the index lets go of it with its next work."""
        self._floor_ms = max(floor_ms, self._floor_ms or 0)

    def close(self, until: Cursor) -> None:
        """Index the last lines, and let go. A database that hangs is left to hang."""
        if not self._working.acquire(timeout=_CLOSE_S):
            return
        try:
            if self._writer.trouble is None:
                self._writer.follow(until, BATCH)
            self._writer.close()
        finally:
            self._working.release()

    def _look(self) -> None:
        if self._whole:
            self.seq = self._writer.seq()
            return
        self.seq, self.before = self._writer.seq(), self._writer.totals()
        self._whole = self.seq >= self._begun.seq

    def _count(self, now_ms: int) -> Devices:
        with closing(self._reader()) as index:
            attempting = {
                (service, window): count
                for window, length_ms in WINDOWS.items()
                for service, count in index.devices_attempting(now_ms - length_ms).items()
            }
            found = index.top_devices(self._top, now_ms - WINDOWS["24h"])
        return Devices(attempting, {**found.top, **{("other", key): count for key, count in found.rest.items()}})
