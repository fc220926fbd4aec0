from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from enforcer.gateway import learn
from enforcer.gateway.learn import AGAIN_S, Learned
from enforcer.policy.names import parse
from tests.gateway.test_first import policy

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NAME = parse("push.chat.test")
ONE, TWO = ip_address("203.0.113.5"), ip_address("2001:db8::5")
DEDICATED = "exact: push.chat.test, dedicated: true"


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def learned(*rules: str) -> Learned:
    found = Learned()
    found.follow(policy(*rules), NOW)
    return found


def test_only_dedicated_names_are_asked_for_and_each_once() -> None:
    found = learned(DEDICATED, "suffix: talk.test", "suffix: other.test, dedicated: true, expires: 2026-11-01")
    assert found.due(NOW) == [NAME]
    assert found.due(NOW) == []
    assert found.due(later(AGAIN_S)) == [NAME]


def test_addresses_are_rejected_while_their_ttl_lasts_and_asked_for_before_it_ends() -> None:
    found = learned(DEDICATED)
    found.due(NOW)
    found.heard(NAME, [ONE, TWO], 600, NOW)
    assert found.current(NOW) == {ONE: later(600), TWO: later(600)}
    assert found.due(later(299)) == []
    assert found.due(later(300)) == [NAME]
    assert found.current(later(600)) == {}
    assert found.rules[ONE].id == "chat/exact/push.chat.test"  # a packet may have met the rule a moment ago


def test_ttls_are_bounded_and_addresses_of_nobody_are_left_out() -> None:
    found = learned(DEDICATED)
    found.heard(NAME, [ip_address(text) for text in ("127.0.0.1", "0.0.0.0", "169.254.1.1", "224.0.0.1")], 600, NOW)
    assert not found.current(NOW)
    found.heard(NAME, [ONE], 1, NOW)
    assert found.current(NOW) == {ONE: later(learn.TTL_MIN_S)}
    found.heard(NAME, [ONE], 10**9, NOW)
    assert found.current(NOW) == {ONE: later(learn.TTL_MAX_S)}


def test_another_policy_forgets_what_its_rules_do_not_lead_to() -> None:
    found = learned(DEDICATED)
    found.heard(NAME, [ONE], 600, NOW)
    found.follow(policy(DEDICATED, "suffix: more.test"), NOW)
    assert found.current(NOW)
    found.follow(policy("suffix: more.test"), NOW)
    assert not found.current(NOW)
    found.heard(NAME, [ONE], 600, NOW)  # an answer that was on its way
    assert not found.current(NOW)


def test_no_more_is_kept_than_fits() -> None:
    found = learned(DEDICATED)
    found.heard(NAME, [ONE + number for number in range(learn.ADDRESSES_MAX + 5)], 600, NOW)
    assert len(found.current(NOW)) == learn.ADDRESSES_MAX
    assert not found.current(later(600))
    found.heard(NAME, [TWO], 600, later(600))
    assert found.current(later(600)) == {TWO: later(1200)}
