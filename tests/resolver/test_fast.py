import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import dns.rcode
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.counters import OUTCOMES, QTYPES
from enforcer.orders import Grant, Pause
from enforcer.policy.rules import Mode
from enforcer.resolver import fast
from enforcer.resolver.clients import Directory, Realm
from enforcer.resolver.fast import UdpPath
from enforcer.resolver.mmsg import BATCH
from enforcer.resolver.pace import Pace
from tests.policy.made import NOW
from tests.resolver.desk import NO_BANS, Desk, a_query, read
from tests.wire.messages import vector, vectors

LOOPBACK = Realm("lab", (ip_network("127.0.0.0/8"), ip_network("::1/128")), Mode.ENFORCE)


class Wire:
    """A listening socket with its path, and clients of it. Nothing runs by itself: `ask` reads what it has sent."""

    def __init__(self, desk: Desk, bound: str = "127.0.0.1") -> None:
        family = socket.AF_INET6 if ":" in bound else socket.AF_INET
        self.desk = desk
        self.later: list[Callable[[], None]] = []
        self.server = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.server.bind((bound, 0))
        self.client = self.a_client()
        self.path = UdpPath(
            self.server,
            directory=Directory((LOOPBACK,)),
            handler=desk.handler,
            spool=desk.spool,
            words=desk.counters.words,
            clock=desk.hands.clock,
            pace=Pace(0, 1, ()),
            soon=self.later.append,
        )
        self.path.follow(desk.orders)

    def a_client(self, address: str | None = None) -> socket.socket:
        client = socket.socket(self.server.family, socket.SOCK_DGRAM)
        host = "::1" if self.server.family == socket.AF_INET6 else "127.0.0.1"
        client.bind((address or host, 0))
        client.connect((host, self.server.getsockname()[1]))
        return client

    def send(self, *wires: bytes, client: socket.socket | None = None) -> None:
        for wire in wires:
            (client or self.client).send(wire)

    def received(self, client: socket.socket | None = None) -> list[bytes]:
        self.turn()
        replies = []
        while True:
            try:
                replies.append((client or self.client).recv(65535, socket.MSG_DONTWAIT))
            except BlockingIOError:
                return replies

    def ask(self, *wires: bytes, client: socket.socket | None = None) -> list[bytes]:
        self.send(*wires, client=client)
        self.path.readable()
        return self.received(client)

    def turn(self) -> None:
        """The end of a turn of the event loop."""
        later, self.later[:] = list(self.later), []
        for call in later:
            call()

    def close(self) -> None:
        self.client.close()
        self.server.close()


@pytest.fixture
def wire(desk: Desk) -> Iterator[Wire]:
    made = Wire(desk)
    yield made
    made.close()


def rcodes(replies: list[bytes]) -> list[str]:
    return [dns.rcode.to_text(read(reply).rcode()) for reply in replies]


def test_a_batch_is_answered_blocked_cached_forwarded_and_silent_each_in_its_turn(wire: Wire) -> None:
    queries = [a_query(name, number=number) for number, name in enumerate(["www.ok.test", "chat.test", "www.ok.test"])]
    replies = wire.ask(queries[0], b"", queries[1], b"\0" * 11, vector("response-nxdomain"), queries[2])
    assert {reply[:2]: code for reply, code in zip(replies, rcodes(replies), strict=True)} == {
        queries[0][:2]: "NOERROR",
        queries[1][:2]: "NXDOMAIN",
        queries[2][:2]: "NOERROR",
    }
    assert wire.desk.counted("dns_responses", "dropped", "udp") == 3


def test_each_query_is_counted_once_and_each_block_recorded_before_its_answer_leaves(wire: Wire) -> None:
    for _ in range(4):
        wire.ask(*(a_query(name, number=number) for name in ("chat.test", "www.ok.test") for number in range(50)))
    assert [(count, entry.client_ip) for count, entry in wire.desk.attempts()] == [(200, "127.0.0.1")]
    assert wire.desk.counted("dns_queries", "udp", "4", "a") == 400
    assert wire.desk.counted("dns_responses", "blocked", "udp") == 200
    assert wire.desk.counted("dns_responses", "forwarded", "udp") + wire.desk.counted("cache_requests", "hit") == 200


def test_more_than_a_batch_is_answered_in_one_turn(wire: Wire) -> None:
    queries = [a_query("chat.test", number=number) for number in range(2 * BATCH + 5)]
    assert [reply[:2] for reply in wire.ask(*queries)] == [query[:2] for query in queries]


def test_a_repeat_costs_the_handler_nothing(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    query = a_query("chat.test")
    wire.ask(query)

    def fail(*args: object, **named: object) -> None:
        raise AssertionError("the handler was asked")

    monkeypatch.setattr(wire.desk.handler, "answer", fail)
    monkeypatch.setattr(wire.desk.handler, "record", fail)
    assert rcodes(wire.ask(query, query)) == ["NXDOMAIN"] * 2
    assert [count for count, _ in wire.desk.attempts()] == [3]


def test_u7_above_its_pace_a_client_gets_nothing_and_leaves_no_record(wire: Wire) -> None:
    wire.path.limit(Pace(10, 20, ()))
    replies = wire.ask(*(a_query("chat.test", number=number) for number in range(30)))
    assert [int.from_bytes(reply[:2]) for reply in replies] == list(range(20))
    assert [count for count, _ in wire.desk.attempts()] == [20]
    assert wire.desk.counted("dns_responses", "dropped", "udp") == 10


def test_u7_a_client_above_its_pace_takes_nothing_from_another(wire: Wire) -> None:
    wire.path.limit(Pace(10, 2, ()))
    tablet = wire.a_client("127.0.0.2")
    with closing(tablet):
        wire.send(*[a_query("www.ok.test")] * 10)
        wire.send(a_query("www.ok.test", number=8), client=tablet)
        wire.send(*[a_query("www.ok.test")] * 10)
        wire.path.readable()
        assert len(wire.received()) == 2
        assert [reply[:2] for reply in wire.received(tablet)] == [b"\0\x08"]


def test_u7_who_was_above_its_pace_is_served_again_at_its_rate(wire: Wire) -> None:
    wire.path.limit(Pace(10, 5, ()))
    query = a_query("www.ok.test")
    assert len(wire.ask(*[query] * 50)) == 5
    wire.desk.hands.pass_s(0.2)
    assert len(wire.ask(*[query] * 50)) == 2
    wire.desk.hands.pass_s(60)
    assert len(wire.ask(*[query] * 50)) == 5


def test_u7_new_orders_do_not_renew_a_burst_and_a_new_limit_holds_at_once(wire: Wire) -> None:
    wire.path.limit(Pace(10, 5, ()))
    query = a_query("www.ok.test")
    assert len(wire.ask(*[query] * 50)) == 5
    wire.path.follow(wire.desk.orders)
    assert wire.ask(query) == []
    wire.path.limit(Pace(0, 1, ()))
    assert len(wire.ask(*[query] * 50)) == 50


def test_u7_a_trusted_forwarder_is_not_limited(wire: Wire) -> None:
    wire.path.limit(Pace(10, 5, (ip_network("127.0.0.1/32"),)))
    assert len(wire.ask(*[a_query("www.ok.test")] * 50)) == 50


def test_each_client_has_its_own_row_and_verdict(wire: Wire) -> None:
    tablet = wire.a_client("127.0.0.2")
    with closing(tablet):
        wire.desk.order(grants=(Grant("lab", ip_address("127.0.0.2"), ("chat",), NOW + timedelta(seconds=60)),))
        wire.path.follow(wire.desk.orders)
        for _ in range(3):
            wire.send(a_query("cloaked.ok.test"))
            wire.send(a_query("cloaked.ok.test"), client=tablet)
            wire.path.readable()
            assert rcodes(wire.received()) == ["NXDOMAIN"]
            assert rcodes(wire.received(tablet)) == ["NOERROR"]
        assert [(count, entry.client_ip) for count, entry in wire.desk.attempts()] == [(3, "127.0.0.1")]
        wire.desk.hands.pass_s(60)
        assert rcodes(wire.ask(a_query("cloaked.ok.test"), client=tablet)) == ["NXDOMAIN"]


def test_a_pause_that_ends_blocks_again_at_its_second(wire: Wire) -> None:
    wire.desk.order(pauses=(Pause("lab", NOW + timedelta(seconds=10)),))
    wire.path.follow(wire.desk.orders)
    told = []
    for _ in range(12):
        told += rcodes(wire.ask(a_query("cloaked.ok.test")))
        wire.desk.hands.pass_s(1)
    assert told == ["NOERROR"] * 10 + ["NXDOMAIN"] * 2


def test_a_new_policy_forgets_what_was_rendered(wire: Wire) -> None:
    query = a_query("cloaked.ok.test")
    assert rcodes(wire.ask(query, query, query)) == ["NXDOMAIN"] * 3
    wire.desk.follow(NO_BANS)
    wire.path.follow(wire.desk.orders)
    assert rcodes(wire.ask(query, query)) == ["NOERROR"] * 2
    assert sum(count for count, _ in wire.desk.attempts()) == 3


def test_who_waits_is_answered_when_upstream_has_spoken_and_counted_then(wire: Wire) -> None:
    wire.desk.upstreams.hold = True
    query = a_query("cloaked.ok.test")
    assert wire.ask(query, a_query("chat.test", number=8)) != []
    other = wire.ask(a_query("chat.test", number=9))
    assert rcodes(other) == ["NXDOMAIN"]
    before = wire.desk.counted("dns_responses", "blocked", "udp")
    wire.desk.upstreams.release()
    assert [reply[:2] for reply in wire.received()] == [query[:2]]
    assert wire.desk.counted("dns_responses", "blocked", "udp") == before + 1
    assert sorted((entry.block.name, count) for count, entry in wire.desk.attempts()) == [
        ("chat.test", 2),
        ("cloaked.ok.test", 1),
    ]


def test_a_spool_that_rotates_in_the_middle_of_a_batch_loses_and_doubles_nothing(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capacity=3)
    wire = Wire(desk)
    for number in range(40):
        names = [
            "chat.test",
            f"{number % 7}.chat.test",
            "pay.bank.test",
            "never-cloaked.ok.test",
            f"{number}.chat.test",
        ]
        assert len(wire.ask(*(a_query(name, number=number) for name in names))) == 5
    assert sum(count for count, _ in desk.attempts()) == 200
    wire.close()
    desk.close()


def test_without_a_notice_no_address_is_written_down_and_every_repeat_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, name_clients=False)
    wire = Wire(desk)
    for _ in range(3):
        wire.ask(*[a_query("chat.test")] * 3)
    assert [(count, entry.client_ip) for count, entry in desk.attempts()] == [(9, None)]
    wire.close()
    desk.close()


def test_with_a_window_of_nothing_every_attempt_is_a_row(tmp_path: Path) -> None:
    desk = Desk(tmp_path, window_s=0)
    wire = Wire(desk)
    wire.ask(*[a_query("chat.test")] * 5)
    assert [count for count, _ in desk.attempts()] == [1] * 5
    wire.close()
    desk.close()


def test_over_ipv6_clients_are_known_by_their_address(desk: Desk) -> None:
    wire = Wire(desk, "::1")
    assert rcodes(wire.ask(a_query("chat.test"), a_query("chat.test"))) == ["NXDOMAIN"] * 2
    assert [(count, entry.client_ip) for count, entry in desk.attempts()] == [(2, "::1")]
    assert desk.counted("dns_queries", "udp", "6", "a") == 2
    wire.close()


def test_d11_a_stranger_is_refused(desk: Desk) -> None:
    wire = Wire(desk)
    wire.path._directory = Directory(())
    assert rcodes(wire.ask(a_query("chat.test"), a_query("chat.test"))) == ["REFUSED"] * 2
    assert desk.attempts() == []
    wire.close()


def test_clients_that_are_remembered_are_bounded(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fast, "CLIENTS_MAX", 2)
    for host in range(1, 6):
        with closing(wire.a_client(f"127.0.0.{host}")) as client:
            assert rcodes(wire.ask(a_query("chat.test"), client=client)) == ["NXDOMAIN"]
            assert len(wire.path._groups) <= 2


NAMES = [
    "chat.test",
    "a.CHAT.test",
    "www.ok.test",
    "WWW.ok.test",
    "cloaked.ok.test",
    "large.ok.test",
    "mask.icloud.com",
]
QUERIES = [vector(name) for name in vectors("query") + vectors("malformed-query")] + [
    a_query(name, rtype, edns=edns, do=do)
    for name in NAMES
    for rtype in ("A", "TXT")
    for edns, do in ((False, False), (True, False), (True, True))
]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(QUERIES), st.integers(0, 0xFFFF), st.sampled_from([0, 0.5, 3])), max_size=20))
def test_the_fast_path_gives_the_same_octets_as_the_slow_one(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[bytes, int, float]]
) -> None:
    quick, slow = Desk(tmp_path_factory.mktemp("quick")), Desk(tmp_path_factory.mktemp("slow"))
    slow.directory = Directory((LOOPBACK,))
    slow.directory.follow(slow.orders)
    wire = Wire(quick)
    for query, number, seconds in steps:
        changed = number.to_bytes(2) + query[2:]
        for group in slow.directory._groups.values():  # nothing rendered before
            group.memory.by_meaning.clear()
            group.memory.by_octets.clear()
        expected = slow.ask(changed, "127.0.0.1")
        assert wire.ask(changed) == ([] if expected is None else [expected])
        quick.hands.pass_s(seconds)
        slow.hands.pass_s(seconds)
    assert [(count, entry.block) for count, entry in quick.attempts()] == [
        (count, entry.block) for count, entry in slow.attempts()
    ]
    answered = sum(quick.counted("dns_responses", outcome, "udp") for outcome in OUTCOMES)
    assert answered == len(steps) == sum(quick.counted("dns_queries", "udp", "4", kind) for kind in QTYPES)
    wire.close()
    quick.close()
    slow.close()
