from dataclasses import replace

import dns.rcode
import pytest

from enforcer.resolver import asking
from enforcer.resolver.upstream import Failure
from tests.resolver.desk import BANS, Desk, a_query, read


def rcode(wire: bytes | None) -> str:
    return dns.rcode.to_text(read(wire).rcode())


def ttl(wire: bytes | None) -> int:
    return int(read(wire).answer[0].ttl)


def in_each_of(seconds: int, desk: Desk) -> None:
    """Ask the same in so many seconds; the first time nobody knows it."""
    for _ in range(seconds):
        desk.ask(a_query("www.ok.test"))
        desk.hands.pass_s(1)


def test_u7_the_same_question_is_asked_once_and_everyone_is_answered_in_their_own_way(desk: Desk) -> None:
    desk.upstreams.hold = True
    queries = [
        a_query(name, number=number) for number, name in enumerate(["www.ok.test", "WWW.ok.test", "www.OK.test"])
    ]
    for query in queries:
        assert desk.ask(query) is None
    assert desk.upstreams.asked == ["www.ok.test A"]
    desk.upstreams.release()
    assert [reply[:2] for reply in desk.late] == [query[:2] for query in queries]
    assert [reply[12 : len(query)] for reply, query in zip(desk.late, queries, strict=True)] == [
        q[12:] for q in queries
    ]


def test_when_too_many_wait_the_next_is_dropped_until_some_are_answered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(asking, "WAITERS_MAX", 2)
    desk.upstreams.hold = True
    for number in range(4):
        desk.ask(a_query(f"{number}.ok.test"))
    assert len(desk.upstreams.asked) == 2
    assert rcode(desk.ask(a_query("chat.test"))) == "NXDOMAIN"
    desk.upstreams.release()
    desk.ask(a_query("4.ok.test"))
    assert len(desk.upstreams.asked) == 3


def test_c3_a_failure_is_told_servfail_and_not_asked_again_at_once(desk: Desk) -> None:
    desk.upstreams.fails = Failure.SILENT
    for _ in range(3):
        assert rcode(desk.ask(a_query("www.ok.test"))) == "SERVFAIL"
    assert len(desk.upstreams.asked) == 1
    desk.upstreams.fails = None
    desk.hands.pass_s(1)
    assert rcode(desk.ask(a_query("www.ok.test"))) == "NOERROR"
    assert desk.attempts() == []


def test_a_domain_with_upstreams_of_its_own_is_asked_there_alone(desk: Desk) -> None:
    for name, code in [("www.corp.test", "NOERROR"), ("corp.test", "NXDOMAIN"), ("www.ok.test", "NOERROR")]:
        assert rcode(desk.ask(a_query(name))) == code
    assert desk.corporate.asked == ["www.corp.test A", "corp.test A"]
    assert desk.upstreams.asked == ["www.ok.test A"]
    desk.corporate.fails = Failure.SILENT
    assert rcode(desk.ask(a_query("other.corp.test"))) == "SERVFAIL"
    assert rcode(desk.ask(a_query("wwwcorp.test"))) == "NXDOMAIN"
    assert desk.upstreams.asked == ["www.ok.test A", "wwwcorp.test A"]


# Before an answer expires


def test_prefetch_asks_again_for_a_popular_answer_before_it_expires_and_nobody_waits(desk: Desk) -> None:
    desk.conduct = replace(desk.conduct, prefetch=True)
    desk.follow(BANS)
    in_each_of(4, desk)
    desk.hands.pass_s(268)
    desk.upstreams.hold = True
    assert rcode(desk.ask(a_query("www.ok.test"))) == "NOERROR"
    assert desk.upstreams.asked == ["www.ok.test A"] * 2
    desk.ask(a_query("www.ok.test"))
    assert desk.upstreams.asked == ["www.ok.test A"] * 2, "it is asked for once"
    desk.upstreams.release()
    desk.hands.pass_s(100)
    assert ttl(desk.ask(a_query("www.ok.test"))) == 200
    assert len(desk.upstreams.asked) == 2
    assert desk.counted("cache_requests", "miss") == 1


@pytest.mark.parametrize(("uses", "after_s", "prefetch"), [(2, 271, True), (5, 200, True), (5, 271, False)])
def test_prefetch_is_for_what_is_popular_and_about_to_expire_where_it_is_wanted(
    desk: Desk, uses: int, after_s: float, prefetch: bool
) -> None:
    desk.conduct = replace(desk.conduct, prefetch=prefetch)
    desk.follow(BANS)
    in_each_of(uses, desk)
    desk.hands.pass_s(after_s)
    desk.ask(a_query("www.ok.test"))
    assert len(desk.upstreams.asked) == 1


def test_prefetch_that_fails_leaves_the_answer_until_it_expires(desk: Desk) -> None:
    desk.conduct = replace(desk.conduct, prefetch=True)
    desk.follow(BANS)
    in_each_of(5, desk)
    desk.hands.pass_s(275)
    desk.upstreams.fails = Failure.SILENT
    assert rcode(desk.ask(a_query("www.ok.test"))) == "NOERROR"
    assert rcode(desk.ask(a_query("www.ok.test"))) == "NOERROR"
    assert len(desk.upstreams.asked) == 2, "nor is it asked for again at once"
