from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from enforcer.attempts.ledger import Ledger
from enforcer.attempts.spool import Segment, Spool, segments
from enforcer.clients import Clients, Realm
from enforcer.counters import Counters, word
from enforcer.gateway import marks
from enforcer.gateway.endings import ALERT
from enforcer.gateway.first import FirstPackets, Manner, Moment
from enforcer.gateway.nfqueue import Queued
from enforcer.gateway.packets import ACK, FIN, PSH, RST, SYN, Packet, read_packet, segment
from enforcer.orders import Grant, Orders, Pause
from enforcer.policy.compiled import PolicySettings, compile_policy
from enforcer.policy.judge import Policy
from enforcer.policy.lists import read_list
from enforcer.policy.rules import Mode
from tests.gateway.test_packets import PHONE, PHONE6, SITE, SITE6, datagram
from tests.gateway.test_ruleset import LIST, RULE
from tests.records import NOON_MS
from tests.wire.hellos import ECH, alpn, big, extension, hello
from tests.wire.initials import of_aioquic

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
ISN = 0xFFFFFFF0  # so that numbers go round within a ClientHello
BANNED, FINE = hello(b"chat.test"), hello(b"www.test")
RULES = ("suffix: chat.test", "cidr: 203.0.113.0/24", "fingerprint: mmtls", "http_path: /mmtls/")
MMTLS = bytes.fromhex("16f104016e0000016a0104f102c02b00a8") + bytes(400)


def policy(*rules: str) -> Policy:
    text = LIST.format(service="chat") + "".join(RULE % rule for rule in rules)
    return Policy.load(compile_policy([read_list(text, "chat.yaml", NOW.date())], [], PolicySettings()))


@dataclass
class Desk:
    """A gate without sockets."""

    first: FirstPackets
    clients: Clients
    spool: Spool
    words: memoryview
    now: datetime = NOW
    ident: int = 0
    generation: int = 1
    verdicts: dict[int, int] = field(default_factory=dict)

    def judge_by(self, *rules: str, refuse_unknown: bool = False) -> None:
        self.first.judge_by(policy(*rules), self.generation, Manner(refuse_unknown, name_clients=True), lambda _: "lan")

    def take(self, raw: bytes, mark: int) -> int | None:
        """The verdict on a packet, if it has one yet."""
        self.ident += 1
        queued = Queued(self.ident, mark, 3, raw)
        self.first.take(queued, Moment(self.now, int(self.now.timestamp() * 1000), 0.0))
        self.verdicts |= dict(self.first.answers)
        self.first.answers.clear()
        return self.verdicts.get(self.ident)

    def send(
        self, data: bytes, offset: int = 0, *, port: int = 40_000, source: bytes = PHONE, target: bytes = SITE
    ) -> int | None:
        raw = segment(
            source, target, port, 443, sequence=ISN + 1 + offset, acknowledged=900, flags=PSH | ACK, data=data
        )
        return self.take(raw, marks.PENDING | ISN & marks.SEQUENCE)

    def replies(self) -> list[Packet]:
        found = [read_packet(raw) for raw in self.first.packets]
        self.first.packets.clear()
        return found

    def recorded(self) -> list[tuple[int, bytes]]:
        """Counts and entries in the spool."""
        [(_, path)] = segments(self.spool.folder)
        reader = Segment(path)
        try:
            return [(reader.count(index), reader.row(index).entry) for index in range(reader.used)]
        finally:
            reader.close()

    def counted(self, layer: str, verdict: str) -> int:
        return self.words[word("proxy_connections", layer, verdict)]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    clients = Clients(
        [Realm("office", (ip_network("192.0.2.0/24"), ip_network("2001:db8:20::/48")), Mode.ENFORCE, ("lan",))]
    )
    spool = Spool(tmp_path / "spool", window_ms=60_000, max_bytes=1 << 30, capacity=64, heap=1 << 16)
    spool.tick(NOON_MS)
    counters = Counters(tmp_path / "counters")
    desk = Desk(FirstPackets(clients, Ledger(spool), counters.words, marks.Order()), clients, spool, counters.words)
    desk.judge_by(*RULES)
    yield desk
    spool.close()
    counters.close()


def is_allowed(verdict: int | None, generation: int | None = None) -> bool:
    assert verdict is not None
    expected = marks.generation_of(1) if generation is None else generation
    return verdict & marks.VERDICT == marks.VERDICT and verdict & marks.GENERATION == expected << 21


def test_an_allowed_connection_gets_a_mark_and_leaves_no_trace(desk: Desk) -> None:
    assert is_allowed(desk.send(FINE))
    assert desk.replies() == []
    assert desk.recorded() == []
    assert desk.counted("tls", "allowed") == 1


@pytest.mark.parametrize(("source", "target"), [(PHONE, SITE), (PHONE6, SITE6)], ids=["ipv4", "ipv6"])
def test_a_banned_name_is_refused_at_both_ends_and_recorded_once(desk: Desk, source: bytes, target: bytes) -> None:
    assert desk.send(BANNED, source=source, target=target) == marks.REFUSE
    to_server, to_client = desk.replies()
    assert (to_server.source, to_server.target, to_server.flags) == (source, target, RST | ACK)
    assert to_server.sequence == (ISN + 1) & 0xFFFFFFFF
    assert (to_client.source, to_client.target, to_client.target_port) == (target, source, 40_000)
    assert (to_client.flags, to_client.data) == (PSH | FIN | ACK, ALERT)
    assert (to_client.sequence, to_client.acknowledged) == (900, (ISN + 1 + len(BANNED)) & 0xFFFFFFFF)
    [(count, entry)] = desk.recorded()
    assert count == 1
    for part in (b'"tls","blocked","alert","chat"', b'"chat.test"', str(ip_address(source)).encode(), b'"office"'):
        assert part in entry
    assert desk.counted("tls", "blocked") == 1


def test_a_segment_that_was_queued_with_the_banned_one_is_no_second_attempt(desk: Desk) -> None:
    assert desk.send(BANNED) == marks.REFUSE
    assert desk.send(BANNED) == marks.REFUSE
    assert desk.send(b"early data", len(BANNED)) == marks.REFUSE
    assert [count for count, _ in desk.recorded()] == [1]
    assert len(desk.replies()) == 2


def test_what_was_queued_behind_an_allowed_hello_goes_on(desk: Desk) -> None:
    verdict = desk.send(FINE)
    assert desk.send(b"early data", len(FINE)) == verdict


def test_a_hello_of_two_segments(desk: Desk) -> None:
    data = big(b"chat.test")
    assert desk.send(data[:1400]) == marks.PASS
    assert desk.send(data[1400:], 1400) == marks.REFUSE
    to_server, to_client = desk.replies()
    assert to_server.sequence == (ISN + 1 + 1400) & 0xFFFFFFFF  # the server has the first
    assert to_client.acknowledged == (ISN + 1 + len(data)) & 0xFFFFFFFF


def test_a_hello_whose_second_segment_comes_first(desk: Desk) -> None:
    data = big(b"chat.test")
    assert desk.send(data[1400:], 1400) is None
    held = desk.ident
    assert desk.send(data[:1400]) == marks.REFUSE
    assert desk.verdicts[held] == marks.REFUSE
    assert desk.replies()[0].sequence == (ISN + 1) & 0xFFFFFFFF
    assert [count for count, _ in desk.recorded()] == [1]


def test_an_allowed_hello_whose_second_segment_comes_first_is_given_on_whole(desk: Desk) -> None:
    data = big(b"www.test")
    assert desk.send(data[1400:], 1400) is None
    held = desk.ident
    verdict = desk.send(data[:1400])
    assert is_allowed(verdict)
    assert desk.verdicts[held] == verdict


def test_what_is_held_too_long_is_dropped(desk: Desk) -> None:
    assert desk.send(FINE[50:], 50) is None
    desk.first.tick(100.0)
    assert desk.first.answers == [(desk.ident, marks.REFUSE)]


def test_a_stray_segment_passes_only_if_its_connection_was_allowed_meanwhile(desk: Desk) -> None:
    assert desk.send(b"far ahead", 0x20000) == marks.PENDING | ISN & marks.SEQUENCE  # `settle` looks at the connection


def test_two_versions_of_a_hello_are_refused_without_a_record(desk: Desk) -> None:
    assert desk.send(FINE[:-2]) == marks.PASS
    assert desk.send(BANNED[40:], 40) == marks.REFUSE
    assert desk.recorded() == []
    assert desk.counted("other", "failed") == 1
    assert [packet.flags for packet in desk.replies()] == [RST | ACK, RST | ACK]


def test_a_later_version_that_shows_a_banned_name_is_an_attempt(desk: Desk) -> None:
    harmless = hello(b"work.test")
    at = BANNED.index(b"chat.test")
    assert desk.send(harmless[: at + 5]) == marks.PASS
    assert desk.send(BANNED[at:], at) == marks.REFUSE
    reset, alert = desk.replies()
    assert reset.sequence == (ISN + 1 + at + 5) & 0xFFFFFFFF  # behind what the server has got
    assert alert.data == ALERT
    assert [count for count, _ in desk.recorded()] == [1]
    assert (desk.counted("tls", "blocked"), desk.counted("other", "failed")) == (1, 0)


def test_data_in_a_syn(desk: Desk) -> None:
    raw = segment(PHONE, SITE, 40_000, 443, sequence=ISN, acknowledged=0, flags=SYN, data=BANNED)
    assert desk.take(raw, marks.PENDING | ISN & marks.SEQUENCE) == marks.REFUSE
    [to_client] = desk.replies()  # the server has heard of nothing
    assert to_client.flags == RST | ACK
    assert to_client.acknowledged == (ISN + 1 + len(BANNED)) & 0xFFFFFFFF


def test_mmtls_and_a_banned_path_are_reset(desk: Desk) -> None:
    assert desk.send(MMTLS) == marks.REFUSE
    assert desk.send(b"POST /mmtls/0a1b2c3d HTTP/1.1\r\nHost: 198.51.100.10\r\n\r\n", port=2) == marks.REFUSE
    assert {packet.flags for packet in desk.replies()} == {RST | ACK}
    assert [entry[:24] for _, entry in desk.recorded()] == [b'["mmtls","blocked","rese', b'["http","blocked","reset']


def test_quic_is_rejected_and_what_the_client_sends_again_is_the_same_attempt(desk: Desk) -> None:
    raw = datagram(of_aioquic("chat.test")[0])
    for later_s in range(4):
        desk.first.tick(float(later_s))
        assert desk.take(raw, marks.PENDING) == marks.REFUSE
    assert desk.replies() == []  # the rules send ICMP
    [(count, entry)] = desk.recorded()
    assert (count, entry[:25]) == (1, b'["quic","blocked","reject')


def test_quic_with_an_allowed_name_and_other_udp(desk: Desk) -> None:
    assert is_allowed(desk.take(datagram(of_aioquic("www.test")[0]), marks.PENDING))
    assert is_allowed(desk.take(datagram(b"\0\1voice", 40_001), marks.PENDING))


def test_unknown_protocols_pass_or_not_as_the_configuration_says(desk: Desk) -> None:
    assert is_allowed(desk.send(b"\0\0\0\5hello"))
    desk.judge_by(*RULES, refuse_unknown=True)
    assert desk.send(b"\0\0\0\5hello", port=2) == marks.REFUSE
    assert desk.recorded() == []
    assert (desk.counted("other", "allowed"), desk.counted("other", "failed")) == (1, 1)


def test_nonsense_is_refused_without_a_record(desk: Desk) -> None:
    assert desk.send(b"\x16\x03\x01\xff\xff\x02" + bytes(60)) == marks.REFUSE
    assert desk.recorded() == []


def test_what_no_rule_has_sent_or_is_no_packet_is_refused(desk: Desk) -> None:
    raw = segment(PHONE, SITE, 1, 443, sequence=1, acknowledged=1, flags=ACK, data=FINE)
    assert desk.take(raw, 0) == marks.REFUSE
    assert desk.take(b"\x45\0", marks.PENDING) == marks.REFUSE


def test_a_new_ban_ends_a_connection_that_was_allowed_before_it(desk: Desk) -> None:
    verdict = desk.send(FINE)
    assert verdict is not None
    mark = verdict & (0xFFFFFFFF ^ marks.VERDICT) | marks.ALLOWED
    desk.generation = 2
    later = segment(PHONE, SITE, 40_000, 443, sequence=5000, acknowledged=7000, flags=ACK)
    desk.judge_by(*RULES)
    assert is_allowed(desk.take(later, mark), marks.generation_of(2))
    desk.judge_by(*RULES, "suffix: www.test")
    assert desk.take(later, mark) == marks.REFUSE
    to_server, to_client = desk.replies()
    assert (to_server.sequence, to_client.sequence) == (5000, 7000)
    assert {to_server.flags, to_client.flags} == {RST | ACK}
    [(count, entry)] = desk.recorded()
    assert (count, entry[:23]) == (1, b'["tls","blocked","reset')


def test_a_connection_that_another_process_allowed_cannot_be_judged(desk: Desk) -> None:
    later = segment(PHONE, SITE, 40_000, 443, sequence=5000, acknowledged=7000, flags=ACK)
    assert desk.take(later, marks.current(9) | 77) == marks.REFUSE
    assert desk.recorded() == []
    assert desk.counted("other", "failed") == 1


def follow(desk: Desk, **what: tuple[object, ...]) -> None:
    desk.clients.follow(Orders(1, "", **what))  # type: ignore[arg-type]
    desk.judge_by(*RULES)


def test_an_exempt_client_passes_packet_by_packet_until_the_exemption_ends(desk: Desk) -> None:
    end = NOW + timedelta(seconds=60)
    follow(desk, grants=(Grant("office", ip_address("192.0.2.7"), ("chat",), end),))
    verdict = desk.send(BANNED)
    assert is_allowed(verdict, marks.NEVER_CURRENT)
    assert is_allowed(desk.send(FINE, port=2))  # what is allowed to everybody needs no more looks
    assert verdict is not None
    mark = verdict & (0xFFFFFFFF ^ marks.VERDICT) | marks.ALLOWED
    later = segment(PHONE, SITE, 40_000, 443, sequence=5000, acknowledged=7000, flags=ACK)
    assert is_allowed(desk.take(later, mark), marks.NEVER_CURRENT)
    assert desk.recorded() == []
    desk.now = end
    desk.first.tick(60.0)
    assert desk.take(later, mark) == marks.REFUSE
    assert len(desk.recorded()) == 1


def test_an_observed_connection_passes_is_recorded_once_and_ends_with_the_pause(desk: Desk) -> None:
    end = NOW + timedelta(seconds=60)
    follow(desk, pauses=(Pause("office", end),))
    verdict = desk.send(BANNED)
    assert is_allowed(verdict, marks.NEVER_CURRENT)
    assert verdict is not None
    mark = verdict & (0xFFFFFFFF ^ marks.VERDICT) | marks.ALLOWED
    later = segment(PHONE, SITE, 40_000, 443, sequence=5000, acknowledged=7000, flags=ACK)
    for _ in range(3):
        assert is_allowed(desk.take(later, mark), marks.NEVER_CURRENT)
    assert [entry[:15] for _, entry in desk.recorded()] == [b'["tls","observe']
    desk.now = end
    desk.first.tick(60.0)
    assert desk.take(later, mark) == marks.REFUSE
    assert len(desk.recorded()) == 2


def test_a_connection_of_a_banned_address_tells_the_address(desk: Desk) -> None:
    """The kernel rejects these; of clients that it spares the gate judges them."""
    assert desk.send(FINE, target=ip_address("203.0.113.5").packed) == marks.REFUSE
    [(_, entry)] = desk.recorded()
    assert b'"www.test","203.0.113.5"' in entry


def test_a_client_of_no_realm_is_nobodys_business(desk: Desk) -> None:
    assert is_allowed(desk.send(BANNED, source=ip_address("198.18.0.1").packed), marks.NEVER_CURRENT)


def test_clients_are_not_named_before_their_users_know(desk: Desk) -> None:
    desk.first.judge_by(policy(*RULES), 1, Manner(name_clients=False), lambda _: "lan")
    desk.send(BANNED)
    [(_, entry)] = desk.recorded()
    assert b"192.0.2.7" not in entry
    assert entry.endswith(b",null,null,null]")


def test_an_attempt_that_the_spool_cannot_take_is_refused_all_the_same_and_counted(desk: Desk) -> None:
    desk.spool.max_bytes = 0
    desk.spool.seal()
    assert desk.send(BANNED) == marks.REFUSE
    assert desk.words[word("attempts_dropped", "spool_full")] == 1


def syn(target: str) -> bytes:
    return segment(PHONE, ip_address(target).packed, 40_000, 443, sequence=ISN, acknowledged=0, flags=SYN)


def test_the_address_is_judged_before_a_word_where_the_kernel_does_not(desk: Desk) -> None:
    mark = marks.PENDING | ISN & marks.SEQUENCE
    assert desk.take(syn("198.51.100.10"), mark) == marks.PASS
    assert desk.take(syn("203.0.113.5"), mark) == marks.REFUSE
    [to_client] = desk.replies()
    assert (to_client.flags, to_client.acknowledged) == (RST | ACK, (ISN + 1) & 0xFFFFFFFF)
    [(count, entry)] = desk.recorded()
    assert (count, entry[:22]) == (1, b'["ip","blocked","reset')
    assert desk.counted("ip", "blocked") == 1


def test_an_observed_address_is_one_attempt_whatever_name_the_connection_shows_later(desk: Desk) -> None:
    follow(desk, pauses=(Pause("office", NOW + timedelta(seconds=60)),))
    verdict = desk.take(syn("203.0.113.5"), marks.PENDING | ISN & marks.SEQUENCE)
    assert is_allowed(verdict, marks.NEVER_CURRENT)
    assert verdict is not None
    raw = segment(
        PHONE, ip_address("203.0.113.5").packed, 40_000, 443, sequence=ISN + 1, acknowledged=9, flags=ACK, data=BANNED
    )
    kept = verdict & (0xFFFFFFFF ^ marks.VERDICT) | marks.ALLOWED
    assert is_allowed(desk.take(raw, kept), marks.NEVER_CURRENT)
    assert [entry[:14] for _, entry in desk.recorded()] == [b'["ip","observe']


def test_what_was_allowed_to_a_client_is_allowed_at_once_to_all_like_it(desk: Desk) -> None:
    first = desk.send(FINE)
    desk.send(FINE, port=2)  # from here on its client is known
    assert desk.send(FINE, port=3) == first
    assert desk.counted("tls", "allowed") == 3
    other = ip_address("198.51.100.11").packed
    assert desk.send(FINE, port=4, target=other) == first
    assert desk.send(BANNED, port=5) == marks.REFUSE
    assert desk.send(FINE, port=6, target=ip_address("203.0.113.5").packed) == marks.REFUSE
    assert len(desk.recorded()) == 2
    desk.generation = 2
    desk.judge_by(*RULES, "suffix: www.test")
    assert desk.send(FINE, port=7) == marks.REFUSE


def test_what_an_exemption_allows_is_not_allowed_at_once(desk: Desk) -> None:
    end = NOW + timedelta(seconds=60)
    follow(desk, grants=(Grant("office", ip_address("192.0.2.7"), ("chat",), end),))
    for port in range(3):
        assert is_allowed(desk.send(BANNED, port=port), marks.NEVER_CURRENT)
    desk.now = end
    desk.first.tick(60.0)
    assert desk.send(BANNED, port=9) == marks.REFUSE


def test_a_hello_whose_first_half_came_before_is_no_usual_one(desk: Desk) -> None:
    for port in range(3):
        desk.send(FINE, port=port)
    assert desk.send(BANNED[:60], port=9) == marks.PASS
    assert desk.send(FINE, port=9) == marks.REFUSE  # it is not how it began


def test_the_gate_works_where_nft_turns_sequence_numbers(desk: Desk) -> None:
    turned = FirstPackets(desk.clients, Ledger(desk.spool), desk.words, marks.Order(turned=True))
    desk.first = turned
    desk.judge_by(*RULES)
    raw = segment(PHONE, SITE, 1, 443, sequence=ISN + 1, acknowledged=9, flags=ACK, data=BANNED)
    mark = marks.Order(turned=True).message(marks.PENDING | ISN & marks.SEQUENCE)
    assert desk.take(raw, mark) == marks.REFUSE


def test_what_was_refused_once_is_refused_at_once_and_each_time_recorded(desk: Desk) -> None:
    for port in range(3):
        assert desk.send(BANNED, port=port) == marks.REFUSE
        reset, alert = desk.replies()
        assert (reset.flags, reset.target_port) == (RST | ACK, 443)
        assert (alert.data, alert.target_port) == (ALERT, port)
    assert [count for count, _ in desk.recorded()] == [3]
    assert desk.counted("tls", "blocked") == 3
    offered = hello(b"chat.test", more=(alpn(b"h2"), extension(ECH, bytes(40))))
    assert desk.send(offered, port=4) == marks.REFUSE
    assert desk.send(offered, port=4) == marks.REFUSE  # again: the same attempt
    assert [count for count, _ in desk.recorded()] == [3, 1]
    assert b'["h2"],true' in desk.recorded()[1][1]
    desk.judge_by("suffix: other.test")
    assert is_allowed(desk.send(BANNED, port=5))


def test_a_rule_that_ends_by_itself_ends_for_what_it_has_refused_before_too(desk: Desk) -> None:
    desk.judge_by("suffix: chat.test, expires: 2026-11-24")
    assert desk.send(BANNED, port=1) == marks.REFUSE
    desk.now += timedelta(days=1)
    assert is_allowed(desk.send(BANNED, port=2))
