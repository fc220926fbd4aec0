"""What all formats are made from: an attempt as it was logged, or a notice, which is any other kind of line."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from enforcer.attempts.attempt import Attempt, milliseconds, moment, parse_line
from enforcer.attempts.block import Recorded
from enforcer.errors import Corrupt
from enforcer.policy.verdict import Layer

type Value = str | int | bool | None

VENDOR = "Enforcer"
PRODUCT = "Enforcer"

CHECKPOINT = "checkpoint"
_TEXT_MAX = 320
_COMMON = frozenset({"v", "type", "id", "seq", "time", "logged", "node", "event", "detail", "prev"})
_SERIOUS = frozenset({"loss", "gap", "clock_step", "pause", "recovered", "fail_open"})
_TCP = frozenset({"tcp", "dot", "doh"})
_STREAMS = frozenset({Layer.TLS, Layer.HTTP, Layer.MMTLS})


@dataclass(frozen=True, slots=True)
class Logged:
    """An attempt with what the log added to it."""

    id: str
    seq: int
    logged_ms: int
    attempt: Attempt

    @property
    def kind(self) -> str:
        """What happened, in one word for signatures and message ids: `dns-blocked`, `tls-observed`."""
        block = self.attempt.block
        return f"{block.layer}-{block.action}"

    @property
    def time_ms(self) -> int:
        """When the first of them was made."""
        return self.attempt.time_ms

    @property
    def node(self) -> str:
        """Which gateway."""
        return self.attempt.node

    @property
    def blocked(self) -> bool:
        """Whether it was blocked, or only observed."""
        return self.attempt.block.action is Recorded.BLOCKED

    @property
    def strong(self) -> bool:
        """Whether only the application itself asks for this."""
        return self.attempt.block.evidence == "app"

    @property
    def network(self) -> str | None:
        """`udp` or `tcp`; None where the record does not tell."""
        block = self.attempt.block
        if block.transport in _TCP or block.layer in _STREAMS:
            return "tcp"
        return "udp" if block.transport == "udp" or block.layer is Layer.QUIC else None

    @property
    def summary(self) -> str:
        """One line for people."""
        attempt, block = self.attempt, self.attempt.block
        what = block.name or block.dest_ip or block.rule
        who = attempt.owner.device or attempt.client_ip or "a device"
        times = "" if attempt.count == 1 else f", {attempt.count} times"
        return plain(f"{block.action} {block.service} ({block.part}) on {block.layer}: {what} by {who}{times}")


@dataclass(frozen=True, slots=True)
class Notice:
    """An event or a checkpoint. kind: the event's name, or `checkpoint`; detail: its own fields, flat."""

    id: str
    seq: int
    logged_ms: int
    kind: str
    time_ms: int
    node: str
    detail: Mapping[str, Value]

    @property
    def serious(self) -> bool:
        """Whether somebody should look: something was lost, or enforcement was paused."""
        return self.kind in _SERIOUS

    @property
    def summary(self) -> str:
        """One line for people."""
        told = " ".join(f"{key}={value}" for key, value in self.detail.items() if value is not None)
        return plain(f"{self.kind} {told}".strip())


type Record = Logged | Notice


def read_record(line: bytes) -> Record:
    """Read one line of the log, without its newline. Raises Corrupt."""
    try:
        raw = json.loads(line)
        if raw["type"] == "attempt":
            logged = parse_line(line)
            if isinstance(logged.entry, Attempt):
                return Logged(logged.id, logged.seq, logged.logged_ms, logged.entry)
        detail = {**{key: value for key, value in raw.items() if key not in _COMMON}, **raw.get("detail", {})}
        return Notice(
            id=raw["id"],
            seq=raw["seq"],
            logged_ms=milliseconds(raw["logged"]),
            kind=str(raw.get("event", raw["type"])),
            time_ms=milliseconds(raw["time"]),
            node=raw["node"],
            detail=dict(_flat(detail, "")),
        )
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise Corrupt(f"a line of {len(line)} octets is no record: {error}") from error


def plain(text: str) -> str:
    r"""The text cut to 320 characters, with \uXXXX for what does not print."""
    if len(text) > _TEXT_MAX:
        text = text[: _TEXT_MAX - 1] + "…"
    return text if text.isprintable() else "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def facts(logged: Logged) -> dict[str, Value]:
    """What schemas have no place for, by the record's own names; without what is not known."""
    attempt, block, identity = logged.attempt, logged.attempt.block, logged.attempt.owner.identity
    found: dict[str, Value] = {
        "layer": block.layer.value,
        "part": block.part,
        "evidence": block.evidence,
        "response": None if block.response is None else block.response.value,
        "rule_kind": block.rule_kind,
        "realm": block.realm,
        "via": block.via,
        "ede": block.ede,
        "ech": block.ech,
        "transport": block.transport,
        "identity_source": identity.source.value,
        "identity_confidence": identity.confidence.value,
        "identity_state": identity.state.value,
        "identity_age_s": identity.age_s,
        "identity_granularity": identity.granularity.value,
        "worker": attempt.worker,
        "logged": moment(logged.logged_ms),
    }
    return {key: plain(value) if isinstance(value, str) else value for key, value in found.items() if value is not None}


def _flat(record: Mapping[str, object], above: str) -> list[tuple[str, Value]]:
    """Names and values, what is inside of an object with both names; a list as JSON."""
    found: list[tuple[str, Value]] = []
    for key, value in record.items():
        if isinstance(value, dict):
            found += _flat(value, f"{above}{key}_")
        elif value is None or isinstance(value, str | int | bool):
            found.append((above + key, plain(value) if isinstance(value, str) else value))
        else:
            found.append((above + key, plain(json.dumps(value))))
    return found
