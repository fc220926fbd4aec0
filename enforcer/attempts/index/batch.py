"""Lines of the log to rows of the index, and rows back to lines."""

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha256
from operator import itemgetter

from enforcer.attempts.attempt import Attempt, Event, Line, milliseconds, unstamp
from enforcer.attempts.block import Block, Recorded, Response
from enforcer.attempts.index.months import month_of
from enforcer.attempts.index.schema import FOLDED, HOUR_MS, KIND, OWN, SINGLE, SPANS, SUBJECT, TOGETHER, TOTALS
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.policy.verdict import Layer

type Value = str | int | bytes | None
type Row = tuple[Value, ...]

MARK = "mark"
"""The event that carries a reviewer's mark; `detail` names the incident as SUBJECT does, and state, note, who."""

_BLOCK_FIELDS = tuple(Block.__dataclass_fields__)
_KIND, _OWN = itemgetter(*KIND), itemgetter(*OWN)
_PLACES = {column: place for place, column in enumerate(KIND)}


def _of_kind(*columns: str) -> Callable[[Row], Row]:
    """What takes these columns out of a kind."""
    return itemgetter(*(_PLACES[column] for column in columns))


_TOTAL, _TOGETHER, _WHAT = _of_kind(*TOTALS.keys), _of_kind(*TOGETHER), _of_kind(*FOLDED[len(SUBJECT) - 1 :])
_SINGLE = {column: _PLACES[column] for column in SINGLE}
_GROUP = _PLACES["group"]


@dataclass(slots=True)
class Batch:
    """What consecutive lines add to the index. It is counted by kind, and by column when it is stored.

    attempts: rows by month. kinds: by their number. hours: attempts and lines by hour and kind. seen: attempts, lines,
    first and last by device, else realm and address, and kind. marks: the newest, by what they are on.
    """

    attempts: defaultdict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    kinds: dict[int, Row] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    hours: dict[tuple[int, int], list[int]] = field(default_factory=dict)
    seen: dict[tuple[str, str, str, int], list[int]] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    marks: dict[Row, Row] = field(default_factory=dict)

    def add(self, raw: dict[str, object]) -> None:
        """Take in one line of the log, parsed. Raises KeyError, TypeError or ValueError for what is no record."""
        if raw["type"] == "attempt":
            self.take(_flat(raw))
        elif raw["type"] == "event":
            self._event(raw)

    def take(self, flat: dict) -> None:  # type: ignore[type-arg]
        """Take in one attempt, with a value for each column but `kind`."""
        values = _KIND(flat)
        kind = flat["kind"] = _number_of(values)
        self.kinds[kind] = values
        if flat["name"] is not None:
            self.names.add(flat["name"])
        time_ms, last_ms, count = flat["time"], flat["last"], flat["count"]
        self.attempts[month_of(time_ms)].append(_OWN(flat))
        hour = self.hours.setdefault((time_ms // HOUR_MS, kind), [0, 0])
        hour[0] += count
        hour[1] += 1
        device, client_ip = flat["device"], flat["client_ip"]
        if device is None and client_ip is None:
            return
        whose = (device, "", "", kind) if device is not None else ("", flat["realm"], client_ip, kind)
        seen = self.seen.get(whose)
        if seen is None:
            self.seen[whose] = [count, 1, time_ms, last_ms]
        else:
            seen[:] = seen[0] + count, seen[1] + 1, min(seen[2], time_ms), max(seen[3], last_ms)

    def rows(self) -> Mapping[str, list[Row]]:
        """The rows of each table beside, by its name, in the order of its key."""
        totals: Counter[Row] = Counter()
        spans: defaultdict[Row, list[int]] = defaultdict(lambda: [0, 0])
        singles: defaultdict[Row, list[int]] = defaultdict(lambda: [0, 0])
        for (hour, number), numbers in self.hours.items():
            kind = self.kinds[number]
            totals[_TOTAL(kind)] += numbers[0]
            for span in SPANS:
                _add(spans[span, hour // span, *_TOGETHER(kind)], numbers)
                for column, place in _SINGLE.items():
                    _add(singles[column, kind[place] or "", span, hour // span], numbers)
        pairs, folds = self._folded()
        return {
            "totals": sorted((*key, count) for key, count in totals.items()),
            "spans": sorted((*key, *numbers) for key, numbers in spans.items()),
            "singles": sorted((*key, *numbers) for key, numbers in singles.items()),
            "pairs": pairs,
            "folds": folds,
            "events": self.events,
            "marks": [(*key, *rest) for key, rest in self.marks.items()],
        }

    def _folded(self) -> tuple[list[Row], list[Row]]:
        """The rows of `pairs` and of `folds`."""
        pairs: dict[Row, tuple[Value, int, int]] = {}
        folds: dict[Row, tuple[int, int, int, int]] = {}
        for (device, realm, client_ip, number), (count, lines, first, last) in self.seen.items():
            kind = self.kinds[number]
            fold = (device, realm, client_ip, *_WHAT(kind))
            own = folds.get(fold, (0, 0, first, last))
            folds[fold] = own[0] + count, own[1] + lines, min(own[2], first), max(own[3], last)
            pair = fold[: len(SUBJECT)]
            group, begun, ended = pairs.get(pair, ("", first, last))
            pairs[pair] = kind[_GROUP] or "" if last >= ended else group, min(begun, first), max(ended, last)
        return (
            sorted((*key, *numbers) for key, numbers in pairs.items()),
            sorted((*key, *numbers) for key, numbers in folds.items()),
        )

    def _event(self, raw: dict) -> None:  # type: ignore[type-arg]
        time_ms, detail = milliseconds(raw["time"]), raw["detail"]
        seq, prev = raw["seq"], bytes.fromhex(raw["prev"])
        text = json.dumps(detail, separators=(",", ":"))
        self.events.append(
            (seq, raw["id"], time_ms, milliseconds(raw["logged"]), raw["node"], raw["event"], text, prev)
        )
        if raw["event"] == MARK:
            key = tuple(detail[column] or "" for column in SUBJECT)
            self.marks[key] = detail["state"], detail["note"], detail["who"], time_ms, seq


def _add(numbers: list[int], more: Sequence[int]) -> None:
    numbers[0] += more[0]
    numbers[1] += more[1]


@lru_cache(65_536)
def _number_of(kind: Row) -> int:
    """64 bits that name a kind, the same whoever writes it."""
    return int.from_bytes(sha256(json.dumps(kind).encode()).digest()[:8], signed=True)


def attempt_line(row: Sequence[object]) -> Line:
    """What `Batch.add` stored of an attempt: its own columns, and those of its kind."""
    raw: dict = dict(zip((*OWN, *KIND), row, strict=True))  # type: ignore[type-arg]
    block = {field: raw[field] for field in _BLOCK_FIELDS}
    block["layer"] = Layer(raw["layer"])
    block["action"] = Recorded(raw["action"])
    block["response"] = raw["response"] and Response(raw["response"])
    block["alpn"] = raw["alpn"] and tuple(json.loads(raw["alpn"]))
    block["ech"] = None if raw["ech"] is None else bool(raw["ech"])
    identity = Identity(
        Source(raw["source"]),
        Confidence(raw["confidence"]),
        State(raw["state"]),
        raw["age_s"],
        Granularity(raw["granularity"]),
    )
    attempt = Attempt(
        ulid_ms=unstamp(raw["id"]),
        time_ms=raw["time"],
        last_ms=raw["last"],
        node=raw["node"],
        worker=raw["worker"],
        epoch=raw["epoch"],
        first=raw["first"],
        to=raw["first"] + raw["count"] - 1,
        block=Block(**block),
        client_ip=raw["client_ip"],
        client_port=raw["client_port"],
        owner=Owner(raw["device"], raw["group"], identity),
    )
    return Line(raw["id"], raw["seq"], raw["logged"], bytes(raw["prev"]).hex(), attempt)


def event_line(row: Sequence) -> Line:  # type: ignore[type-arg]
    """What `Batch.add` stored of an event."""
    seq, own, time_ms, logged_ms, node, event, detail, prev = row
    return Line(own, seq, logged_ms, bytes(prev).hex(), Event(event, time_ms, node, json.loads(detail)))


def _flat(raw: dict) -> dict:  # type: ignore[type-arg]
    """A parsed attempt with a value for each column."""
    source, identity, alpn, ech = raw["src"], raw["identity"], raw["alpn"], raw["ech"]
    return {
        **raw,
        **identity,
        "time": milliseconds(raw["time"]),
        "last": milliseconds(raw["last"]),
        "logged": milliseconds(raw["logged"]),
        "worker": source["worker"],
        "epoch": source["epoch"],
        "first": source["from"],
        "alpn": None if alpn is None else json.dumps(alpn),
        "ech": None if ech is None else int(ech),
        "prev": bytes.fromhex(raw["prev"]),
    }
