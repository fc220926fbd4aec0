"""Lines of the log to rows of the index, and rows back to lines."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from enforcer.attempts.attempt import Attempt, Event, Line, milliseconds, unstamp
from enforcer.attempts.block import Block, Recorded, Response
from enforcer.attempts.index.schema import COLUMNS, FOLDED, HOUR_MS, HOURLY, SINGLE, SUBJECT
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.policy.verdict import Layer

type Value = str | int | bytes | None
type Row = tuple[Value, ...]

MARK = "mark"
"""The event that carries a reviewer's mark; `detail` names the incident as SUBJECT does, and state, note, who."""

_BLOCK_FIELDS = tuple(Block.__dataclass_fields__)


@dataclass(slots=True)
class Batch:
    """What consecutive lines add to the index: rows by table, in the order of its columns."""

    attempts: list[Row] = field(default_factory=list)
    totals: Counter[Row] = field(default_factory=Counter)
    hours: dict[Row, list[int]] = field(default_factory=dict)
    singles: dict[Row, list[int]] = field(default_factory=dict)
    pairs: dict[Row, tuple[Value, int, int]] = field(default_factory=dict)
    folds: dict[Row, tuple[int, int, int, int]] = field(default_factory=dict)
    events: list[Row] = field(default_factory=list)
    marks: list[Row] = field(default_factory=list)

    def add(self, raw: dict[str, object]) -> None:
        """Take in one line of the log, parsed. Raises KeyError, TypeError or ValueError for what is no record."""
        if raw["type"] == "attempt":
            self.take(_flat(raw))
        elif raw["type"] == "event":
            self._event(raw)

    def take(self, flat: dict) -> None:  # type: ignore[type-arg]
        """Take in one attempt, with a value for each column."""
        self.attempts.append(tuple(flat[column] for column in COLUMNS))
        count, time_ms, last_ms = flat["count"], flat["time"], flat["last"]
        self.totals[flat["service"], flat["layer"], flat["action"], flat["source"]] += count
        hour = time_ms // HOUR_MS
        _count(self.hours, (hour, *(flat[key] for key in HOURLY)), count)
        for key in SINGLE:
            _count(self.singles, (key, flat[key] or "", hour), count)
        if flat["device"] is not None or flat["client_ip"] is not None:
            self._fold(flat, count, time_ms, last_ms)

    def _fold(self, flat: Mapping[str, Value], count: int, time_ms: int, last_ms: int) -> None:
        known = flat["device"] is not None
        own = {"device": flat["device"] or "", "realm": "" if known else flat["realm"]}
        own["client_ip"] = "" if known else flat["client_ip"]
        key = tuple(own.get(column, flat[column]) for column in FOLDED)
        attempts, lines, first, last = self.folds.get(key, (0, 0, time_ms, last_ms))
        self.folds[key] = (attempts + count, lines + 1, min(first, time_ms), max(last, last_ms))
        pair = key[: len(SUBJECT)]
        _, first, last = self.pairs.get(pair, ("", time_ms, last_ms))
        self.pairs[pair] = (flat["group"] or "", min(first, time_ms), max(last, last_ms))

    def counts(self) -> Mapping[str, list[Row]]:
        """The rows of each table of counts, by its name, always in the same order, so that writers cannot cross."""
        return {
            "totals": sorted((*key, count) for key, count in self.totals.items()),
            "hours": sorted((*key, *numbers) for key, numbers in self.hours.items()),
            "singles": sorted((*key, *numbers) for key, numbers in self.singles.items()),
            "pairs": sorted((*key, *numbers) for key, numbers in self.pairs.items()),
            "folds": sorted((*key, *numbers) for key, numbers in self.folds.items()),
        }

    def _event(self, raw: dict) -> None:  # type: ignore[type-arg]
        time_ms, detail = milliseconds(raw["time"]), raw["detail"]
        seq, prev = raw["seq"], bytes.fromhex(raw["prev"])
        text = json.dumps(detail, separators=(",", ":"))
        self.events.append(
            (seq, raw["id"], time_ms, milliseconds(raw["logged"]), raw["node"], raw["event"], text, prev)
        )
        if raw["event"] == MARK:
            key = (detail[column] or "" for column in SUBJECT)
            self.marks.append((*key, detail["state"], detail["note"], detail["who"], time_ms, seq))


def _count(counts: dict[Row, list[int]], key: Row, attempts: int) -> None:
    numbers = counts.setdefault(key, [0, 0])
    numbers[0] += attempts
    numbers[1] += 1


def attempt_line(row: Sequence[object]) -> Line:
    """What `Batch.add` stored of an attempt."""
    raw: dict = dict(zip(COLUMNS, row, strict=True))  # type: ignore[type-arg]
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
        to=raw["to"],
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
        "to": source["to"],
        "alpn": None if alpn is None else json.dumps(alpn),
        "ech": None if ech is None else int(ech),
        "prev": bytes.fromhex(raw["prev"]),
    }
