"""What the process that feeds the sinks tells the hub: a small file for each sink, written once a second."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from enforcer.attempts.sinks.follow import Progress


@dataclass(frozen=True, slots=True)
class Status:
    """How a sink was at a moment, in ms since 1970."""

    at_ms: int
    progress: Progress


def write_status(path: Path, status: Status) -> None:
    """Write it, all or nothing. Raises OSError."""
    new = path.with_suffix(".new")
    new.write_text(json.dumps({"at_ms": status.at_ms, **asdict(status.progress)}))
    new.replace(path)


def read_status(path: Path) -> Status | None:
    """What a file says; None where there is none, or it is from another version."""
    try:
        raw = json.loads(path.read_bytes())
        return Status(int(raw.pop("at_ms")), Progress(**raw))
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
