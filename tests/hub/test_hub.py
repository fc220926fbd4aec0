"""The hub as a whole, in this process: its files, its socket and its page are real, its policy and clock are not."""

import asyncio
import os
import signal
import socket
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from enforcer.attempts.log import DayLog, days
from enforcer.attempts.spool import Spool
from enforcer.blocklists import SIGNATURE
from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.control import Operation, ask
from enforcer.counters import Counters, word
from enforcer.devices.inventory import Inventory
from enforcer.errors import EnforcerError, Mistake, Mistakes, Unavailable
from enforcer.hub.compiler import Compiled
from enforcer.hub.hub import Hub
from enforcer.hub.loading import Inputs
from enforcer.orders import decode_orders
from enforcer.part import Means, Part
from tests.records import NOON_MS, logged, moment, registry, spooled, whole

CONFIG = """
node: gw
data_dir: data
policy:
  lists: [chat.yaml]
  ban: ban-1
  notice: {{monitoring_notice_acknowledged: true}}
  exemptions:
    - {{device: dev-1, services: [chat], until: 2030-01-01, reason: a test, approved_by: a tester}}
    - {{device: dev-1, services: [chat], until: 2020-01-01, reason: a test, approved_by: a tester}}
realms: [{{name: lab, networks: [192.0.2.0/24], listeners: [dns]}}]
resolver:
  listeners: [{{name: dns, udp: "127.0.0.1:5300", tcp: "127.0.0.1:5300"}}]
  upstreams: ["udp://192.0.2.53"]
metrics: {{listen: "127.0.0.1:{port}"}}
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@dataclass
class Site:
    """A data folder, and what the next start or reload reads."""

    folder: Path
    port: int = field(default_factory=free_port)
    now_ms: int = NOON_MS
    policy: str = "ab" * 32
    rules: int = 3
    wrong: EnforcerError | None = None
    inventory: Inventory = registry(("dev-1", "192.0.2.1")).inventory
    parts: Callable[[Means], Sequence[Part]] = lambda _: ()

    def __post_init__(self) -> None:
        (self.folder / "chat.yaml").touch()
        (self.folder / "enforcer.yaml").write_text(CONFIG.format(port=self.port))
        self.data = self.folder / "data"

    def clock(self) -> datetime:
        return moment(self.now_ms)

    def compile(self, config: Config, at: datetime) -> Compiled:
        if self.wrong is not None:
            raise self.wrong
        return Compiled(self.policy, ("chat",), {("chat", "suffix"): self.rules})

    def hub(self) -> Hub:
        inputs = Inputs(lambda: load(self.folder / "enforcer.yaml"), lambda _: self.inventory, self.compile)
        return Hub(inputs, self.clock, self.parts)

    def run(self, visit: Callable[["Site"], Awaitable[None]]) -> None:
        """Run a hub while a visit lasts, and stop it as a supervisor does."""

        async def both() -> None:
            async with asyncio.TaskGroup() as tasks:
                hub = tasks.create_task(self.hub().run(ready.set))
                await ready.wait()
                try:
                    await visit(self)
                finally:
                    os.kill(os.getpid(), signal.SIGTERM)
                    await hub

        ready = asyncio.Event()
        asyncio.run(both())

    async def ask(self, **request: object) -> Mapping[str, object]:
        return await asyncio.to_thread(ask, self.data / "run" / "control.sock", request)

    async def get(self, path: str) -> str:
        def fetch() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                return cast(bytes, answer.read()).decode()

        return await asyncio.to_thread(fetch)

    async def until(self, true: Callable[[], bool]) -> None:
        """The hub looks ten times a second; wait until it has."""

        async def holds() -> bool:
            return true()

        await self.until_told(holds)

    async def until_told(self, true: Callable[[], Awaitable[bool]]) -> None:
        """Wait until the hub says so."""
        async with asyncio.timeout(10):
            while not await true():  # noqa: ASYNC110 (it is another task that has no event for us)
                await asyncio.sleep(0.02)

    async def shows(self, series: str) -> bool:
        """Whether a series with its value is on the page."""
        return series in (await self.get("/metrics")).splitlines()

    def block(self, times: int, window_ms: int = 60_000) -> None:
        """A worker's whole life."""
        spool = Spool(self.data / "spool" / "dns-0", window_ms=window_ms, max_bytes=1 << 30)
        row = spool.open(spooled(), self.now_ms)
        for _ in range(times - 1):
            spool.repeat(row, self.now_ms)
        spool.close()

    def log(self) -> list[dict[str, object]]:
        return logged(self.data / "log")

    def events(self, event: str) -> list[dict[str, object]]:
        return [line["detail"] for line in self.log() if line.get("event") == event]  # type: ignore[misc]

    def orders(self) -> dict[str, object]:
        orders = decode_orders((self.data / "run" / "orders").read_bytes())
        return {name: getattr(orders, name) for name in ("generation", "policy", "pauses", "grants")}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


async def nothing(site: Site) -> None:
    """A hub that only starts and stops."""


def test_starting_and_stopping_are_recorded(site: Site) -> None:
    site.run(nothing)
    site.policy = "cd" * 32
    site.run(nothing)
    assert [line.get("event", line["type"]) for line in site.log()] == [
        *("start", "configuration", "stop", "checkpoint"),
        *("start", "configuration", "stop", "checkpoint"),
    ]
    assert [detail["unsigned"] for detail in site.events("start")] == [0, 0]
    assert {detail["key"] for detail in site.events("start")} == set(whole(site.data / "log").keys)
    assert [detail["ruleset"] for detail in site.events("start")] == ["ab" * 6, "cd" * 6]
    assert [detail["old"] for detail in site.events("start")] == ["", "ab" * 6]
    assert site.log()[-1]["closes"] == "stop"


def test_a_block_is_logged_indexed_and_counted_also_by_the_next_hub(site: Site) -> None:
    counted = 'enforcer_attempts_total{action="blocked",layer="dns",service="chat"}'

    async def first(site: Site) -> None:
        site.block(42)
        await site.until(lambda: len(site.log()) == 4)
        assert f"{counted} 42.0" in await site.get("/metrics")
        assert await site.get("/healthz") == "ok\n"

    async def second(site: Site) -> None:
        site.now_ms += 120_000
        site.block(8)
        await site.until(lambda: sum(line["type"] == "attempt" for line in site.log()) == 4)
        page = await site.get("/metrics")
        assert f"{counted} 50.0" in page
        assert 'enforcer_attempts_identified_total{source="network"} 50.0' in page

    site.run(first)
    site.run(second)
    assert [line["count"] for line in site.log() if line["type"] == "attempt"] == [1, 41, 1, 7]
    assert {line["device"] for line in site.log() if line["type"] == "attempt"} == {"dev-1"}


def test_what_was_cut_off_is_recorded(site: Site) -> None:
    site.run(nothing)
    path = days(site.data / "log")[0]
    path.write_bytes(path.read_bytes() + b'{"v":1')
    site.run(nothing)
    assert site.events("recovered") == [{"octets": 6}]


def test_a_reload_puts_the_new_policy_in_force(site: Site) -> None:
    async def visit(site: Site) -> None:
        assert site.orders()["generation"] == 1
        site.policy = "cd" * 32
        answer = await site.ask(op="reload", who="tester")
        assert answer == {"old": "ab" * 6, "ruleset": "cd" * 6, "followed": True, "restart": []}
        assert (site.orders()["generation"], site.orders()["policy"]) == (2, "cd" * 32)
        answer = await site.ask(op="reload")
        assert answer["ruleset"] == "cd" * 6
        assert site.orders()["generation"] == 2, "nothing has changed"

    site.run(visit)
    assert site.events("reload")[0] == {"old": "ab" * 6, "new": "cd" * 6, "who": "tester"}
    assert len(site.events("configuration")) == 1


def test_a_reload_gives_what_follows_to_the_new_owner(site: Site) -> None:
    async def visit(site: Site) -> None:
        site.block(1)
        await site.until(lambda: len(site.log()) == 3)
        site.inventory = registry(("dev-2", "192.0.2.1")).inventory
        await site.ask(op="reload")
        site.now_ms += 120_000
        site.block(1)
        await site.until(lambda: sum(line["type"] == "attempt" for line in site.log()) == 2)

    site.run(visit)
    assert [line["device"] for line in site.log() if line["type"] == "attempt"] == ["dev-1", "dev-2"]


def test_a_reload_says_what_needs_a_restart_and_records_the_configuration(site: Site) -> None:
    async def visit(site: Site) -> None:
        (site.folder / "enforcer.yaml").write_text(CONFIG.format(port=site.port).replace("node: gw", "node: gw2"))
        assert (await site.ask(op="reload"))["restart"] == ["node"]

    site.run(visit)
    assert len(site.events("configuration")) == 2
    assert {line["node"] for line in site.log()} == {"gw"}


def test_a_policy_with_mistakes_is_refused_and_the_old_one_stays(site: Site) -> None:
    async def visit(site: Site) -> None:
        site.wrong = Mistakes([Mistake("chat.yaml", 3, "this is wrong")])
        with pytest.raises(EnforcerError, match=r"chat\.yaml:3: this is wrong"):
            await site.ask(op="reload")
        assert site.orders()["policy"] == "ab" * 32
        status = await site.ask(op="status")
        assert status["problems"] == ["the last reload was refused: chat.yaml:3: this is wrong"]
        assert status["ruleset"] == "ab" * 6
        page = await site.get("/metrics")
        assert 'enforcer_policy_loads_total{result="invalid"} 1.0' in page
        site.wrong = None
        await site.ask(op="reload")
        assert (await site.ask(op="status"))["problems"] == []

    site.run(visit)
    assert len(site.events("reload")) == 1


def test_a_list_that_nobody_answers_for_is_counted_by_itself(site: Site) -> None:
    async def visit(site: Site) -> None:
        site.wrong = Mistakes([Mistake("chat.yaml", None, f"{SIGNATURE}there is no chat.yaml.minisig")])
        with pytest.raises(EnforcerError, match=r"there is no chat\.yaml\.minisig"):
            await site.ask(op="reload")
        assert 'enforcer_policy_loads_total{result="bad_signature"} 1.0' in await site.get("/metrics")

    site.run(visit)


def test_a_list_that_was_cut_off_is_refused_until_somebody_says_that_it_is_meant(site: Site) -> None:
    async def visit(site: Site) -> None:
        site.policy, site.rules = "cd" * 32, 499
        with pytest.raises(EnforcerError, match=r"499 rules instead of 1000.*write policy\.max_shrink: 1"):
            await site.ask(op="reload")
        assert site.orders()["policy"] == "ab" * 32
        assert 'enforcer_policy_loads_total{result="shrunk"} 1.0' in await site.get("/metrics")
        path = site.folder / "enforcer.yaml"
        path.write_text(path.read_text().replace("policy:\n", "policy:\n  max_shrink: 1\n"))
        await site.ask(op="reload")
        assert site.orders()["policy"] == "cd" * 32

    site.rules = 1000
    site.run(visit)


class Bell(Part):
    """Counts how often it is rung, and rings itself once."""

    def __init__(self, means: Means) -> None:
        self.means, self.rung, self.life = means, 0, list[str]()

    @property
    def operations(self) -> Mapping[str, Operation]:
        return {"ring": self.ring}

    async def ring(self, _: Mapping[str, object]) -> Mapping[str, object]:
        self.rung += 1
        self.means.record("rung", {"times": self.rung})
        return {"times": self.rung}

    async def run(self) -> None:
        self.life.append("runs")
        await self.ring({})
        await asyncio.Event().wait()

    def follow(self, config: Config) -> None:
        self.life.append("follows")

    def metrics(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("enforcer_bell_rung", "How often", value=self.rung)

    def problems(self) -> Iterator[str]:
        yield "it is loud"

    def close(self) -> None:
        self.life.append("closes")


def test_a_part_runs_answers_is_shown_and_follows_the_configuration(site: Site) -> None:
    bells: list[Bell] = []

    def parts(means: Means) -> Sequence[Part]:
        bells.append(Bell(means))
        return bells

    site.parts = parts

    async def visit(site: Site) -> None:
        await site.until(lambda: bool(site.events("rung")))
        assert await site.ask(op="ring") == {"times": 2}
        assert await site.shows("enforcer_bell_rung 2.0")
        assert "it is loud" in cast(list[str], (await site.ask(op="status"))["problems"])
        await site.ask(op="reload")

    site.run(visit)
    assert site.events("rung") == [{"times": 1}, {"times": 2}]
    assert bells[0].life == ["runs", "follows", "closes"]


def test_a_hang_up_reloads(site: Site) -> None:
    async def refused() -> bool:
        return bool((await site.ask(op="status"))["problems"])

    async def visit(site: Site) -> None:
        site.wrong = Unavailable("chat.yaml: cannot be read")
        os.kill(os.getpid(), signal.SIGHUP)
        await site.until_told(refused)
        site.wrong, site.policy = None, "cd" * 32
        os.kill(os.getpid(), signal.SIGHUP)
        await site.until(lambda: site.orders()["generation"] == 2)

    site.run(visit)
    assert [detail["who"] for detail in site.events("reload")] == ["SIGHUP"]


def test_mistakes_at_the_start_keep_it_from_starting(site: Site) -> None:
    site.wrong = Mistakes([Mistake("chat.yaml", 3, "this is wrong")])
    with pytest.raises(Mistakes):
        site.hub()
    assert not site.data.exists()


def test_a_pause_is_ordered_recorded_and_ends_by_itself(site: Site) -> None:
    async def visit(site: Site) -> None:
        answer = await site.ask(op="pause", realm="lab", minutes=5, reason="ticket 1", who="tester")
        assert answer == {"until": "2026-11-23T12:05:00+00:00"}
        assert len(site.orders()["pauses"]) == 1  # type: ignore[arg-type]
        status = await site.ask(op="status")
        assert status["pauses"] == [{"realm": "lab", "until": "2026-11-23T12:05:00+00:00"}]
        site.now_ms += 300_000
        await site.until(lambda: site.orders()["pauses"] == ())
        await site.ask(op="pause", realm="lab", minutes=5, reason="ticket 2", who="tester")
        await site.ask(op="resume", realm="lab", who="tester")
        assert site.orders()["pauses"] == ()

    site.run(visit)
    assert site.events("pause")[0] == {
        "realm": "lab",
        "minutes": 5,
        "until": "2026-11-23T12:05:00+00:00",
        "reason": "ticket 1",
        "who": "tester",
    }
    assert [detail["who"] for detail in site.events("resume")] == ["end of the pause", "tester"]


def test_a_pause_that_cannot_be_recorded_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def visit(site: Site) -> None:
        def broken(_: DayLog) -> None:
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(DayLog, "sync", broken)
            with pytest.raises(EnforcerError, match="cannot be recorded, so it is refused: Input/output"):
                await site.ask(op="pause", realm="lab", minutes=5, reason="ticket 1", who="tester")
        assert site.orders()["pauses"] == ()

    site.run(visit)


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (
            {"op": "pause", "realm": "moon", "minutes": 5, "reason": "x", "who": "x"},
            '"moon" is no realm; there are lab',
        ),
        ({"op": "pause", "realm": "lab", "minutes": 0, "reason": "x", "who": "x"}, '"minutes" is not a whole number'),
        ({"op": "pause", "realm": "lab", "minutes": 5, "who": "x"}, '"reason" is missing'),
        ({"op": "resume", "realm": "lab", "who": "x"}, '"lab" is not paused'),
        ({"op": "worker", "name": "dns-0"}, '"kind" is missing'),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing(site: Site, request_: dict[str, object], error: str) -> None:
    async def visit(site: Site) -> None:
        with pytest.raises(EnforcerError) as caught:
            await site.ask(**request_)
        assert error in str(caught.value)

    site.run(visit)
    assert [line["event"] for line in site.log() if line["type"] == "event"] == ["start", "configuration", "stop"]


def test_running_exemptions_are_granted_and_renewed(site: Site) -> None:
    async def visit(site: Site) -> None:
        grant = site.orders()["grants"][0]  # type: ignore[index]
        assert (str(grant.address), grant.services) == ("192.0.2.1", ("chat",))
        assert grant.until == moment(NOON_MS + 60_000)
        site.now_ms += 20_000
        later = moment(NOON_MS + 80_000)
        await site.until(lambda: site.orders()["grants"][0].until == later)  # type: ignore[index]
        page = await site.get("/metrics")
        assert 'enforcer_policy_exemptions{service="chat",state="active"} 1.0' in page
        assert 'enforcer_policy_exemptions{service="chat",state="expired"} 1.0' in page

    site.run(visit)


def test_status_and_metrics_tell_of_the_workers(site: Site) -> None:
    async def visit(site: Site) -> None:
        counters = Counters(site.data / "run" / "counters" / "dns-0")
        counters.words[word("worker_heartbeat_milliseconds")] = site.now_ms
        counters.words[word("attempts_dropped", "disk_full")] = 7
        Counters(site.data / "run" / "counters" / "dns-1").close()
        for name in ("dns-0", "dns-1"):
            await site.ask(op="worker", name=name, kind="dns", pid=1, restarts=2, up=True)
        await site.ask(op="worker", name="dns-2", kind="dns", pid=None, restarts=0, up=False)
        status = await site.ask(op="status")
        assert status["problems"] == ["dns-0: follows older orders, of generation 0", "dns-1: no heartbeat"]
        counters.words[word("worker_generation")] = 1
        assert (await site.ask(op="status"))["problems"] == ["dns-1: no heartbeat"]
        assert status["workers"]["dns-0"] == {"generation": 0, "heartbeat_ms": NOON_MS, "alive": True}  # type: ignore[index]
        assert status["processes"]["dns-0"] == {"kind": "dns", "pid": 1, "restarts": 2, "up": True}  # type: ignore[index]
        assert (status["node"], status["generation"], status["uptime_s"]) == ("gw", 1, 0)
        page = await site.get("/metrics")
        assert 'enforcer_worker_restarts_total{kind="dns"} 4.0' in page
        assert 'enforcer_worker_up{kind="dns"} 1.0' in page
        await site.until(lambda: bool(site.events("loss")))
        counters.close()

    site.run(visit)
    assert site.events("loss") == [{"worker": "dns-0", "reason": "disk_full", "count": 7, "total": 7}]


def test_the_devices_that_tried_most_are_on_the_page(site: Site) -> None:
    async def visit(site: Site) -> None:
        site.block(5)
        await site.until(lambda: len(site.log()) == 4)

        async def counted_anew() -> bool:
            site.now_ms += 61_000  # once a minute, whatever the index had by then
            return await site.shows('enforcer_device_attempts{device="dev-1",service="chat"} 5.0')

        await site.until_told(counted_anew)
        assert await site.shows('enforcer_devices_attempting{service="chat",window="1h"} 1.0')
        assert (await site.ask(op="status"))["index_lag"] == 0

    site.run(visit)


def test_while_the_log_cannot_be_written_health_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def visit(site: Site) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr(DayLog, "append", full)
            site.block(3)
            await site.until_told(lambda: site.shows("enforcer_log_writable 0.0"))
            with pytest.raises(OSError, match="503"):
                await site.get("/healthz")
            problem = "the record cannot be written: No space left on device"
            assert (await site.ask(op="status"))["problems"] == [problem]
        site.now_ms += 1000
        await site.until(lambda: len(site.log()) == 4)
        assert await site.get("/healthz") == "ok\n"

    site.run(visit)


def test_a_second_hub_is_refused(site: Site) -> None:
    async def visit(site: Site) -> None:
        (site.folder / "enforcer.yaml").write_text(CONFIG.format(port=free_port()))
        with pytest.raises(Unavailable, match="another hub"):
            await site.hub().run(lambda: None)

    site.run(visit)


def test_a_taken_address_for_metrics_is_named(site: Site) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", site.port))
        taken.listen()
        with pytest.raises(Unavailable, match=rf"metrics.listen: 127.0.0.1:{site.port}: cannot listen on TCP"):
            asyncio.run(site.hub().run(lambda: None))
