from datetime import timedelta
from ipaddress import ip_address

import pytest

from enforcer.attempts.block import Recorded, Response
from enforcer.counters import word
from enforcer.decide.flow import Opening, Seen
from enforcer.orders import Grant, Orders
from enforcer.policy.rules import Transport
from enforcer.policy.verdict import Layer
from enforcer.proxy.door import PASS, Flow, How
from tests.proxy.playbook import BANNED_SERVER, NOW, PHONE, SERVER, WATCHED, Site, flow, hello, policy, rules


def seen(first: bytes) -> Seen:
    found = Opening().add(first)
    assert found is not None
    return found


CHAT, NEW = seen(hello("chat.banned.test")), seen(hello("new.test"))


def inside(site: Site, source: str = PHONE) -> tuple[Flow, list[int]]:
    """A flow that counts how often it is ended."""
    made, ends = flow(source), []
    made.end = lambda: ends.append(1)
    assert site.door.enter(made)
    return made, ends


def test_repeats_of_one_attempt_are_one_row_with_its_count(site: Site) -> None:
    for _ in range(5):
        site.door.first(flow(), CHAT)
    assert [count for _, count in site.recorded] == [5]
    assert site.counted("tls", "blocked") == 5


def test_addresses_are_written_down_only_when_users_have_been_told(site: Site) -> None:
    site.door.judge_by(policy(), rules(name_clients=False))
    site.door.first(flow(), CHAT)
    [(entry, _)] = site.recorded
    assert (entry.client_ip, entry.client_port) == (None, None)


def test_an_exempt_client_passes_and_is_not_recorded(site: Site) -> None:
    until = NOW + timedelta(minutes=1)
    site.door.follow(Orders(1, "p", (), (Grant("office", ip_address(PHONE), ("chat",), until),)))
    assert site.door.first(flow(), CHAT) is PASS
    assert site.recorded == []
    site.pass_time(60)
    assert site.door.first(flow(), CHAT).how is How.ALERT


def test_what_passed_is_ended_by_a_new_ban_and_recorded_once(site: Site) -> None:
    made, ends = inside(site)
    other, others = inside(site)
    site.door.first(made, NEW)
    site.door.first(other, seen(hello("www.ok.test")))
    site.door.judge_by(policy("suffix: new.test"), site.rules)
    assert site.door.again(site.door.inside) == 1
    assert site.door.again(site.door.inside) == 0
    assert (len(ends), len(others)) == (1, 0)
    [(entry, count)] = site.recorded
    assert (entry.block.name, entry.block.response, count) == ("new.test", Response.RESET, 1)


def test_what_passed_is_ended_when_its_grant_lapses(site: Site) -> None:
    until = NOW + timedelta(minutes=1)
    site.door.follow(Orders(1, "p", (), (Grant("office", ip_address(PHONE), ("chat",), until),)))
    made, ends = inside(site)
    site.door.first(made, CHAT)
    assert site.door.again(site.door.inside) == 0
    site.pass_time(60)
    assert site.door.changes(NOW, site.moment)
    assert site.door.again(site.door.inside) == 1
    assert ends


def test_what_its_name_led_to_is_judged_again_too(site: Site) -> None:
    made, ends = inside(site)
    made.address = None
    site.door.first(made, NEW)
    assert site.door.resolved(made, ip_address(SERVER), 443) is PASS
    site.door.judge_by(policy(f"cidr: {SERVER}/32"), site.rules)
    assert site.door.again(site.door.inside) == 1
    assert ends


def test_what_has_left_is_not_judged_again(site: Site) -> None:
    made, ends = inside(site)
    site.door.first(made, NEW)
    everybody = site.door.inside
    site.door.leave(made)
    site.door.leave(made)
    site.door.judge_by(policy("suffix: new.test"), site.rules)
    assert site.door.again(everybody) == 0
    assert not ends


def test_a_watched_client_is_recorded_once_and_goes_on(site: Site) -> None:
    made, ends = inside(site, WATCHED)
    assert site.door.first(made, CHAT) is PASS
    assert site.door.again(site.door.inside) == 0
    assert not ends
    assert [(entry.block.action, count) for entry, count in site.recorded] == [(Recorded.OBSERVED, 1)]
    other = flow(WATCHED, None)
    assert site.door.resolved(other, ip_address(BANNED_SERVER), 443) is PASS
    assert len(site.recorded) == 2


def test_udp_is_refused_by_silence(site: Site) -> None:
    decision = site.door.first(flow(transport=Transport.UDP), CHAT._replace(layer=Layer.QUIC))
    assert decision.how is How.SILENCE
    [(entry, _)] = site.recorded
    assert (entry.block.response, entry.block.transport) == (Response.REJECT, "udp")


def test_the_page_inside_of_tls_is_for_banned_names_alone(site: Site) -> None:
    site.door.judge_by(policy(), rules(intercept=True))
    decision = site.door.first(flow(), CHAT)
    assert decision.how is How.PAGE
    assert decision.page is not None
    assert b'<html lang="fr">' in decision.page("fr-CA, en;q=0.5")
    assert b"chat.banned.test" in decision.page(None)
    assert site.door.first(flow(), NEW) is PASS
    unnamed = site.door.first(flow(to=BANNED_SERVER), seen(hello(None)))
    assert (unnamed.how, unnamed.page) == (How.ALERT, None)


def test_http2_without_tls_cannot_read_the_page(site: Site) -> None:
    http2 = CHAT._replace(layer=Layer.HTTP, alpn=("h2c",))
    assert site.door.first(flow(port=80), http2).how is How.RESET


def test_a_full_spool_stops_no_refusal_and_is_counted(site: Site) -> None:
    site.spool.max_bytes = 0
    assert site.door.first(flow(), CHAT).how is How.ALERT
    assert site.recorded == []
    assert site.counters.words[word("attempts_dropped", "spool_full")] == 1


def test_the_page_says_what_why_and_how_to_find_the_record_and_not_who(site: Site) -> None:
    octets = site.door.first(flow(port=80), seen(b"GET /private?q=1 HTTP/1.1\r\nHost: chat.banned.test\r\n\r\n")).octets
    text = octets.decode()
    assert "Chat" in text
    assert "Causette" in text
    assert "gw-1 2026-11-24T12:00:00Z" in text
    assert "private" not in text
    assert PHONE not in text


def test_without_a_policy_nothing_is_decided(site: Site) -> None:
    site.door._policy = None
    with pytest.raises(LookupError):
        site.door.first(flow(), CHAT)


def test_who_waits_is_woken_once_when_the_time_has_come_and_not_when_it_was_judged_before(site: Site) -> None:
    steady = [0.0]
    site.door._steady = lambda: steady[0]
    woken: list[str] = []
    waits, judged = flow(), flow()
    waits.wake = lambda: woken.append(f"waits {site.door.woken(waits)}")
    judged.wake = lambda: woken.append("judged")
    for each in (waits, judged):
        site.door.wait(each, 1.0)
    site.door.first(judged, NEW)
    site.door.wake()
    assert woken == []
    steady[0] = 1.0
    site.door.wake()
    site.door.wake()
    assert woken == ["waits True"]
    site.door.wait(waits, 1.0)
    site.door.leave(waits)
    assert not site.door.woken(judged)


def test_how_many_there_are_is_known(site: Site) -> None:
    made, _ = inside(site)
    assert site.counters.words[word("proxy_active_connections")] == 1
    site.door.leave(made)
    assert site.counters.words[word("proxy_active_connections")] == 0
