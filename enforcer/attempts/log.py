"""The day log: one NDJSON file a day, append-only, numbered and chained. It is the truth; all else is made from it.

One `write` a batch; a batch that does not fit (a full disk) is cut back whole. A line that a kill or a power cut
tore is cut off when the log is opened again: its attempts are still in the spool, which is deleted only behind
what is on the disk (`synced`). With a notary, signed checkpoints are lines of their own, and the last of each day.
"""

import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from enforcer.attempts.attempt import Checkpoint, Closes, Entry, parse_line
from enforcer.attempts.chain import GENESIS, link, seal, unseal
from enforcer.attempts.checkpoint import Notary
from enforcer.attempts.merkle import Tree, leaf_hash
from enforcer.errors import Corrupt

_DAY = re.compile(r"\d{4}-\d\d-\d\d\.ndjson")
_BLOCK = 1 << 20
_TAIL = 64 << 20  # more than is ever written between two syncs

CHECKPOINT = b'{"v":1,"type":"checkpoint",'
"""How the lines of checkpoints begin, and no others."""


@dataclass(frozen=True, slots=True, order=True)
class Cursor:
    """A place between two lines: behind line `seq`, at an offset of the file of a day (`2026-11-23`)."""

    day: str
    offset: int
    seq: int


BEGIN = Cursor("", 0, 0)


@dataclass(frozen=True, slots=True)
class _Flight:
    """What is on its way to the disk: so many batches, up to a size of the file and a line's number."""

    done: Future[None]
    batches: int
    size: int
    seq: int


class DayLog:
    """The writing end. One process at a time: the hub's lock sees to that.

    seq, head: the number and the hash of the last line. logged_ms: when it was written; 0 before the first.
    synced: how far the log is known to be on the disk. cut: octets of torn lines cut off when it was opened.
    notary: who signs it, or None. signed: the last checkpoint of the newest file or since, None where there is none;
    unsigned: lines of the newest file behind it.
    """

    def __init__(self, folder: Path, notary: Notary | None = None, disk: Executor | None = None) -> None:
        """Open the newest day's file, and cut off what a kill or a power cut tore.

        notary: None signs nothing. disk: what waits for the disk in `flush`; None for the caller's own thread.
        """
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder = folder
        self.seq, self.head, self.logged_ms, self.cut = 0, GENESIS, 0, 0
        self.signed: Checkpoint | None = None
        self.unsigned = 0
        self.notary = notary
        self._tree = Tree()
        self._closed = False  # by its last checkpoint: nothing may follow in this file
        self._day, self._fd = "", -1
        self._size = self._synced_size = 0
        self._torn = self._in_doubt = False
        self._unsynced: list[bytes] = []
        self._disk = disk
        self._flight: _Flight | None = None
        last = self._recover()
        if last is not None:
            line = parse_line(last)
            body, before = unseal(last)
            self.seq, self.head, self.logged_ms = line.seq, link(before, body), line.logged_ms
        if files := days(folder):
            self._day = files[-1].stem
            if notary is not None:
                self._plant(files[-1])
            self._fd = _open(files[-1])
            self._size = self._synced_size = os.fstat(self._fd).st_size
            os.fdatasync(self._fd)  # what was read back is about to be trusted
        self.synced = Cursor(self._day, self._size, self.seq)

    def append(self, entries: Sequence[Entry], now: datetime) -> None:
        """Write the entries as the next lines, in one write, into the file of `now`, or of the newest day if later.

        Raises OSError when they cannot be written; then none of them is, and the same call can be made again.
        """
        self._settle()
        self._turn(now)
        self._put(entries, now)

    def record(self, entry: Entry, now: datetime) -> None:
        """Write one entry and have it on the disk, for who must know that before it goes on. Raises OSError."""
        self.append((entry,), now)
        self.sync()

    def checkpoint(self, now: datetime, closes: Closes | None = None) -> None:
        """Sign all lines so far, in a line of its own. Raises OSError as `append` does."""
        self._settle()
        self._turn(now)
        self._attest(now, closes)

    def _attest(self, now: datetime, closes: Closes | None) -> None:
        if self.notary is None:
            return
        checkpoint = self.notary.attest(
            seq=self.seq + 1,
            now=now,
            day=self._day,
            first=self.seq + 1 - self._tree.count,
            count=self._tree.count,
            head=self.head,
            root=self._tree.root(),
            closes=closes,
        )
        self._put((checkpoint,), now)
        self.signed, self.unsigned = checkpoint, 0
        self._closed = closes is Closes.DAY

    def _put(self, entries: Sequence[Entry], now: datetime) -> None:
        logged_ms = int(now.timestamp() * 1000)
        seq, head = self.seq, self.head
        lines = []
        for entry in entries:
            seq += 1
            body = entry.body(seq, logged_ms)
            lines.append(seal(head, body))
            head = link(head, body)
        data = b"".join(lines)
        self._torn = True
        try:
            _write(self._fd, data)
            self._torn = False
        except OSError:
            with suppress(OSError):
                self._settle()
            raise
        self._size += len(data)
        self._unsynced.append(data)
        self.seq, self.head, self.logged_ms = seq, head, logged_ms
        if self.notary is not None:
            self.unsigned += len(lines)
            for line in lines:
                self._tree.add(leaf_hash(line[:-1]))

    def sync(self) -> None:
        """Put what was written on the disk. Raises OSError; then nothing more counts as synced.

        After a failed fdatasync the kernel may have thrown the pages away and say yes the next time, so the lines
        since the last success are written again.
        """
        self._land()
        if not self._unsynced:
            return
        try:
            if self._in_doubt:
                os.ftruncate(self._fd, self._synced_size)
                _write(self._fd, b"".join(self._unsynced))
            os.fdatasync(self._fd)
        except OSError:
            self._in_doubt = True
            raise
        self._in_doubt = False
        self._count_synced(len(self._unsynced), self._size, self.seq)

    def flush(self) -> bool:
        """`sync` for who must not wait: the disk is waited for elsewhere, and True says that it has everything.

        What was written before the first call that says False is on the disk when a later one says True; lines may be
        written meanwhile. Raises OSError as `sync` does.
        """
        if self._disk is None or self._in_doubt:
            self.sync()
            return True
        if self._flight is not None:
            if not self._flight.done.done():
                return False
            self._land()
            return True
        if not self._unsynced:
            return True
        done = self._disk.submit(os.fdatasync, self._fd)
        self._flight = _Flight(done, len(self._unsynced), self._size, self.seq)
        return False

    def _land(self) -> None:
        """Take in what a flush came to; waits for it. Raises OSError as `sync` does."""
        flight, self._flight = self._flight, None
        if flight is None:
            return
        try:
            flight.done.result()
        except OSError:
            self._in_doubt = True
            raise
        self._count_synced(flight.batches, flight.size, flight.seq)

    def _count_synced(self, batches: int, size: int, seq: int) -> None:
        del self._unsynced[:batches]
        self._synced_size = size
        self.synced = Cursor(self._day, size, seq)

    def close(self) -> None:
        """Sync and let go of the file. Raises OSError as `sync` does."""
        if self._fd >= 0:
            try:
                self.sync()
            finally:
                os.close(self._fd)
                self._fd = -1

    def _settle(self) -> None:
        if self._in_doubt:
            self.sync()
        if self._torn:
            os.ftruncate(self._fd, self._size)
            self._torn = False

    def _turn(self, now: datetime) -> None:
        """Go on in the file of `now` if that is a later day: then the last line of the file before signs it whole."""
        day = max(self._day, now.strftime("%Y-%m-%d"))
        if self._closed and day == self._day:  # a kill, and a clock that went back, just after midnight
            day = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        if day == self._day:
            return
        if self._fd >= 0 and not self._closed and self._size:
            self._attest(now, Closes.DAY)
        self.sync()
        fd = _open(self.folder / f"{day}.ndjson")
        sync_folder(self.folder)
        if self._fd >= 0:
            os.close(self._fd)
        self._day, self._fd = day, fd
        self._size = self._synced_size = 0
        self._tree, self._closed = Tree(), False
        self.synced = Cursor(day, 0, self.seq)

    def _plant(self, path: Path) -> None:
        """Grow the tree of the file that goes on, and find its last checkpoint."""
        with path.open("rb") as file:
            for line in file:
                self._tree.add(leaf_hash(line[:-1]))
                self.unsigned += 1
                if line.startswith(CHECKPOINT) and isinstance(entry := parse_line(line[:-1]).entry, Checkpoint):
                    self.signed, self.unsigned = entry, 0
                    self._closed = entry.closes is Closes.DAY

    def _recover(self) -> bytes | None:
        """Cut off torn lines at the end; returns the last whole line there is."""
        for path in reversed(days(self.folder)):
            size = path.stat().st_size
            whole, last = _whole(path, size)
            if whole < size:
                os.truncate(path, whole)
                self.cut += size - whole
            if last is not None:
                return last
        return None


def _whole(path: Path, size: int) -> tuple[int, bytes | None]:
    """How many octets of a file are whole lines, and the last of them."""
    start = max(size - _TAIL, 0)
    with path.open("rb") as file:
        file.seek(start)
        data = file.read()
    if (hole := data.find(b"\0")) >= 0:  # a page that a power cut kept from the disk; no line has a NUL
        data = data[:hole]
    end = data.rfind(b"\n") + 1
    while end:
        begin = data.rfind(b"\n", 0, end - 1) + 1
        last = data[begin : end - 1]
        try:
            parse_line(last)
        except Corrupt:
            end = begin
        else:
            return start + end, last
    if start:
        raise Corrupt(f"{path}: the last {_TAIL} octets hold no record; move the file away to begin another")
    return 0, None


def days(folder: Path) -> list[Path]:
    """The files of the log, oldest first."""
    return sorted(path for path in folder.iterdir() if _DAY.fullmatch(path.name)) if folder.is_dir() else []


def read(folder: Path, after: Cursor = BEGIN, until: Cursor | None = None) -> Iterator[tuple[bytes, str, int]]:
    """Whole lines without their newline, each with its day and the offset behind it, from one cursor to another.

    Without `until`: to the end as it is while reading; a line that is being written is left for the next time.
    """
    for path in days(folder):
        day = path.stem
        if day < after.day or (until is not None and day > until.day):
            continue
        at = after.offset if day == after.day else 0
        end = until.offset if until is not None and day == until.day else None
        with path.open("rb") as file:
            file.seek(at)
            for line in file:
                at += len(line)
                if line[-1:] != b"\n" or (end is not None and at > end):
                    break
                yield line[:-1], day, at


def backwards(folder: Path) -> Iterator[bytes]:
    """Whole lines without their newline, newest first."""
    for path in reversed(days(folder)):
        yield from lines_backwards(path)


def lines_backwards(path: Path) -> Iterator[bytes]:
    """The same of one file."""
    with path.open("rb") as file:
        at = file.seek(0, os.SEEK_END)
        rest = b""
        first = True  # what is behind the last newline is no whole line
        while at:
            size = min(_BLOCK, at)
            at -= size
            file.seek(at)
            rest, *lines = (file.read(size) + rest).split(b"\n")
            for line in reversed(lines):
                if not first:
                    yield line
                first = False
        if not first:
            yield rest


def sync_folder(folder: Path) -> None:
    """Put the names of new and deleted files on the disk."""
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]
