"""The part that reads leases, neighbours and tunnels."""

import asyncio
from ipaddress import ip_address
from pathlib import Path

from enforcer.config.identity import Identity
from enforcer.devices.device import Source
from enforcer.identity.sources import SourcesPart, watched_of
from tests.identity.gateway import Bench

LEASE = "0 00:10:a4:23:19:c0 192.0.2.7 * *\n"
DEVICES = "id,group,mac\ndev-1,field,00:10:a4:23:19:c0\n"
PHONE = ip_address("192.0.2.7")


def part_of(tmp_path: Path) -> tuple[Bench, SourcesPart]:
    leases = {"realm": "lab", "format": "dnsmasq", "path": str(tmp_path / "leases")}
    bench = Bench(tmp_path, {"leases": [leases]}, DEVICES)
    return bench, SourcesPart(bench.means)


def look(part: SourcesPart) -> None:
    asyncio.run(part.look(part._watched[0]))


def values(part: SourcesPart) -> dict[str, float]:
    return {sample.name: sample.value for family in part.metrics() for sample in family.samples}


def test_a_lease_makes_an_owner(tmp_path: Path) -> None:
    bench, part = part_of(tmp_path)
    (tmp_path / "leases").write_text(LEASE)
    look(part)
    found = bench.registry.owner("lab", PHONE, bench.desk.clock())
    assert (found.device, found.identity.source) == ("dev-1", Source.LEASE)
    assert "lab" in bench.registry.waits
    assert values(part) == {"enforcer_identity_source_entries": 1, "enforcer_identity_source_stale": 0}


def test_a_source_that_cannot_be_read_is_told_and_becomes_stale(tmp_path: Path) -> None:
    bench, part = part_of(tmp_path)
    assert values(part)["enforcer_identity_source_stale"] == 1
    (tmp_path / "leases").write_text(LEASE)
    look(part)
    (tmp_path / "leases").unlink()
    bench.desk.now_ms += 31_000
    look(part)
    assert list(part.problems()) == [f"{tmp_path}/leases: cannot be read (No such file or directory)"]
    found = bench.registry.owner("lab", PHONE, bench.desk.clock())
    assert (found.device, found.identity.state.value) == ("dev-1", "stale")
    (tmp_path / "leases").write_text(LEASE)
    look(part)
    assert list(part.problems()) == []
    assert bench.registry.owner("lab", PHONE, bench.desk.clock()).identity.state.value == "resolved"


def test_a_file_that_has_not_changed_is_not_stale(tmp_path: Path) -> None:
    bench, part = part_of(tmp_path)
    (tmp_path / "leases").write_text(LEASE)
    look(part)
    bench.desk.now_ms += 3_600_000
    look(part)
    assert bench.registry.owner("lab", PHONE, bench.desk.clock()).identity.state.value == "resolved"


def test_every_source_is_read_in_its_own_rhythm_until_the_end(tmp_path: Path) -> None:
    bench, part = part_of(tmp_path)
    (tmp_path / "leases").write_text(LEASE)

    async def run() -> None:
        task = asyncio.get_running_loop().create_task(part.run())
        while not len(part._watched[0].claims):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        task.cancel()

    asyncio.run(asyncio.wait_for(run(), 5))
    assert bench.registry.owner("lab", PHONE, bench.desk.clock()).device == "dev-1"


def test_each_kind_of_source_is_made() -> None:
    settings = Identity.model_validate(
        {
            "leases": [
                {"realm": "a", "path": "x"},
                {"realm": "a", "format": "kea", "path": "x"},
                {"realm": "a", "format": "kea-socket", "path": "x"},
            ],
            "neighbours": [{"realm": "b", "interfaces": ["wlan0"]}],
            "tunnels": [{"realm": "c", "interface": "wg0"}],
        }
    )
    assert [(each.claims.realm, each.claims.source.value, each.every_s) for each in watched_of(settings)] == [
        ("a", "lease", 1.0),
        ("a", "lease", 1.0),
        ("a", "lease", 10.0),
        ("b", "neighbour", 5.0),
        ("c", "tunnel", 5.0),
    ]
