from collections.abc import Iterable
from datetime import timedelta

import dns.message
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.policy.names import display
from enforcer.policy.verdict import Client
from enforcer.replay import flows
from enforcer.replay.flows import Fate, Flow, Replay
from tests.policy.made import CLIENT, NOW, a_list, a_policy
from tests.replay.captures import NOON_NS, PHONE, SERVER, Conversation, as_frames, ip, tcp
from tests.wire.hellos import big, hello
from tests.wire.initials import crypto, of_aioquic, seal

POLICY = a_policy(
    a_list(
        "suffix: bad.test",
        "cidr: 203.0.113.0/24",
        "cidr: 198.51.100.53/32, ports: [udp/53, tcp/53]",
        "fingerprint: mmtls",
        "http_path: /mmtls/",
    ),
    a_list("suffix: seen.test", service="watched", more="mode: monitor"),
)
MMTLS = bytes.fromhex("19f10400a10000009d0104f10100a8")
GET = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"


def replayed(
    *conversations: Conversation | Iterable[bytes], client: Client = CLIENT, **how: tuple[int, ...]
) -> list[Flow]:
    packets = [each for one in conversations for each in (one.packets if isinstance(one, Conversation) else one)]
    replay = Replay(POLICY, client, NOW, **how)
    found = [flow for frame in as_frames(packets) for flow in replay.add(frame)]
    return [*found, *replay.end()]


def in_short(found: Iterable[Flow]) -> list[tuple[str, str, str | None]]:
    return [(flow.fate.value, flow.layer.value, None if flow.name is None else display(flow.name)) for flow in found]


def query(name: str, number: int = 1) -> bytes:
    return dns.message.make_query(name, "A", id=number).to_wire()


def answer(name: str, *records: str, number: int = 1) -> bytes:
    reply = dns.message.make_response(dns.message.make_query(name, "A", id=number))
    for record in records:
        owner, rtype, rdata = record.split()
        reply.answer.append(dns.rrset.from_text(owner, 60, "IN", rtype, rdata))
    return reply.to_wire()


def test_a_tls_connection_is_judged_by_its_name() -> None:
    (flow,) = replayed(Conversation().opened().sends(hello(b"chat.bad.test")).gets(b"an answer"))
    assert in_short([flow]) == [("block", "tls", "chat.bad.test")]
    assert flow.rule is not None
    assert (flow.rule.id, flow.time_ns) == ("chat/suffix/bad.test", NOON_NS)
    ends = flow.ends
    assert (str(ends.client), ends.client_port, str(ends.server), ends.server_port) == (PHONE, 40_000, SERVER, 443)
    assert str(ends.port) == "tcp/443"


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (hello(b"ok.test"), ("allow", "tls", "ok.test")),
        (hello(b"seen.test"), ("observe", "tls", "seen.test")),
        (hello(), ("allow", "tls", None)),
        (b"\x16\x03\x01\x00\x01\x02", ("refuse", "tls", None)),
        (GET % b"bad.test", ("block", "http", "bad.test")),
        (b"POST /mmtls/00 HTTP/1.1\r\n\r\n", ("block", "http", None)),
        (MMTLS, ("block", "mmtls", None)),
        (b"\0\0\0\x08", ("allow", "ip", None)),
        (b"\x16\x03\x01\x02", ("allow", "ip", None)),
    ],
)
def test_each_protocol(sent: bytes, expected: tuple[str, str, str | None]) -> None:
    assert in_short(replayed(Conversation().opened().sends(sent))) == [expected]


def test_later_requests_of_a_connection_are_told_when_they_would_not_have_passed_in_silence() -> None:
    hosts = (b"ok.test", b"also.ok.test", b"seen.test", b"bad.test", b"more.bad.test")
    talk, at = Conversation(port=80).opened(), 0
    for host in hosts:
        talk.sends(GET % host, at)
        at += len(GET % host)
    found = replayed(talk)
    assert in_short(found) == [
        ("allow", "http", "ok.test"),
        ("observe", "http", "seen.test"),
        ("block", "http", "bad.test"),
    ]
    assert [flow.time_ns - NOON_NS for flow in found] == [0, 4_000_000, 5_000_000]
    assert len({flow.ends for flow in found}) == 1


def test_later_connections_of_quic_between_the_same_ports_are_told_likewise() -> None:
    talk = Conversation()
    for name in ("ok.test", "also.ok.test", "bad.test"):
        talk.datagram(of_aioquic(name)[0])
    assert in_short(replayed(talk)) == [("allow", "quic", "ok.test"), ("block", "quic", "bad.test")]


def test_segments_in_any_order_and_twice() -> None:
    data = big(b"chat.bad.test")
    cuts = [(at, data[at : at + 300]) for at in range(0, len(data), 300)]
    talk = Conversation().opened()
    for at, part in [*reversed(cuts), *cuts]:
        talk.sends(part, at)
    assert in_short(replayed(talk)) == [("block", "tls", "chat.bad.test")]


def test_a_capture_that_begins_inside_a_connection() -> None:
    assert in_short(replayed(Conversation().sends(hello(b"bad.test")))) == [("block", "tls", "bad.test")]
    assert in_short(replayed(Conversation().gets(b"\x17\x03\x03\0\1x").sends(b"\x17\x03\x03\0\1x"))) == [
        ("allow", "ip", None)
    ]


def test_data_in_the_first_segment_counts() -> None:
    packet = ip(PHONE, SERVER, 6, tcp(hello(b"bad.test"), seq=1000, flags=2))
    assert in_short(replayed([packet])) == [("block", "tls", "bad.test")]


def test_ports_that_are_used_again_are_another_connection() -> None:
    first = Conversation().opened().sends(hello(b"ok.test"))
    second = Conversation(start=90_000).opened().sends(hello(b"bad.test"))
    retransmitted = Conversation().opened()
    assert in_short(replayed(retransmitted, first, second)) == [
        ("allow", "tls", "ok.test"),
        ("block", "tls", "bad.test"),
    ]


def test_a_banned_address_is_told_at_the_first_packet_and_once() -> None:
    (flow,) = replayed(Conversation(server="203.0.113.7").opened().sends(hello(b"ok.test")))
    assert in_short([flow]) == [("block", "ip", None)]
    assert in_short(replayed(Conversation(server="203.0.113.7").datagram(b"x").datagram(b"x"))) == [
        ("block", "ip", None)
    ]
    assert in_short(replayed([ip(PHONE, "203.0.113.7", 47, b"gre")] * 3)) == [("block", "ip", None)]


def test_quic_over_two_datagrams_and_other_udp() -> None:
    large = big(b"chat.bad.test")[5:]
    talk = Conversation().datagram(seal(crypto(large[:900]))).datagram(seal(crypto(large[900:], 900), number=3))
    assert in_short(replayed(talk)) == [("block", "quic", "chat.bad.test")]
    assert in_short(replayed(Conversation().datagram(of_aioquic("ok.test")[0]).answered(b"\xc0"))) == [
        ("allow", "quic", "ok.test")
    ]
    assert in_short(replayed(Conversation(port=3478).datagram(b"\0\1"))) == [("allow", "ip", None)]
    assert in_short(replayed(Conversation().datagram(b"\xc3Q050\x08" + bytes(1300)))) == [("refuse", "quic", None)]


def test_dns_questions_and_what_their_answers_lead_to() -> None:
    talk = Conversation(port=53)
    talk.datagram(query("chat.bad.test", 1))
    talk.datagram(query("ok.test", 2)).answered(answer("ok.test", "ok.test. A 192.0.2.1", number=2))
    talk.datagram(query("cloak.test", 3)).answered(answer("cloak.test", "cloak.test. CNAME www.bad.test.", number=3))
    talk.datagram(query("direct.test", 4)).answered(answer("direct.test", "direct.test. A 203.0.113.9", number=4))
    talk.datagram(query("seen.test", 5)).answered(answer("seen.test", number=5))
    talk.datagram(query("unanswered.test", 6))
    found = replayed(talk)
    assert in_short(found) == [
        ("block", "dns", "chat.bad.test"),
        ("allow", "dns", "ok.test"),
        ("block", "dns", "cloak.test"),
        ("block", "dns", "direct.test"),
        ("observe", "dns", "seen.test"),
        ("allow", "dns", "unanswered.test"),
    ]
    assert [flow.via for flow in found] == [None, None, "www.bad.test", "203.0.113.9", None, None]
    assert len({flow.time_ns for flow in found}) == len(found)


def test_dns_over_tcp_in_pieces_and_over_another_port() -> None:
    def framed(wire: bytes) -> bytes:
        return len(wire).to_bytes(2) + wire

    asked = framed(query("ok.test", 2)) + framed(query("chat.bad.test", 1))
    talk = Conversation(port=53).opened()
    for at in range(0, len(asked), 7):
        talk.sends(asked[at : at + 7], at)
    talk.gets(framed(answer("ok.test", "ok.test. CNAME bad.test.", number=2)))
    assert in_short(replayed(talk)) == [("block", "dns", "chat.bad.test"), ("block", "dns", "ok.test")]
    assert in_short(replayed(Conversation(port=5300).datagram(query("bad.test")), dns_ports=(5300,))) == [
        ("block", "dns", "bad.test")
    ]
    assert in_short(replayed(Conversation(port=5300).answered(answer("bad.test")), dns_ports=(5300,))) == []


def test_a_resolver_that_may_not_be_asked_is_blocked_whatever_is_asked() -> None:
    assert in_short(replayed(Conversation(server="198.51.100.53", port=53).datagram(query("ok.test")))) == [
        ("block", "ip", "ok.test")
    ]


def test_what_is_no_dns_message_says_nothing() -> None:
    talk = (
        Conversation(port=53).datagram(b"x").datagram(query("ok.test")[:-3]).answered(b"x").answered(query("ok.test"))
    )
    assert in_short(replayed(talk)) == []


def test_an_exempt_client_is_let_through() -> None:
    client = Client("office", exempt={"chat": NOW + timedelta(hours=1)})
    assert in_short(replayed(Conversation().opened().sends(hello(b"bad.test")), client=client)) == [
        ("allow", "tls", "bad.test")
    ]


def test_what_carries_no_application_is_no_flow() -> None:
    packets = [ip(PHONE, SERVER, 1, b"ping"), ip(PHONE, "224.0.0.251", 17, bytes(20)), b"\x45", b"\x00"]
    packets += [ip(PHONE, SERVER, 6, b"short"), ip(PHONE, SERVER, 17, b"short")]
    assert replayed(packets) == []


def test_figures_of_the_capture() -> None:
    replay = Replay(POLICY, CLIENT, NOW)
    for frame in as_frames([b"\x00", *Conversation().opened().packets]):
        assert list(replay.add(frame)) == []
    assert (replay.packets, replay.other, replay.cut) == (3, 1, 0)


def test_no_more_flows_and_questions_are_held_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flows, "FLOWS_MAX", 10)
    monkeypatch.setattr(flows, "QUESTIONS_MAX", 10)
    replay = Replay(POLICY, CLIENT, NOW)
    talks = [Conversation(client_port=2000 + number).opened() for number in range(30)]
    talks += [Conversation(port=53).datagram(query(f"h{number}.test", number)) for number in range(30)]
    found = [
        flow for frame in as_frames([each for talk in talks for each in talk.packets]) for flow in replay.add(frame)
    ]
    assert len(found) == 40
    assert (len(replay._flows), len(replay._questions)) == (10, 10)
    assert len(found + list(replay.end())) == 60
    assert all(flow.fate is Fate.ALLOWED for flow in found)


@settings(max_examples=200)
@given(st.lists(st.tuples(st.sampled_from([6, 17, 47]), st.binary(max_size=60)), max_size=5))
def test_any_packets_are_judged(packets: list[tuple[int, bytes]]) -> None:
    replayed([ip(PHONE, SERVER, protocol, data) for protocol, data in packets])
