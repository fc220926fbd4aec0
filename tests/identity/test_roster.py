"""The part for the inventory: it follows the file, counts devices, and answers about them."""

import asyncio
import subprocess
from collections.abc import Iterator, Mapping
from ipaddress import ip_address
from pathlib import Path
from unittest import mock

import pytest
from prometheus_client import CollectorRegistry, Metric, generate_latest
from prometheus_client.registry import Collector

from enforcer.devices.claims import Claim, Claims
from enforcer.devices.device import Source
from enforcer.devices.prefix import Prefix, host_prefix
from enforcer.devices.registry import Waits
from enforcer.devices.session import Report, Status
from enforcer.devices.subject import Subject
from enforcer.errors import Malformed
from enforcer.identity.accounting import AccountingPart
from enforcer.identity.roster import RosterPart
from enforcer.identity.shared import SharedPart
from enforcer.identity.sources import SourcesPart
from tests.identity.gateway import IMEI, IMSI, Bench
from tests.processes.site import free_port
from tests.tools import need

DAY_MS = 86_400_000


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def connect(bench: Bench, session: str, address: str, who: Subject, status: Status = Status.START) -> None:
    ms = bench.desk.now_ms
    bench.registry.report(Report("lab", "pgw", status, ms, session, ms, 0, None, (_prefix(address),), who))


def _prefix(address: str) -> Prefix:
    return host_prefix(ip_address(address))


def ask(part: RosterPart, op: str, **request: object) -> Mapping[str, object]:
    async def answer() -> Mapping[str, object]:
        return await part.operations[op](request)

    return asyncio.run(answer())


def sweep(part: RosterPart) -> None:
    part._sweep()  # which begins a round
    part._sweep()


def values(part: RosterPart) -> dict[tuple[str, ...], float]:
    return {
        (sample.name.removeprefix("enforcer_identity_"), *sample.labels.values()): sample.value
        for family in part.metrics()
        for sample in family.samples
    }


def test_who_is_connected_is_listed_by_the_names_of_the_record(bench: Bench) -> None:
    part = RosterPart(bench.means)
    connect(bench, "s1", "192.0.2.7", Subject(imsi=IMSI))
    connect(bench, "s2", "192.0.2.8", Subject(imsi="001019999999999"))
    connect(bench, "s3", "192.0.2.9", Subject(imsi="001010123456780"))
    connect(bench, "s3", "192.0.2.9", Subject(imsi="001010123456780"), Status.STOP)
    claims = Claims("lab", Source.LEASE, 60_000)
    bench.registry.claims = (claims,)
    bench.registry.read(claims, [Claim(_prefix("192.0.2.20"), Subject(mac="0010a4000001"))], bench.desk.now_ms)
    answer = ask(part, "sessions")
    listed = answer["sessions"]
    assert isinstance(listed, list)
    assert [(str(e["device"])[:9], e["addresses"], e["state"], e["source"]) for e in listed] == [
        ("dev-1", ["192.0.2.7/32"], "open", "radius"),
        ("unlisted:", ["192.0.2.8/32"], "open", "radius"),
        ("unlisted:", ["192.0.2.20/32"], "open", "lease"),
    ]
    assert not any(secret in str(answer) for secret in (IMSI, "001019999999999", "0010a4000001"))
    assert [e["device"] for e in ask(part, "sessions", device="dev-1")["sessions"]] == ["dev-1"]  # type: ignore[attr-defined]


def test_a_device_is_silent_when_nothing_has_shown_it_for_days(bench: Bench) -> None:
    bench.registry.waits["lab"] = Waits(5000, 1000)
    part = RosterPart(bench.means)
    connect(bench, "s1", "192.0.2.7", Subject(imsi=IMSI))
    sweep(part)
    assert bench.registry.states == {"inventory": 2, "connected_24h": 1, "silent": 1}
    assert ask(part, "silent", days=7)["silent"] == [{"device": "dev-2", "group": "field", "last_ms": None}]
    part.close()
    bench.desk.now_ms += 8 * DAY_MS
    again = RosterPart(bench.means)  # after a restart
    sweep(again)
    assert bench.registry.states == {"inventory": 2, "connected_24h": 0, "silent": 2}
    assert ask(again, "silent", days=9)["silent"] == [{"device": "dev-2", "group": "field", "last_ms": None}]


def test_who_shows_a_certificate_or_a_token_is_not_silent(bench: Bench) -> None:
    bench.registry.waits["lab"] = Waits(5000, 1000)
    part = RosterPart(bench.means)
    bench.registry.proven.add("dev-2")
    sweep(part)
    assert [each["device"] for each in ask(part, "silent", days=7)["silent"]] == ["dev-1"]  # type: ignore[attr-defined]


def test_where_nothing_tells_who_is_connected_nobody_is_silent(bench: Bench) -> None:
    part = RosterPart(bench.means)
    sweep(part)
    assert bench.registry.states == {"inventory": 2, "connected_24h": 0, "silent": 0}
    assert ask(part, "silent", days=7)["sources"] is False


def test_what_identifies_a_device_is_told_when_it_is_on_record_who_asked(bench: Bench) -> None:
    part = RosterPart(bench.means)
    answer = ask(part, "reveal", id="dev-1", who="anne", reason="ticket 4711")
    assert answer["identifiers"] == {"imei": [IMEI[:14]], "imsi": [IMSI]}
    (access,) = bench.events("access")
    assert (access["look"], access["device"], access["who"], access["reason"]) == (
        "reveal",
        "dev-1",
        "anne",
        "ticket 4711",
    )
    assert IMSI not in str(access)


def test_what_is_not_in_the_inventory_is_told_while_its_session_is_kept(bench: Bench) -> None:
    part = RosterPart(bench.means)
    connect(bench, "s2", "192.0.2.8", Subject(imsi="001019999999999"))
    (found,) = ask(part, "sessions")["sessions"]  # type: ignore[misc]
    answer = ask(part, "reveal", id=found["device"], who="anne", reason="found")  # type: ignore[has-type]
    assert answer["identifiers"] == {"imsi": ["001019999999999"]}


@pytest.mark.parametrize("request_", [{"id": "dev-1", "who": "anne"}, {"id": "dev-9", "who": "anne", "reason": "x"}])
def test_without_a_reason_or_a_device_nothing_is_told_or_recorded(bench: Bench, request_: dict[str, str]) -> None:
    with pytest.raises(Malformed):
        ask(RosterPart(bench.means), "reveal", **request_)
    assert bench.events("access") == []


def test_both_devices_of_a_conflict_are_recorded_once(bench: Bench) -> None:
    part = RosterPart(bench.means)
    connect(bench, "s1", "192.0.2.7", Subject(imsi=IMSI))
    claims = Claims("lab", Source.TUNNEL, 60_000)
    bench.registry.claims = (claims,)
    bench.registry.read(claims, [Claim(_prefix("192.0.2.7"), Subject(imsi="001010123456780"))], bench.desk.now_ms)
    for _ in range(2):
        bench.registry.owner("lab", _prefix("192.0.2.7").network.network_address, bench.desk.clock())
        part._record_conflicts()
    assert bench.events("identity_conflict") == [
        {"realm": "lab", "source": "tunnel", "device": "dev-2", "other_source": "radius", "other_device": "dev-1"}
    ]


def with_file(bench: Bench) -> Path:
    path = bench.folder / "devices.csv"
    path.write_text(bench.devices)
    inventory = bench.config.identity.model_validate({"inventory": {"file": str(path)}}).inventory
    identity = bench.config.identity.model_copy(update={"inventory": inventory})
    object.__setattr__(bench.means, "config", bench.config.model_copy(update={"identity": identity}))
    return path


def test_a_changed_inventory_counts_at_once_and_a_wrong_one_does_not(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    path = with_file(bench)
    part = RosterPart(bench.means)
    asyncio.run(part._follow_file())
    assert len(bench.registry.inventory.devices) == 2
    path.write_text("id,group,imei\ndev-9,field,001015012345671\ndev-8,field,3.5E+14\n")
    asyncio.run(part._follow_file())
    assert [device.id for device in bench.registry.inventory.devices] == ["dev-9"]
    (problem,) = part.problems()
    assert problem.startswith(f"1 lines of the inventory cannot be used, the first: {path}:3: its imei cannot be right")
    path.write_text("id,group,imeis,addresses\n")
    asyncio.run(part._follow_file())
    assert [device.id for device in bench.registry.inventory.devices] == ["dev-9"]
    assert "the inventory has changed and cannot be used" in next(iter(part.problems()))
    assert f'event=refused kept=old error={path}:1: "…"' in caplog.text, "a value may be a device's number"
    part.follow(bench.means.config)
    assert len(list(part.problems())) == 1


def test_attempts_are_counted_by_what_told_their_device(bench: Bench) -> None:
    part = RosterPart(bench.means)
    connect(bench, "s1", "192.0.2.7", Subject(imsi=IMSI))
    connect(bench, "s2", "192.0.2.8", Subject(mac="0210a4000001"))
    sweep(part)
    for address, count in (("192.0.2.7", 3), ("192.0.2.99", 1)):
        found = bench.registry.owner("lab", _prefix(address).network.network_address, bench.desk.clock())
        bench.registry.recorded("lab", found, count)
    measured = values(part)
    assert measured["lookups_total", "lab", "radius", "hit"] == 3
    assert measured["lookups_total", "lab", "unknown", "unknown"] == 1
    assert measured["lookups_total", "lab", "lease", "stale"] == 0
    assert measured["coverage_ratio",] == 0.75
    assert measured["sessions", "lab", "open"] == 2
    assert measured["unlisted", "lab", "randomised"] == 1
    assert measured["conflicts_total", "radius", "lease"] == 0


def test_promtool_finds_nothing_to_say_of_any_part(bench: Bench, tmp_path: Path) -> None:
    secret = {"network": "127.0.0.1", "secret_file": str(bench.folder / "secret")}
    radius = {"realm": "lab", "listen": f"127.0.0.1:{free_port()}", "clients": [secret]}
    identity = {"radius": [radius], "leases": [{"realm": "lab", "path": "x"}], "shared": "redis://127.0.0.1:1"}
    full = Bench(tmp_path / "full", identity)
    parts = (SharedPart(full.means), AccountingPart(full.means), SourcesPart(full.means), RosterPart(full.means))

    class Page(Collector):
        def collect(self) -> Iterator[Metric]:
            for part in parts:
                yield from part.metrics()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(Page())
    page = generate_latest(registry)
    for part in parts:
        part.close()
    check = subprocess.run([need("promtool"), "check", "metrics"], input=page, capture_output=True, check=False)
    assert (check.returncode, check.stdout, check.stderr) == (0, b"", b"")


def test_it_works_each_second_until_the_end(bench: Bench) -> None:
    part = RosterPart(bench.means)
    connect(bench, "s1", "192.0.2.7", Subject(imsi=IMSI))

    async def run() -> None:
        task = asyncio.get_running_loop().create_task(part.run())
        await asyncio.sleep(0.1)
        task.cancel()

    with mock.patch("enforcer.identity.roster._TICK_S", 0.01):
        asyncio.run(run())
    assert values(part)["sessions", "lab", "open"] == 1
