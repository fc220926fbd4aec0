"""Files that are there whole or not at all, whatever is killed and whenever the power goes."""

import os
from pathlib import Path

from enforcer.attempts.log import sync_folder


def replace_file(path: Path, data: bytes) -> None:
    """Write a file whole or not at all, for its owner alone, and put it on the disk. Raises OSError."""
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)  # what a kill left has whatever mode it has
    fd = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        rest = memoryview(data)
        while rest:
            rest = rest[os.write(fd, rest) :]
        os.fsync(fd)
    finally:
        os.close(fd)
    new.replace(path)
    sync_folder(path.parent)
