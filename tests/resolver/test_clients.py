from dataclasses import replace
from datetime import datetime, timedelta
from ipaddress import ip_address, ip_network

from enforcer.decide.dns import Ech
from enforcer.orders import PROBE, PROBE6, PROBE_REALM, Grant, Orders, Pause, ShownGrant
from enforcer.policy.rules import Mode
from enforcer.policy.verdict import Client
from enforcer.resolver.admission import Standing
from enforcer.resolver.clients import Directory, Realm
from tests.policy.made import NOW

WIDE = Realm("wide", (ip_network("192.0.2.0/24"), ip_network("2001:db8::/32")), Mode.ENFORCE)
NARROW = Realm("narrow", (ip_network("192.0.2.128/25"),), Mode.MONITOR)
SOON = NOW + timedelta(seconds=60)


def client(directory: Directory, address: str, now: datetime = NOW) -> Client | None:
    return directory.group(ip_address(address), now).client


def test_the_narrowest_network_decides_in_which_realm_a_client_is() -> None:
    for realms in ((WIDE, NARROW), (NARROW, WIDE)):
        directory = Directory(realms)
        assert client(directory, "192.0.2.1") == Client("wide", Mode.ENFORCE)
        assert client(directory, "192.0.2.129") == Client("narrow", Mode.MONITOR)
        assert client(directory, "2001:db8::1") == Client("wide", Mode.ENFORCE)


def test_d11_who_is_in_no_realm_is_outside() -> None:
    directory = Directory((WIDE,))
    for address in ("203.0.113.1", "127.0.0.1", "0.0.0.0", "2001:db9::1"):
        assert directory.group(ip_address(address), NOW) is directory.outside
    assert directory.outside.client is None


def test_clients_that_no_verdict_can_tell_apart_share_a_group() -> None:
    directory = Directory((WIDE, NARROW))
    one, two = (directory.group(ip_address(address), NOW) for address in ("192.0.2.1", "192.0.2.2"))
    assert one is two
    assert directory.group(ip_address("192.0.2.129"), NOW) is not one


def test_realms_that_differ_in_ech_alone_do_not_share_a_group() -> None:
    directory = Directory((WIDE,))
    before = directory.group(ip_address("192.0.2.1"), NOW)
    assert before.ech is Ech.STRIP
    directory.serve((replace(WIDE, ech=Ech.PASS),))
    after = directory.group(ip_address("192.0.2.1"), NOW)
    assert after is not before
    assert after.ech is Ech.PASS


def test_a_pause_is_over_at_its_second() -> None:
    directory = Directory((WIDE,))
    directory.follow(Orders(1, "", pauses=(Pause("wide", SOON),)))
    modes = [client(directory, "192.0.2.1", SOON + timedelta(seconds=second)) for second in (-1, 0)]
    assert modes == [Client("wide", Mode.MONITOR), Client("wide", Mode.ENFORCE)]


def test_a_grant_is_for_one_address_of_one_realm_until_its_second() -> None:
    directory = Directory((WIDE, NARROW))
    directory.follow(Orders(1, "", grants=(Grant("wide", ip_address("192.0.2.1"), ("chat", "mail"), SOON),)))
    exempt = [client(directory, "192.0.2.1", SOON + timedelta(seconds=second)) for second in (-1, 0)]
    assert exempt == [Client("wide", exempt={"chat": SOON, "mail": SOON}), Client("wide")]
    assert client(directory, "192.0.2.2") == Client("wide")


def test_whether_something_ends_between_two_moments_is_known() -> None:
    directory = Directory((WIDE,))
    later = SOON + timedelta(seconds=5)
    grant = Grant("wide", ip_address("192.0.2.1"), ("chat",), later)
    directory.follow(Orders(1, "", (Pause("wide", SOON),), (grant,)))
    second = timedelta(seconds=1)
    assert [directory.changes(end - second, end) for end in (SOON - second, SOON, SOON + second, later)] == [
        False,
        True,
        False,
        True,
    ]


def test_new_orders_keep_what_was_rendered_and_a_new_policy_forgets_it() -> None:
    directory = Directory((WIDE,))
    directory.follow(Orders(1, "one"))
    group = directory.group(ip_address("192.0.2.1"), NOW)
    directory.follow(Orders(1, "one", (Pause("narrow", SOON),)))
    assert directory.group(ip_address("192.0.2.1"), NOW) is group
    directory.follow(Orders(2, "two"))
    assert directory.group(ip_address("192.0.2.1"), NOW) is not group


def test_groups_of_grants_do_not_pile_up_when_they_are_renewed() -> None:
    directory = Directory((WIDE,))
    for minute in range(20):
        until = NOW + timedelta(minutes=minute + 1)
        directory.follow(Orders(1, "", grants=(Grant("wide", ip_address("192.0.2.1"), ("chat",), until),)))
        directory.group(ip_address("192.0.2.1"), NOW)
        directory.group(ip_address("192.0.2.2"), NOW)
    assert len(directory._groups) == 2


ANYWHERE = Realm("roaming", (), Mode.MONITOR)
AWAY = ip_address("203.0.113.1")


def test_who_has_proven_itself_is_served_wherever_it_is() -> None:
    directory = Directory((WIDE, ANYWHERE))
    assert directory.group(AWAY, NOW, Standing.PROVEN).client == Client("roaming", Mode.MONITOR)
    assert directory.group(ip_address("192.0.2.1"), NOW, Standing.PROVEN).client == Client("wide", Mode.ENFORCE)
    for standing in (Standing.BY_ADDRESS, Standing.REFUSED):
        assert directory.group(AWAY, NOW, standing) is directory.outside
    assert Directory((WIDE,)).group(AWAY, NOW, Standing.PROVEN).client is None


def test_the_strictest_policy_knows_no_pause_no_exemption_and_no_monitoring() -> None:
    directory = Directory((WIDE, ANYWHERE))
    grants = (Grant("roaming", AWAY, ("scan",), SOON),)
    directory.follow(Orders(1, "", pauses=(Pause("roaming", SOON), Pause("wide", SOON)), grants=grants))
    strict = directory.group(AWAY, NOW, Standing.STRICTEST)
    assert strict.client == Client("roaming", Mode.ENFORCE)
    assert directory.group(AWAY, NOW, Standing.STRICTEST) is strict
    assert directory.group(ip_address("192.0.2.1"), NOW, Standing.STRICTEST).client == Client("wide", Mode.ENFORCE)
    assert directory.group(AWAY, NOW, Standing.PROVEN).client == Client("roaming", Mode.MONITOR, {"scan": SOON})


def test_our_own_probe_is_enforced_while_one_realm_is_and_is_in_none() -> None:
    both, watched = Directory((WIDE, NARROW)), Directory((NARROW,))
    for address in (str(PROBE), str(PROBE6)):
        assert client(both, address) == Client(PROBE_REALM, Mode.ENFORCE)
        assert client(watched, address) == Client(PROBE_REALM, Mode.MONITOR)
    both.follow(Orders(1, "", pauses=(Pause("wide", SOON),)))
    assert client(both, str(PROBE)) == Client(PROBE_REALM, Mode.MONITOR)
    assert client(both, str(PROBE), SOON) == Client(PROBE_REALM, Mode.ENFORCE)


def test_loopback_of_ipv6_in_a_realm_is_a_client_like_others() -> None:
    directory = Directory((replace(WIDE, networks=(ip_network("::1/128"), ip_network("127.0.0.0/8"))),))
    assert client(directory, str(PROBE6)) == Client("wide", Mode.ENFORCE)
    assert client(directory, str(PROBE)) == Client(PROBE_REALM, Mode.ENFORCE)
    assert client(directory, "127.0.0.1") == Client("wide", Mode.ENFORCE)


def test_what_a_client_shows_is_granted_to_it_wherever_it_is() -> None:
    directory = Directory((WIDE, Realm("roaming", (), Mode.ENFORCE)))
    proof = ShownGrant("roaming", "token:ab", ("chat",), SOON)
    directory.follow(Orders(1, "a", shown=(proof, ShownGrant("roaming", "token:cd", (), SOON, observed=True))))
    away = ip_address("203.0.113.9")

    def shown(text: str | None) -> tuple[dict[str, datetime], Mode]:
        found = directory.group(away, NOW, Standing.PROVEN, text).client
        assert found is not None
        return dict(found.exempt), found.mode

    assert shown("token:ab") == ({"chat": SOON}, Mode.ENFORCE)
    assert shown("token:cd") == ({}, Mode.MONITOR)
    assert shown("token:ef") == shown(None) == ({}, Mode.ENFORCE)


def test_a_prefix_is_granted_to_all_of_it() -> None:
    directory = Directory((WIDE,))
    directory.follow(Orders(1, "a", grants=(Grant("wide", ip_address("2001:db8:1:2::"), ("chat",), SOON, 64),)))
    inside, outside = client(directory, "2001:db8:1:2::9"), client(directory, "2001:db8:1:3::9")
    assert inside is not None
    assert outside is not None
    assert (dict(inside.exempt), dict(outside.exempt)) == ({"chat": SOON}, {})
