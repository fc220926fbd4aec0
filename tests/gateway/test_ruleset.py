import subprocess
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

import pytest

from enforcer.gateway import marks
from enforcer.gateway.elements import elements
from enforcer.gateway.nft import plan
from enforcer.gateway.ruleset import Kernel, Settings, SteeredRealm, table
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
RELIEF = {4: ip_address("198.51.100.1"), 6: ip_address("2001:db8:66::1")}
OPENABLE = Settings((OFFICE,), relief=RELIEF, unproxied=True, bypass=True)

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
    [
        SETTINGS,
        Settings((OFFICE,), gate=False, proxied=(80, 443)),
        Settings((OFFICE,), proxied=(), bypass=True),
        OPENABLE,
    ],
    ids=["gate", "proxy", "without a gate", "all may fail open"],
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


def test_nothing_opens_unless_a_part_is_named() -> None:
    assert "@opened" not in table(SETTINGS, KERNEL)
    assert "@opened" not in table(Settings((OFFICE,), bypass=True), KERNEL)


def test_without_a_gate_what_nobody_judges_passes_where_that_is_said_and_is_counted() -> None:
    closed, opened = (table(Settings((OFFICE,), bypass=bypass), KERNEL) for bypass in (False, True))
    assert "queue to 53" in rules(closed, "ask")
    assert "queue flags bypass to 53" in rules(opened, "ask")
    assert rules(opened, "settle")[-1] == "counter name unjudged meta mark set 0 accept"


def test_dns_may_go_to_an_upstream_and_nowhere_else_while_its_port_is_open() -> None:
    text = table(Settings((OFFICE,), relief=RELIEF), KERNEL)
    dns = "meta l4proto { tcp, udp } th dport 53"
    steered, client = rules(text, "steer_client"), rules(text, "client")
    assert steered[2:4] == [
        f"meta nfproto ipv4 {dns} th dport @opened dnat ip to 198.51.100.1:53",
        f"meta nfproto ipv6 {dns} th dport @opened dnat ip6 to [2001:db8:66::1]:53",
    ]
    assert [rule for rule in client if "dport 53" in rule] == [
        f"ip daddr 198.51.100.1 {dns} th dport @opened accept",
        f"ip6 daddr 2001:db8:66::1 {dns} th dport @opened accept",
        f"{dns} goto unsteered",
    ]
    assert "tcp dport @proxied goto unsteered" in client


def test_what_the_proxy_should_get_goes_on_to_everything_else_while_its_port_is_open() -> None:
    text = table(Settings((OFFICE,), unproxied=True), KERNEL)
    assert rules(text, "steer_client")[-1] == "tcp dport @proxied tcp dport != @opened redirect to :5081"
    client = rules(text, "client")
    assert "tcp dport @proxied tcp dport != @opened goto unsteered" in client
    assert client[-1] == "goto look"
    assert not [rule for rule in client if rule.endswith("accept") and "untouched" not in rule]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (Settings((OFFICE,)), "queue num 53"),
        (Settings((OFFICE,), queues=(60, 4), bypass=True), "queue num 60-63 bypass"),
    ],
)
def test_the_queue_of_nft_is_what_nft_reads_even_where_the_kernel_has_none(settings: Settings, said: str) -> None:
    """`nft --debug=netlink` prints what it gives to the kernel, before that refuses."""
    need_namespaces()
    command = [need("unshare"), "--net", need("nft"), "-c", "--debug=netlink", "-f", "-"]
    done = subprocess.run(command, input=table(settings, KERNEL), capture_output=True, text=True, check=False)
    assert f"[ {said} ]" in done.stdout
    complaints = [line for line in done.stderr.splitlines() if "Error" in line]
    assert all("No such file or directory" in line for line in complaints), done.stderr


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
