"""Against the field names and types of ECS 9, and its allowed values."""

import json
from collections.abc import Iterator

import pytest

from enforcer.attempts.formats.ecs import ecs
from tests.attempts.formats.samples import SAMPLES, harmless, record

KEYWORD, LONG, BOOLEAN, LIST = str, int, bool, list
FIELDS: dict[str, type] = {
    "@timestamp": KEYWORD,
    "message": KEYWORD,
    "ecs.version": KEYWORD,
    "client.ip": KEYWORD,
    "destination.domain": KEYWORD,
    "destination.ip": KEYWORD,
    "destination.port": LONG,
    "device.id": KEYWORD,
    "dns.question.class": KEYWORD,
    "dns.question.name": KEYWORD,
    "dns.question.type": KEYWORD,
    "dns.response_code": KEYWORD,
    "dns.type": KEYWORD,
    "event.action": KEYWORD,
    "event.category": LIST,
    "event.created": KEYWORD,
    "event.dataset": KEYWORD,
    "event.end": KEYWORD,
    "event.id": KEYWORD,
    "event.kind": KEYWORD,
    "event.reason": KEYWORD,
    "event.sequence": LONG,
    "event.severity": LONG,
    "event.start": KEYWORD,
    "event.type": LIST,
    "network.application": KEYWORD,
    "network.direction": KEYWORD,
    "network.protocol": KEYWORD,
    "network.transport": KEYWORD,
    "observer.name": KEYWORD,
    "observer.product": KEYWORD,
    "observer.type": KEYWORD,
    "observer.vendor": KEYWORD,
    "observer.version": KEYWORD,
    "related.hosts": LIST,
    "related.ip": LIST,
    "rule.category": KEYWORD,
    "rule.id": KEYWORD,
    "rule.name": KEYWORD,
    "rule.ruleset": KEYWORD,
    "source.ip": KEYWORD,
    "source.port": LONG,
    "tls.client.server_name": KEYWORD,
    "tls.established": BOOLEAN,
}
CATEGORIES = {"network": {"access", "allowed", "connection", "denied", "end", "info", "protocol", "start"}}
CATEGORIES |= {"process": {"access", "change", "end", "info", "start"}}
CATEGORIES |= {"configuration": {"access", "change", "creation", "deletion", "info"}}


def flat(value: object, above: str = "") -> Iterator[tuple[str, object]]:
    if isinstance(value, dict) and above != "labels":
        for key, inner in value.items():
            yield from flat(inner, f"{above}.{key}" if above else key)
    else:
        yield above, value


@pytest.mark.parametrize("name", SAMPLES)
def test_every_line_has_fields_of_the_schema_only(name: str) -> None:
    event = ecs(record(name))
    for field, value in flat(event):
        if field == "labels":
            assert isinstance(value, dict)
            assert all(isinstance(label, str) for label in value.values()), "labels are text"
        else:
            assert type(value) is FIELDS[field], field
    told = dict(flat(event))
    for category in told["event.category"]:  # type: ignore[attr-defined]
        assert set(told["event.type"]) <= CATEGORIES[category]  # type: ignore[call-overload]


def test_a_dns_attempt() -> None:
    told = dict(flat(ecs(record("dns"))))
    assert told["@timestamp"] == "2026-11-23T12:00:00.000Z"
    assert (told["event.action"], told["event.type"]) == ("dns-blocked", ["protocol", "denied"])
    assert (told["dns.question.name"], told["dns.response_code"]) == ("a.chat.test", "NXDOMAIN")
    assert (told["device.id"], told["source.ip"], told["network.transport"]) == ("dev-7f3a91c2", "10.20.30.40", "udp")
    assert told["related.hosts"] == ["a.chat.test"]
    assert isinstance(told["labels"], dict)
    assert told["labels"]["count"] == "3"
    assert told["labels"]["group"] == "field"


def test_a_connection() -> None:
    told = dict(flat(ecs(record("tls"))))
    assert (told["event.action"], told["event.type"]) == ("tls-blocked", ["connection", "denied"])
    assert (told["tls.client.server_name"], told["destination.ip"]) == ("ds.chat.test", "198.51.100.20")
    assert told["tls.established"] is False
    assert dict(flat(ecs(record("observed"))))["event.type"] == ["protocol", "info"]


def test_notices() -> None:
    told = dict(flat(ecs(record("start"))))
    assert (told["event.category"], told["event.type"]) == (["process"], ["start"])
    assert told["labels"] == {"version": "0.1.0", "pid": "7"}
    assert dict(flat(ecs(record("loss"))))["labels"]["on"] == "true"  # type: ignore[index]


def test_nothing_hostile_gets_through() -> None:
    for name in ("hostile", "mark"):
        assert harmless(json.dumps(ecs(record(name)), ensure_ascii=False))
