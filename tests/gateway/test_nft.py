import subprocess
from collections.abc import Callable
from datetime import timedelta
from ipaddress import ip_address

import pytest

from enforcer.errors import Unavailable
from enforcer.gateway import nft
from enforcer.gateway.elements import Elements, elements
from enforcer.gateway.marks import Order
from enforcer.gateway.nft import Dropped
from enforcer.gateway.ruleset import Kernel, Settings
from enforcer.orders import Grant, Orders, Pause
from tests.gateway.namespace import alone
from tests.gateway.test_ruleset import BANNING, NOW, OFFICE, SETTINGS, policy
from tests.tools import need

SOON = NOW + timedelta(minutes=5)
PAUSED = Orders(2, "", (Pause("office", SOON),), (Grant("office", ip_address("192.0.2.7"), ("chat",), SOON),))


def wanted(kernel: Kernel, orders: Orders | None = None, settings: Settings = SETTINGS) -> Elements:
    return elements(settings, kernel, BANNING, orders or Orders(1, ""), NOW)


def ours_and_others() -> str:
    return subprocess.run([need("nft"), "list", "ruleset"], capture_output=True, text=True, check=True).stdout


def put(orders: Orders | None = None, settings: Settings = SETTINGS) -> tuple[Kernel, Elements]:
    kernel = nft.probe()
    found = wanted(kernel, orders, settings)
    nft.apply(settings, kernel, found, NOW)
    return kernel, found


def scene(play: Callable[[], None]) -> None:
    alone(play)


def test_the_rules_go_in_are_what_the_policy_wants_and_come_out_without_a_trace() -> None:
    def play() -> None:
        subprocess.run([need("nft"), "add table inet theirs; add chain inet theirs c"], check=True)
        for iptables in (need("iptables"), need("ip6tables")):  # else its first use leaves an empty table behind
            subprocess.run([iptables, "-t", "mangle", "-A", "FORWARD", "-j", "ACCEPT"], check=True)
        before = ours_and_others()
        kernel, found = put()
        assert nft.differences(SETTINGS, kernel, found, NOW) == []
        assert "chain steer" in nft.shown()
        nft.apply(SETTINGS, kernel, found, NOW)  # again, over itself
        assert nft.differences(SETTINGS, kernel, found, NOW) == []
        nft.remove()
        assert ours_and_others() == before
        assert nft.shown() == ""
        nft.remove()

    scene(play)


def test_a_reload_changes_sets_and_no_chain() -> None:
    def play() -> None:
        kernel, before = put()
        made, rules = nft.identity(), nft.shown().count("goto")
        after = wanted(kernel, PAUSED)
        text = nft.change(before, after, NOW)
        assert "chain" not in text
        nft.load(text)
        assert nft.differences(SETTINGS, kernel, after, NOW) == []
        nft.load(nft.change(after, before, NOW))
        assert nft.differences(SETTINGS, kernel, before, NOW) == []
        assert (nft.identity(), nft.shown().count("goto")) == (made, rules)

    scene(play)


def test_no_change_is_no_text() -> None:
    kernel = Kernel(queue=True, order=Order())
    found = wanted(kernel, PAUSED)
    assert nft.change(found, found, NOW) == ""


def test_what_somebody_else_changed_is_said() -> None:
    def play() -> None:
        kernel, found = put()
        for command in (
            "delete element inet enforcer banned4 { 203.0.113.0/24 }",
            "add element inet enforcer exempt4 { 192.0.2.99 }",
            "flush chain inet enforcer unsteered",
            "add chain inet enforcer more; add rule inet enforcer more accept",
        ):
            subprocess.run([need("nft"), command], check=True)
        if not kernel.queue:
            subprocess.run([need("iptables"), "-t", "mangle", "-F", "ENFORCER"], check=True)
        said = nft.differences(SETTINGS, kernel, found, NOW)
        assert 'set banned4 lacks 1: {"prefix": {"addr": "203.0.113.0", "len": 24}}' in said
        assert 'set exempt4 has besides 1: "192.0.2.99"' in said
        assert "chain unsteered has other rules" in said
        assert "chain more is not ours to have" in said
        assert kernel.queue or sum(line.startswith("iptables-restore: rule is missing") for line in said) == 2
        nft.remove()
        assert nft.differences(SETTINGS, kernel, found, NOW) == ["table inet enforcer is not there"]

    scene(play)


def test_what_was_learned_is_no_difference() -> None:
    def play() -> None:
        kernel, found = put()
        nft.load("add element inet enforcer learned4 { 203.0.113.9 timeout 60s }\n")
        assert nft.differences(SETTINGS, kernel, found, NOW) == []

    scene(play)


def test_another_release_of_the_table_is_replaced() -> None:
    def play() -> None:
        nft.load("table inet enforcer { set current { type ipv4_addr; }; chain made_old { }; }\n")
        kernel, found = put()
        assert nft.differences(SETTINGS, kernel, found, NOW) == []
        assert nft.identity() not in {"", "made_old"}

    scene(play)


def test_a_ruleset_that_nft_refuses_changes_nothing() -> None:
    def play() -> None:
        kernel, found = put()
        with pytest.raises(Unavailable, match="nft -f -: "):
            nft.load("add element inet enforcer banned4 { 10.0.0.1 }\nadd element inet enforcer nothing { 1 }\n")
        with pytest.raises(Unavailable):
            nft.check("table inet enforcer {")
        assert nft.differences(SETTINGS, kernel, found, NOW) == []

    scene(play)


def test_drops_and_counters_are_read_back() -> None:
    def play() -> None:
        put()
        nft.load(
            'add element inet enforcer drops_address4 { "lan0" . 192.0.2.7 . 203.0.113.5 . tcp . 443 counter packets 5 '
            'bytes 300, "lan0" . 192.0.2.7 . 203.0.113.5 . icmp . 0 counter packets 2 bytes 100 }\n'
        )
        found = {(each.protocol, each.port, each.packets) for each in nft.drops("address4")}
        assert found == {("tcp", 443, 5), ("icmp", 0, 2)}
        [one] = [each for each in nft.drops("address4") if each.protocol == "tcp"]
        assert (one.interface, one.source, one.target) == ("lan0", "192.0.2.7", "203.0.113.5")
        assert 3590 <= one.expires_s <= 3600
        assert isinstance(one, Dropped)
        assert nft.counters() == dict.fromkeys(("counted", "overflow", "unsteered", "unjudged", "predating"), 0)

    scene(play)


def test_applying_again_keeps_what_was_counted() -> None:
    def play() -> None:
        put()
        made = nft.identity()
        nft.load(
            'add element inet enforcer drops_address4 { "lan0" . 192.0.2.7 . 203.0.113.5 . tcp . 443 counter packets 5 '
            "bytes 300 }\n"
        )
        put(PAUSED, Settings((OFFICE,), proxied=(80,)))
        assert [each.packets for each in nft.drops("address4")] == [5]
        assert nft.identity() == made

    scene(play)


def test_without_our_table_there_is_nothing_to_read() -> None:
    def play() -> None:
        assert (nft.identity(), nft.counters(), nft.drops("address4"), nft.shown()) == ("", {}, [], "")

    scene(play)


def test_a_thousand_networks_are_applied_and_changed() -> None:
    def play() -> None:
        rules = [f"cidr: 10.{number // 256}.{number % 256}.0/25" for number in range(1000)]
        kernel = nft.probe()
        few, many = (elements(SETTINGS, kernel, policy(*each), Orders(1, ""), NOW) for each in (rules[:10], rules))
        nft.apply(SETTINGS, kernel, few, NOW)
        nft.load(nft.change(few, many, NOW))
        assert nft.differences(SETTINGS, kernel, many, NOW) == []

    scene(play)


def test_several_gates_and_failing_open_with_iptables() -> None:
    settings = Settings((OFFICE,), queues=(60, 2), bypass=True)
    for command, text in nft.xtables(settings, Kernel(queue=False, order=Order())):
        assert command in {"iptables-restore", "ip6tables-restore"}
        assert text.count("--queue-balance 60:61 --queue-bypass") == 2
    assert list(nft.xtables(settings, Kernel(queue=True, order=Order()))) == []


def test_a_tool_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.gateway.nft._path", lambda command: None)
    with pytest.raises(Unavailable, match="nft is not installed"):
        nft.probe()
