"""The segments of the spool that are not wholly in the log: found, marked, and deleted behind what is on the disk.

A mark says how far back a recovering hub has to read: before any line of a segment is written, the number of the log's
last line is put on the disk.
"""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from enforcer.attempts.log import DayLog, sync_folder
from enforcer.attempts.spool import HEADER, Segment, segments
from enforcer.errors import Corrupt
from enforcer.hub.resume import Marks, SegmentKey, load_marks, resume, save_marks
from enforcer.hub.rows import OpenSegment


class Shelf:
    """sources: the open segments, by key. lost: each worker's losses by reason, as the log has them."""

    def __init__(
        self, spool: Path, log: DayLog, marks: Path, tell: Callable[[str, Mapping[str, object]], None]
    ) -> None:
        """Find out from the log where the hub before stopped. tell: plans an event."""
        self.sources: dict[SegmentKey, OpenSegment] = {}
        self._spool, self._log, self._marks_path, self._tell = spool, log, marks, tell
        found = load_marks(marks)
        done = resume(log.folder, found)
        self.lost = done.lost
        self._resumed, self._floor = done.rows, done.floor
        left = _left(spool)
        self._begun = {key: min(seq, log.seq) for key, seq in found.segments.items() if key in left}
        if found.seq > log.seq:  # the log was moved away: its numbers begin anew
            self._save_marks()

    def discover(self) -> None:
        """Open segments that are new, after a mark for them is on the disk. Raises OSError where it cannot be."""
        new = [source for folder in sorted(self._spool.glob("*/")) for source in self._new(folder)]
        if not new:
            return
        for source in new:  # one that was begun before has its mark, unless the marks were lost
            self._begun.setdefault(source.key, self._floor if source.key in self._resumed else self._log.seq)
        try:
            self._log.sync()
            self._save_marks()
        except OSError:
            for source in new:
                source.segment.close()
            raise
        for source in new:
            source.resumed = self._resumed.pop(source.key, {})
            self.sources[source.key] = source

    def delete(self) -> None:
        """Delete the segments whose lines are all on the disk, and only then forget their marks. Raises OSError."""
        over = [
            source
            for source in self.sources.values()
            if source.behind is not None and source.behind <= self._log.synced.seq
        ]
        if not over:
            return
        for source in over:
            _remove(source.segment.path)
        for folder in {source.segment.path.parent for source in over}:
            sync_folder(folder)
        for source in over:
            source.segment.close()
            del self.sources[source.key], self._begun[source.key]

    def close(self) -> None:
        """Let go of all segments; what is in them stays for the next hub."""
        for source in self.sources.values():
            source.segment.close()
        self.sources.clear()

    def _new(self, folder: Path) -> Iterator[OpenSegment]:
        found = tuple(segments(folder))
        for epoch, path in found:
            if (folder.name, epoch) in self.sources:
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
                    self._discard(path, epoch)

    def _discard(self, path: Path, epoch: int) -> None:
        """Delete a segment that was never begun; one with another header is damaged: kept aside, and recorded."""
        with path.open("rb") as file:
            blank = not any(file.read(HEADER))
        if blank:
            path.unlink()
            return
        path.rename(path.with_suffix(".damaged"))
        self._tell("gap", {"worker": path.parent.name, "epoch": epoch, "row": None, "count": None, "reason": "header"})

    def _save_marks(self) -> None:
        save_marks(self._marks_path, Marks(self._log.seq, self._begun, self.lost))


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
