import asyncio
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from prometheus_client import Metric

from enforcer.decide.dns import Manners, begin
from enforcer.hub import probes
from enforcer.hub.asking import Door
from enforcer.hub.probes import Probes, names_of
from enforcer.orders import Orders, encode_orders
from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.policy.verdict import Client
from enforcer.processes.policy import compile_config
from enforcer.wire import dns, dnswrite
from tests.hub.desk import Desk
from tests.policy.made import NOW, a_list, a_policy
from tests.records import NOON_MS

MANNERS = Manners(block_ttl=60, ede_code=15, ede_text="", mname=b"\0", rname=b"\0")
BANS = a_policy(a_list("suffix: chat.test"))
NOTHING = a_policy(a_list("suffix: other.test"))


class Site:
    """A hub with a policy in force, and a resolver that answers the probe as `policy` has it."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.desk = Desk(folder)
        self.folders = self.desk.folders
        config = self.desk.config.model_copy(update={"data_dir": self.folders.data})
        compiled = compile_config(folder / "enforcer.yaml", config, NOW)
        self.folders.run.mkdir(parents=True, exist_ok=True)
        self.folders.orders.write_bytes(encode_orders(Orders(1, compiled.sha256)))
        self.policy: Policy | None = BANS
        monkeypatch.setattr(probes, "ask", self.ask)
        self.part = Probes(self.desk.means)

    async def ask(self, door: Door, query: bytes) -> bytes:
        if self.policy is None:
            raise ConnectionRefusedError
        asked = dns.read_query(query)
        reply = begin(asked, Client("lab"), self.policy, NOW, MANNERS)
        return getattr(reply, "wire", None) or dnswrite.error(query, 0)

    def probe(self) -> dict[str, dict[tuple[str, ...], float]]:
        asyncio.run(self.part.probe())
        return values(self.part.metrics())


def values(families: object) -> dict[str, dict[tuple[str, ...], float]]:
    assert isinstance(families, tuple)
    found: list[Metric] = list(families)
    return {family.name: {tuple(sample.labels.values()): sample.value for sample in family.samples} for family in found}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    return Site(tmp_path, monkeypatch)


SUCCESS, LAST = "enforcer_probe_success", "enforcer_probe_last_success_timestamp_seconds"
BOTH = [("udp", "chat"), ("tcp", "chat")]


def test_every_series_is_there_before_the_first_probe(site: Site) -> None:
    found = values(site.part.metrics())
    assert found == {SUCCESS: dict.fromkeys(BOTH, 0), LAST: dict.fromkeys(BOTH, NOON_MS / 1000)}
    assert list(site.part.problems()) == []


def test_a_banned_name_that_is_refused_is_a_success_with_its_time(site: Site) -> None:
    site.desk.now_ms += 60_000
    assert site.probe() == {
        SUCCESS: dict.fromkeys(BOTH, 1),
        LAST: dict.fromkeys(BOTH, NOON_MS / 1000 + 60),
    }


@pytest.mark.parametrize("policy", [NOTHING, None])
def test_one_that_is_answered_or_not_at_all_is_none_and_the_time_stays(site: Site, policy: Policy | None) -> None:
    site.probe()
    site.desk.now_ms += 60_000
    site.policy = policy
    assert site.probe() == {SUCCESS: dict.fromkeys(BOTH, 0), LAST: dict.fromkeys(BOTH, NOON_MS / 1000)}
    assert list(site.part.problems()) == ["chat is not refused over tcp", "chat is not refused over udp"]
    site.policy = BANS
    site.probe()
    assert list(site.part.problems()) == []


def test_workers_that_do_not_answer_yet_are_no_problem_right_after_the_start(site: Site) -> None:
    site.policy = None
    site.desk.now_ms += 29_000
    assert site.probe()[SUCCESS] == dict.fromkeys(BOTH, 0)
    assert list(site.part.problems()) == []
    site.desk.now_ms += 1000
    site.probe()
    assert list(site.part.problems()) == ["chat is not refused over tcp", "chat is not refused over udp"]


def test_another_code_than_ours_is_no_success(site: Site) -> None:
    config = site.desk.config
    ede = config.resolver.ede.model_copy(update={"code": 17})
    site.part.follow(config.model_copy(update={"resolver": config.resolver.model_copy(update={"ede": ede})}))
    assert set(site.probe()[SUCCESS].values()) == {0}


def test_without_an_interval_there_is_nothing_to_see(site: Site) -> None:
    config = site.desk.config
    metrics = config.metrics.model_copy(update={"probe_s": 0})
    site.part.follow(config.model_copy(update={"metrics": metrics}))
    assert values(site.part.metrics()) == {SUCCESS: {}, LAST: {}}


@pytest.mark.parametrize("spoil", [Path.unlink, lambda path: path.write_bytes(b"{}")])
def test_without_orders_there_is_nothing_to_ask_yet(site: Site, spoil: Callable[[Path], object]) -> None:
    spoil(site.folders.orders)
    assert site.probe() == {SUCCESS: {}, LAST: {}}


def test_it_asks_again_and_again_until_it_is_cancelled(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probes, "FIRST_S", 0)
    asked: list[bytes] = []

    async def run() -> None:
        enough = asyncio.Event()

        async def counted(door: Door, query: bytes) -> bytes:
            asked.append(query)
            if len(asked) == 3 * len(BOTH):
                enough.set()
            return await site.ask(door, query)

        monkeypatch.setattr(probes, "ask", counted)
        config = site.desk.config
        site.part.follow(config.model_copy(update={"metrics": config.metrics.model_copy(update={"probe_s": 0.001})}))
        task = asyncio.ensure_future(site.part.run())
        await enough.wait()
        task.cancel()

    asyncio.run(run())
    assert values(site.part.metrics())[SUCCESS] == dict.fromkeys(BOTH, 1)


def test_the_name_of_a_service_is_one_that_is_blocked_for_everybody() -> None:
    policy = a_policy(
        a_list("cidr: 192.0.2.0/24", "exact: old.test, expires: 2020-01-01", "suffix: chat.test", "suffix: late.test"),
        a_list("suffix: watched.test", service="watched", more="mode: monitor"),
        a_list("cidr: 198.51.100.0/24", service="numbers"),
        a_list("exact: scan.test", service="scan"),
    )
    assert names_of(policy, NOW) == {"chat": parse("chat.test"), "scan": parse("scan.test")}
    assert names_of(policy, NOW + timedelta(days=1)) == names_of(policy, NOW)
