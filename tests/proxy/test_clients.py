from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

from enforcer.orders import Grant, Orders, Pause
from enforcer.policy.rules import Mode
from enforcer.proxy.clients import Clients, Realm

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
LATER = NOW + timedelta(minutes=1)
ALL = (
    Realm("office", (ip_network("10.0.0.0/8"),), Mode.ENFORCE),
    Realm("lab", (ip_network("10.9.0.0/16"),), Mode.MONITOR),
    Realm("phones", (ip_network("172.16.0.0/12"),), Mode.ENFORCE, ("regular@5080",)),
    Realm("tablets", (ip_network("172.16.0.0/12"),), Mode.ENFORCE, ("transparent@5081",)),
)


def realm(clients: Clients, address: str, mode: str = "regular@5080", now: datetime = NOW) -> str | None:
    found = clients.client(ip_address(address), mode, now)
    return None if found is None else found.realm


def test_the_smallest_network_decides() -> None:
    clients = Clients(ALL)
    assert realm(clients, "10.1.2.3") == "office"
    assert realm(clients, "10.9.2.3") == "lab"
    assert realm(clients, "192.0.2.1") is None
    found = clients.client(ip_address("10.9.2.3"), "regular@5080", NOW)
    assert found is not None
    assert found.mode is Mode.MONITOR


def test_addresses_that_repeat_are_told_apart_by_the_mode_they_come_through() -> None:
    clients = Clients(ALL)
    assert realm(clients, "172.16.0.1") == "phones"
    assert realm(clients, "172.16.0.1", "transparent@5081") == "tablets"
    assert realm(clients, "172.16.0.1", "tun:enf0") is None


def test_pauses_and_grants_end_by_themselves() -> None:
    clients = Clients(ALL)
    address = ip_address("10.1.2.3")
    clients.follow(Orders(1, "policy", (Pause("office", LATER),), (Grant("office", address, ("chat",), LATER),)))
    found = clients.client(address, "regular@5080", NOW)
    assert found is not None
    assert (found.mode, dict(found.exempt)) == (Mode.MONITOR, {"chat": LATER})
    ended = clients.client(address, "regular@5080", LATER)
    assert ended is not None
    assert (ended.mode, dict(ended.exempt)) == (Mode.ENFORCE, {})
    other = clients.client(ip_address("10.1.2.4"), "regular@5080", NOW)
    assert other is not None
    assert dict(other.exempt) == {}
    assert clients.changes(NOW, LATER)
    assert not clients.changes(LATER, LATER + timedelta(seconds=1))
