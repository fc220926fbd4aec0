import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.attempt import (
    ATTEMPT_KEYS,
    EVENT_KEYS,
    LINE_MAX,
    Attempt,
    Event,
    Line,
    milliseconds,
    moment,
    parse_line,
    ulid,
    unstamp,
)
from enforcer.attempts.block import Recorded, Response
from enforcer.attempts.chain import GENESIS, seal
from enforcer.devices.device import Confidence, Granularity, Identity, Owner, Source, State
from enforcer.devices.registry import NOBODY
from enforcer.errors import Corrupt
from enforcer.policy.verdict import Layer
from tests.records import BLOCK, NOON_MS

ATTEMPT = Attempt(
    ulid_ms=NOON_MS,
    time_ms=NOON_MS + 1,
    last_ms=NOON_MS + 2,
    node="gw",
    worker="dns-0",
    epoch=NOON_MS - 5,
    first=1,
    to=3,
    block=replace(BLOCK, ban="ban-1"),
    client_ip="192.0.2.1",
    client_port=40_000,
    owner=Owner("dev-1", "team", Identity(Source.RADIUS, Confidence.HIGH, State.STALE, 12, Granularity.CONNECTION)),
)


def line_of(entry: Attempt | Event, seq: int = 7, logged_ms: int = NOON_MS + 9) -> bytes:
    return seal(GENESIS, entry.body(seq, logged_ms)).removesuffix(b"\n")


def test_a_line_has_the_records_keys_in_the_records_order() -> None:
    raw = json.loads(line_of(ATTEMPT))
    assert tuple(raw) == ATTEMPT_KEYS
    assert tuple(raw["src"]) == ("worker", "epoch", "from", "to")
    assert tuple(raw["identity"]) == ("source", "confidence", "state", "age_s", "granularity")


def test_a_line_says_what_the_record_says() -> None:
    assert json.loads(line_of(ATTEMPT)) == {
        "v": 1,
        "type": "attempt",
        "id": ATTEMPT.id,
        "seq": 7,
        "time": "2026-11-23T12:00:00.001Z",
        "last": "2026-11-23T12:00:00.002Z",
        "logged": "2026-11-23T12:00:00.009Z",
        "count": 3,
        "node": "gw",
        "src": {"worker": "dns-0", "epoch": NOON_MS - 5, "from": 1, "to": 3},
        "layer": "dns",
        "action": "blocked",
        "response": "nxdomain",
        "service": "chat",
        "part": "messaging",
        "evidence": "app",
        "ban": "ban-1",
        "ruleset": "0123456789ab",
        "rule": "chat/suffix/chat.test",
        "rule_kind": "suffix",
        "name": "a.chat.test",
        "via": None,
        "qtype": "A",
        "rcode": "NXDOMAIN",
        "ede": 15,
        "alpn": None,
        "ech": None,
        "transport": "udp",
        "realm": "lab",
        "client_ip": "192.0.2.1",
        "client_port": 40_000,
        "dest_ip": None,
        "dest_port": None,
        "device": "dev-1",
        "group": "team",
        "identity": {
            "source": "radius",
            "confidence": "high",
            "state": "stale",
            "age_s": 12,
            "granularity": "connection",
        },
        "prev": "0" * 64,
    }


TEXT = st.text(max_size=300)
BLOCKS = st.builds(
    replace,
    st.just(ATTEMPT.block),
    layer=st.sampled_from(Layer),
    action=st.sampled_from(Recorded),
    response=st.none() | st.sampled_from(Response),
    service=TEXT,
    rule=TEXT,
    name=st.none() | TEXT,
    via=st.none() | TEXT,
    alpn=st.none() | st.lists(st.text(max_size=20), max_size=10).map(tuple),
    ech=st.none() | st.booleans(),
    ede=st.none() | st.integers(0, 65_535),
    dest_ip=st.none() | st.ip_addresses().map(str),
    dest_port=st.none() | st.integers(0, 65_535),
)
OWNERS = st.builds(
    Owner,
    device=st.none() | TEXT,
    group=st.none() | TEXT,
    identity=st.builds(Identity),
)
ATTEMPTS = st.builds(
    lambda attempt, count, **changes: replace(attempt, to=attempt.first + count, **changes),
    st.builds(replace, st.just(ATTEMPT), first=st.integers(1, 1 << 60), epoch=st.integers(0, 1 << 45)),
    st.integers(0, 1 << 31),
    block=BLOCKS,
    owner=OWNERS,
    node=TEXT,
    client_ip=st.none() | st.ip_addresses().map(str),
)


@given(attempt=ATTEMPTS)
def test_a_line_is_one_line_of_ascii_of_at_most_2_kb(attempt: Attempt) -> None:
    line = line_of(attempt)
    assert len(line) < LINE_MAX
    assert all(0x20 <= octet < 0x7F for octet in line)
    assert tuple(json.loads(line)) == ATTEMPT_KEYS


def test_a_name_of_255_octets_that_all_need_escapes_still_fits() -> None:
    worst = "\\000." * 127
    block = replace(ATTEMPT.block, name=worst, via=worst, rule=f"chat/suffix/{worst}")
    line = line_of(replace(ATTEMPT, block=block, client_ip="2001:db8:1111:1111:1111:1111:1111:1111"))
    assert len(line) < LINE_MAX
    name = json.loads(line)["name"]
    assert name.endswith("…")
    assert worst.startswith(name.removesuffix("…"))


@pytest.mark.parametrize("text", ["\r\n", "|=]", '"', "\x1b[2J", "\u202e", "\0", "\ud800"])
def test_what_a_client_names_cannot_break_out_of_its_value(text: str) -> None:
    line = line_of(replace(ATTEMPT, block=replace(ATTEMPT.block, name=text)))
    assert json.loads(line)["name"] == text
    assert all(0x20 <= octet < 0x7F for octet in line)


@given(attempt=ATTEMPTS.filter(lambda attempt: len(attempt.body(1, 0)) < 1600 and len(attempt.node) < 50))
def test_parsing_undoes_writing(attempt: Attempt) -> None:
    line = line_of(attempt)
    if "…" in json.dumps(json.loads(line), ensure_ascii=False):
        return  # a string was cut, or it was there
    block = attempt.block
    if block.alpn is not None:
        attempt = replace(attempt, block=replace(block, alpn=block.alpn[:8]))
    assert parse_line(line) == Line(attempt.id, 7, NOON_MS + 9, "0" * 64, attempt)


def test_parsing_undoes_writing_an_event() -> None:
    event = Event("loss", NOON_MS, "gw", {"worker": "dns-0", "count": 3})
    read = parse_line(line_of(event))
    assert read.entry == event
    assert tuple(json.loads(line_of(event))) == EVENT_KEYS


def without(key: str) -> bytes:
    raw = json.loads(line_of(ATTEMPT))
    del raw[key]
    return json.dumps(raw, separators=(",", ":")).encode()


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{}",
        line_of(ATTEMPT)[:-1],
        line_of(ATTEMPT) + b" ",
        line_of(ATTEMPT).replace(b'"v":1', b'"v":2'),
        line_of(ATTEMPT).replace(b'"v":1,', b'"v":1,"w":1,'),
        line_of(ATTEMPT).replace(b'"count":3', b'"count":4'),
        line_of(ATTEMPT).replace(b'"layer":"dns"', b'"layer":"smoke"'),
        line_of(ATTEMPT).replace(b".001Z", b".001+01:00"),
        line_of(ATTEMPT).replace(b'"type":"attempt"', b'"type":"rumour"'),
        line_of(ATTEMPT).replace(b'"src":{', b'"src":{"x":1,').replace(b'"src":{"x":1,', b'"src":[],"y":{'),
        without("name"),
        b'[1,"prev":"' + b"0" * 64 + b'"}',
    ],
)
def test_anything_but_version_1_exactly_is_corrupt(line: bytes) -> None:
    with pytest.raises(Corrupt):
        parse_line(line)


@given(cut=st.integers(0, len(line_of(ATTEMPT)) - 1))
def test_a_torn_line_is_corrupt(cut: int) -> None:
    with pytest.raises(Corrupt):
        parse_line(line_of(ATTEMPT)[:cut])


def test_the_id_depends_on_where_the_range_starts_alone() -> None:
    assert replace(ATTEMPT, to=9, time_ms=1, last_ms=2, owner=NOBODY).id == ATTEMPT.id
    others = [{"first": 2}, {"epoch": 1}, {"worker": "dns-1"}, {"node": "gw2"}, {"ulid_ms": 1}]
    assert len({ATTEMPT.id, *(replace(ATTEMPT, **other).id for other in others)}) == 6  # type: ignore[arg-type]


def test_ids_have_the_form_of_a_ulid_and_sort_by_time() -> None:
    assert ulid(0, "x")[:10] == "0" * 10
    assert ulid((1 << 48) - 1, "x")[:10] == "7ZZZZZZZZZ"
    assert ulid(1_469_918_176_385, "x")[:10] == "01ARYZ6S41"  # the example of the ULID specification's library
    assert ulid(NOON_MS, "x") < ulid(NOON_MS + 1, "w")
    assert len(ulid(NOON_MS, "x")) == 26


@given(ms=st.integers(0, (1 << 48) - 1))
def test_the_time_can_be_read_from_an_id(ms: int) -> None:
    assert unstamp(ulid(ms, "x")) == ms


@given(ms=st.integers(0, 253_402_300_799_999))
def test_moments_keep_their_milliseconds(ms: int) -> None:
    assert milliseconds(moment(ms)) == ms


@given(ms=st.integers())
def test_any_number_from_a_damaged_row_is_some_moment(ms: int) -> None:
    assert len(moment(ms)) == 24


def test_a_local_time_is_refused() -> None:
    with pytest.raises(ValueError, match="not in UTC"):
        milliseconds("2026-11-23T12:00:00.000")
