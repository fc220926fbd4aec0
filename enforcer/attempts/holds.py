"""Legal holds: what retention must not delete, and where it keeps what it was told to hold.

A hold on a device keeps its lines: when their day is purged they are copied, with their proofs, into the hold's folder.
A hold on a period, of everybody, keeps whole days.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from enforcer.attempts.attempt import milliseconds, moment
from enforcer.attempts.durable import replace_file
from enforcer.attempts.log import sync_folder
from enforcer.attempts.proofs import Extract, Whose
from enforcer.errors import Corrupt, Malformed

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DAY_MS = 86_400_000
_DEVICE_MAX = 200
_FILE, _PREPARED = "hold.json", "prepared.json"


@dataclass(frozen=True, slots=True)
class Hold:
    """One hold. device: whose attempts; None for everybody's. since_ms, until_ms: of which time; None is no limit."""

    name: str
    device: str | None
    since_ms: int | None
    until_ms: int | None
    reason: str
    who: str
    placed_ms: int

    def __post_init__(self) -> None:
        """Raises Malformed for a name that is no file's, and for what can be no device or no time."""
        if not _NAME.fullmatch(self.name):
            raise Malformed(f'"{self.name}" is no name of a hold; write 1 to 64 of A-Z a-z 0-9 . _ -')
        if self.since_ms is not None and self.until_ms is not None and self.since_ms >= self.until_ms:
            raise Malformed("the hold ends before it begins; write --since before --until")
        if self.device is not None and len(self.device) > _DEVICE_MAX:
            raise Malformed(f"a device's id has {_DEVICE_MAX} characters at most; name one of the inventory")
        if self.device is None and self.since_ms is None and self.until_ms is None:
            raise Malformed("a hold on everything is no hold; name a device, or a time with --since and --until")

    @property
    def whose(self) -> Whose | None:
        """Which lines are copied; None where whole days are kept."""
        return None if self.device is None else Whose(self.device, self.since_ms, self.until_ms)

    def keeps(self, day: str) -> bool:
        """Whether a whole day has to stay; a line can be logged a day after its attempt, and later."""
        begin_ms = milliseconds(f"{day}T00:00:00.000Z")
        return (
            self.device is None
            and (self.since_ms is None or begin_ms + _DAY_MS > self.since_ms)
            and (self.until_ms is None or begin_ms < self.until_ms + _DAY_MS)
        )

    def detail(self) -> dict[str, object]:
        """As the detail of an event, and on the disk."""
        return {
            "name": self.name,
            "device": self.device,
            "since": None if self.since_ms is None else moment(self.since_ms),
            "until": None if self.until_ms is None else moment(self.until_ms),
            "reason": self.reason,
            "who": self.who,
            "placed": moment(self.placed_ms),
        }


def hold_of(values: Mapping[str, object]) -> Hold:
    """What `detail` made. Raises Malformed."""
    try:
        since, until, device = values["since"], values["until"], values["device"]
        return Hold(
            name=str(values["name"]),
            device=None if device is None else str(device),
            since_ms=None if since is None else milliseconds(str(since)),
            until_ms=None if until is None else milliseconds(str(until)),
            reason=str(values["reason"]),
            who=str(values["who"]),
            placed_ms=milliseconds(str(values["placed"])),
        )
    except (KeyError, ValueError) as error:
        raise Malformed(f"this is no hold: {error}") from error


def load_holds(folder: Path) -> tuple[Hold, ...]:
    """All holds that are in force, by name. Raises Corrupt: nothing may be deleted while one cannot be read."""
    return _load(folder, _FILE)


def _load(folder: Path, name: str) -> tuple[Hold, ...]:
    found = []
    for path in sorted(folder.glob(f"*/{name}")):
        try:
            found.append(hold_of(json.loads(path.read_bytes())))
        except (OSError, ValueError, TypeError, Malformed) as error:
            raise Corrupt(f"{path}: this hold cannot be read: {error}") from error
    return tuple(found)


def prepare(folder: Path, hold: Hold) -> None:
    """Put a hold on the disk that is not in force yet: first the log must say that it is.

    Raises OSError, and Malformed when there is one of this name.
    """
    own = folder / hold.name
    if (own / _FILE).exists() or (own / _PREPARED).exists():
        raise Malformed(f'there is a hold "{hold.name}"; choose another name')
    own.mkdir(parents=True, exist_ok=True, mode=0o700)
    replace_file(own / _PREPARED, json.dumps(hold.detail(), indent=1).encode("ascii"))


def prepared(folder: Path) -> tuple[Hold, ...]:
    """Holds that were prepared and not placed, because the hub was killed in between. Raises Corrupt."""
    return _load(folder, _PREPARED)


def place(folder: Path, hold: Hold) -> None:
    """Put a prepared hold in force. Raises OSError."""
    own = folder / hold.name
    (own / _PREPARED).rename(own / _FILE)
    sync_folder(own)


def withdraw(folder: Path, hold: Hold) -> None:
    """Remove a hold that was prepared only. Raises OSError."""
    (folder / hold.name / _PREPARED).unlink()


def release(folder: Path, name: str) -> None:
    """Remove a hold with what it kept. Raises OSError."""
    (folder / name / _FILE).unlink()  # first, so that half of it is no hold
    shutil.rmtree(folder / name)


def keep(folder: Path, hold: Hold, extract: Extract) -> None:
    """Keep the lines of a day that is about to be purged. Raises OSError."""
    replace_file(held_path(folder, hold.name, extract.day), b"".join(extract.text()))


def held_path(folder: Path, name: str, day: str) -> Path:
    """Where a hold keeps what it holds of a purged day."""
    return folder / name / f"{day}.ndjson"
