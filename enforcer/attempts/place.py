"""Whether a place in the log that was noted earlier is still behind the line that was read last."""

from hashlib import sha256
from pathlib import Path

from enforcer.attempts.log import Cursor

_LINE_MAX = 8192  # octets; more than any line has


def line_hash(line: bytes) -> bytes:
    """What is noted of the line before a place: its SHA-256. line: without its newline."""
    return sha256(line).digest()


def agrees(folder: Path, place: Cursor, digest: bytes | None) -> bool:
    """Whether the line before `place` is the one that was noted; also when its day was purged meanwhile.

    It is not when the log is another one, or its end was lost with the power and written anew.
    """
    path = folder / f"{place.day}.ndjson"
    if not place.offset or not path.exists():
        return True
    with path.open("rb") as file:
        start = file.seek(max(place.offset - _LINE_MAX, 0))
        lines = file.read(place.offset - start).split(b"\n")
    return len(lines) > 1 and not lines[-1] and line_hash(lines[-2]) == digest
