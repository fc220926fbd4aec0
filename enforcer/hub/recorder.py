"""From the spool to the log: every blocked attempt into exactly one line, whatever is killed in between.

The attempts of row `i` of a segment have the positions `i * 2^32 + 1` up to `i * 2^32 + count`, and each line
covers a range of them. The first attempt becomes a line at once, unless a line of the same device, rule, name,
type, layer and action is younger than `aggregate_s`; the rest of the row's window becomes one summary. How far a
row is logged is kept nowhere but in the log. A segment is deleted when its writer has ended it, all of it is
logged, and those lines are on the disk.

What is planned stays in memory until it is written: while the log cannot be written, nothing more is planned,
and the spool keeps the rest.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime
from itertools import count
from pathlib import Path

from enforcer.attempts.block import Block
from enforcer.attempts.log import DayLog
from enforcer.attempts.spool import Row
from enforcer.devices.registry import NOBODY
from enforcer.errors import Corrupt
from enforcer.hub.planner import Planner
from enforcer.hub.resume import DAMAGED
from enforcer.hub.rows import Client, Key, OpenRow, OpenSegment, Owners, Total, is_in, whose
from enforcer.hub.shelf import Shelf

BATCH = 1000
"""After about so many lines a poll ends, so that the process stays answerable."""

_GRACE_MS = 1000  # a worker counts with a reading of the clock that may be a batch old
_DOUBT_MS = 1000  # for so long a row that does not agree with its CRC may still be on its way
_STEP_MS = 2000
_RETRY_MS = 1000
_SAMPLE_MS = 500


class Recorder:
    """The one writer of the log. `poll` does a bounded piece of work; nothing else here takes time.

    totals: attempts that lines were planned for since the start. last: the newest attempt of each kind.
    trouble: why the log cannot be written at the moment; None when it can.
    """

    def __init__(
        self,
        *,
        spool: Path,
        log: DayLog,
        marks: Path,
        node: str,
        owners: Owners,
        aggregate_s: float,
        fsync_s: float,
        ban: str | None,
    ) -> None:
        """Find out from the log where the hub before stopped. ban: the instrument of rules that name none."""
        self.log = log
        self.trouble: str | None = None
        self._planner = planner = Planner(node, owners, ban)
        self._shelf = Shelf(spool, log, marks, planner.event)
        self.totals, self.last = planner.totals, planner.last
        self._aggregate_ms = round(aggregate_s * 1000)
        self._fsync_ms = round(fsync_s * 1000)
        self._due: list[tuple[int, int, OpenRow]] = []  # a heap
        self._tie = count()
        self._lines: dict[Key, int] = {}  # until when (ms) a line's repeats wait for a summary
        self._owners_changed = False
        self._waiting: list[tuple[int, int, OpenRow]] = []  # a heap
        self._sampled_ms = 0
        self._retry_ms = 0
        self._synced_ms = 0
        self._clock_ms = log.logged_ms

    def poll(self, now_ms: int, now: datetime) -> int:
        """Read the spool, write lines, sync and delete when it is time; returns how many lines were written.

        now_ms and now: the same moment. About BATCH lines or more mean that there is more to do.
        """
        self._planner.now_ms = now_ms
        self._watch_clock(now_ms)
        if self.trouble is not None and now_ms < self._retry_ms:
            return 0
        written = self._write(now_ms, now)
        if self._planner.out or not self._tried(self._shelf.discover, now_ms):
            return written
        self._change_owners(now_ms)
        self._settle(now_ms)
        self._close_due(now_ms)
        for source in self._shelf.sources.values():
            self._read(source, now_ms)
        written += self._write(now_ms, now)
        self._sync(now_ms)
        self._tried(self._shelf.delete, now_ms)
        return written

    def record(self, event: str, detail: Mapping[str, object], now: datetime) -> None:
        """Plan an event; the next poll writes it."""
        self._planner.now_ms = int(now.timestamp() * 1000)
        self._planner.event(event, detail)

    def lost(self, worker: str, totals: Mapping[str, int], now: datetime) -> None:
        """Plan `loss` events for what a worker has counted as blocked but not kept, by reason, since the last ones."""
        known = self._shelf.lost.setdefault(worker, {})
        for reason, total in totals.items():
            before = known.get(reason, 0)
            if total == before:
                continue
            known[reason] = total
            more = total - before if total > before else total  # fewer: the worker's counts began anew
            if more:
                self.record("loss", {"worker": worker, "reason": reason, "count": more, "total": total}, now)

    def use(self, owners: Owners) -> None:
        """Put another registry in force: what is counted until the next poll is the old owners', the rest the new's."""
        self._planner.owners, self._owners_changed = owners, True

    def live(self) -> Counter[Total]:
        """The totals, and what is counted in open rows and has no line yet."""
        live = self.totals.copy()
        for source in self._shelf.sources.values():
            if source.ended:
                continue
            for index, row in source.rows.items():
                pending = 0 if row.waits else source.segment.count(index) - source.done[index]
                if pending > 0 and source.done[index] != DAMAGED:
                    live[row.total()] += pending
        return live

    def oldest(self) -> dict[str, int]:
        """Of each worker, when (ms since 1970) the oldest attempt was made that has no line yet."""
        oldest: dict[str, int] = {}
        for source in self._shelf.sources.values():
            if source.ended:
                continue
            for index, row in source.rows.items():
                if source.done[index] not in (DAMAGED, source.segment.count(index)):
                    worker = source.segment.worker
                    waits = row.first_ms if not source.done[index] else source.last_ms[index]
                    oldest[worker] = min(oldest.get(worker, waits), waits)
        return oldest

    def close(self, now_ms: int, now: datetime) -> None:
        """Write and sync what is planned, and let go of the spool. What cannot be written now is in the spool still."""
        self._write(now_ms, now)
        with suppress(OSError):
            self.log.sync()
        self._shelf.close()
        self._due.clear()

    def _watch_clock(self, now_ms: int) -> None:
        """Record a clock that goes back, and wait anew for what was due at moments that are now in the future."""
        if now_ms >= self._clock_ms - _STEP_MS:
            self._clock_ms = max(self._clock_ms, now_ms)
            return
        self._planner.event("clock_step", {"back_ms": self._clock_ms - now_ms})
        self._clock_ms = self._retry_ms = self._synced_ms = now_ms
        latest = now_ms + self._aggregate_ms
        self._lines = {key: min(until, latest) for key, until in self._lines.items()}
        self._due = [(min(due, latest + _GRACE_MS), tie, row) for due, tie, row in self._due]
        heapq.heapify(self._due)

    def _read(self, source: OpenSegment, now_ms: int) -> None:
        """Take in the rows that are new; when the writer has ended the segment, all that is left of it."""
        if source.ended or len(self._planner.out) >= BATCH:
            return
        segment, done = source.segment, source.done
        final = segment.finished()  # before the counts are read, so that they are the last ones
        used = segment.used
        while len(done) < used and len(self._planner.out) < BATCH:
            index = len(done)
            try:
                row = segment.row(index)
                block, client = self._planner.decode(row.entry)
            except Corrupt:
                source.doubt_ms = source.doubt_ms or now_ms
                if not final and 0 <= now_ms - source.doubt_ms < _DOUBT_MS:
                    return
                done.append(DAMAGED)
                source.last_ms.append(0)
            else:
                self._take(source, row, block, client, now_ms)
            source.doubt_ms = None
        if final and len(done) == used:
            self._sweep(source)

    def _take(self, source: OpenSegment, read: Row, block: Block, client: Client, now_ms: int) -> None:
        index = len(source.done)
        done, last_ms = source.resumed.get(index, (0, 0))
        source.done.append(done)
        source.last_ms.append(last_ms)
        if done == DAMAGED:
            return
        at_ms = last_ms if done else read.first_ms
        row = OpenRow(source, index, block, *client, read.first_ms, NOBODY)
        row.owner = self._planner.owner(row, at_ms)
        source.rows[index] = row
        if not done:
            until_ms = self._waits_until(row, now_ms)
            row.waits = until_ms > now_ms
            if row.waits:
                heapq.heappush(self._waiting, (until_ms, next(self._tie), row))
            else:
                self._plan_first(row, now_ms)
        over_ms = min(read.first_ms, now_ms) + self._aggregate_ms
        heapq.heappush(self._due, (over_ms + _GRACE_MS, next(self._tie), row))

    def _plan_first(self, row: OpenRow, now_ms: int) -> None:
        """The line of a row's first attempt, unless its repeats wait for the summary of an earlier line."""
        key = row.key()
        if row.first_ms >= self._lines.get(key, 0):
            self._planner.plan(row, 1, row.first_ms, row.first_ms)
            self._lines[key] = min(row.first_ms, now_ms) + self._aggregate_ms

    def _waits_until(self, row: OpenRow, now_ms: int) -> int:
        """Until when a record waits: a moment for who may just have got the address, longer while nobody has."""
        waits = self._planner.owners.waits.get(row.block.realm)
        if waits is None or row.client_ip is None:
            return now_ms
        return min(row.first_ms, now_ms) + (waits.settle_ms if row.owner.device is not None else waits.unknown_ms)

    def _settle(self, now_ms: int) -> None:
        """Record what has waited long enough, with whoever held the address then as is known now."""
        while self._waiting and self._waiting[0][0] <= now_ms and len(self._planner.out) < BATCH:
            _, tie, row = heapq.heappop(self._waiting)
            if not row.waits or row.source.ended:
                continue
            row.owner = self._planner.owner(row, row.first_ms)
            until_ms = self._waits_until(row, now_ms)
            if until_ms > now_ms:  # whoever seemed to have it did not
                heapq.heappush(self._waiting, (until_ms, tie, row))
            else:
                self._release(row, now_ms)

    def _release(self, row: OpenRow, now_ms: int) -> None:
        row.waits = False
        self._plan_first(row, now_ms)
        if row.changed:  # who has the address by now need not be who had it at first
            self._change(row, now_ms)

    def _close_due(self, now_ms: int) -> None:
        """One summary for each row whose window is over."""
        while self._due and self._due[0][0] <= now_ms and len(self._planner.out) < BATCH:
            _, tie, row = heapq.heappop(self._due)
            key = row.key()
            if self._lines.get(key, now_ms + 1) <= now_ms:
                del self._lines[key]
            source = row.source
            if source.ended:
                continue
            if row.waits:
                heapq.heappush(self._due, (now_ms + _GRACE_MS, tie, row))
                continue
            self._planner.rest(row)
            if row.first_ms > now_ms:  # the clock went back, and the worker's window lasts as long
                heapq.heappush(self._due, (now_ms + self._aggregate_ms + _GRACE_MS, tie, row))
            else:
                source.rows.pop(row.index, None)

    def _sweep(self, source: OpenSegment) -> None:
        """After the writer's end: whatever has no line yet, also of rows that grew after their summary."""
        while source.swept < len(source.done):
            if len(self._planner.out) >= BATCH:
                return
            index = source.swept
            done = source.done[index]
            if done == DAMAGED:
                if source.resumed.get(index, (0, 0))[0] != DAMAGED:
                    self._planner.gap(source, index, source.segment.count(index))
            elif row := source.rows.get(index):
                if row.waits:
                    return
                self._planner.rest(row)
            elif source.segment.count(index) > done:
                self._planner.more(source, index)
            source.swept += 1
        source.ended = True
        source.rows.clear()

    def _change_owners(self, now_ms: int) -> None:
        """A changed owner closes a row's window: what is counted until then is the old one's."""
        changed, all_changed = self._planner.owners.take_changes()
        all_changed |= self._owners_changed
        self._owners_changed = False
        sample = abs(now_ms - self._sampled_ms) >= _SAMPLE_MS
        if not (changed or all_changed or sample):
            return
        waits = self._planner.owners.waits
        lengths = {(prefix.version, prefix.length) for _, prefix in changed}
        for source in self._shelf.sources.values():
            for index, row in source.rows.items():
                if all_changed or (changed and is_in(row, changed, lengths)):
                    self._change(row, now_ms)
                elif sample and row.block.realm in waits:
                    count = source.segment.count(index)
                    if not row.samples or row.samples[-1][1] != count:
                        row.samples.append((now_ms, count))
        if sample:
            self._sampled_ms = now_ms

    def _change(self, row: OpenRow, now_ms: int) -> None:
        """What a row's record waited for may have come; what is counted may be of two devices."""
        if row.waits:
            row.changed = True
            row.owner = self._planner.owner(row, row.first_ms)
            if row.owner.device is not None and self._waits_until(row, now_ms) <= now_ms:
                self._release(row, now_ms)
            return
        owner = self._planner.owner(row, now_ms)
        if whose(owner) == whose(row.owner):
            row.owner = owner
            return
        # Elsewhere nothing tells since when it has been another's.
        row.changed = row.block.realm in self._planner.owners.waits
        self._lines.pop(row.key(), None)
        self._planner.rest(row)
        row.owner = owner

    def _write(self, now_ms: int, now: datetime) -> int:
        if not self._planner.out:
            return 0
        try:
            self.log.append(self._planner.out, now)
        except OSError as error:
            self._fail(error, now_ms)
            return 0
        self.trouble = None
        written = len(self._planner.out)
        self._planner.out = []
        return written

    def _sync(self, now_ms: int) -> None:
        """Sync when it is time, and note behind which line a segment that is over is wholly logged."""
        if self._planner.out:
            return
        for source in self._shelf.sources.values():
            if source.ended and source.behind is None:
                source.behind = self.log.seq
        if 0 <= now_ms - self._synced_ms < self._fsync_ms:
            return
        try:
            if self.log.flush():
                self.trouble = None
                self._synced_ms = now_ms
        except OSError as error:
            self._fail(error, now_ms)

    def _tried(self, work: Callable[[], None], now_ms: int) -> bool:
        """Whether something could be done on the disk; else it is trouble, and tried again."""
        try:
            work()
        except OSError as error:
            self._fail(error, now_ms)
            return False
        return True

    def _fail(self, error: OSError, now_ms: int) -> None:
        self.trouble = f"the record cannot be written: {error.strerror}"
        self._retry_ms = now_ms + _RETRY_MS
