"""Where a record stands in the day log, and whether it is there as the index has it, linked with its neighbours."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import BinaryIO

from enforcer.attempts.attempt import Line, moment
from enforcer.attempts.chain import GENESIS, link, seal, unseal
from enforcer.errors import Corrupt

_BLOCK = 4096  # two lines of the longest
_SEQ = re.compile(rb'"seq":(\d{1,18})[,}]')


class Found(StrEnum):
    """What the log says of a record: it is there, it is another one, it is not there (or no more)."""

    SAME = "same"
    ALTERED = "altered"
    GONE = "gone"


@dataclass(frozen=True, slots=True)
class InLog:
    """before, after: whether the neighbours are linked with it; None where there is none at hand. hash: after it.

    behind: the offset of the file at which the next line begins; None where this one is not as the index has it.
    """

    found: Found
    file: str
    hash: str
    before: bool | None = None
    after: bool | None = None
    behind: int | None = None

    @property
    def is_whole(self) -> bool:
        """Nothing speaks against it."""
        return self.found is Found.SAME and self.before is not False and self.after is not False


def look(folder: Path, line: Line) -> InLog:
    """Find a line by its number in the file of the day on which it was written: a few reads, however long it is.

    What is checked is the line and the two beside it; the whole chain is for `enforcer attempts verify`.
    """
    path = folder / f"{moment(line.logged_ms)[:10]}.ndjson"
    body = line.entry.body(line.seq, line.logged_ms)
    head = bytes.fromhex(line.prev)
    own = link(head, body)
    try:
        with path.open("rb") as file:
            before, found, after, behind = _around(file, line.seq)
    except (OSError, Corrupt):
        return InLog(Found.GONE, path.name, own.hex())
    if found is None:
        return InLog(Found.GONE, path.name, own.hex())
    if found != seal(head, body)[:-1]:
        return InLog(Found.ALTERED, path.name, own.hex())
    linked_before = head == GENESIS if line.seq == 1 else _hash_after(before, head)
    return InLog(Found.SAME, path.name, own.hex(), linked_before, _names(after, own), behind)


def _hash_after(before: bytes | None, head: bytes) -> bool | None:
    """Whether a line is the one whose hash comes after it; None where it is in another file."""
    if before is None:
        return None
    try:
        body, its_head = unseal(before)
    except Corrupt:
        return False
    return link(its_head, body) == head


def _names(after: bytes | None, own: bytes) -> bool | None:
    if after is None:
        return None
    try:
        return unseal(after)[1] == own
    except Corrupt:
        return False


def _around(file: BinaryIO, seq: int) -> tuple[bytes | None, bytes | None, bytes | None, int]:
    """The line before, the one with this number, the one after, and where that begins.

    Bisected, since numbers grow along the file.
    """
    low, high = 0, file.seek(0, 2)
    while high - low > _BLOCK:
        middle = (low + high) // 2
        file.seek(middle)
        file.readline()
        at, line = file.tell(), file.readline()
        if at >= high or not line or _number(line) >= seq:
            high = middle
        else:
            low = at
    file.seek(low)
    before: bytes | None = None
    while raw := file.readline():
        line = raw.rstrip(b"\n")
        number = _number(line) if raw.endswith(b"\n") else seq + 1
        if number == seq:
            behind, after = file.tell(), file.readline()
            return before, line, after.rstrip(b"\n") if after.endswith(b"\n") else None, behind
        if number > seq:
            break
        before = line
    return None, None, None, 0


def _number(line: bytes) -> int:
    """The number of a line, which may be damaged elsewhere. Raises Corrupt."""
    found = _SEQ.search(line)
    if found is None:
        raise Corrupt("a line has no number")
    return int(found[1])
