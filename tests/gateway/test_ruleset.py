import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.gateway import marks
from enforcer.gateway.nft import plan
from enforcer.gateway.ruleset import Elements, Kernel, Settings, SteeredRealm, _through, elements, names_of_sets, table
from enforcer.orders import Grant, Orders, Pause
from enforcer.policy.compiled import PolicySettings, compile_policy
from enforcer.policy.judge import Policy
from enforcer.policy.lists import read_list
from enforcer.policy.rules import Mode
from tests.tools import need, need_namespaces

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
KERNEL = Kernel(queue=True, order=marks.Order())
OFFICE = SteeredRealm(
    "office",
    (ip_network("192.0.2.0/24"), ip_network("2001:db8:20::/48")),
    Mode.ENFORCE,
    {4: (ip_address("192.0.2.53"), 53), 6: (None, 5300)},
)
WATCHED = SteeredRealm("watched", (ip_network("198.18.0.0/16"),), Mode.MONITOR, {})
SETTINGS = Settings((OFFICE, WATCHED), interfaces=("lan0",))

LIST = """\
service: {service}
ban: b
title: {{en: T, fr: T}}
vendor: V
version: 2026.11.1
sources: {{S: s}}
rules:
"""
RULE = "  - {%s, part: p, evidence: app, confidence: single, source: S, seen: 2026}\n"


def policy(*rules: str, service: str = "chat", upstreams: tuple[str, ...] = ()) -> Policy:
    text = LIST.format(service=service) + "".join(RULE % rule for rule in rules)
    lists = [read_list(text, f"{service}.yaml", NOW.date())]
    return Policy.load(compile_policy(lists, [], PolicySettings(upstreams=upstreams)))


BANNING = policy("cidr: 203.0.113.0/25", "cidr: 203.0.113.128/25", "cidr: 203.0.113.7/32", "fingerprint: mmtls")


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
    assert set(of()) == set(names_of_sets(SETTINGS)) - {"drops"}


@given(st.sampled_from([32, 40, 48, 56, 64, 96]), st.integers(0, 2**32 - 1), st.integers(8, 32))
def test_networks_behind_nat64_hold_what_the_policy_takes_out_of_them(length: int, number: int, bits: int) -> None:
    nat64 = IPv6Network((int(ip_address("2001:db8:122::")) >> (128 - length) << (128 - length), length))
    network = ip_network((number >> (32 - bits) << (32 - bits), bits))
    through = _through(nat64, network)
    found = policy("cidr: 203.0.113.0/24")
    settings = PolicySettings(nat64=(nat64,))
    object.__setattr__(found, "settings", settings)
    assert found._plain(through[0]) == network[0]


def nft(text: str) -> None:
    """Whether nft and the kernel would take it, in a namespace of its own."""
    done = subprocess.run(
        [need("unshare"), "--net", need("nft"), "-c", "-f", "-"],
        input=text,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("order", [marks.Order(), marks.Order(turned=True)], ids=["packet's order", "machine's order"])
@pytest.mark.parametrize(
    "settings",
    [SETTINGS, Settings((OFFICE,), gate=False, proxied=(80, 443)), Settings((OFFICE,), proxied=(), bypass=True)],
    ids=["gate", "proxy", "open"],
)
def test_nft_takes_it(settings: Settings, order: marks.Order) -> None:
    need_namespaces()
    soon = NOW + timedelta(minutes=5)
    grants = (Grant("office", ip_address("192.0.2.7"), ("chat",), soon),)
    kernel = Kernel(queue=False, order=order)
    wanted = elements(settings, kernel, BANNING, Orders(3, "", (Pause("office", soon),), grants), NOW)
    nft(plan(settings, kernel, wanted, NOW))


def rules(text: str, chain: str) -> list[str]:
    body = text.partition(f"\tchain {chain} {{\n")[2].partition("\n\t}")[0]
    return [line.strip() for line in body.splitlines()]


def test_dns_goes_to_the_listener_of_its_realm_and_what_does_not_is_rejected() -> None:
    text = table(SETTINGS, KERNEL)
    steered = [rule for rule in rules(text, "steer_client") if "dport 53" in rule]
    assert [rule.partition("dport 53 ")[2] for rule in steered] == ["dnat ip to 192.0.2.53:53", "redirect to :5300"]
    assert "meta l4proto { tcp, udp } th dport 53 goto unsteered" in rules(text, "client")


def test_after_each_thing_that_is_steered_comes_a_rejection() -> None:
    client = rules(table(SETTINGS, KERNEL), "client")
    assert "tcp dport @proxied goto unsteered" in client
    first_passing = client.index("ip saddr @observed4 goto spared")
    assert all(client.index(each) < first_passing for each in client if each.endswith("goto unsteered"))
    assert rules(table(SETTINGS, KERNEL), "settle")[-1] == "counter name unjudged drop"


def test_failing_open_is_said() -> None:
    closed, opened = (table(Settings((OFFICE,), bypass=bypass), KERNEL) for bypass in (False, True))
    assert "queue to 53" in rules(closed, "ask")
    assert "queue flags bypass to 53" in rules(opened, "ask")
    assert "counter name unjudged drop" not in rules(opened, "settle")


def test_several_queues() -> None:
    assert "queue to 53-54" in rules(table(Settings((OFFICE,), queues=(53, 2)), KERNEL), "ask")


def test_without_the_gate_quic_is_rejected_and_only_first_data_is_looked_at() -> None:
    text = table(Settings((OFFICE,), gate=False), KERNEL)
    assert "udp dport 443 goto rejected" in rules(text, "client")
    assert "queue" not in text
    assert rules(text, "ask") == [f"ct mark set 0x{KERNEL.order.number(marks.ALLOWED):08x} accept"]


def test_nothing_comes_to_a_table_without_hooks() -> None:
    text = table(SETTINGS, KERNEL, "other", hooks=False)
    assert "hook" not in text
    assert text.startswith("table inet other {")
