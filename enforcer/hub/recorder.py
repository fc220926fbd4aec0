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
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from ipaddress import ip_address
from itertools import count
from pathlib import Path

from enforcer.attempts.attempt import POSITIONS, Attempt, Entry, Event
from enforcer.attempts.block import Block, decode_entry
from enforcer.attempts.log import DayLog, sync_folder
from enforcer.attempts.spool import HEADER, Row, Segment, segments
from enforcer.devices.device import Owner
from enforcer.devices.registry import NOBODY
from enforcer.errors import Corrupt
from enforcer.hub.resume import DAMAGED, Marks, SegmentKey, load_marks, resume, save_marks
from enforcer.hub.rows import Client, Key, OpenRow, OpenSegment, Owners, Total, is_in, moment_of, whose

BATCH = 1000
"""After about so many lines a poll ends, so that the process stays answerable."""

_GRACE_MS = 1000  # a worker counts with a reading of the clock that may be a batch old
_DOUBT_MS = 1000  # for so long a row that does not agree with its CRC may still be on its way
_STEP_MS = 2000
_RETRY_MS = 1000
_BLOCKS_MAX = 8192
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
        self.node = node
        self.totals: Counter[Total] = Counter()
        self.last: dict[tuple[str, str, str], Attempt] = {}
        self.trouble: str | None = None
        self._spool = spool
        self._owners = owners
        self._aggregate_ms = round(aggregate_s * 1000)
        self._fsync_ms = round(fsync_s * 1000)
        self._ban = ban
        self._sources: dict[SegmentKey, OpenSegment] = {}
        self._due: list[tuple[int, int, OpenRow]] = []  # a heap
        self._tie = count()
        self._lines: dict[Key, int] = {}  # until when (ms) a line's repeats wait for a summary
        self._out: list[Entry] = []
        self._blocks: dict[bytes, Block] = {}
        self._owners_changed = False
        self._waiting: list[tuple[int, int, OpenRow]] = []  # a heap
        self._sampled_ms = 0
        self._retry_ms = 0
        self._synced_ms = 0
        self._clock_ms = log.logged_ms
        self._marks_path = marks
        found = load_marks(marks)
        done = resume(log.folder, found)
        self._resumed, self._lost, self._floor = done.rows, done.lost, done.floor
        left = _left(spool)
        self._begun = {key: min(seq, log.seq) for key, seq in found.segments.items() if key in left}
        if found.seq > log.seq:  # the log was moved away: its numbers begin anew
            self._save_marks()

    def poll(self, now_ms: int, now: datetime) -> int:
        """Read the spool, write lines, sync and delete when it is time; returns how many lines were written.

        now_ms and now: the same moment. About BATCH lines or more mean that there is more to do.
        """
        self._watch_clock(now_ms)
        if self.trouble is not None and now_ms < self._retry_ms:
            return 0
        written = self._write(now_ms, now)
        if self._out or not self._discover(now_ms):
            return written
        self._change_owners(now_ms)
        self._settle(now_ms)
        self._close_due(now_ms)
        for source in self._sources.values():
            self._read(source, now_ms)
        written += self._write(now_ms, now)
        self._sync(now_ms)
        self._delete(now_ms)
        return written

    def record(self, event: str, detail: Mapping[str, object], now: datetime) -> None:
        """Plan an event; the next poll writes it."""
        self._out.append(Event(event, int(now.timestamp() * 1000), self.node, detail))

    def lost(self, worker: str, totals: Mapping[str, int], now: datetime) -> None:
        """Plan `loss` events for what a worker has counted as blocked but not kept, by reason, since the last ones."""
        known = self._lost.setdefault(worker, {})
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
        self._owners, self._owners_changed = owners, True

    def live(self) -> Counter[Total]:
        """The totals, and what is counted in open rows and has no line yet."""
        live = self.totals.copy()
        for source in self._sources.values():
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
        for source in self._sources.values():
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
        for source in self._sources.values():
            source.segment.close()
        self._sources.clear()
        self._due.clear()

    def _watch_clock(self, now_ms: int) -> None:
        """Record a clock that goes back, and wait anew for what was due at moments that are now in the future."""
        if now_ms >= self._clock_ms - _STEP_MS:
            self._clock_ms = max(self._clock_ms, now_ms)
            return
        self._out.append(Event("clock_step", now_ms, self.node, {"back_ms": self._clock_ms - now_ms}))
        self._clock_ms = self._retry_ms = self._synced_ms = now_ms
        latest = now_ms + self._aggregate_ms
        self._lines = {key: min(until, latest) for key, until in self._lines.items()}
        self._due = [(min(due, latest + _GRACE_MS), tie, row) for due, tie, row in self._due]
        heapq.heapify(self._due)

    def _discover(self, now_ms: int) -> bool:
        """Open segments that are new, after a mark for them is on the disk; False when it cannot be put there."""
        new = [source for folder in sorted(self._spool.glob("*/")) for source in self._new(folder, now_ms)]
        if not new:
            return True
        for source in new:  # one that was begun before has its mark, unless the marks were lost
            self._begun.setdefault(source.key, self._floor if source.key in self._resumed else self.log.seq)
        try:
            self.log.sync()
            self._save_marks()
        except OSError as error:
            self._fail(error, now_ms)
            for source in new:
                source.segment.close()
            return False
        for source in new:
            source.resumed = self._resumed.pop(source.key, {})
            self._sources[source.key] = source
        return True

    def _new(self, folder: Path, now_ms: int) -> Iterator[OpenSegment]:
        found = tuple(segments(folder))
        for epoch, path in found:
            if (folder.name, epoch) in self._sources:
                continue
            try:
                segment = Segment(path)
                if segment.begun:
                    yield OpenSegment((folder.name, epoch), segment, {})
                    continue
                segment.close()
            except FileNotFoundError:  # a full disk: the worker took it back
                continue
            except Corrupt:  # cut short: its writer is at it, or was killed
                pass
            if epoch != found[-1][0]:  # the writer has gone on to another, so nobody is about to begin it
                with suppress(OSError):
                    self._discard(path, epoch, now_ms)

    def _discard(self, path: Path, epoch: int, now_ms: int) -> None:
        """Delete a segment that was never begun; one with another header is damaged: kept aside, and recorded."""
        with path.open("rb") as file:
            blank = not any(file.read(HEADER))
        if blank:
            path.unlink()
            return
        path.rename(path.with_suffix(".damaged"))
        detail = {"worker": path.parent.name, "epoch": epoch, "row": None, "count": None, "reason": "header"}
        self._out.append(Event("gap", now_ms, self.node, detail))

    def _read(self, source: OpenSegment, now_ms: int) -> None:
        """Take in the rows that are new; when the writer has ended the segment, all that is left of it."""
        if source.ended or len(self._out) >= BATCH:
            return
        segment, done = source.segment, source.done
        final = segment.finished()  # before the counts are read, so that they are the last ones
        used = segment.used
        while len(done) < used and len(self._out) < BATCH:
            index = len(done)
            try:
                row = segment.row(index)
                block, client = self._decode(row.entry)
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

    def _decode(self, entry: bytes) -> tuple[Block, Client]:
        """An entry's block, with the ban it stands for, and the client. Raises Corrupt.

        Many clients share a block, and the bytes of an entry up to the client tell which.
        """
        shared = entry.rsplit(b",", 3)[0]
        block = self._blocks.get(shared)
        if block is None:
            read = decode_entry(entry)
            block = replace(read.block, ban=read.block.ban or self._ban)
            if len(self._blocks) >= _BLOCKS_MAX:
                self._blocks.clear()
            self._blocks[shared] = block
            return block, (read.client_ip, read.client_port, read.shown)
        try:
            client_ip, client_port, shown = json.loads(b"[" + entry[len(shared) + 1 :])
        except ValueError as error:
            raise Corrupt(f"spool entry of {len(entry)} octets has no client: {error}") from error
        return block, (client_ip, client_port, shown)

    def _take(self, source: OpenSegment, read: Row, block: Block, client: Client, now_ms: int) -> None:
        index = len(source.done)
        done, last_ms = source.resumed.get(index, (0, 0))
        source.done.append(done)
        source.last_ms.append(last_ms)
        if done == DAMAGED:
            return
        at_ms = last_ms if done else read.first_ms
        row = OpenRow(source, index, block, *client, read.first_ms, NOBODY)
        row.owner = self._owner(row, at_ms)
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
            self._plan(row, 1, row.first_ms, row.first_ms)
            self._lines[key] = min(row.first_ms, now_ms) + self._aggregate_ms

    def _waits_until(self, row: OpenRow, now_ms: int) -> int:
        """Until when a record waits: a moment for who may just have got the address, longer while nobody has."""
        waits = self._owners.waits.get(row.block.realm)
        if waits is None or row.client_ip is None:
            return now_ms
        return min(row.first_ms, now_ms) + (waits.settle_ms if row.owner.device is not None else waits.unknown_ms)

    def _settle(self, now_ms: int) -> None:
        """Record what has waited long enough, with whoever held the address then as is known now."""
        while self._waiting and self._waiting[0][0] <= now_ms and len(self._out) < BATCH:
            _, tie, row = heapq.heappop(self._waiting)
            if not row.waits or row.source.ended:
                continue
            row.owner = self._owner(row, row.first_ms)
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
        while self._due and self._due[0][0] <= now_ms and len(self._out) < BATCH:
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
            self._plan_rest(row)
            if row.first_ms > now_ms:  # the clock went back, and the worker's window lasts as long
                heapq.heappush(self._due, (now_ms + self._aggregate_ms + _GRACE_MS, tie, row))
            else:
                source.rows.pop(row.index, None)

    def _sweep(self, source: OpenSegment) -> None:
        """After the writer's end: whatever has no line yet, also of rows that grew after their summary."""
        while source.swept < len(source.done):
            if len(self._out) >= BATCH:
                return
            index = source.swept
            done = source.done[index]
            if done == DAMAGED:
                if source.resumed.get(index, (0, 0))[0] != DAMAGED:
                    self._plan_gap(source, index, source.segment.count(index))
            elif row := source.rows.get(index):
                if row.waits:
                    return
                self._plan_rest(row)
            elif source.segment.count(index) > done:
                self._plan_more(source, index)
            source.swept += 1
        source.ended = True
        source.rows.clear()

    def _plan_more(self, source: OpenSegment, index: int) -> None:
        """A line for a row that grew although its window was over: its writer had been stopped in mid-batch."""
        done = source.done[index]
        try:
            read = source.segment.row(index)
            block, client = self._decode(read.entry)
        except Corrupt:
            self._plan_gap(source, index, source.segment.count(index) - done)
            return
        row = OpenRow(source, index, block, *client, read.first_ms, NOBODY)
        row.owner = self._owner(row, source.last_ms[index])
        self._plan_rest(row)

    def _change_owners(self, now_ms: int) -> None:
        """A changed owner closes a row's window: what is counted until then is the old one's."""
        changed, all_changed = self._owners.take_changes()
        all_changed |= self._owners_changed
        self._owners_changed = False
        sample = abs(now_ms - self._sampled_ms) >= _SAMPLE_MS
        if not (changed or all_changed or sample):
            return
        waits = self._owners.waits
        lengths = {(prefix.version, prefix.length) for _, prefix in changed}
        for source in self._sources.values():
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
            row.owner = self._owner(row, row.first_ms)
            if row.owner.device is not None and self._waits_until(row, now_ms) <= now_ms:
                self._release(row, now_ms)
            return
        owner = self._owner(row, now_ms)
        if whose(owner) == whose(row.owner):
            row.owner = owner
            return
        row.changed = row.block.realm in self._owners.waits  # elsewhere nothing tells since when it has been another's
        self._lines.pop(row.key(), None)
        self._plan_rest(row)
        row.owner = owner

    def _owner(self, row: OpenRow, at_ms: int) -> Owner:
        """Who was behind a row's attempt at a moment; nobody where clients must not be named."""
        if row.client_ip is None:
            return NOBODY
        try:
            return self._owners.owner(row.block.realm, ip_address(row.client_ip), moment_of(at_ms), row.shown)
        except ValueError:
            return NOBODY

    def _plan_rest(self, row: OpenRow) -> None:
        """A line for what is counted in a row and has none."""
        source, index = row.source, row.index
        done = source.done[index]
        if done == DAMAGED or source.segment.count(index) <= done:
            return
        try:
            read = source.segment.row(index)
        except Corrupt:
            self._plan_gap(source, index, source.segment.count(index) - done)
            return
        begin = (read.first_ms, read.second_ms or read.last_ms)[done] if done < 2 else source.last_ms[index]
        if row.changed:
            self._plan_shares(row, read, begin)
        else:
            self._plan(row, read.count, begin, max(begin, read.last_ms))

    def _plan_shares(self, row: OpenRow, read: Row, begin: int) -> None:
        """A line for each that held the address in turn, with what was counted while it did."""
        last, done = max(begin, read.last_ms), row.source.done[row.index]
        shares: list[tuple[int, int, Owner]] = []
        for at_ms, to in [*(each for each in row.samples if done < each[1] < read.count), (last, read.count)]:
            owner = self._owner(row, min(at_ms, last))
            if shares and whose(shares[-1][2]) == whose(owner):
                shares.pop()
            shares.append((min(at_ms, last), to, owner))
        for at_ms, to, row.owner in shares:
            self._plan(row, to, min(begin, at_ms), at_ms)
            begin = at_ms
        row.changed = False
        row.samples.clear()

    def _plan(self, row: OpenRow, to: int, time_ms: int, last_ms: int) -> None:
        source, index = row.source, row.index
        done = source.done[index]
        worker, epoch = source.key
        base = index * POSITIONS
        attempt = Attempt(
            row.first_ms,
            time_ms,
            last_ms,
            self.node,
            worker,
            epoch,
            base + done + 1,
            base + to,
            row.block,
            row.client_ip,
            row.client_port,
            row.owner,
        )
        self._out.append(attempt)
        source.done[index] = to
        source.last_ms[index] = last_ms
        total = row.total()
        self.totals[total] += to - done
        self._owners.recorded(row.block.realm, row.owner, to - done)
        self.last[total[:3]] = attempt

    def _plan_gap(self, source: OpenSegment, index: int, lost: int) -> None:
        source.done[index] = DAMAGED
        source.resumed[index] = (DAMAGED, 0)
        worker, epoch = source.key
        detail = {"worker": worker, "epoch": epoch, "row": index, "count": lost, "reason": "row"}
        self._out.append(Event("gap", self._clock_ms, self.node, detail))

    def _write(self, now_ms: int, now: datetime) -> int:
        if not self._out:
            return 0
        try:
            self.log.append(self._out, now)
        except OSError as error:
            self._fail(error, now_ms)
            return 0
        self.trouble = None
        written = len(self._out)
        self._out = []
        return written

    def _sync(self, now_ms: int) -> None:
        """Sync when it is time, and note behind which line a segment that is over is wholly logged."""
        if self._out:
            return
        for source in self._sources.values():
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

    def _delete(self, now_ms: int) -> None:
        """Delete the segments whose lines are all on the disk, and only then forget their marks."""
        over = [
            source
            for source in self._sources.values()
            if source.behind is not None and source.behind <= self.log.synced.seq
        ]
        if not over:
            return
        try:
            for source in over:
                _remove(source.segment.path)
            for folder in {source.segment.path.parent for source in over}:
                sync_folder(folder)
        except OSError as error:
            self._fail(error, now_ms)
            return
        for source in over:
            source.segment.close()
            del self._sources[source.key], self._begun[source.key]

    def _save_marks(self) -> None:
        save_marks(self._marks_path, Marks(self.log.seq, self._begun, self._lost))

    def _fail(self, error: OSError, now_ms: int) -> None:
        self.trouble = f"the record cannot be written: {error.strerror}"
        self._retry_ms = now_ms + _RETRY_MS


def _remove(path: Path) -> None:
    """Delete a segment, or empty it when it is its worker's newest.

    From its name the worker knows which epochs are used up, however the clock is set.
    """
    if any(epoch > int(path.stem) for epoch, _ in segments(path.parent)):
        path.unlink(missing_ok=True)
        return
    fd = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.ftruncate(fd, 0)
        os.fsync(fd)
    finally:
        os.close(fd)


def _left(spool: Path) -> set[SegmentKey]:
    """The segments that the hub is not past, after all others are surely gone: their marks may then be forgotten."""
    left = set()
    for folder in spool.glob("*/"):
        for epoch, path in segments(folder):
            with suppress(FileNotFoundError), path.open("rb") as file:
                if file.seek(0, os.SEEK_END):
                    left.add((folder.name, epoch))
                else:
                    os.fsync(file.fileno())
        sync_folder(folder)
    return left
