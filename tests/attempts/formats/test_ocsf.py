"""Against the attributes of OCSF 1.8 for the classes and objects that are used here, and what it requires of each."""

import json

import jsonschema
import pytest

from enforcer.attempts.formats.ocsf import ocsf
from tests.attempts.formats.samples import SAMPLES, harmless, record

TEXT = {"type": "string"}
NUMBER = {"type": "integer"}
FLAG = {"type": "boolean"}


def thing(required: tuple[str, ...] = (), **properties: object) -> dict[str, object]:
    return {"type": "object", "properties": properties, "required": [*required], "additionalProperties": False}


ENDPOINT = thing(ip=TEXT, port=NUMBER, hostname=TEXT)
EVENT = thing(
    ("metadata", "time", "category_uid", "class_uid", "activity_id", "type_uid", "severity_id"),
    metadata=thing(
        ("version", "product"),
        version={"const": "1.8.0"},
        product=thing(("vendor_name",), name=TEXT, vendor_name=TEXT, version=TEXT),
        profiles={"type": "array", "items": {"enum": ["security_control", "host"]}},
        uid=TEXT,
        sequence=NUMBER,
        logged_time=NUMBER,
        log_provider=TEXT,
    ),
    time=NUMBER,
    start_time=NUMBER,
    end_time=NUMBER,
    count={"type": "integer", "minimum": 1},
    category_uid={"enum": [0, 4]},
    class_uid={"enum": [0, 4001, 4003]},
    activity_id={"enum": [3, 5, 6, 99]},
    activity_name=TEXT,
    type_uid=NUMBER,
    severity_id={"enum": [1, 2, 3, 4]},
    status_id={"enum": [1, 2]},
    action_id={"enum": [2, 3]},
    disposition_id={"enum": [2, 17]},
    is_alert=FLAG,
    message=TEXT,
    app_name=TEXT,
    app_protocol_name=TEXT,
    policy=thing(uid=TEXT, version=TEXT),
    firewall_rule=thing(uid=TEXT, name=TEXT, category=TEXT),
    device=thing(
        ("type_id",),
        uid=TEXT,
        type_id=NUMBER,
        is_managed=FLAG,
        groups={"type": "array", "minItems": 1, "items": thing(name=TEXT)},
    ),
    src_endpoint=ENDPOINT,
    dst_endpoint=ENDPOINT,
    connection_info=thing(
        ("direction_id",), protocol_num={"enum": [6, 17]}, protocol_name={"enum": ["tcp", "udp"]}, direction_id=NUMBER
    ),
    query=thing(("hostname",), hostname=TEXT, type=TEXT, **{"class": TEXT}),
    rcode_id=NUMBER,
    rcode=TEXT,
    tls=thing(("version",), sni=TEXT, version=TEXT),
    unmapped={"type": "object", "additionalProperties": {"type": ["string", "integer", "boolean", "null"]}},
)


@pytest.mark.parametrize("name", SAMPLES)
def test_every_line_is_an_event_of_the_schema(name: str) -> None:
    event = ocsf(record(name))
    jsonschema.validate(event, EVENT)
    assert event["type_uid"] == event["class_uid"] * 100 + event["activity_id"]  # type: ignore[operator]
    if event["class_uid"] != 0:
        assert event.keys() & {"src_endpoint", "dst_endpoint"}, "at least one"


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("dns", (4003, 6, 3, 2, 2)),
        ("tls", (4001, 5, 2, 2, 2)),
        ("reset", (4001, 3, 2, 2, 2)),
        ("observed", (4003, 6, 1, 3, 17)),
    ],
)
def test_what_was_done_is_told_in_the_schemas_numbers(name: str, numbers: tuple[int, ...]) -> None:
    event = ocsf(record(name))
    keys = ("class_uid", "activity_id", "severity_id", "action_id", "disposition_id")
    assert tuple(event[key] for key in keys) == numbers


def test_a_dns_attempt_names_question_answer_and_device() -> None:
    event = ocsf(record("dns"))
    assert event["query"] == {"hostname": "a.chat.test", "type": "A", "class": "IN"}
    assert (event["rcode_id"], event["rcode"]) == (3, "NXDomain")
    assert event["device"] == {
        "uid": "dev-7f3a91c2",
        "type_id": 5,
        "is_managed": True,
        "groups": [{"name": "field"}],
    }
    assert event["src_endpoint"] == {"ip": "10.20.30.40", "port": 49731}
    assert event["count"] == 3
    assert "device" not in ocsf(record("nobody"))


def test_a_connection_names_where_it_went() -> None:
    event = ocsf(record("tls"))
    assert event["dst_endpoint"] == {"ip": "198.51.100.20", "port": 443, "hostname": "ds.chat.test"}
    assert event["tls"] == {"sni": "ds.chat.test", "version": "unknown"}


def test_a_loss_is_serious() -> None:
    assert ocsf(record("loss"))["severity_id"] == 4


def test_nothing_hostile_gets_through() -> None:
    for name in ("hostile", "mark"):
        assert harmless(json.dumps(ocsf(record(name)), ensure_ascii=False))
