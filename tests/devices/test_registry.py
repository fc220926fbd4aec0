"""One look-up over all sources: rank, conflict, staleness, and what may lower the policy."""

from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network

import pytest

from enforcer.devices.claims import Claim, Claims
from enforcer.devices.device import (
    Binding,
    Confidence,
    Device,
    Granularity,
    Identity,
    Owner,
    Source,
    State,
)
from enforcer.devices.inventory import Inventory, Kind
from enforcer.devices.prefix import host_prefix
from enforcer.devices.registry import NOBODY, Conflict, Registry
from enforcer.devices.session import Report, Status
from enforcer.devices.sessions import SessionTable
from enforcer.devices.subject import Subject

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOW_MS = int(NOW.timestamp() * 1000)
IP = ip_address("10.20.0.5")
DEVICES = {name: Device(f"dev-{name}", "field") for name in ("sim", "wifi", "cert", "token", "cpe", "static", "peer")}
CERTIFICATE, TOKEN = f"certificate:{'c' * 64}", f"token:{'d' * 64}"
INVENTORY = Inventory(
    tuple(DEVICES.values()),
    {
        (Kind.IMSI, "001010000000001"): DEVICES["sim"],
        (Kind.MAC, "0010a42319c0"): DEVICES["wifi"],
        (Kind.CERTIFICATE, "c" * 64): DEVICES["cert"],
        (Kind.TOKEN, "d" * 64): DEVICES["token"],
        (Kind.EDNS, "site-ottawa-01"): DEVICES["cpe"],
        (Kind.EDNS, "0123456789abcdef"): DEVICES["cpe"],
        (Kind.TUNNEL, "key"): DEVICES["peer"],
    },
    (
        Binding("apn", ip_network("10.20.0.5"), "dev-static", "field", Source.NETWORK),
        Binding("apn", ip_network("10.20.0.0/16"), None, "all", Source.NETWORK),
    ),
)
SIM, MAC = Subject(imsi="001010000000001"), Subject(mac="0010a42319c0")


def sessions(subject: Subject = SIM, realm: str = "apn", at_ms: int = NOW_MS - 60_000) -> SessionTable:
    table = SessionTable()
    table.apply(Report(realm, "pgw", Status.START, at_ms, "s1", at_ms, prefixes=(host_prefix(IP),), subject=subject))
    return table


def claims(source: Source, subject: Subject, realm: str = "apn", read_ms: int = NOW_MS - 5000) -> Claims:
    made = Claims(realm, source, stale_ms=60_000)
    made.take([Claim(host_prefix(IP), subject)], read_ms)
    return made


def moved(registry: Registry) -> bool:
    return registry.moved


def owner(registry: Registry, shown: str | None = None, address: str = "10.20.0.5") -> Owner:
    return registry.owner("apn", ip_address(address), NOW, shown)


def test_a_static_row_is_the_weakest_answer() -> None:
    assert owner(Registry(INVENTORY)) == Owner(
        "dev-static",
        "field",
        Identity(Source.NETWORK, Confidence.LOW, State.RESOLVED, None, Granularity.DEVICE),
    )
    assert owner(Registry(INVENTORY), address="10.20.9.9").group == "all"
    assert owner(Registry()) is NOBODY


def test_a_mobile_session_names_a_connection() -> None:
    found = owner(Registry(Inventory(INVENTORY.devices, INVENTORY.keys), sessions=sessions()))
    assert found == Owner(
        "dev-sim", "field", Identity(Source.RADIUS, Confidence.HIGH, State.RESOLVED, 60, Granularity.CONNECTION)
    )


@pytest.mark.parametrize(
    ("registry", "source", "confidence", "device"),
    [
        (Registry(INVENTORY, sessions=sessions(MAC)), Source.RADIUS, Confidence.MEDIUM, "dev-wifi"),
        (Registry(INVENTORY, claims=[claims(Source.LEASE, MAC)]), Source.LEASE, Confidence.MEDIUM, "dev-wifi"),
        (Registry(INVENTORY, claims=[claims(Source.NEIGHBOUR, MAC)]), Source.NEIGHBOUR, Confidence.LOW, "dev-wifi"),
        (
            Registry(INVENTORY, claims=[claims(Source.TUNNEL, Subject(tunnel="key"))]),
            Source.TUNNEL,
            Confidence.HIGH,
            "dev-peer",
        ),
    ],
)
def test_each_source_has_its_confidence(
    registry: Registry, source: Source, confidence: Confidence, device: str
) -> None:
    found = owner(registry)
    assert (found.device, found.identity.source, found.identity.confidence) == (device, source, confidence)
    assert found.identity.granularity is Granularity.DEVICE


@pytest.mark.parametrize(
    ("shown", "source", "confidence", "device"),
    [
        (CERTIFICATE, Source.CERTIFICATE, Confidence.HIGH, "dev-cert"),
        (TOKEN, Source.TOKEN, Confidence.MEDIUM, "dev-token"),
        ("edns:65001:0010a42319c0", Source.EDNS, Confidence.MEDIUM, "dev-wifi"),
        (f"edns:65073:{b'00:10:a4:23:19:c0'.hex()}", Source.EDNS, Confidence.MEDIUM, "dev-wifi"),
        (f"edns:65074:{b'site-ottawa-01'.hex()}", Source.EDNS, Confidence.MEDIUM, "dev-cpe"),
        (
            "edns:20292:4f444e530100" + "000800000001" + "00400123456789abcdef",
            Source.EDNS,
            Confidence.MEDIUM,
            "dev-cpe",
        ),
    ],
)
def test_what_a_client_shows_names_its_device(shown: str, source: Source, confidence: Confidence, device: str) -> None:
    found = owner(Registry(INVENTORY), shown, "192.0.2.9")
    assert (found.device, found.identity.source, found.identity.confidence) == (device, source, confidence)
    assert found.identity.age_s == 0


def test_the_stronger_source_counts_and_the_conflict_is_told_once() -> None:
    registry = Registry(INVENTORY, sessions=sessions(), claims=[claims(Source.LEASE, MAC)])
    for _ in range(3):
        found = owner(registry, CERTIFICATE)
        assert (found.device, found.identity.state) == ("dev-cert", State.CONFLICT)
    assert registry.conflicts == {
        (Source.CERTIFICATE, Source.RADIUS): 3,
        (Source.CERTIFICATE, Source.LEASE): 3,
        (Source.CERTIFICATE, Source.NETWORK): 3,
    }
    assert Conflict("apn", Source.CERTIFICATE, "dev-cert", Source.RADIUS, "dev-sim") in registry.disagreed
    assert len(registry.disagreed) == 3


def test_sources_that_agree_are_no_conflict() -> None:
    same = Registry(
        Inventory(INVENTORY.devices, INVENTORY.keys), sessions=sessions(MAC), claims=[claims(Source.LEASE, MAC)]
    )
    assert owner(same).identity.state is State.RESOLVED
    assert not same.conflicts


def test_a_source_of_another_realm_says_nothing() -> None:
    registry = Registry(sessions=sessions(realm="other"), claims=[claims(Source.LEASE, MAC, realm="other")])
    assert owner(registry) is NOBODY


def test_a_stale_source_still_tells_but_with_low_confidence() -> None:
    registry = Registry(INVENTORY, claims=[claims(Source.LEASE, MAC, read_ms=NOW_MS - 61_000)])
    found = owner(registry)
    assert (found.device, found.identity.state, found.identity.confidence) == ("dev-wifi", State.STALE, Confidence.LOW)


def test_what_is_not_in_the_inventory_has_a_keyed_pseudonym() -> None:
    registry = Registry(INVENTORY, sessions=sessions(Subject(imei="99999901234567")), key=b"one")
    found = owner(registry)
    assert found.device is not None
    assert found.device.startswith("unlisted:")
    assert (found.group, found.identity.state) == (None, State.UNLISTED)
    other = Registry(INVENTORY, sessions=registry.sessions, key=b"two")
    assert owner(other).device != found.device
    assert "9999990" not in found.device


def test_what_is_recorded_is_counted() -> None:
    registry = Registry(INVENTORY, sessions=sessions())
    registry.recorded("apn", owner(registry), 3)
    registry.recorded("apn", owner(registry, address="192.0.2.9"), 1)
    assert registry.lookups == {("apn", Source.RADIUS, "hit"): 3, ("apn", Source.UNKNOWN, "unknown"): 1}
    assert registry.proven == set()
    registry.recorded("apn", owner(registry, TOKEN, "192.0.2.9"), 1)
    assert registry.proven == {"dev-token"}


def test_only_what_is_fresh_and_beyond_doubt_is_certain() -> None:
    clean = Inventory(INVENTORY.devices, INVENTORY.keys)
    assert Registry(clean, sessions=sessions()).certain("apn", IP, NOW_MS) == DEVICES["sim"]
    assert Registry(clean).certain("roaming", None, NOW_MS, TOKEN) == DEVICES["token"]
    conflict = Registry(INVENTORY, sessions=sessions())
    stale = Registry(clean, claims=[claims(Source.LEASE, MAC, read_ms=NOW_MS - 61_000)])
    unlisted = Registry(clean, sessions=sessions(Subject(imsi="001019999999999")))
    for registry in (conflict, stale, unlisted, Registry()):
        assert registry.certain("apn", IP, NOW_MS) is None
    assert not conflict.conflicts
    assert not conflict.disagreed


@pytest.mark.parametrize(
    "shown", ["edns:65001:0010a4", "edns:65074:", "edns:65074:0a", "edns:x:6161", "edns:20292:4f444e5301000099"]
)
def test_an_option_that_names_nothing_is_no_evidence(shown: str) -> None:
    found = owner(Registry(), shown)
    assert found is NOBODY or found.identity.state is State.UNLISTED


def test_changes_are_told_once_and_another_inventory_changes_all() -> None:
    registry = Registry(INVENTORY, sessions=sessions())
    place = ("apn", host_prefix(IP))
    assert registry.take_changes() == ({place}, True)
    registry.read(Claims("wifi", Source.LEASE, 1000), [Claim(host_prefix(IP), MAC)], NOW_MS)
    assert registry.take_changes() == ({("wifi", host_prefix(IP))}, False)
    registry.use(INVENTORY)
    assert registry.take_changes() == (set(), True)


def test_the_places_of_watched_devices_are_kept_ready() -> None:
    registry = Registry(INVENTORY, sessions=sessions(), claims=[claims(Source.LEASE, MAC, realm="wifi")])
    assert registry.places() == set()
    registry.watch({"dev-sim", "dev-wifi"})
    assert registry.places() == {("apn", host_prefix(IP)), ("wifi", host_prefix(IP))}
    other = host_prefix(ip_address("10.20.0.9"))
    start = Report("apn", "pgw", Status.START, NOW_MS, "s2", NOW_MS, prefixes=(other,), subject=SIM)
    registry.report(start)
    assert moved(registry)
    assert ("apn", other) in registry.places()
    registry.moved = False
    stranger = Subject(imsi="001019999999999")
    elsewhere = host_prefix(ip_address("10.20.0.10"))
    registry.report(replace(start, session="s3", subject=stranger, prefixes=(elsewhere,)))
    assert not moved(registry)
    registry.report(replace(start, session="s4", subject=stranger))  # another has got the address
    assert moved(registry)
    registry.report(replace(start, status=Status.STOP, session="s1", prefixes=()))
    registry.places()
    assert registry.places() == {("apn", other), ("wifi", host_prefix(IP))}
