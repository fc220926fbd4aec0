"""Which signature covers a record: the next checkpoint behind it, and the chain of lines from the one to the other."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from enforcer.attempts.attempt import Checkpoint, parse_line
from enforcer.attempts.chain import body_after, link
from enforcer.attempts.checkpoint import PublicKeys, is_signed
from enforcer.attempts.keys import published
from enforcer.attempts.log import CHECKPOINT
from enforcer.console.pages.inlog import InLog
from enforcer.errors import Corrupt, EnforcerError

LINES_MOST = 30_000
"""Lines that are read to find the checkpoint: a tenth of a second."""


class Signed(StrEnum):
    """Whether a record is signed: it is; not yet; by nobody whose key is here; over other lines; too far to look."""

    VALID = "valid"
    NOT_YET = "not_yet"
    INVALID = "invalid"
    BROKEN = "broken"
    FAR = "far"


@dataclass(frozen=True, slots=True)
class Signature:
    """What was found. seq, time_ms, key: of the checkpoint, None where none was reached; lines: read to get there."""

    signed: Signed
    lines: int
    seq: int | None = None
    time_ms: int | None = None
    key: str | None = None


def signature(folder: Path, place: InLog) -> Signature | None:
    """The signature over a record of the log in this folder; None where the record itself is not in it as it was.

    A checkpoint signs the chain's hash before itself, so the lines from the record to there are read and linked. The
    key is one of those published beside the log: whether it is the hub's own, an auditor compares.
    """
    if place.behind is None:
        return None
    try:
        keys = published(folder)
    except EnforcerError:
        keys = {}
    head, between = bytes.fromhex(place.hash), 0
    try:
        with (folder / place.file).open("rb") as file:
            file.seek(place.behind)
            while (raw := file.readline()).endswith(b"\n"):
                body = body_after(head, raw)
                if body is None:
                    return Signature(Signed.BROKEN, between)
                if raw.startswith(CHECKPOINT):
                    return _by(raw[:-1], body, head, keys, between)
                head, between = link(head, body), between + 1
                if between == LINES_MOST:
                    return Signature(Signed.FAR, between)
    except OSError:
        return None
    except Corrupt:
        return Signature(Signed.BROKEN, between)
    return Signature(Signed.NOT_YET, between)


def _by(line: bytes, body: bytes, head: bytes, keys: PublicKeys, between: int) -> Signature:
    """What a checkpoint's line says of the chain that leads to it. Raises Corrupt."""
    parsed = parse_line(line)
    checkpoint = parsed.entry
    if not isinstance(checkpoint, Checkpoint):
        raise Corrupt("a checkpoint is none")
    if not is_signed(body, checkpoint, keys):
        found = Signed.INVALID
    else:
        found = Signed.VALID if checkpoint.hash == head.hex() else Signed.BROKEN
    return Signature(found, between, parsed.seq, checkpoint.time_ms, checkpoint.key)
