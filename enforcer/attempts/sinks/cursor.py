"""How far a sink has got: a small file for each, that retention reads as well."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from enforcer.attempts.log import BEGIN, Cursor


@dataclass(frozen=True, slots=True)
class Mark:
    """A place in the log, and the SHA-256 of the line before it; None at the very beginning."""

    place: Cursor
    digest: bytes | None


START = Mark(BEGIN, None)


def load_mark(path: Path) -> Mark | None:
    """The mark of a file; None where there is none, or it cannot be read: then the sink begins again."""
    try:
        raw = json.loads(path.read_bytes())
        digest = raw["sha256"]
        place = Cursor(str(raw["day"]), int(raw["offset"]), int(raw["seq"]))
        return Mark(place, None if digest is None else bytes.fromhex(digest))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def save_mark(path: Path, mark: Mark) -> None:
    """Write the mark, all of it or nothing. Raises OSError."""
    place = mark.place
    digest = None if mark.digest is None else mark.digest.hex()
    text = json.dumps({"day": place.day, "offset": place.offset, "seq": place.seq, "sha256": digest})
    new = path.with_suffix(".new")
    new.write_text(text)
    new.replace(path)


def cursors(folder: Path) -> Mapping[str, Cursor]:
    """By sink, how far each has got; what retention must not pass without saying so."""
    marks = {path.stem: load_mark(path) for path in sorted(folder.glob("*.json"))}
    return {name: mark.place for name, mark in marks.items() if mark is not None}
