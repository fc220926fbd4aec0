"""What gateways reported, on the disk: a snapshot of all sessions, and a journal of what came after it.

    sessions-7.snapshot   one JSON array a line: sessions, and when gateways began anew or ended
    sessions-7.journal    one JSON array a line: a report

A report is in the journal before it is answered, so what a gateway was told to be recorded survives us. Raw identifiers
are here and nowhere else on the disk: the folder is for our own user alone, and what the history does not need any more
is gone with the next snapshot.
"""

import asyncio
import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from enforcer.devices.prefix import Prefix
from enforcer.devices.session import Report, Session, Status
from enforcer.devices.sessions import SessionTable
from enforcer.devices.subject import Subject
from enforcer.errors import Corrupt

_encoded = json.JSONEncoder(separators=(",", ":")).encode  # made once: it is used for every packet
_CHUNK = 500  # sessions that are written before others get their turn


class Journal:
    """The writing end. octets: of the journal since the last snapshot."""

    def __init__(self, folder: Path) -> None:
        """Raises OSError when the folder cannot be had."""
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        folder.chmod(0o700)
        self.octets = 0
        self._folder = folder
        self._number = max(_numbers(folder), default=0)
        self._fd = -1

    def load(self, table: SessionTable) -> int:
        """Fill a table with what the hub before has kept; returns how many lines could not be read.

        Every session is stale until its gateway confirms it.
        """
        numbers = sorted(_numbers(self._folder))
        complete = [number for number in numbers if (self._folder / f"sessions-{number}.snapshot").exists()]
        bad = 0
        if complete:
            bad = _load_snapshot(self._folder / f"sessions-{complete[-1]}.snapshot", table)
        for number in numbers:
            if not complete or number >= complete[-1]:
                bad += _replay(self._folder / f"sessions-{number}.journal", table)
        for session in table.sessions():
            session.confirmed = False
        return bad

    def append(self, reports: Sequence[Report]) -> None:
        """Put reports into the journal. Raises OSError, and then none of them is in it."""
        if not reports:
            return
        if self._fd < 0:
            self._fd = self._open(self._number)
        data = b"".join(map(encode_report, reports))
        try:
            written = os.write(self._fd, data)
            if written != len(data):
                raise OSError(28, "No space left on device")
        except OSError:
            os.ftruncate(self._fd, self.octets)
            raise
        self.octets += len(data)

    def sync(self) -> None:
        """Put what was written on the disk; may run in a thread of its own."""
        if (fd := self._fd) >= 0:
            os.fdatasync(fd)

    async def snapshot(self, table: SessionTable) -> None:
        """Write all sessions into a new snapshot, bit by bit, and delete what came before. Raises OSError."""
        number = self._number + 1
        fd = self._open(number)
        old, self._fd, self._number, self.octets = self._fd, fd, number, 0
        if old >= 0:
            os.close(old)
        new = self._folder / f"sessions-{number}.new"
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb") as file:
            for reset in list(table.resets()):
                file.write(_line(["reset", *reset]))
            sessions = list(table.sessions())
            for at in range(0, len(sessions), _CHUNK):
                file.writelines(encode_session(each) for each in sessions[at : at + _CHUNK])
                await asyncio.sleep(0)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        new.rename(self._folder / f"sessions-{number}.snapshot")
        for older in _numbers(self._folder):
            if older < number:
                for ending in ("snapshot", "journal", "new"):
                    (self._folder / f"sessions-{older}.{ending}").unlink(missing_ok=True)

    def close(self) -> None:
        """Let go of the file."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self, number: int) -> int:
        path = self._folder / f"sessions-{number}.journal"
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.octets = os.fstat(fd).st_size
        if self.octets and os.pread(fd, 1, self.octets - 1) != b"\n":  # a power cut has cut the last line short
            self.octets += os.write(fd, b"\n")
        return fd


def encode_report(report: Report) -> bytes:
    """A line of the journal, with its newline."""
    return _line(
        [
            *(report.realm, report.gateway, report.status.value, report.arrival_ms, report.session, report.stamp_ms),
            *(
                report.delay_s,
                report.lasted_s,
                report.prefixes,
                _subject(report.subject),
                report.bearer,
                report.ends_all,
            ),
        ]
    )


def decode_report(line: bytes) -> Report:
    """Read what `encode_report` wrote. Raises Corrupt."""
    try:
        realm, gateway, status, arrival, session, stamp, delay, lasted, prefixes, subject, bearer, ends = json.loads(
            line
        )
        return Report(
            *(realm, gateway, Status(status), arrival, session, stamp, delay, lasted),
            tuple(Prefix(*each) for each in prefixes),
            Subject(*subject),
            bearer,
            ends,
        )
    except (ValueError, TypeError) as error:
        raise Corrupt(f"a line of {len(line)} octets is no report") from error


def encode_session(session: Session) -> bytes:
    """A line of a snapshot, with its newline."""
    return _line(
        [
            *(session.realm, session.gateway, session.id, session.start_ms, session.told, session.first_ms),
            *(session.last_ms, session.stop_ms, session.ended_all, _subject(session.subject), session.bearer),
            session.runs,
            [[prefix, first] for prefix, first in session.named.items()],
        ]
    )


def decode_session(line: bytes) -> Session:
    """Read what `encode_session` wrote. Raises Corrupt."""
    try:
        realm, gateway, name, start, told, first, last, stop, ended, subject, bearer, runs, named = json.loads(line)
        return Session(
            *(realm, gateway, name, start, told, first, last, stop, ended),
            Subject(*subject),
            bearer,
            [(Prefix(*prefix), begun, seen) for prefix, begun, seen in runs],
            {Prefix(*prefix): begun for prefix, begun in named},
        )
    except (ValueError, TypeError) as error:
        raise Corrupt(f"a line of {len(line)} octets is no session") from error


def _subject(subject: Subject) -> list[str | None]:
    return [subject.imei, subject.imsi, subject.msisdn, subject.mac, subject.tunnel]


def _line(values: list[object]) -> bytes:
    return _encoded(values).encode() + b"\n"


def _load_snapshot(path: Path, table: SessionTable) -> int:
    sessions: list[Session] = []
    resets: list[tuple[str, str, list[int], list[int]]] = []
    bad = 0
    for line in _lines(path):
        try:
            if line.startswith(b'["reset",'):
                _, realm, gateway, on_ms, off_ms = json.loads(line)
                resets.append((realm, gateway, on_ms, off_ms))
            else:
                sessions.append(decode_session(line))
        except (Corrupt, ValueError):
            bad += 1
    table.restore(sessions, resets)
    return bad


def _replay(path: Path, table: SessionTable) -> int:
    bad = 0
    for line in _lines(path):
        try:
            table.apply(decode_report(line))
        except Corrupt:
            bad += 1
    return bad


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            yield from file
    except FileNotFoundError:
        return


def _numbers(folder: Path) -> set[int]:
    names = (path.stem.removeprefix("sessions-") for path in folder.glob("sessions-*"))
    return {int(name) for name in names if name.isdigit()}
