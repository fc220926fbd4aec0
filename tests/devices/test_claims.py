"""Who held an address, by readings of a whole source."""

from ipaddress import ip_address

from enforcer.devices.claims import Claim, Claims
from enforcer.devices.device import Source
from enforcer.devices.prefix import host_prefix
from enforcer.devices.subject import Subject

ONE, TWO = Subject(mac="0010a4000001"), Subject(mac="0010a4000002")
A, B = "10.0.0.1", "10.0.0.2"


def claim(address: str, subject: Subject, since_ms: int | None = None, until_ms: int | None = None) -> Claim:
    return Claim(host_prefix(ip_address(address)), subject, since_ms, until_ms)


def leases() -> Claims:
    return Claims("wifi", Source.LEASE, stale_ms=10_000)


def holder(claims: Claims, address: str, at_ms: int) -> Subject | None:
    return claims.holder(ip_address(address), at_ms)


def test_the_first_reading_tells_what_was_there_before() -> None:
    claims = leases()
    assert claims.take([claim(A, ONE)], 5000) == {host_prefix(ip_address(A))}
    assert (holder(claims, A, 10), holder(claims, A, 6000), holder(claims, B, 6000)) == (ONE, ONE, None)


def test_what_is_new_may_have_been_there_since_the_last_reading() -> None:
    claims = leases()
    claims.take([], 1000)
    claims.take([claim(A, ONE)], 2000)
    assert [holder(claims, A, at) for at in (999, 1000, 2000)] == [None, ONE, ONE]


def test_what_is_gone_has_been_given_up() -> None:
    claims = leases()
    claims.take([claim(A, ONE)], 1000)
    assert claims.take([], 2000) == {host_prefix(ip_address(A))}
    assert [holder(claims, A, at) for at in (1999, 2000)] == [ONE, None]
    assert len(claims) == 0


def test_an_address_that_changes_hands_is_the_old_ones_until_then() -> None:
    claims = leases()
    claims.take([claim(A, ONE)], 1000)
    claims.take([claim(A, TWO, since_ms=500)], 2000)
    assert [holder(claims, A, at) for at in (1999, 2000)] == [ONE, TWO]


def test_a_lease_ends_by_itself_and_can_be_renewed() -> None:
    claims = leases()
    claims.take([claim(A, ONE, since_ms=500, until_ms=3000)], 1000)
    assert [holder(claims, A, at) for at in (499, 500, 2999, 3000)] == [None, ONE, ONE, None]
    assert claims.take([claim(A, ONE, since_ms=2000, until_ms=6000)], 2500) == set()
    assert [holder(claims, A, at) for at in (500, 3000, 6000)] == [ONE, ONE, None]


def test_an_old_reading_is_stale() -> None:
    claims = leases()
    claims.take([claim(A, ONE)], 1000)
    assert [(claims.age_ms(at), claims.is_stale(at)) for at in (500, 11_000, 11_001)] == [
        (0, False),
        (10_000, False),
        (10_001, True),
    ]
    claims.confirm(11_000)
    assert not claims.is_stale(11_001)


def test_the_history_is_bounded_and_forgotten() -> None:
    claims = Claims("wifi", Source.NEIGHBOUR, 10_000, history_ms=5000)
    for i in range(100):
        claims.take([claim(A, ONE if i % 2 else TWO)], 1000 + i)
    assert len(claims._spans[host_prefix(ip_address(A))]) == 32
    claims.take([], 2000)
    claims.purge(7001)
    assert holder(claims, A, 1500) is None
