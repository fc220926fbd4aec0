"""Whether a log is whole: its chain, its numbers, its files, its signatures. It needs the folder and nothing else.

The first damage ends the search, since behind it nothing is proven; what kind it is follows from how the numbers and
the hashes of a line disagree with those of its neighbours. One line is held at a time, and one hash for each power of
two of a day's lines.
"""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

from enforcer.attempts.attempt import Checkpoint, Closes, Line, parse_line
from enforcer.attempts.chain import GENESIS, body_after, link, unseal
from enforcer.attempts.checkpoint import PublicKeys, is_signed
from enforcer.attempts.log import CHECKPOINT, days
from enforcer.attempts.merkle import Tree, leaf_hash
from enforcer.attempts.purged import Purged, purged_days, read_purged
from enforcer.attempts.report import Damage, Kind, Report
from enforcer.errors import Corrupt

LINE_MAX = 1 << 20
"""Octets; no line of ours is as long as that, and no other is held in memory whole."""

_EVENT = b'{"v":1,"type":"event",'
_SEQ = re.compile(rb'"seq":(\d+),')
_SEQ_WITHIN = 120  # octets of a line: before its number are only type and id
_STEP = 4096  # lines between two calls of `progress`


class _Found(Exception):
    """Ends the search."""

    def __init__(self, damage: Damage) -> None:
        super().__init__(str(damage))
        self.damage = damage


def verify_log(
    folder: Path,
    keys: PublicKeys,
    *,
    since: str | None = None,
    until: str | None = None,
    witnessed: Iterable[bytes] = (),
    progress: Callable[[int], None] = lambda _: None,
) -> Report:
    """Check a log's files.

    keys: those that may have signed it. since, until: the first and the last day to check, as in `2026-11-23`; without
    `since` the log must begin with its first line, or with the proofs of what was purged. witnessed: lines of
    checkpoints that were kept elsewhere; the log must contain them. progress: called with the octets read so far.
    """
    return _Search(folder, keys, since, until, progress).run(witnessed)


class _Search:
    def __init__(
        self, folder: Path, keys: PublicKeys, since: str | None, until: str | None, progress: Callable[[int], None]
    ) -> None:
        self._folder, self._keys, self._progress = folder, keys, progress
        self._since, self._until = since, until
        self._report = Report()
        self._head = GENESIS
        self._seq = 0
        self._anchored = since is None  # whether the numbers and the hash before the next line are known
        self._tree = Tree()
        self._closes: Closes | None = None  # what the last line ended, if it was a checkpoint that ends something
        self._last_line = b""
        self._last_file: Path | None = None
        self._octets = 0
        self._used: set[str] = set()
        self._witnessed: dict[int, bytes] = {}

    def run(self, witnessed: Iterable[bytes]) -> Report:
        report = self._report
        try:
            self._take_witnesses(witnessed)
            for day, path in self._items():
                if path.suffix == ".purged":
                    self._purged(day, path)
                else:
                    self._file(path)
                    report.files += 1
            if self._last_file is not None and self._last_line:  # no line behind it says what it was
                _parsed(self._last_file, self._seq, self._last_line[:-1])
            self._compare_witnesses()
        except _Found as found:
            report.damage = found.damage
        report.seq, report.hash = self._seq, self._head.hex()
        report.keys = tuple(sorted(self._used))
        return report

    def _items(self) -> list[tuple[str, Path]]:
        """By day: its file, or else the proof that it was purged."""
        found: dict[str, Path] = {path.stem: path for path in (*purged_days(self._folder), *days(self._folder))}
        return sorted(
            (day, path)
            for day, path in found.items()
            if (self._since is None or day >= self._since) and (self._until is None or day <= self._until)
        )

    # One file

    def _file(self, path: Path) -> None:
        self._tree = Tree()
        first = True
        with path.open("rb") as file:
            number = 0
            while line := file.readline(LINE_MAX):
                if first:
                    self._begin(path, line)
                    first = False
                self._line(path, file, line)
                self._octets += len(line)
                number += 1
                if not number % _STEP:
                    self._progress(self._octets)
        if not first:
            self._last_file = path
        self._progress(self._octets)

    def _begin(self, path: Path, line: bytes) -> None:
        """Before the first line of a file: see that the file follows the one before."""
        own = _number(line)
        if not self._anchored:
            self._anchored = True
            if own is not None:
                self._seq = own - 1
                self._head = _prev(line) or GENESIS
        if not self._report.first:
            self._report.first = self._seq + 1
        before = self._last_file
        missing = own is not None and own > self._seq + 1
        signed = self._report.checkpoints or (missing and self._keys)  # then each day ends with a checkpoint
        if before is not None and signed and self._closes is not Closes.DAY:
            what = f"the file does not end with the checkpoint that ends a day, and {path.name} follows"
            raise _found(Kind.TRUNCATED, before, self._seq + 1, what)
        if own is not None and missing:
            where = f"the files between {before.name} and {path.name}" if before else f"the files before {path.name}"
            what = f"{where}, with the numbers {self._seq + 1} to {own - 1}, are not there"
            raise _found(Kind.MISSING_FILE, path, self._seq + 1, what)
        self._closes = self._closes if self._closes is Closes.STOP else None

    def _line(self, path: Path, file: BinaryIO, line: bytes) -> None:
        seq = self._seq + 1
        body = body_after(self._head, line)
        if body is None or line.find(b'"seq":%d,' % seq, 0, _SEQ_WITHIN) < 0:
            if line[-1:] != b"\n" and len(line) < LINE_MAX:
                rest = file.readline(LINE_MAX)  # the hub may be about to write it
                if rest:
                    self._line(path, file, line + rest)
                    return
            raise self._why(path, line, file.readline(LINE_MAX))
        if self._closes is Closes.DAY:
            raise _found(Kind.APPENDED, path, seq, "a line follows the checkpoint that ends the day")
        if self._closes is Closes.STOP:
            self._started(path, seq, line)
        if line.startswith(CHECKPOINT):
            self._checkpoint(path, line[:-1], body)
        elif line.startswith(_EVENT):
            self._event(line[:-1])
        self._head = link(self._head, body)
        self._seq, self._last_line = seq, line
        self._tree.add(leaf_hash(line[:-1]))
        self._report.lines += 1

    def _why(self, path: Path, line: bytes, after: bytes) -> _Found:
        """What kind of damage makes a line disagree with the one before it; after: the next line."""
        seq, head = self._seq + 1, self._head
        if line[-1:] != b"\n":
            if len(line) >= LINE_MAX:
                return _found(Kind.FLIPPED, path, seq, f"a line has more than {LINE_MAX} octets")
            return _found(Kind.TRUNCATED, path, seq, "the line ends in its middle")
        own, prev, next_own = _number(line), _prev(line), _number(after)
        if own is None or prev is None or not _is_record(line):
            return _found(Kind.FLIPPED, path, seq, "the line is no record of the log any more")
        if own == seq:  # so the hashes disagree
            if next_own == seq and _prev(after) == head:
                return _found(Kind.APPENDED, path, seq, "a line was put in before the one with this number")
            body = unseal(line[:-1])[0]
            own_prev = prev == head or _prev(after) == link(head, body)  # the same in capitals, or another hash
            if own_prev or not self._report.lines:
                return _found(Kind.FLIPPED, path, seq, "its `prev` is not the hash of the lines before it")
            what = f"it is not the line that number {seq} was written after"
            return _found(Kind.FLIPPED, path, self._seq, what)
        if own < seq and prev != head:
            return _found(Kind.APPENDED, path, own, f"a second line with this number stands behind number {seq - 1}")
        if prev == head:
            if next_own == seq + 1 or own < seq:
                return _found(Kind.FLIPPED, path, seq, f"its number was changed to {own}")
            return _found(Kind.GAP, path, seq, f"number {own} was written after number {seq - 1}")
        if next_own in (seq, seq + 1):
            return _found(Kind.SWAPPED, path, seq, f"number {own} stands in its place")
        return _found(Kind.DROPPED, path, seq, f"number {own} follows number {seq - 1}")

    def _started(self, path: Path, seq: int, line: bytes) -> None:
        """After the hub has stopped, and signed that, only a start can follow, or the end of that day."""
        self._closes = None
        parsed = _parsed(path, seq, line[:-1])
        if isinstance(parsed.entry, Checkpoint) or getattr(parsed.entry, "event", None) in ("recovered", "start"):
            return
        raise _found(Kind.APPENDED, path, seq, "the hub had stopped, and this line is not that of a start")

    def _event(self, line: bytes) -> None:
        raw = json.loads(line) if line.find(b'"event":"gap"') > 0 or line.find(b'"event":"loss"') > 0 else None
        if raw is None or raw.get("event") not in ("gap", "loss"):
            return
        report, name, count = self._report, raw["event"], raw["detail"].get("count")
        report.declared[name] = report.declared.get(name, 0) + 1
        report.lost += count if isinstance(count, int) else 0

    # Signatures

    def _checkpoint(self, path: Path, line: bytes, body: bytes) -> None:
        seq = self._seq + 1
        checkpoint = _checkpoint_of(_parsed(path, seq, line))
        if checkpoint is None or not is_signed(body, checkpoint, self._keys):
            raise _found(Kind.BAD_SIGNATURE, path, seq, self._unknown(checkpoint))
        since = (self._report.signed or self._report.first - 1) + 1
        if checkpoint.hash != self._head.hex() or checkpoint.root != self._tree.root().hex():
            kind = Kind.FLIPPED
            if checkpoint.count != self._tree.count:
                kind = Kind.DROPPED if checkpoint.count > self._tree.count else Kind.APPENDED
            what = f"the lines {since} to {seq - 1} are not those that the checkpoint in line {seq} signs"
            raise _found(kind, path, since, what)
        if checkpoint.day != path.stem:
            raise _found(Kind.SWAPPED, path, seq, f"the checkpoint belongs to {checkpoint.day}")
        witnessed = self._witnessed.pop(seq, None)
        if witnessed is not None and witnessed != body:
            raise _found(Kind.FLIPPED, path, since, f"line {seq} is not the checkpoint that was kept elsewhere")
        self._count(checkpoint, seq)

    def _count(self, checkpoint: Checkpoint, seq: int) -> None:
        self._used.add(checkpoint.key)
        self._report.checkpoints += 1
        self._report.signed = seq
        self._closes = checkpoint.closes

    def _unknown(self, checkpoint: Checkpoint | None) -> str:
        if checkpoint is not None and checkpoint.key not in self._keys:
            return f"it is signed with the key {checkpoint.key}, which is not at hand; name it with --key"
        return "the signature is not that of the line"

    def _purged(self, day: str, path: Path) -> None:
        """A day that is not there any more, with its proof."""
        try:
            proof: Purged = read_purged(path)
        except Corrupt as error:
            raise _found(Kind.FLIPPED, path, self._seq + 1, str(error)) from error
        checkpoint, first = proof.checkpoint, proof.checkpoint.first
        if not proof.is_signed(self._keys) or checkpoint.day != day:
            raise _found(Kind.BAD_SIGNATURE, path, first, "the proof that this day was purged is not signed by the hub")
        if self._anchored and first != self._seq + 1:
            what = f"the numbers {self._seq + 1} to {first - 1} are in no file, and no proof says that they were purged"
            raise _found(Kind.MISSING_FILE, path, self._seq + 1, what)
        if self._last_file is not None and self._report.checkpoints and self._closes is not Closes.DAY:
            raise _found(Kind.TRUNCATED, self._last_file, self._seq + 1, "the file does not end with its checkpoint")
        self._anchored = True
        self._seq, self._head = proof.seq, proof.head
        self._report.first = self._report.first or first
        self._report.purged += (day,)
        self._witnessed = {seq: body for seq, body in self._witnessed.items() if seq > proof.seq}
        self._count(checkpoint, proof.seq)
        self._last_file = path

    # What others have kept

    def _take_witnesses(self, lines: Iterable[bytes]) -> None:
        for number, line in enumerate(lines, 1):
            _, begin, rest = line.strip().partition(CHECKPOINT)  # a collector's header may stand before it
            if not begin:
                continue
            text = begin + rest
            self._report.witnessed += 1
            where = Path(f"kept elsewhere, line {number}")
            parsed = _parsed(where, 0, text)
            checkpoint = _checkpoint_of(parsed)
            body, _ = unseal(text)
            if checkpoint is None or not is_signed(body, checkpoint, self._keys):
                raise _found(Kind.BAD_SIGNATURE, where, parsed.seq, self._unknown(checkpoint))
            self._witnessed[parsed.seq] = body

    def _compare_witnesses(self) -> None:
        """Those that are left were not met: in the middle they were replaced, at the end cut off."""
        report = self._report
        for seq in sorted(self._witnessed):
            if seq < report.first:
                continue
            path = self._last_file or self._folder
            if seq <= self._seq:
                raise _found(Kind.FLIPPED, path, seq, "the checkpoint that was kept elsewhere is not in the log")
            if self._until is None:
                what = f"a checkpoint that was kept elsewhere has number {seq}; the log ends with {self._seq}"
                raise _found(Kind.TRUNCATED, path, self._seq + 1, what)


def _found(kind: Kind, path: Path, seq: int, what: str) -> _Found:
    return _Found(Damage(kind, path.name, seq, what))


def _number(line: bytes) -> int | None:
    found = _SEQ.search(line, 0, _SEQ_WITHIN)
    return None if found is None else int(found[1])


def _prev(line: bytes) -> bytes | None:
    try:
        return unseal(line.rstrip(b"\n"))[1]
    except Corrupt:
        return None


def _is_record(line: bytes) -> bool:
    try:
        parse_line(line.rstrip(b"\n"))
    except Corrupt:
        return False
    return True


def _parsed(path: Path, seq: int, line: bytes) -> Line:
    try:
        return parse_line(line)
    except Corrupt as error:
        raise _found(Kind.FLIPPED, path, seq, f"the line is no record of the log: {error}") from error


def _checkpoint_of(line: Line) -> Checkpoint | None:
    return line.entry if isinstance(line.entry, Checkpoint) else None
