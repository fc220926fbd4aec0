from datetime import UTC, datetime, timedelta
from ipaddress import ip_address, ip_network

from enforcer.clients import Clients, Realm
from enforcer.orders import Grant, Orders, Pause
from enforcer.policy.rules import Mode

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
END = NOW + timedelta(seconds=60)
PHONE = ip_address("10.20.0.7")
APN = Realm("apn", (ip_network("10.20.0.0/16"), ip_network("2001:db8:20::/48")), Mode.ENFORCE)


def test_an_address_belongs_to_the_realm_with_the_narrowest_network() -> None:
    lab = Realm("lab", (ip_network("10.20.0.0/24"),), Mode.MONITOR)
    clients = Clients([APN, lab])
    inside, outside = (clients.client(ip_address(text), "", NOW) for text in ("10.20.0.7", "10.20.9.9"))
    assert inside is not None
    assert outside is not None
    assert (inside.realm, inside.mode, outside.realm, outside.mode) == ("lab", Mode.MONITOR, "apn", Mode.ENFORCE)
    assert clients.client(ip_address("192.0.2.1"), "", NOW) is None


def test_realms_with_the_same_addresses_are_told_apart_by_the_way() -> None:
    clients = Clients([Realm(way, APN.networks, Mode.ENFORCE, (way,)) for way in ("apn0", "apn1")])
    for way in ("apn0", "apn1"):
        client = clients.client(PHONE, way, NOW)
        assert client is not None
        assert client.realm == way
    assert clients.client(PHONE, "wan", NOW) is None


def test_a_pause_and_an_exemption_end_at_their_moment() -> None:
    clients = Clients([APN])
    clients.follow(Orders(1, "", (Pause("apn", END),), (Grant("apn", PHONE, ("chat",), END),)))
    during, after = (clients.client(PHONE, "", moment) for moment in (NOW, END))
    assert during is not None
    assert after is not None
    assert clients.changes(NOW, END)
    assert not clients.changes(END, END + timedelta(seconds=1))
    assert (during.mode, dict(during.exempt)) == (Mode.MONITOR, {"chat": END})
    assert (after.mode, dict(after.exempt)) == (Mode.ENFORCE, {})


def test_what_a_grant_says_is_for_its_address_and_realm() -> None:
    clients = Clients([APN])
    clients.follow(Orders(1, "", (), (Grant("other", PHONE, ("chat",), END), Grant("apn", PHONE, ("scan",), END))))
    client = clients.client(PHONE, "", NOW)
    assert client is not None
    assert dict(client.exempt) == {"scan": END}
    other = clients.client(ip_address("10.20.0.8"), "", NOW)
    assert other is not None
    assert not other.exempt


def test_a_grant_may_be_for_a_prefix_and_may_be_to_be_observed() -> None:
    clients = Clients([APN])
    prefix = ip_address("2001:db8:20:30::")
    clients.follow(
        Orders(1, "", (), (Grant("apn", prefix, ("chat",), END, 64), Grant("apn", PHONE, (), END, None, True)))
    )
    inside = clients.client(ip_address("2001:db8:20:30:a::1"), "", NOW)
    phone = clients.client(PHONE, "", NOW)
    assert inside is not None
    assert phone is not None
    assert (dict(inside.exempt), inside.mode) == ({"chat": END}, Mode.ENFORCE)
    assert (dict(phone.exempt), phone.mode) == ({}, Mode.MONITOR)
