from collections import Counter
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import dns.message
import pytest

from enforcer.counters import Transport
from enforcer.decide import dns as decide
from enforcer.decide.cache import Cached
from enforcer.resolver import memory
from enforcer.resolver.clients import Group
from tests.policy.made import NOW
from tests.resolver.desk import BANS, NO_BANS, PHONE, Desk, a_query, read

TRANSPORTS = [Transport.UDP, Transport.TCP, Transport.DOT, Transport.DOH]


def group_of(desk: Desk) -> Group:
    return desk.directory.group(ip_address(PHONE), NOW)


def ttls(wire: bytes | None) -> list[int]:
    message = read(wire)
    return [rrset.ttl for section in (message.answer, message.authority) for rrset in section]


@pytest.fixture
def looked(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often the policy was asked, and the cache."""
    counted: Counter[str] = Counter()

    def counting[**P, R](what: str, call: Callable[P, R]) -> Callable[P, R]:
        def counts(*args: P.args, **kwargs: P.kwargs) -> R:
            counted[what] += 1
            return call(*args, **kwargs)

        return counts

    monkeypatch.setattr(desk.cache, "get", counting("cache", desk.cache.get))
    monkeypatch.setattr(decide, "begin", counting("policy", decide.begin))
    return counted


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("edns", [False, True])
def test_ttls_count_down_in_what_was_rendered_and_nothing_is_decided_anew(
    desk: Desk, looked: Counter[str], transport: Transport, edns: bool
) -> None:
    query = a_query("www.ok.test", edns=edns)
    desk.ask(query, transport=transport)
    first = desk.ask(query, transport=transport)
    looked.clear()
    for second in range(1, 20):
        desk.hands.pass_s(1)
        for _ in range(3):
            reply = desk.ask(query, transport=transport)
            assert ttls(reply) == [300 - second]
            assert read(first).answer[0].to_rdataset() == read(reply).answer[0].to_rdataset()
            assert (reply or b"")[:12] == (first or b"")[:12]
    assert looked["policy"] == 0
    assert looked["cache"] <= 2 * 19


def test_every_ttl_counts_down_in_every_section(desk: Desk) -> None:
    desk.upstreams.zone = {
        ("www.ok.test", "A"): ["www.ok.test. 60 IN CNAME edge.ok.test.", "edge.ok.test. 300 IN A 192.0.2.80"]
    }
    for name, expected in (("www.ok.test", [60, 300]), ("none.test", [30])):
        for _ in range(3):
            assert [ttl for ttl in ttls(desk.ask(a_query(name))) if ttl != 900] == expected


def test_an_answer_changes_a_whole_second_after_it_came_and_not_when_the_clock_strikes(desk: Desk) -> None:
    desk.hands.pass_s(0.9)
    for _ in range(2):
        desk.ask(a_query("www.ok.test"))
    for passed, expected in ((0.5, 300), (0.5, 299), (0.9, 299), (0.1, 298)):
        desk.hands.pass_s(passed)
        assert ttls(desk.ask(a_query("www.ok.test"))) == [expected]


def test_letters_differ_and_ttls_count_down_in_each_spelling(desk: Desk) -> None:
    for second in range(5):
        for name in ("www.ok.test", "WWW.ok.test", "wWw.OK.test"):
            reply = desk.ask(a_query(name))
            assert (ttls(reply), read(reply).question[0].name.to_text()) == ([300 - second], f"{name}.")
        desk.hands.pass_s(1)
    assert desk.upstreams.asked == ["www.ok.test A"]


def test_what_was_rendered_ends_with_its_entry(desk: Desk) -> None:
    for _ in range(3):
        desk.ask(a_query("soon.ok.test"))
    desk.hands.pass_s(1)
    assert ttls(desk.ask(a_query("soon.ok.test"))) == [1]
    desk.hands.pass_s(1)
    assert ttls(desk.ask(a_query("soon.ok.test"))) == [2]
    assert desk.upstreams.asked == ["soon.ok.test A"] * 2


def test_what_was_rendered_gives_way_to_a_new_answer(desk: Desk) -> None:
    for _ in range(3):
        desk.ask(a_query("www.ok.test"))
    (key,) = desk.cache._entries
    old = desk.cache.get(*key, desk.hands.clock.steady())
    assert old is not None
    new = Cached(old.wire.replace(b"\xc0\0\2\x50", b"\xc0\0\2\x51"), 0, old.ttls, old.stored, old.until)
    desk.cache.put(*key, new, desk.hands.clock.steady())
    desk.hands.pass_s(1)
    assert read(desk.ask(a_query("www.ok.test"))).answer[0][0].to_text() == "192.0.2.81"


def test_a_cut_answer_is_cut_again_and_has_no_ttls(desk: Desk) -> None:
    replies = []
    for _ in range(4):
        replies.append(desk.ask(a_query("large.ok.test", "TXT")))
        desk.hands.pass_s(1)
    assert len(set(replies)) == 1
    assert read(replies[0]).flags & dns.flags.TC


def test_what_is_observed_is_judged_anew_after_a_while(desk: Desk, looked: Counter[str]) -> None:
    for second in range(70):
        assert read(desk.ask(a_query("www.seen.test"))).answer[0].ttl == 300 - second
        desk.hands.pass_s(1)
    assert looked["policy"] == 3, "for upstream, for the first that was kept, and a minute later"
    assert sum(count for count, _ in desk.attempts()) == 70


def test_another_policy_forgets_what_was_rendered(desk: Desk) -> None:
    desk.follow(NO_BANS)
    for _ in range(3):
        desk.ask(a_query("cloaked.ok.test"))
    desk.follow(BANS)
    desk.hands.pass_s(1)
    assert read(desk.ask(a_query("cloaked.ok.test"))).rcode() == dns.rcode.NXDOMAIN


def test_what_is_kept_of_answers_is_bounded(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "KNOWN_MAX", 5)
    group = group_of(desk)
    for number in range(50):
        for name in (f"{number}.chat.test", f"{number}.ok.test"):
            desk.ask(a_query(name))
            desk.ask(a_query(name))
        assert len(group.memory.by_octets) <= 5
        assert len(group.memory.by_meaning) <= 5


def test_an_answer_that_the_cache_drops_is_not_held_elsewhere(tmp_path: Path) -> None:
    desk = Desk(tmp_path, cache_bytes=1 << 15)
    group = group_of(desk)
    for number in range(100):
        desk.ask(a_query(f"{number}.ok.test"))
        desk.ask(a_query(f"{number}.ok.test"))
    sources = [known[5] for known in group.memory.by_meaning.values()]
    held = [source for source in sources if source is not None and source.entry() is not None]
    assert len(sources) == 100
    assert len(held) == len(desk.cache) < 100
    desk.close()


def test_large_answers_are_not_remembered(desk: Desk) -> None:
    for _ in range(3):
        reply = desk.ask(a_query("large.ok.test", "TXT"), transport=Transport.TCP)
        assert len(reply or b"") > memory.ANSWER_MAX
    group = group_of(desk)
    assert group.memory.by_stream == {}
    assert group.memory.by_meaning == {}
    assert desk.upstreams.asked == ["large.ok.test TXT"]


def test_over_tcp_nothing_is_kept_by_octets(desk: Desk) -> None:
    group = group_of(desk)
    for name in ("chat.test", "www.ok.test", "large.ok.test"):
        desk.ask(a_query(name), transport=Transport.TCP)
        desk.ask(a_query(name), transport=Transport.TCP)
    assert group.memory.by_octets == {}
