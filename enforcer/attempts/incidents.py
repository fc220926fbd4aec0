"""What a reviewer works with: all attempts of one device at one service, as one incident.

An incident is never stored. It is folded from the index when it is read, so that it is as whole as the log, and a
reviewer's mark on it is an event in the log, so that it survives an index that is made again.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from enforcer.attempts.attempt import moment
from enforcer.attempts.index import EVERYTHING, Filter, Fold, Index, Mark, Review, Seen, Subject
from enforcer.policy.verdict import Layer

BYPASS = "bypass"
"""The service of attempts to reach another resolver or a relay."""

WITHIN_MS = 600_000
"""A connection is explained by a DNS attempt of the same service and device not longer ago than this."""

LINES_MAX = 5000
"""Of an incident with more lines than this, the newest are looked at for connections without a DNS attempt."""

_NOTE_MAX = 500


@dataclass(frozen=True, slots=True)
class Incident:
    """All attempts of one subject at one service that the index still has. Counts are of attempts, times in ms.

    direct: attempted connections without a recorded DNS attempt in the ten minutes before: the name was not asked
    here, so the address was in the application, or another resolver gave it. bypass: attempts of the same subject
    to reach another resolver. mark: what a reviewer said last; None when nobody has said anything.
    """

    subject: Subject
    service: str
    group: str | None
    first_ms: int
    last_ms: int
    attempts: int
    lines: int
    by_layer: Mapping[str, int]
    by_part: Mapping[str, int]
    by_action: Mapping[str, int]
    by_evidence: Mapping[str, int]
    direct: int
    bypass: int
    mark: Mark | None

    @property
    def strength(self) -> str:
        """The strongest evidence: `app` (only the application asks for this), `shared`, `web` (pages embed it)."""
        return next((each for each in ("app", "shared") if self.by_evidence.get(each)), "web")

    @property
    def state(self) -> Review:
        """What the reviewer said, or open."""
        return Review.OPEN if self.mark is None else self.mark.state

    @property
    def seen_since_mark(self) -> bool:
        """Whether there was an attempt after the reviewer's mark."""
        return self.mark is not None and self.last_ms > self.mark.time_ms


def incidents(
    index: Index, which: Filter, states: Collection[Review] = (), limit: int = 50, skip: int = 0
) -> Sequence[Incident]:
    """Incidents, the one seen last first; `which` narrows as `Index.folds` says. Raises Unavailable."""
    folds = index.folds(which, states, limit, skip)
    subjects = {fold.subject for fold in folds}
    marks = index.marks(subjects)
    bypasses = {subject: _bypasses(index, subject) for subject in subjects}
    return [
        _incident(index, list(group), bypasses[subject], marks.get((subject, service)))
        for (subject, service), group in groupby(folds, key=lambda fold: (fold.subject, fold.service))
    ]


def incident(index: Index, subject: Subject, service: str) -> Incident | None:
    """One incident, or None where there is no attempt. Raises Unavailable."""
    found = incidents(index, replace(_of(subject), service=service), limit=1)
    return found[0] if found else None


def plain_incident(each: Incident) -> dict[str, object]:
    """An incident as plain JSON values, as commands print it and the console's API gives it (its `openapi.yaml`)."""
    mark = each.mark
    return {
        "device": each.subject.device,
        "realm": each.subject.realm,
        "client_ip": each.subject.client_ip,
        "group": each.group,
        "service": each.service,
        "first": moment(each.first_ms),
        "last": moment(each.last_ms),
        "attempts": each.attempts,
        "records": each.lines,
        "strength": each.strength,
        "layers": dict(each.by_layer),
        "parts": dict(each.by_part),
        "evidence": dict(each.by_evidence),
        "actions": dict(each.by_action),
        "direct": each.direct,
        "bypass": each.bypass,
        "state": each.state.value,
        "note": None if mark is None else mark.note,
        "marked_by": None if mark is None else mark.who,
        "marked": None if mark is None else moment(mark.time_ms),
        "seen_since_mark": each.seen_since_mark,
    }


def unexplained(timeline: Iterable[Seen]) -> int:
    """How many attempted connections have no recorded DNS attempt in the ten minutes before. timeline: by time."""
    count, asked_ms = 0, -WITHIN_MS - 1
    for seen in timeline:
        if seen.layer == Layer.DNS:
            asked_ms = max(asked_ms, seen.last_ms)
        elif seen.time_ms - asked_ms > WITHIN_MS:
            count += seen.count
    return count


def mark_detail(subject: Subject, service: str, state: Review, note: str, who: str) -> Mapping[str, object]:
    """The detail of the event `mark`, which the index reads back."""
    return {
        "device": subject.device,
        "realm": subject.realm,
        "client_ip": subject.client_ip,
        "service": service,
        "state": state.value,
        "note": note[:_NOTE_MAX],
        "who": who[:80],
    }


def _of(subject: Subject) -> Filter:
    if subject.device is not None:
        return replace(EVERYTHING, device=subject.device)
    return replace(EVERYTHING, realm=subject.realm, client_ip=subject.client_ip)


def _bypasses(index: Index, subject: Subject) -> int:
    return sum(fold.attempts for fold in index.folds(replace(_of(subject), service=BYPASS)))


def _incident(index: Index, folds: Sequence[Fold], bypass: int, mark: Mark | None) -> Incident:
    newest = max(folds, key=lambda fold: fold.last_ms)
    by_layer = _by(folds, "layer")
    connections = any(layer != Layer.DNS for layer in by_layer)
    timeline = index.timeline(newest.subject, newest.service, LINES_MAX) if connections else ()
    return Incident(
        subject=newest.subject,
        service=newest.service,
        group=newest.group,
        first_ms=min(fold.first_ms for fold in folds),
        last_ms=newest.last_ms,
        attempts=sum(fold.attempts for fold in folds),
        lines=sum(fold.lines for fold in folds),
        by_layer=by_layer,
        by_part=_by(folds, "part"),
        by_action=_by(folds, "action"),
        by_evidence=_by(folds, "evidence"),
        direct=unexplained(timeline),
        bypass=bypass,
        mark=mark,
    )


def _by(folds: Sequence[Fold], column: str) -> Mapping[str, int]:
    counts: Counter[str] = Counter()
    for fold in folds:
        counts[getattr(fold, column)] += fold.attempts
    return dict(counts.most_common())
