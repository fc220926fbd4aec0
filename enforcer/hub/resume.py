"""Where a killed hub stopped: what of each spool row, and of each worker's losses, is in the log already.

Marks are a small file that says how far back to look: before any line of a segment is written, the number of the
log's last line at that moment is put on the disk. What the marks do not say is found in the log's lines after it.
"""

import json
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

from enforcer.attempts.attempt import POSITIONS, milliseconds
from enforcer.attempts.durable import replace_file
from enforcer.attempts.log import backwards

type SegmentKey = tuple[str, int]
"""A worker and the epoch of one of its segments."""

DAMAGED = -1
"""In place of a row's count: its entry cannot be read, and the log says so."""


@dataclass(slots=True)
class Marks:
    """seq: the log's last line when the marks were written; lost: each worker's losses by reason at that moment.

    segments: the log's last line before any of a segment's.
    """

    seq: int = 0
    segments: dict[SegmentKey, int] = field(default_factory=dict)
    lost: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(slots=True)
class Done:
    """rows: for each segment and row, how many attempts are logged (or DAMAGED), and the last one's time in ms.

    lost: each worker's losses by reason. floor: the last line that was not looked at.
    """

    floor: int
    rows: dict[SegmentKey, dict[int, tuple[int, int]]] = field(default_factory=lambda: defaultdict(dict))
    lost: dict[str, dict[str, int]] = field(default_factory=dict)


def load_marks(path: Path) -> Marks:
    """What `save_marks` wrote; when it cannot be read, marks that make `resume` read the whole log."""
    try:
        raw = json.loads(path.read_bytes())
        segments = {(worker, epoch): seq for worker, epoch, seq in raw["segments"]}
        return Marks(int(raw["seq"]), segments, dict(raw["lost"]))
    except (OSError, ValueError, KeyError, TypeError):
        return Marks()


def save_marks(path: Path, marks: Marks) -> None:
    """Put the marks on the disk, whole or not at all. Raises OSError."""
    raw = {
        "seq": marks.seq,
        "segments": [[worker, epoch, seq] for (worker, epoch), seq in marks.segments.items()],
        "lost": marks.lost,
    }
    replace_file(path, json.dumps(raw).encode())


def resume(log: Path, marks: Marks) -> Done:
    """Read the log backwards as far as the marks say."""
    floor = min((marks.seq, *marks.segments.values()))
    done = Done(floor, lost={worker: dict(reasons) for worker, reasons in marks.lost.items()})
    newest: set[tuple[str, str]] = set()
    for line in backwards(log):
        raw = json.loads(line)
        if raw["seq"] <= floor:
            break
        if raw["type"] == "attempt":
            source = raw["src"]
            index, count = divmod(source["to"], POSITIONS)
            rows = done.rows[source["worker"], source["epoch"]]
            if index not in rows:
                rows[index] = (count, milliseconds(raw["last"]))
        elif raw["type"] != "event":
            continue
        elif raw["event"] == "gap":
            detail = raw["detail"]
            done.rows[detail["worker"], detail["epoch"]][detail["row"]] = (DAMAGED, 0)
        elif raw["event"] == "loss" and raw["seq"] > marks.seq:
            detail = raw["detail"]
            if (detail["worker"], detail["reason"]) not in newest:
                newest.add((detail["worker"], detail["reason"]))
                done.lost.setdefault(detail["worker"], {})[detail["reason"]] = detail["total"]
    return done
