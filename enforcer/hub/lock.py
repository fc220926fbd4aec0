"""One hub for one data folder: two would number the same log."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from enforcer.errors import Unavailable


@contextmanager
def hub_lock(path: Path) -> Iterator[None]:
    """Hold the lock, with our process id in the file. Raises Unavailable while another hub holds it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            pid = os.pread(fd, 20, 0).decode("ascii", "replace").strip()
            raise Unavailable(f"{path}: another hub (process {pid}) uses this data_dir; stop it first") from error
        os.ftruncate(fd, 0)
        os.pwrite(fd, b"%d\n" % os.getpid(), 0)
        yield
    finally:
        os.close(fd)
