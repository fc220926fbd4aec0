"""The hub's part that deletes: whole days that are older than they may be, but for holds, and with a proof."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from enforcer.attempts.attempt import Closes, milliseconds, moment
from enforcer.attempts.durable import replace_file
from enforcer.attempts.holds import Hold, hold_of, keep, load_holds, place, prepare, prepared, release, withdraw
from enforcer.attempts.log import Cursor, days, lines_backwards, sync_folder
from enforcer.attempts.proofs import checkpoint_of, extract
from enforcer.attempts.purged import purge_statement, purged_path
from enforcer.config.model import Config
from enforcer.control import Answer, Operation, Request, text_of
from enforcer.errors import Corrupt, EnforcerError, Malformed, Unavailable
from enforcer.part import Means, Part

GRACE_DAYS = 7
"""For so long a day that is due waits for a sink that has not read it; the status says so meanwhile."""

_LOOK_S = 600.0
_FIRST_LOOK_S = 1.0  # behind the start's own lines, which may begin a day

_log = logging.getLogger(__name__)

type Cursors = Callable[[], Mapping[str, Cursor]]
"""Who else reads the log, by name: how far each is."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What becomes of a day. kept: why it stays, as `hold`, `sink` or `open`; None when it may be deleted.

    what: the same for people. unread: sinks that will not have read it.
    """

    day: str
    kept: str | None
    what: str
    unread: tuple[str, ...] = ()


class Retention(Part):
    """Deletes what is due, places and releases holds. One day after the other, the oldest first."""

    def __init__(self, means: Means, cursors: Cursors) -> None:
        self._means, self._cursors = means, cursors
        self._days = means.config.attempts.retention_days
        self._purged = Counter({"retention": 0, "command": 0})
        self._waiting: tuple[Verdict, ...] = ()
        self._trouble: str | None = None
        self._busy = asyncio.Lock()

    @property
    def operations(self) -> Mapping[str, Operation]:
        """`purge`, `hold`, `release`."""
        return {"purge": self._op_purge, "hold": self._op_hold, "release": self._op_release}

    async def run(self) -> None:
        """Look for days that are due, soon after the start and every ten minutes."""
        await asyncio.sleep(_FIRST_LOOK_S)
        while True:
            try:
                async with self._busy:
                    await self._purge_due()
                self._trouble = None
            except (EnforcerError, OSError) as error:
                self._trouble = f"retention: {error}"
                _log.error("retention event=failed error=%s", error)
            await asyncio.sleep(_LOOK_S)

    def follow(self, config: Config) -> None:
        """Another time to keep records, from the next look on."""
        self._days = config.attempts.retention_days

    def metrics(self) -> Iterable[Metric]:
        """What is kept, what was deleted, what is overdue and why."""
        files = days(self._means.folders.log)
        oldest = GaugeMetricFamily(
            "enforcer_log_oldest_timestamp_seconds", "Start of the oldest day of the log, since 1970; 0 without a log."
        )
        oldest.add_metric((), _start_ms(files[0].stem) / 1000 if files else 0)
        purged = CounterMetricFamily("enforcer_log_purged_files", "Days of the log deleted.", labels=("reason",))
        for reason, count in self._purged.items():
            purged.add_metric((reason,), count)
        overdue = GaugeMetricFamily(
            "enforcer_log_overdue_files",
            "Days of the log older than they may be, by what keeps them.",
            labels=("kept",),
        )
        why = Counter(verdict.kept for verdict in self._waiting)
        for kept in ("hold", "sink", "open"):
            overdue.add_metric((kept,), why[kept])
        holds = GaugeMetricFamily("enforcer_log_holds", "Legal holds in force.")
        holds.add_metric((), sum(1 for _ in self._means.folders.holds.glob("*/hold.json")))
        return oldest, purged, overdue, holds

    def problems(self) -> Iterable[str]:
        """Days that should be gone, unless a hold keeps them."""
        if self._trouble is not None:
            yield self._trouble
        for verdict in self._waiting:
            if verdict.kept != "hold":
                yield f"retention: {verdict.day} is due and stays: {verdict.what}"

    # Deleting

    async def _purge_due(self) -> None:
        due = self._today() - timedelta(days=self._days)
        await self._purge(due, who="retention", reason=f"older than {self._days} days", command=False)

    async def _purge(self, before: date, *, who: str, reason: str, command: bool) -> list[Verdict]:
        """Delete every day before a date that nothing keeps; what a killed hub had prepared to hold is held first."""
        for hold in prepared(self._means.folders.holds):
            self._place(hold)
        verdicts = []
        for path in self._before(before):
            verdict = await asyncio.to_thread(self._judge, path, before)
            verdicts.append(verdict)
            if verdict.kept is None:
                await self._delete(path, verdict, who, reason)
                self._purged["command" if command else "retention"] += 1
        if not command:
            self._waiting = tuple(verdict for verdict in verdicts if verdict.kept is not None)
        return verdicts

    def _before(self, before: date) -> list[Path]:
        """The days before a date; never the newest, which is being written."""
        return [path for path in days(self._means.folders.log)[:-1] if path.stem < before.isoformat()]

    def _judge(self, path: Path, due: date) -> Verdict:
        day = path.stem
        holds = [hold.name for hold in load_holds(self._means.folders.holds) if hold.keeps(day)]
        if holds:
            return Verdict(day, "hold", f"on hold: {', '.join(holds)}")
        if _last_line(path) is None:
            return Verdict(day, "open", "its last line is not the checkpoint that ends a day; see attempts verify")
        size = path.stat().st_size
        unread = tuple(
            name for name, at in self._cursors().items() if at.day < day or (at.day == day and at.offset < size)
        )
        if unread and date.fromisoformat(day) + timedelta(days=GRACE_DAYS) >= due:
            what = f"not read yet by {', '.join(unread)}; deleted all the same {GRACE_DAYS} days after it was due"
            return Verdict(day, "sink", what, unread)
        return Verdict(day, None, "deleted", unread)

    async def _delete(self, path: Path, verdict: Verdict, who: str, reason: str) -> None:
        """Keep what is on hold, leave the proof, tell the log, and only then delete. Raises OSError, Corrupt.

        Killed in between, the next look begins again: at most the event is there twice.
        """
        means, day = self._means, verdict.day
        held, octets = await asyncio.to_thread(self._copy_held, path)
        now, notary, line = means.clock(), means.log.notary, _last_line(path)
        if notary is None or line is None:
            raise Unavailable(f"{path}: without a key no proof can be left")
        said = purge_statement(notary, line, who=who, reason=reason, held=held, now=now)
        replace_file(purged_path(means.folders.log, day), line + b"\n" + said + b"\n")
        checkpoint = checkpoint_of(line)
        detail = {
            "day": day,
            "first": checkpoint.first,
            "lines": checkpoint.count + 1,
            "root": checkpoint.root,
            "octets": octets,
            "held": held,
            "unread_by": list(verdict.unread),
            "who": who,
            "reason": reason,
        }
        self._means.record_now("purge", detail)
        await asyncio.to_thread(_unlink, path)
        means.forget(_start_ms(day) + 86_400_000)
        _log.info("retention event=purged day=%s held=%d", day, held)

    def _copy_held(self, path: Path) -> tuple[int, int]:
        """Copy what holds on devices want of a day, in a thread; returns how many lines, and the octets of the day."""
        held, folder = 0, self._means.folders.holds
        for hold in load_holds(folder):
            if (whose := hold.whose) is not None:
                found = extract(path, whose)
                if found.lines:
                    keep(folder, hold, found)
                    held += len(found.lines)
        return held, path.stat().st_size

    # Commands

    async def _op_purge(self, request: Request) -> Answer:
        who, reason = text_of(request, "who")[:80], text_of(request, "reason")[:200]
        try:
            before = date.fromisoformat(text_of(request, "before"))
        except ValueError as error:
            raise Malformed('"before" is no day; write one, as in "2026-11-01"') from error
        try:
            async with self._busy:
                if request.get("dry") is True:
                    verdicts = [self._judge(path, before) for path in self._before(before)]
                else:
                    verdicts = await self._purge(before, who=who, reason=reason, command=True)
        except OSError as error:
            raise Unavailable(f"{error.filename}: {error.strerror}") from error
        return {"days": [{"day": each.day, "kept": each.kept, "what": each.what} for each in verdicts]}

    async def _op_hold(self, request: Request) -> Answer:
        said = {key: text_of(request, key)[:most] for key, most in (("name", 65), ("who", 80), ("reason", 200))}
        placed = moment(int(self._means.clock().timestamp() * 1000))
        hold = hold_of({"device": None, "since": None, "until": None, **request, **said, "placed": placed})
        folder = self._means.folders.holds
        async with self._busy:
            try:
                prepare(folder, hold)
                self._place(hold)
            except OSError as error:
                raise Unavailable(f"the hold cannot be placed: {error.strerror}") from error
        return hold.detail()

    def _place(self, hold: Hold) -> None:
        """First the event, then the hold: killed in between, the next start does both, and the event is there twice.

        Raises OSError; without its event the hold is withdrawn.
        """
        folder = self._means.folders.holds
        try:
            self._means.record_now("hold", {"state": "placed", **hold.detail()})
        except OSError:
            with suppress(OSError):
                withdraw(folder, hold)
            raise
        place(folder, hold)

    async def _op_release(self, request: Request) -> Answer:
        name, who, reason = (text_of(request, key)[:200] for key in ("name", "who", "reason"))
        folder = self._means.folders.holds
        hold = next((each for each in load_holds(folder) if each.name == name), None)
        if hold is None:
            raise Malformed(f'"{name}" is no hold; `enforcer attempts hold list` shows them')
        try:
            async with self._busy:
                self._means.record_now("hold", {**hold.detail(), "state": "released", "who": who, "reason": reason})
                release(folder, name)
        except OSError as error:
            raise Unavailable(f"the hold cannot be released: {error.strerror}") from error
        return hold.detail()

    def _today(self) -> date:
        return self._means.clock().date()


def _last_line(path: Path) -> bytes | None:
    """The checkpoint that ends a day, as its line stands in the file; None where the last line is another."""
    line = next(lines_backwards(path), b"")
    try:
        return line if checkpoint_of(line).closes is Closes.DAY else None
    except Corrupt:
        return None


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)
    sync_folder(path.parent)


def _start_ms(day: str) -> int:
    return milliseconds(f"{day}T00:00:00.000Z")
