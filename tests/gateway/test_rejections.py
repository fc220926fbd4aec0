from collections.abc import Iterator
from dataclasses import dataclass, replace
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from enforcer.attempts.block import Entry, decode_entry
from enforcer.attempts.ledger import Ledger
from enforcer.attempts.spool import Segment, Spool, segments
from enforcer.clients import Clients, Realm
from enforcer.counters import Counters, word
from enforcer.gateway.drops import Taken
from enforcer.gateway.learn import Learned
from enforcer.gateway.nft import Dropped
from enforcer.gateway.rejections import Rejections
from enforcer.policy.names import parse
from enforcer.policy.rules import Mode
from enforcer.policy.verdict import Layer
from tests.gateway.test_first import NOW, policy
from tests.records import NOON_MS

SEEN = Dropped("lan", "192.0.2.7", "203.0.113.5", "tcp", 443, 3, 3599)
RULES = ("cidr: 203.0.113.0/24", "cidr: 8.8.8.8/32, ports: [tcp/853]", "fingerprint: mmtls")


@dataclass
class Desk:
    rejections: Rejections
    spool: Spool
    words: memoryview

    def take(self, *dropped: Dropped, kind: str = "address4") -> bool:
        return self.rejections.take(kind, dropped, NOW, NOON_MS)

    def recorded(self) -> list[tuple[int, Entry]]:
        [(_, path)] = segments(self.spool.folder)
        reader = Segment(path)
        try:
            return [(reader.count(index), decode_entry(reader.row(index).entry)) for index in range(reader.used)]
        finally:
            reader.close()

    @property
    def untold(self) -> int:
        return self.words[word("attempts_dropped", "untold")]


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    clients = Clients([Realm("office", (ip_network("192.0.2.0/24"),), Mode.ENFORCE, ("lan",))])
    spool = Spool(tmp_path / "spool", window_ms=60_000, max_bytes=1 << 30, capacity=64, heap=1 << 16)
    spool.tick(NOON_MS)
    counters = Counters(tmp_path / "counters")
    rejections = Rejections(clients, Ledger(spool), counters.words, Taken("made_1", {}, {}))
    rejections.name_clients = True
    rejections.judge_by(policy(*RULES))
    yield Desk(rejections, spool, counters.words)
    spool.close()
    counters.close()


def test_each_rejected_packet_is_an_attempt_with_the_rule_that_banned_it(desk: Desk) -> None:
    assert desk.take(SEEN)
    [(count, entry)] = desk.recorded()
    block = entry.block
    assert (count, block.layer, block.response, block.rule) == (3, Layer.IP, "reset", "chat/cidr/203.0.113.0/24")
    assert (block.dest_ip, block.dest_port, block.transport, block.realm) == ("203.0.113.5", 443, "tcp", "office")
    assert (entry.client_ip, entry.block.name, entry.block.via) == ("192.0.2.7", None, None)
    assert desk.rejections.taken.totals == {("chat", "ip"): 3}
    assert not desk.take(SEEN)


def test_what_comes_later_is_added_to_the_same_row(desk: Desk) -> None:
    desk.take(SEEN)
    desk.take(replace(SEEN, packets=1003))
    assert [count for count, _ in desk.recorded()] == [1003]


def test_udp_and_other_protocols_are_rejected_with_icmp(desk: Desk) -> None:
    desk.take(replace(SEEN, protocol="udp"), replace(SEEN, protocol="icmp", port=0))
    (_, udp), (_, icmp) = desk.recorded()
    assert (udp.block.response, udp.block.dest_port) == ("reject", 443)
    assert (icmp.block.response, icmp.block.transport, icmp.block.dest_port) == ("reject", "icmp", None)


def test_a_rule_with_ports_is_found_by_the_port(desk: Desk) -> None:
    desk.take(replace(SEEN, target="8.8.8.8", port=853))
    [(_, entry)] = desk.recorded()
    assert entry.block.rule == "chat/cidr/8.8.8.8/32"


def test_mmtls_has_a_layer_and_a_rule_of_its_own(desk: Desk) -> None:
    desk.take(replace(SEEN, target="198.51.100.1", port=8080), kind="mmtls4")
    [(_, entry)] = desk.recorded()
    assert (entry.block.layer, entry.block.rule) == (Layer.MMTLS, "chat/fingerprint/mmtls")
    assert desk.rejections.taken.totals == {("chat", "mmtls"): 3}


def test_what_the_rules_of_the_policy_before_rejected_is_told_by_it(desk: Desk) -> None:
    desk.rejections.judge_by(policy("suffix: other.test"))
    desk.take(SEEN)
    [(_, entry)] = desk.recorded()
    assert entry.block.rule == "chat/cidr/203.0.113.0/24"


def test_what_no_rule_accounts_for_is_counted_as_lost(desk: Desk) -> None:
    desk.take(replace(SEEN, target="198.51.100.1"))
    assert desk.recorded() == []
    assert desk.untold == 3
    desk.rejections.lose(4)
    assert desk.untold == 7


def test_a_client_of_no_realm_is_an_attempt_all_the_same(desk: Desk) -> None:
    desk.take(replace(SEEN, interface="wan"))
    [(_, entry)] = desk.recorded()
    assert entry.block.realm == ""


def test_clients_are_not_named_before_their_users_know(desk: Desk) -> None:
    desk.rejections.name_clients = False
    desk.take(SEEN)
    [(_, entry)] = desk.recorded()
    assert (entry.client_ip, entry.client_port) == (None, None)


def test_what_the_spool_cannot_take_is_counted(desk: Desk) -> None:
    desk.spool.max_bytes = 0
    desk.spool.seal()
    desk.take(SEEN)
    assert desk.words[word("attempts_dropped", "spool_full")] == 3


def test_an_address_that_was_learned_is_told_by_the_rule_of_its_name(desk: Desk) -> None:
    learned = Learned()
    learned.follow(policy("exact: push.chat.test, dedicated: true"), NOW)
    learned.heard(parse("push.chat.test"), [ip_address("198.51.100.7")], 600, NOW)
    desk.rejections._learned = learned
    desk.take(replace(SEEN, target="198.51.100.7"))
    [(_, entry)] = desk.recorded()
    assert (entry.block.rule, entry.block.dest_ip) == ("chat/exact/push.chat.test", "198.51.100.7")
