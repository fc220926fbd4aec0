import asyncio
import json
import logging
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from enforcer.attempts.spool import Segment, Spool, segments
from enforcer.blocklists import open_policy
from enforcer.config.gateway import FailOpen
from enforcer.counters import Counters, word
from enforcer.folders import Folders
from enforcer.gateway import nft
from enforcer.gateway.ruleset import Settings
from enforcer.orders import Orders
from enforcer.processes.gateway import Rules, dns_of, ports_of, settings_of
from enforcer.processes.worker import Kit
from tests.gateway.namespace import alone
from tests.policy.made import list_text
from tests.processes.site import Site
from tests.records import NOON_MS
from tests.tools import need

LISTENERS = [
    {"name": "dns", "udp": "10.0.0.53:53", "tcp": "10.0.0.53:53"},
    {"name": "dns6", "udp": "[::]:5300", "tcp": "[::]:5300"},
    {"name": "here", "udp": "127.0.0.1:53", "tcp": "127.0.0.1:53"},
]


class Gateway(Site):
    """A site with a gateway."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.ban(list_text(["suffix: chat.test", "cidr: 203.0.113.0/24"]))
        self.resolver["listeners"] = LISTENERS
        realm = {"name": "lab", "networks": ["10.0.0.0/8", "2001:db8::/32"], "listeners": ["here", "dns", "dns6"]}
        self.more = {
            "realms": [realm],
            "gateway": {"enabled": True, "workers": 2},
            "proxy": {"modes": ["transparent@5081"]},
        }

    def put(self, rules: Rules, generation: int = 1) -> Orders:
        orders = Orders(generation, self.compile())
        self.order(orders)
        rules.judge_by(open_policy(self.folders.policy / orders.policy), self.config)
        rules.follow(orders)
        return orders


@pytest.fixture
def gateway(tmp_path: Path) -> Gateway:
    return Gateway(tmp_path)


@pytest.fixture
def kit(gateway: Gateway) -> Iterator[Kit]:
    folders = Folders(gateway.folder / "data")
    folders.run.mkdir(parents=True)
    spool = Spool(folders.spool / "gateway-0", window_ms=60_000, max_bytes=1 << 30, capacity=64, heap=1 << 16)
    counters = Counters(folders.counters / "gateway-0")
    yield Kit("gateway-0", folders, spool, counters.words)
    spool.close()
    counters.close()


def started(gateway: Gateway, kit: Kit) -> Rules:
    rules = Rules(gateway.config, kit)
    rules.bind(asyncio.TaskGroup())
    gateway.put(rules)
    rules.tick(NOON_MS)
    asyncio.run(rules.listen(asyncio.TaskGroup()))
    return rules


def reject(packets: int, target: str = "203.0.113.5") -> None:
    """As if the kernel had rejected so many."""
    nft.load(
        f'add element inet enforcer drops_address4 {{ "lan" . 10.0.0.7 . {target} . tcp . 443 counter packets {packets}'
        " bytes 1 }\n"
    )


def counted(kit: Kit) -> list[int]:
    found = []
    for _, path in segments(kit.spool.folder):
        reader = Segment(path)
        found += [reader.count(index) for index in range(reader.used)]
        reader.close()
    return found


def test_dns_goes_to_the_first_listener_that_can_be_reached(gateway: Gateway) -> None:
    config = gateway.config
    found = dns_of(config, config.realms[0])
    assert {version: (str(address), port) for version, (address, port) in found.items()} == {
        4: ("10.0.0.53", 53),
        6: ("None", 5300),
    }


def settings(gateway: Gateway, **changes: object) -> Settings:
    gateway.more = {**gateway.more, "gateway": {"enabled": True, **changes}}
    return settings_of(gateway.config)


def test_settings_follow_the_configuration(gateway: Gateway) -> None:
    found = settings(gateway, connections="proxy", queue=60, workers=3, fail_open=["gate"], drops_max=100)
    assert (found.gate, found.proxied, found.queues, found.bypass, found.drops_max) == (
        False,
        (80, 443, 8080),
        (60, 3),
        True,
        100,
    )
    assert settings(gateway).proxied == (80, 8080)


def test_dns_may_go_to_the_first_plain_upstream_of_each_version(gateway: Gateway) -> None:
    gateway.resolver["upstreams"] = [
        "tls://192.0.2.1#dns.example",
        "udp://127.0.0.2",
        "udp://192.0.2.2:5353",
        "udp://192.0.2.3",
        "udp://192.0.2.4",
        "udp://[2001:db8::3]",
    ]
    relief = settings(gateway, fail_open=["dns"]).relief
    assert {version: str(address) for version, address in relief.items()} == {4: "192.0.2.3", 6: "2001:db8::3"}
    assert settings(gateway, fail_open=["proxy", "gate"]).relief == {}


def test_the_ports_of_a_part() -> None:
    made = Settings((), proxied=(80, 8080))
    found = [ports_of(parts, made) for parts in ({"dns"}, {"proxy"}, {"gate"}, {"dns", "proxy"}, ())]
    assert found == [{53}, {80, 8080}, set(), {53, 80, 8080}, set()]


def test_a_dead_resolver_is_opened_where_that_is_said_and_closed_when_it_lives(
    gateway: Gateway, kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    """Heartbeats are those of the file that a resolver process would write."""
    resolver = Counters(kit.folders.counters / "dns-0")

    def opened() -> tuple[list[int], int]:
        return nft.opened(), kit.words[word("gateway_open", "dns")]

    def play() -> None:
        rules = started(gateway, kit)
        rules._after_s = 0.0  # it has given no sign of life since this moment: as if that were long ago
        rules.tick(NOON_MS)
        assert opened() == ([], 0)
        rules._named = (FailOpen.DNS,)
        rules.tick(NOON_MS)
        assert opened() == ([53], 1)
        assert caplog.text.count("fail_open event=opened part=dns") == 1
        rules._after_s = 60.0
        resolver.words[word("worker_heartbeat_milliseconds")] = NOON_MS
        rules.tick(NOON_MS)
        assert opened() == ([], 0)
        assert caplog.text.count("fail_open event=closed part=dns") == 1
        rules._after_s = 0.0
        rules.tick(NOON_MS)
        nft.remove()  # by somebody else
        rules.tick(NOON_MS)
        rules.tick(NOON_MS)
        assert opened() == ([53], 1)
        asyncio.run(rules.drain())
        assert opened() == ([], 0)

    alone(play)
    resolver.close()


def test_the_rules_follow_the_policy(gateway: Gateway, kit: Kit) -> None:
    def play() -> None:
        rules = started(gateway, kit)
        made = nft.identity()
        assert "203.0.113.0/24" in nft.shown()
        gateway.ban(list_text(["cidr: 198.51.100.0/24"]))
        gateway.put(rules, 2)
        assert "198.51.100.0/24" in nft.shown()
        assert "203.0.113.0/24" not in nft.shown()
        gateway.more = {**gateway.more, "gateway": {"enabled": True, "proxied": [80]}}
        gateway.put(rules, 3)
        assert nft.identity() == made
        rules.close()
        assert nft.identity() == made  # without the process, the rules stay

    alone(play)


def test_rules_that_somebody_removed_are_put_back(gateway: Gateway, kit: Kit, caplog: pytest.LogCaptureFixture) -> None:
    def play() -> None:
        rules = started(gateway, kit)
        nft.remove()
        for _ in range(10):
            rules.tick(NOON_MS)
        assert nft.identity()
        assert "event=gone" in caplog.text

    alone(play)


def test_rules_that_cannot_be_applied_are_said_once_and_tried_again(
    gateway: Gateway, kit: Kit, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)

    def play() -> None:
        rules = started(gateway, kit)
        subprocess.run([need("nft"), "delete table inet enforcer"], check=True)
        gateway.ban(list_text(["cidr: 198.51.100.0/24"]))
        gateway.put(rules, 2)  # a change of sets that are not there
        assert caplog.text.count("event=refused") == 1
        rules.tick(NOON_MS)
        assert "198.51.100.0/24" in nft.shown()

    alone(play)


def test_drops_become_attempts_and_a_process_that_is_replaced_counts_on(gateway: Gateway, kit: Kit) -> None:
    def play() -> None:
        rules = started(gateway, kit)
        reject(5)
        rules._rejections.taken.counters["counted"] = -5
        rules.tick(NOON_MS)
        assert counted(kit) == [5]
        again = Rules(gateway.config, kit)
        again.bind(asyncio.TaskGroup())
        gateway.put(again)
        again._rejections.taken.counters["counted"] = -5
        again.tick(NOON_MS)
        assert sum(counted(kit)) == 5
        assert json.loads(kit.folders.drops.read_text())["totals"] == [["chat", "ip", 5]]

    alone(play)


def test_what_no_attempt_tells_of_is_counted_by_reason(gateway: Gateway, kit: Kit) -> None:
    def play() -> None:
        rules = started(gateway, kit)
        taken = rules._rejections.taken
        taken.counters |= {"unsteered": -2, "unjudged": -3, "predating": -4, "overflow": -5, "counted": -5}
        rules.tick(NOON_MS)
        words = kit.words
        found = [words[word("gateway_rejected", name)] for name in ("unsteered", "unjudged", "predating")]
        assert found == [2, 3, 4]
        assert words[word("attempts_dropped", "untold")] == 5
        asyncio.run(rules.drain())
        assert words[word("attempts_dropped", "untold")] == 5

    alone(play)
