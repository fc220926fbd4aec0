"""The spool: the only way out of a worker, and how the hub reads it.

A segment is a preallocated file that the worker maps. Each distinct (client, rule, name, type) of a window is
one row; a repeat is one addition in mapped memory. So a block is in the page cache before its answer leaves,
`kill -9` loses nothing, and the volume follows what is distinct, not how often a phone asks.

    header   64 octets   magic, rows used, sealed, capacity, start of the heap, size, heap used, epoch
    rows     48 each     count, first, second and last attempt (ms since 1970), place of the entry, its CRC-32
    heap                 the entries, as `attempts.block` encodes them

A row is published by `rows used` after it is complete; x86 and CPython keep the order of these stores, and the
CRC tells a reader elsewhere that it came too early. Preallocation, not a sparse file: a full disk is an error
of `posix_fallocate`, never a SIGBUS. The writer holds an exclusive flock, so a reader knows a dead one.
"""

import fcntl
import mmap
import os
import zlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from enforcer.errors import Corrupt

MAGIC = 0x31304C5053464E45  # "ENFSPL01", little-endian
HEADER = 64
ROW = 48
ROW_WORDS = ROW // 8
# Words of the header and of a row, in units of 8 octets.
H_MAGIC, H_USED, H_SEALED, H_CAPACITY, H_HEAP, H_SIZE, H_HEAP_USED, H_EPOCH = range(8)
R_COUNT, R_FIRST, R_SECOND, R_LAST, R_PLACE, R_CRC = range(ROW_WORDS)

CAPACITY = 16_384
HEAP = 4 << 20
SEGMENT_AGE_MS = 600_000

NO_ROW = -1


class Spool:
    """The writing end, of one worker.

    rows: the current segment as 64-bit words; a row number returned by `open` indexes its count, and the caller
    adds repeats itself, which is what makes a repeat cheap:

        rows[row] += 1; rows[row + R_LAST] = now_ms

    generation: changes when all row numbers handed out before are void.
    """

    def __init__(
        self, folder: Path, *, window_ms: int, max_bytes: int, capacity: int = CAPACITY, heap: int = HEAP
    ) -> None:
        self.folder = folder
        self.window_ms = window_ms
        self.max_bytes = max_bytes
        self.generation = 0
        self.full: str | None = None  # why no row can be had: "spool_full" or "disk_full"
        self.rows = memoryview(bytearray(HEADER)).cast("Q")
        self._map: mmap.mmap | None = None
        self._fd = -1
        self._capacity = capacity
        self._heap = heap
        self._epoch = 0
        self._used = 0
        self._free = 0
        self._size = 0
        self._retry_ms = 0
        self._unsynced: deque[int] = deque()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._epoch = max((epoch for epoch, _ in segments(folder)), default=0)

    def open(self, entry: bytes, now_ms: int) -> int:
        """Begin a row with the count 1 for an entry; returns its number, or NO_ROW when none can be had.

        With NO_ROW the attempt is lost to the record, `full` says why, and the caller counts it.
        """
        if self._used >= self._capacity or self._free + len(entry) > self._size:
            self.seal()
        mapped = self._map or self._rotate(now_ms)
        if mapped is None:
            return NO_ROW
        place = self._free
        mapped[place : place + len(entry)] = entry
        rows = self.rows
        row = (HEADER + self._used * ROW) // 8
        rows[row + R_FIRST] = now_ms
        rows[row + R_SECOND] = 0
        rows[row + R_LAST] = now_ms
        rows[row + R_PLACE] = place << 16 | len(entry)
        rows[row + R_CRC] = zlib.crc32(entry)
        rows[row] = 1
        self._used += 1
        self._free = place + len(entry)
        rows[H_HEAP_USED] = self._free
        rows[H_USED] = self._used
        return row

    def repeat(self, row: int, now_ms: int, times: int = 1) -> bool:
        """Add attempts to a row; False when its window is over and the caller must open another."""
        rows = self.rows
        if now_ms - rows[row + R_FIRST] >= self.window_ms:
            return False
        count = rows[row]
        rows[row + R_LAST] = now_ms
        if count == 1:
            rows[row + R_SECOND] = now_ms
        rows[row] = count + times
        return True

    def tick(self, now_ms: int) -> None:
        """Once a second: seal a segment that has become old, so that the hub can finish and delete it.

        The next one is made here, not when a phone waits for its answer.
        """
        if self._used and now_ms - self._epoch >= SEGMENT_AGE_MS:
            self.seal()
        if self._map is None:
            self._rotate(now_ms)

    def seal(self) -> None:
        """End the current segment; the next row begins another."""
        if self._map is None:
            return
        self.rows[H_SEALED] = 1
        self.rows.release()
        self.rows = memoryview(bytearray(HEADER)).cast("Q")
        self._map.close()
        self._map = None
        self._unsynced.append(self._fd)
        self._fd = -1
        self._used = 0
        self.generation += 1

    def sync(self) -> None:
        """Put what was written on the disk; may run in a thread of its own, beside the writer."""
        while self._unsynced:
            fd = self._unsynced.popleft()
            os.fdatasync(fd)
            os.close(fd)  # and with it the lock: the hub may take the segment
        if (fd := self._fd) >= 0:  # only this method closes it, so it stays open meanwhile
            os.fdatasync(fd)

    def close(self) -> None:
        """Seal and sync."""
        self.seal()
        self.sync()

    def _rotate(self, now_ms: int) -> mmap.mmap | None:
        """Begin a segment; None when it cannot be had, and for a second after that."""
        if now_ms < self._retry_ms:
            return None
        size = HEADER + self._capacity * ROW + self._heap
        used = sum(_size(path) for _, path in segments(self.folder))
        if used + size > self.max_bytes:
            self.full, self._retry_ms = "spool_full", now_ms + 1000
            return None
        self._epoch = max(self._epoch + 1, now_ms)
        path = self.folder / f"{self._epoch}.segment"
        fd = -1
        try:
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            fcntl.flock(fd, fcntl.LOCK_EX)
            os.posix_fallocate(fd, 0, size)
            mapped = mmap.mmap(fd, size)
        except OSError:
            if fd >= 0:
                path.unlink(missing_ok=True)
                os.close(fd)
            self.full, self._retry_ms = "disk_full", now_ms + 1000
            return None
        self._map, self._fd = mapped, fd
        self._used, self._free, self._size = 0, HEADER + self._capacity * ROW, size
        rows = memoryview(mapped).cast("Q")
        rows[H_CAPACITY] = self._capacity
        rows[H_HEAP] = self._free
        rows[H_HEAP_USED] = self._free
        rows[H_SIZE] = size
        rows[H_EPOCH] = self._epoch
        rows[H_MAGIC] = MAGIC
        self.rows = rows
        self.full = None
        return mapped


@dataclass(frozen=True, slots=True)
class Row:
    """One row as read: exact counts so far, times in ms since 1970 (second_ms is 0 while count is 1)."""

    count: int
    first_ms: int
    second_ms: int
    last_ms: int
    entry: bytes


class Segment:
    """The reading end: one segment of one worker, mapped read-only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.worker = path.parent.name
        self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        size = os.fstat(self._fd).st_size
        if size < HEADER:
            os.close(self._fd)
            raise Corrupt(f"{path}: {size} octets are no spool segment")
        self._map = mmap.mmap(self._fd, size, prot=mmap.PROT_READ)
        self._words = memoryview(self._map)[: size // 8 * 8].cast("Q")
        self.epoch = int(path.stem)
        self._size = size

    @property
    def begun(self) -> bool:
        """False while (or if for ever) the writer was killed before the header was complete."""
        return self._words[H_MAGIC] == MAGIC

    @property
    def used(self) -> int:
        """How many rows are published; never more than fit."""
        if not self.begun:
            return 0
        return min(self._words[H_USED], (self._size - HEADER) // ROW)

    def finished(self) -> bool:
        """True when the writer has sealed the segment, or is dead: no count in it can change any more."""
        if self.begun and self._words[H_SEALED]:
            return True
        try:
            fcntl.flock(self._fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        fcntl.flock(self._fd, fcntl.LOCK_UN)
        return True

    def count(self, index: int) -> int:
        """The attempts counted in a row so far."""
        return self._words[HEADER // 8 + index * ROW_WORDS]

    def row(self, index: int) -> Row:
        """A row and its entry. Raises Corrupt when the entry is not what the worker wrote."""
        at = HEADER // 8 + index * ROW_WORDS
        count, first, second, last, place, crc = self._words[at : at + ROW_WORDS]
        start, length = place >> 16, place & 0xFFFF
        entry = self._map[start : start + length]
        if not count or len(entry) != length or zlib.crc32(entry) != crc:
            raise Corrupt(f"{self.path}: row {index} is damaged")
        return Row(count, first, second, last, entry)

    def close(self) -> None:
        """Let go of the file."""
        self._words.release()
        self._map.close()
        os.close(self._fd)


def segments(folder: Path) -> Iterator[tuple[int, Path]]:
    """Every segment of one worker's folder with its epoch, oldest first."""
    return iter(sorted((int(path.stem), path) for path in folder.glob("*.segment") if path.stem.isdigit()))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # the hub has finished with it
        return 0
