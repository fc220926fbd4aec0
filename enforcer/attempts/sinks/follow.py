"""One sink's way through the log: read, format, send, and only then move on.

At least once: what the receiver may not have is sent again, with the same ids. A sink that is away, or cannot even be
made, is tried again, waiting longer each time; nothing else waits for it.
"""

import logging
import traceback
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from threading import Event

from enforcer.attempts.formats.record import read_record
from enforcer.attempts.formats.render import Format, render
from enforcer.attempts.log import Cursor, days, read
from enforcer.attempts.place import agrees, line_hash
from enforcer.attempts.sinks import Outgoing, Refused, Sink
from enforcer.attempts.sinks.cursor import START, Mark, load_mark, save_mark
from enforcer.errors import Corrupt, Unavailable

POLL_S = 0.2
_RETRY_MIN_S = 0.5

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Course:
    """What one sink is to do. from_now: begin behind what is in the log already. retry_max_s: the longest wait."""

    name: str
    form: Format
    batch: int = 500
    from_now: bool = False
    retry_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class Progress:
    """How it goes. Counters since the process began; seq: the newest line that is surely there.

    waiting_ms: when the oldest line was logged that is not; None when all are. trouble: why nothing moves.
    missed: lines that retention took before they were sent.
    """

    records: int = 0
    failures: int = 0
    refused: int = 0
    missed: int = 0
    seq: int = 0
    waiting_ms: int | None = None
    trouble: str | None = None


@dataclass(slots=True)
class _Read:
    """A piece of the log: what to send of it, and the mark behind it."""

    outgoing: list[Outgoing] = field(default_factory=list)
    mark: Mark = START
    first_ms: int | None = None
    lines: int = 0


class Follow:
    """Feeds one sink. `run` is for a thread of its own; `step` is one round of it."""

    def __init__(
        self, course: Course, make: Callable[[], Sink], *, log: Path, marks: Path, steady: Callable[[], float]
    ) -> None:
        """make: the sink, asked again while it raises Unavailable.

        log: the folder of the day log; marks: that of the cursors. steady: a clock that never goes back, in s.
        """
        self.course, self._make, self._log, self._steady = course, make, log, steady
        self._sink: Sink | None = None
        self._path = marks / f"{course.name}.json"
        self._mark = load_mark(self._path)  # None until the first step finds where a new sink begins
        self._sent: deque[tuple[float, Mark]] = deque()  # what may still get lost, and when it was sent
        self._next = self._mark or START
        self._retry_s = _RETRY_MIN_S
        self.progress = Progress(seq=self._next.place.seq)

    def run(self, stop: Event) -> None:
        """Follow the log until told to stop."""
        try:
            while not stop.is_set():
                stop.wait(self.step())
        finally:
            self._close()

    def step(self) -> float:
        """Send the next lines, if there are any; returns how long to wait before the next step, in seconds."""
        try:
            if self._mark is None:
                self._begin()
            if not agrees(self._log, self._next.place, self._next.digest):
                self._rewind()
            piece = self._read()
            self._told(waiting_ms=piece.first_ms)
            sink = self._sink = self._sink or self._make()
            sink.check()
            self._settle(sink)
            if not piece.lines:
                self._retry_s = _RETRY_MIN_S
                self._told(trouble=None)
                return POLL_S if not self._sent else min(POLL_S, sink.settle_s)
            self._deliver(sink, piece.outgoing)
        except (Unavailable, OSError, Corrupt) as error:
            return self._failed(str(error))
        except Exception as error:  # noqa: BLE001 (a bug of ours, or of a library: this sink's trouble alone)
            place = traceback.extract_tb(error.__traceback__)[-1]  # never the text, which may quote a record
            return self._failed(f"{type(error).__name__} in {Path(place.filename).name}:{place.lineno}; report it")
        self._moved(sink, piece)
        return 0.0

    def _moved(self, sink: Sink, piece: _Read) -> None:
        self._retry_s = _RETRY_MIN_S
        self._next = piece.mark
        self._sent.append((self._steady(), piece.mark))
        self._told(records=self.progress.records + len(piece.outgoing), trouble=None)
        try:
            self._settle(sink)
        except OSError as error:
            self._told(trouble=f"the cursor cannot be written: {error.strerror}")

    def _settle(self, sink: Sink) -> None:
        """Move the cursor behind what can no longer get lost. Raises OSError."""
        settled = None
        while self._sent and self._steady() - self._sent[0][0] >= sink.settle_s:
            _, settled = self._sent.popleft()
        if settled is not None:
            save_mark(self._path, settled)
            self._mark = settled
            self._told(seq=settled.place.seq)

    def _failed(self, why: str) -> float:
        """Begin again behind what is surely there, after a while."""
        _log.warning("sink event=failed name=%s error=%s", self.course.name, why)
        self._close()
        self._sent.clear()
        self._next = self._mark or START
        self._told(failures=self.progress.failures + 1, trouble=why)
        wait_s, self._retry_s = self._retry_s, min(self._retry_s * 2, self.course.retry_max_s)
        return min(wait_s, self.course.retry_max_s)

    def _close(self) -> None:
        if self._sink is not None:
            self._sink.close()

    def _deliver(self, sink: Sink, batch: Sequence[Outgoing]) -> None:
        """Send; of a batch that is refused, everything but the lines that are refused by themselves."""
        if not batch:
            return
        try:
            sink.send(batch)
        except Refused as error:
            if len(batch) > 1:
                half = len(batch) // 2
                self._deliver(sink, batch[:half])
                self._deliver(sink, batch[half:])
                return
            _log.error("sink event=refused name=%s seq=%d error=%s", self.course.name, batch[0].record.seq, error)
            self._told(refused=self.progress.refused + 1)

    def _read(self) -> _Read:
        """The next lines. Raises Corrupt for one that cannot be read: that is damage, which nobody passes over."""
        piece = _Read(mark=self._next)
        for line, day, offset in islice(read(self._log, self._next.place), self.course.batch):
            record = read_record(line)
            if not piece.lines:
                piece.first_ms = record.logged_ms
                self._count_missed(record.seq)
            piece.outgoing.append(Outgoing(record, render(record, line, self.course.form)))
            piece.mark = Mark(Cursor(day, offset, record.seq), line_hash(line))
            piece.lines += 1
        return piece

    def _count_missed(self, seq: int) -> None:
        """Whether days were deleted before we got there."""
        place = self._next.place
        if place.day and seq > place.seq + 1 and not (self._log / f"{place.day}.ndjson").exists():
            _log.error("sink event=missed name=%s after=%d before=%d", self.course.name, place.seq, seq)
            self._told(missed=self.progress.missed + seq - place.seq - 1)

    def _rewind(self) -> None:
        """The end of the log was written anew: begin again with that day."""
        place = self._next.place
        _log.warning("sink event=rewound name=%s day=%s", self.course.name, place.day)
        self._next = Mark(Cursor(place.day, 0, place.seq), line_hash(b""))
        self._sent.clear()

    def _begin(self) -> None:
        """Find where a new sink begins. Raises OSError, Corrupt."""
        mark = START
        if self.course.from_now and (files := days(self._log)):
            for line, day, offset in read(self._log, Cursor(files[-1].stem, 0, 0)):
                mark = Mark(Cursor(day, offset, read_record(line).seq), line_hash(line))
            save_mark(self._path, mark)
        self._mark = self._next = mark
        self._told(seq=mark.place.seq)

    def _told(self, **changes: int | str | None) -> None:
        self.progress = replace(self.progress, **changes)  # type: ignore[arg-type]  # the names are those of Progress
