"""A file that a shipper follows (Filebeat, Fluent Bit, Vector): one line each, renamed aside when it is full."""

import os
from collections.abc import Sequence
from pathlib import Path

from enforcer.attempts.sinks import Outgoing
from enforcer.errors import Unavailable

_BLOCK = 65_536


class FileSink:
    """See Sink. max_bytes: above it the file becomes `NAME.1`, that one `NAME.2`, and so on; `keep` old ones stay.

    A file that somebody else renames or deletes (logrotate) is opened anew.
    """

    settle_s = 0.0

    def __init__(self, path: Path, *, max_bytes: int, keep: int) -> None:
        self._path, self._max_bytes, self._keep = path, max_bytes, keep
        self._fd = -1

    def send(self, batch: Sequence[Outgoing]) -> None:
        """See Sink."""
        data = "".join(f"{each.text}\n" for each in batch).encode()
        try:
            size = self._ready()
            if size and size + len(data) > self._max_bytes:
                self._rotate()
                size = self._ready()
            try:
                rest = memoryview(data)
                while rest:
                    rest = rest[os.write(self._fd, rest) :]
                os.fdatasync(self._fd)
            except OSError:
                os.ftruncate(self._fd, size)
                raise
        except OSError as error:
            raise Unavailable(f"{self._path}: {error.strerror}") from error

    def check(self) -> None:
        """See Sink."""

    def close(self) -> None:
        """See Sink."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _ready(self) -> int:
        """Have the file open that is there under our name; returns its size."""
        if self._fd >= 0 and not self._same():
            self.close()
        if self._fd < 0:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o640)
            self._cut()
        return os.fstat(self._fd).st_size

    def _same(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), self._path.stat())
        except FileNotFoundError:
            return False

    def _cut(self) -> None:
        """Take back the beginning of a line that a kill left at the end; it is written again."""
        end = os.fstat(self._fd).st_size
        while end:
            start = max(end - _BLOCK, 0)
            found = os.pread(self._fd, end - start, start).rfind(b"\n")
            if found >= 0:
                os.ftruncate(self._fd, start + found + 1)
                return
            end = start
        os.ftruncate(self._fd, 0)

    def _rotate(self) -> None:
        self.close()
        for number in range(self._keep, 0, -1):
            old = self._path if number == 1 else self._numbered(number - 1)
            if old.exists():
                old.replace(self._numbered(number))
        self._path.unlink(missing_ok=True)  # where no old one is kept

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
