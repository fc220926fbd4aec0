"""The canonical record: one blocked attempt, or a summary of several, with the device behind it; events; checkpoints.

An `Attempt` needs a `Block`, and a block a rule that matched, so allowed traffic cannot be written down. Every
kind of line is one JSON object in ASCII with its keys always in the same order. The log adds what only it
knows: `seq`, `logged` and `prev`.
"""

import functools
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from hashlib import sha256
from typing import Protocol

from enforcer.attempts.block import Block, Recorded, Response
from enforcer.attempts.chain import unseal
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.errors import Corrupt
from enforcer.policy.verdict import Layer

LINE_MAX = 2048
POSITIONS = 1 << 32
"""The attempts of row `i` of a segment have the positions `i * POSITIONS + 1` and up."""

_PREV_OCTETS = 75  # what `chain.seal` adds
_TEXT_MAX = 320  # octets of one string as JSON; any host name and any rule of one fits
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST_MS = 253_402_300_799_999  # the end of the year 9999
_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_PAIRS = tuple(high + low for high in _CROCKFORD for low in _CROCKFORD)


class Entry(Protocol):
    """What the log writes: an attempt, an event or a checkpoint."""

    def body(self, seq: int, logged_ms: int) -> bytes:
        """The line without `prev` and newline."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """`count` attempts of one spool row: its positions `first` to `to`. Times in ms since 1970.

    ulid_ms: the row's first attempt, from which the id is made, so the same range start has the same id.
    client_ip, client_port: None where they must not be written down; then the owner is nobody.
    """

    ulid_ms: int
    time_ms: int
    last_ms: int
    node: str
    worker: str
    epoch: int
    first: int
    to: int
    block: Block
    client_ip: str | None
    client_port: int | None
    owner: Owner

    @property
    def count(self) -> int:
        """How many attempts this is."""
        return self.to - self.first + 1

    @property
    def id(self) -> str:
        """26 characters in ULID form, the same whenever this range start is recorded."""
        return ulid(self.ulid_ms, f"{self.node}\0{self.worker}\0{self.epoch}\0{self.first}")

    def body(self, seq: int, logged_ms: int) -> bytes:
        """The line without `prev` and newline: at most 2 kB together with them, the longest strings cut if need be."""
        body, limit = self._body(seq, logged_ms, _TEXT_MAX), _TEXT_MAX
        while len(body) > LINE_MAX - _PREV_OCTETS:
            limit //= 2
            body = self._body(seq, logged_ms, limit)
        return body.encode("ascii")

    def _body(self, seq: int, logged_ms: int, limit: int) -> str:
        what, whither = _block_parts(self.block, limit)
        port = "null" if self.client_port is None else self.client_port
        return (
            f'{{"v":1,"type":"attempt","id":"{self.id}","seq":{seq},"time":"{moment(self.time_ms)}",'
            f'"last":"{moment(self.last_ms)}","logged":"{moment(logged_ms)}","count":{self.to - self.first + 1},'
            f'"node":{_text(self.node, limit)},"src":{{"worker":{_text(self.worker, limit)},"epoch":{self.epoch},'
            f'"from":{self.first},"to":{self.to}}},{what}"client_ip":{_text(self.client_ip, limit)},'
            f'"client_port":{port},{whither}"device":{_text(self.owner.device, limit)},'
            f'"group":{_text(self.owner.group, limit)},{_identity_part(self.owner.identity)}}}'
        )


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to the log's node: a start, a reload, a loss. detail: plain JSON values, short ones."""

    event: str
    time_ms: int
    node: str
    detail: Mapping[str, object]

    def body(self, seq: int, logged_ms: int) -> bytes:
        """The line without `prev` and newline."""
        return json.dumps(
            {
                "v": 1,
                "type": "event",
                "id": ulid(self.time_ms, f"{self.node}\0event\0{seq}\0{self.event}"),
                "seq": seq,
                "time": moment(self.time_ms),
                "logged": moment(logged_ms),
                "node": self.node,
                "event": self.event,
                "detail": dict(self.detail),
            },
            separators=(",", ":"),
        ).encode("ascii")


class Closes(StrEnum):
    """What ends with a checkpoint."""

    DAY = "day"  # it is the last line of its file
    STOP = "stop"  # the hub has stopped: the next line is that of a start


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What the hub's key signs: the lines of a day's file so far, and by the chain all before them.

    day: the file, as in `2026-11-23`; first: the number of its first line; count: its lines before this one; hash: the
    chain's after the last of them; root: their Merkle tree's. key: whose signature it is, by the key's name.
    signature: Ed25519 over the line without `signature` and `prev`, in base64; empty before it is made.
    """

    time_ms: int
    node: str
    day: str
    first: int
    count: int
    hash: str
    root: str
    closes: Closes | None
    key: str
    signature: str = ""

    def statement(self, seq: int, logged_ms: int) -> bytes:
        """What is signed: the line without `signature` and `prev`."""
        return json.dumps(
            {
                "v": 1,
                "type": "checkpoint",
                "id": ulid(self.time_ms, f"{self.node}\0checkpoint\0{seq}"),
                "seq": seq,
                "time": moment(self.time_ms),
                "logged": moment(logged_ms),
                "node": self.node,
                "day": self.day,
                "first": self.first,
                "count": self.count,
                "hash": self.hash,
                "root": self.root,
                "closes": None if self.closes is None else self.closes.value,
                "key": self.key,
            },
            separators=(",", ":"),
        ).encode("ascii")

    def body(self, seq: int, logged_ms: int) -> bytes:
        """The line without `prev` and newline."""
        return b'%b,"signature":"%b"}' % (self.statement(seq, logged_ms)[:-1], self.signature.encode("ascii"))


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the log, read back. id, seq, logged_ms and prev are what the log added."""

    id: str
    seq: int
    logged_ms: int
    prev: str
    entry: Attempt | Event | Checkpoint


ATTEMPT_KEYS: tuple[str, ...] = (
    *("v", "type", "id", "seq", "time", "last", "logged", "count", "node", "src"),
    *("layer", "action", "response", "service", "part", "evidence", "ban", "ruleset", "rule", "rule_kind"),
    *("name", "via", "qtype", "rcode", "ede", "alpn", "ech", "transport", "realm"),
    *("client_ip", "client_port", "dest_ip", "dest_port", "device", "group", "identity", "prev"),
)
EVENT_KEYS: tuple[str, ...] = ("v", "type", "id", "seq", "time", "logged", "node", "event", "detail", "prev")
CHECKPOINT_KEYS: tuple[str, ...] = (
    *("v", "type", "id", "seq", "time", "logged", "node"),
    *("day", "first", "count", "hash", "root", "closes", "key", "signature", "prev"),
)

_BLOCK_KEYS = tuple(Block.__dataclass_fields__)
_WHAT_KEYS = ATTEMPT_KEYS[ATTEMPT_KEYS.index("layer") : ATTEMPT_KEYS.index("client_ip")]


def parse_line(line: bytes) -> Line:
    """Read one whole line of the log, without its newline. Raises Corrupt for anything but version 1, exactly."""
    unseal(line)
    try:
        raw = json.loads(line)
        keys, entry_of = _KINDS[raw["type"]]
        if raw["v"] != 1 or tuple(raw) != keys:
            raise ValueError("the keys are not those of version 1")
        entry = entry_of(raw)
        return Line(raw["id"], int(raw["seq"]), milliseconds(raw["logged"]), raw["prev"], entry)
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise Corrupt(f"a line of {len(line)} octets is no record: {error}") from error


def moment(ms: int) -> str:
    """RFC 3339 in UTC with milliseconds; what lies outside of the years 1970 to 9999 is moved to their edge."""
    seconds, rest = divmod(min(max(ms, 0), _LAST_MS), 1000)
    return f"{_second(seconds)}.{rest:03d}Z"


def milliseconds(text: str) -> int:
    """What `moment` wrote, in ms since 1970. Raises ValueError."""
    if not text.endswith("Z"):
        raise ValueError(f'"{text}" is not in UTC')
    return (datetime.fromisoformat(text) - _EPOCH) // timedelta(milliseconds=1)


def ulid(ms: int, origin: str) -> str:
    """26 characters: 48 bits of time, and 80 bits of the SHA-256 of where it comes from."""
    low = int.from_bytes(sha256(origin.encode()).digest()[:10])
    pairs = _PAIRS
    return _stamp(min(max(ms, 0), (1 << 48) - 1)) + (
        pairs[low >> 70]
        + pairs[low >> 60 & 1023]
        + pairs[low >> 50 & 1023]
        + pairs[low >> 40 & 1023]
        + pairs[low >> 30 & 1023]
        + pairs[low >> 20 & 1023]
        + pairs[low >> 10 & 1023]
        + pairs[low & 1023]
    )


@functools.lru_cache(1024)
def _stamp(ms: int) -> str:
    return "".join(_PAIRS[ms >> shift & 1023] for shift in (40, 30, 20, 10, 0))


@functools.lru_cache(1024)
def _second(seconds: int) -> str:
    return (_EPOCH + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")


@functools.lru_cache(65_536)
def _text(value: str | None, limit: int) -> str:
    """A string as JSON in ASCII, cut so that it takes no more than about `limit` octets."""
    encoded = json.dumps(value)
    if value is None or len(encoded) <= limit:
        return encoded
    keep = limit
    while len(encoded) > limit:
        keep = min(keep, len(value)) * 3 // 4
        encoded = json.dumps(value[:keep] + "…")
    return encoded


@functools.lru_cache(8192)
def _block_parts(block: Block, limit: int) -> tuple[str, str]:
    """The keys from `layer` to `realm`, and `dest_ip` with `dest_port`, each with a comma behind it."""
    what = "".join(f'"{key}":{_value(getattr(block, key), limit)},' for key in _WHAT_KEYS)
    return what, f'"dest_ip":{_value(block.dest_ip, limit)},"dest_port":{_value(block.dest_port, limit)},'


def _value(value: str | int | tuple[str, ...] | None, limit: int) -> str:
    if isinstance(value, tuple):
        return "[" + ",".join(_text(item, 20) for item in value[:8]) + "]"
    return _text(value, limit) if isinstance(value, str) else json.dumps(value)


@functools.lru_cache(8192)
def _identity_part(identity: Identity) -> str:
    age = "null" if identity.age_s is None else identity.age_s
    return (
        f'"identity":{{"source":"{identity.source}","confidence":"{identity.confidence}","state":"{identity.state}",'
        f'"age_s":{age},"granularity":"{identity.granularity}"}}'
    )


def _attempt(raw: dict[str, object]) -> Attempt:
    source, identity, alpn, response = raw["src"], raw["identity"], raw["alpn"], raw["response"]
    if not isinstance(source, dict) or not isinstance(identity, dict):
        raise TypeError("src and identity are objects")
    block: dict[str, object] = {key: raw[key] for key in _BLOCK_KEYS}
    block["layer"] = Layer(str(raw["layer"]))
    block["action"] = Recorded(str(raw["action"]))
    block["response"] = None if response is None else Response(str(response))
    block["alpn"] = tuple(alpn) if isinstance(alpn, list) else None
    attempt = Attempt(
        ulid_ms=unstamp(str(raw["id"])),
        time_ms=milliseconds(str(raw["time"])),
        last_ms=milliseconds(str(raw["last"])),
        node=str(raw["node"]),
        worker=source["worker"],
        epoch=source["epoch"],
        first=source["from"],
        to=source["to"],
        block=Block(**block),  # type: ignore[arg-type]  # the values are those that we wrote: the chain says so
        client_ip=raw["client_ip"],  # type: ignore[arg-type]
        client_port=raw["client_port"],  # type: ignore[arg-type]
        owner=Owner(raw["device"], raw["group"], _identity(identity)),  # type: ignore[arg-type]
    )
    if attempt.count != raw["count"]:
        raise ValueError("count is not the length of the range in src")
    return attempt


def _identity(raw: dict[str, object]) -> Identity:
    age_s = raw["age_s"]
    return Identity(
        Source(str(raw["source"])),
        Confidence(str(raw["confidence"])),
        State(str(raw["state"])),
        age_s if isinstance(age_s, int) else None,
        Granularity(str(raw["granularity"])),
    )


def _event(raw: dict[str, object]) -> Event:
    detail = raw["detail"]
    if not isinstance(detail, dict):
        raise ValueError("an event has a detail object")
    return Event(str(raw["event"]), milliseconds(str(raw["time"])), str(raw["node"]), detail)


def _checkpoint(raw: dict[str, object]) -> Checkpoint:
    closes, first, count = raw["closes"], raw["first"], raw["count"]
    if not isinstance(first, int) or not isinstance(count, int):
        raise TypeError("first and count are numbers")
    return Checkpoint(
        time_ms=milliseconds(str(raw["time"])),
        node=str(raw["node"]),
        day=str(raw["day"]),
        first=first,
        count=count,
        hash=str(raw["hash"]),
        root=str(raw["root"]),
        closes=None if closes is None else Closes(str(closes)),
        key=str(raw["key"]),
        signature=str(raw["signature"]),
    )


_KINDS: Mapping[str, tuple[tuple[str, ...], Callable[[dict[str, object]], Attempt | Event | Checkpoint]]] = {
    "attempt": (ATTEMPT_KEYS, _attempt),
    "event": (EVENT_KEYS, _event),
    "checkpoint": (CHECKPOINT_KEYS, _checkpoint),
}


def unstamp(text: str) -> int:
    """The milliseconds since 1970 that an id begins with. Raises ValueError."""
    value = 0
    for character in text[:10]:
        value = value << 5 | _CROCKFORD.index(character)
    return value
