"""ECS 9: what Elastic's own pages and rules read. `event.outcome` is left out: of a block it could mean either."""

from enforcer import __version__
from enforcer.attempts.attempt import moment
from enforcer.attempts.formats.record import PRODUCT, VENDOR, Logged, Notice, Record, Value, facts, plain
from enforcer.policy.verdict import Layer

VERSION = "9.4.0"
DATASET = "enforcer.attempts"

type Json = dict[str, object]

_PROTOCOLS = {Layer.DNS: "dns", Layer.TLS: "tls", Layer.QUIC: "quic", Layer.HTTP: "http"}
_LIFE = {"start": (["process"], ["start"]), "stop": (["process"], ["end"])}


def ecs(record: Record) -> Json:
    """One event as ECS wants it."""
    return _notice(record) if isinstance(record, Notice) else _attempt(record)


def _attempt(logged: Logged) -> Json:
    attempt, block = logged.attempt, logged.attempt.block
    dns = block.layer is Layer.DNS
    types = ["protocol" if dns else "connection", *(["denied"] if logged.blocked else ["info"])]
    hosts = [plain(name) for name in (block.name,) if name is not None]
    event: Json = {
        **_base(logged),
        "message": logged.summary,
        "event": {
            **_event(logged, f"{block.layer}-{block.action}"),
            "category": ["network"],
            "type": types,
            "severity": 3 if logged.strong else 2,
            "reason": plain(block.ban or block.rule),
            "start": moment(attempt.time_ms),
            "end": moment(attempt.last_ms),
        },
        "rule": {
            "id": plain(block.rule),
            "name": plain(block.rule.rpartition("/")[2]),
            "category": plain(block.service),
            "ruleset": block.ruleset,
        },
        "network": _known(
            transport=logged.network,
            protocol=_PROTOCOLS.get(block.layer),
            application=plain(block.service),
            direction="outbound",
        ),
        "related": {
            "ip": [ip for ip in (attempt.client_ip, block.dest_ip) if ip is not None],
            "hosts": hosts,
        },
        "labels": _labels({**facts(logged), "count": attempt.count, "group": attempt.owner.group}),
    }
    if attempt.client_ip is not None:
        event["source"] = _known(ip=attempt.client_ip, port=attempt.client_port)
        event["client"] = {"ip": attempt.client_ip}
    if attempt.owner.device is not None:
        event["device"] = {"id": plain(attempt.owner.device)}
    event.update(_dns(logged) if dns else _connection(logged))
    return event


def _dns(logged: Logged) -> Json:
    block = logged.attempt.block
    question = _known(name=None if block.name is None else plain(block.name), type=block.qtype)
    return {"dns": {"type": "query", **_known(response_code=block.rcode), "question": {**question, "class": "IN"}}}


def _connection(logged: Logged) -> Json:
    block = logged.attempt.block
    name = None if block.name is None else plain(block.name)
    found: Json = {"destination": _known(ip=block.dest_ip, port=block.dest_port, domain=name)}
    if block.layer in {Layer.TLS, Layer.QUIC}:
        found["tls"] = {"client": _known(server_name=name), "established": False}
    return found


def _notice(notice: Notice) -> Json:
    category, types = _LIFE.get(notice.kind, (["configuration"], ["info"]))
    return {
        **_base(notice),
        "message": notice.summary,
        "event": {
            **_event(notice, plain(notice.kind)),
            "category": category,
            "type": types,
            "severity": 4 if notice.serious else 1,
        },
        "labels": _labels(notice.detail),
    }


def _base(record: Record) -> Json:
    return {
        "@timestamp": moment(record.time_ms),
        "ecs": {"version": VERSION},
        "observer": {
            "name": plain(record.node),
            "type": "network-filter",
            "vendor": VENDOR,
            "product": PRODUCT,
            "version": __version__,
        },
    }


def _event(record: Record, action: str) -> Json:
    return {
        "kind": "event",
        "action": action,
        "dataset": DATASET,
        "id": record.id,
        "sequence": record.seq,
        "created": moment(record.logged_ms),
    }


def _labels(values: object) -> dict[str, str]:
    """ECS wants labels to be text."""
    if not isinstance(values, dict):
        return {}
    return {key: _text(value) for key, value in values.items() if value is not None}


def _text(value: Value) -> str:
    return str(value).lower() if isinstance(value, bool) else plain(str(value))


def _known(**values: Value) -> Json:
    return {key: value for key, value in values.items() if value is not None}
