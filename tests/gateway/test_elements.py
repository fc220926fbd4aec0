from datetime import UTC, datetime, timedelta
from ipaddress import ip_address

from enforcer.gateway import marks
from enforcer.gateway.elements import Elements, elements
from enforcer.gateway.ruleset import Settings, names_of_sets
from enforcer.orders import Grant, Orders, Pause
from enforcer.policy.compiled import PolicySettings, compile_policy
from enforcer.policy.judge import Policy
from enforcer.policy.lists import read_list
from tests.gateway.test_ruleset import BANNING, KERNEL, LIST, NOW, RULE, SETTINGS, policy


def of(
    found: Policy = BANNING, settings: Settings = SETTINGS, orders: Orders | None = None, now: datetime = NOW
) -> Elements:
    return elements(settings, KERNEL, found, orders or Orders(1, ""), now)


def test_networks_do_not_overlap_in_a_set_and_nat64_shows_them_as_well() -> None:
    found = of()
    assert set(found["banned4"]) == {"203.0.113.0/24"}
    assert set(found["banned6"]) == {"64:ff9b::cb00:7100/120"}


def test_rules_with_ports_are_for_those_alone() -> None:
    found = of(policy("cidr: 203.0.113.0/24, ports: [tcp/443, udp/443]", 'cidr: "::/0", ports: [tcp/853]'))
    assert set(found["ports4"]) == {"203.0.113.0/24 . tcp . 443", "203.0.113.0/24 . udp . 443"}
    everywhere = "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff . tcp . 853"
    assert everywhere in found["ports6"]
    assert not found["banned4"]


def test_our_upstreams_are_no_bypass_but_may_be_banned_for_something_else() -> None:
    bypass = policy("cidr: 9.9.9.0/30", service="bypass", upstreams=("9.9.9.1", "2001:db8::1"))
    assert set(of(bypass)["banned4"]) == {"9.9.9.0/32", "9.9.9.2/31"}
    assert set(of(policy("cidr: 9.9.9.0/30", upstreams=("9.9.9.1",)))["banned4"]) == {"9.9.9.0/30"}


def test_what_expired_or_is_only_watched_is_not_rejected() -> None:
    found = policy("cidr: 203.0.113.0/24, expires: 2026-12-01")
    assert of(found)["banned4"]
    assert not of(found, now=datetime(2026, 12, 1, tzinfo=UTC))["banned4"]
    text = LIST.format(service="chat").replace("ban: b", "mode: monitor") + RULE % "cidr: 203.0.113.0/24"
    watched = Policy.load(compile_policy([read_list(text, "chat.yaml", NOW.date())], [], PolicySettings()))
    assert not of(watched)["banned4"]


def test_mmtls_is_looked_for_while_a_rule_bans_it() -> None:
    assert "0x19f104" in of()["mmtls"]
    assert not of(policy("cidr: 203.0.113.0/24"))["mmtls"]


def test_every_client_is_steered_and_a_watched_realm_is_left_to_the_gate() -> None:
    found = of()
    assert set(found["clients4"]) == {"192.0.2.0/24", "198.18.0.0/16"}
    assert set(found["clients6"]) == {"2001:db8:20::/48"}
    assert set(found["observed4"]) == {"198.18.0.0/16"}
    assert set(found["realm0_4"]) == {"192.0.2.0/24"}
    assert set(found["proxied"]) == {"80", "8080"}
    assert set(found["interfaces"]) == {'"lan0"'}


def test_pauses_and_grants_end_by_themselves() -> None:
    soon, past = NOW + timedelta(seconds=50), NOW - timedelta(seconds=1)
    orders = Orders(
        1,
        "",
        (Pause("office", soon), Pause("watched", soon)),
        (
            Grant("office", ip_address("192.0.2.7"), ("chat",), soon),
            Grant("office", ip_address("192.0.2.8"), ("chat",), past),
            Grant("office", ip_address("2001:db8:20::7"), ("chat",), soon),
            Grant("office", ip_address("2001:db8:20::"), ("chat",), soon, 64),
            Grant("office", ip_address("192.0.2.9"), (), soon, observed=True),
        ),
    )
    found = of(orders=orders)
    assert found["paused4"] == {"192.0.2.0/24": soon, "198.18.0.0/16": soon}
    assert found["exempt4"] == {"192.0.2.7": soon, "192.0.2.9": soon}
    assert found["exempt6"] == {"2001:db8:20::/64": soon}


def test_learned_addresses_end_by_themselves() -> None:
    soon = NOW + timedelta(seconds=50)
    learned = {ip_address("203.0.113.9"): soon, ip_address("2001:db8::9"): soon, ip_address("203.0.113.8"): NOW}
    found = elements(SETTINGS, KERNEL, BANNING, Orders(1, ""), NOW, learned=learned)
    assert (found["learned4"], found["learned6"]) == ({"203.0.113.9": soon}, {"2001:db8::9": soon})


def test_another_generation_is_another_mark() -> None:
    one, two = (of(orders=Orders(generation, ""))["current"] for generation in (1, 2))
    assert one != two
    [mark] = (int(text, 16) for text in one)
    assert KERNEL.order.number(mark) == marks.current(marks.generation_of(1))


def test_all_sets_are_filled_and_declared() -> None:
    assert set(of()) == set(names_of_sets(SETTINGS))
