from ipaddress import ip_address, ip_network

import dns.edns
import dns.message
import pytest

from enforcer.decide.cookies import Cookies
from enforcer.errors import Malformed
from enforcer.resolver.conduct import Conduct
from enforcer.resolver.personal import baked, told
from enforcer.wire.dns import read_query
from tests.resolver.desk import MANNERS

PHONE = ip_address("192.0.2.1")
COOKIES = Cookies((bytes(16),))
BEHIND = Conduct(
    MANNERS,
    drop_outside=False,
    name_clients=True,
    max_ttl=60,
    forwarders=(ip_network("192.0.2.0/30"),),
    device_options=(65074, 65001),
)


def a_query(*options: tuple[int, bytes]) -> bytes:
    query = dns.message.make_query("www.ok.test", "A")
    query.use_edns(options=[dns.edns.GenericOption(dns.edns.OptionType.make(code), data) for code, data in options])
    return query.to_wire()


def test_a_query_without_a_cookie_gets_none() -> None:
    assert baked(read_query(a_query()), PHONE, COOKIES, 0) is None


def test_e8_a_cookie_that_is_not_ours_is_told_from_one_that_is() -> None:
    first = baked(read_query(a_query((10, b"12345678"))), PHONE, COOKIES, 100)
    assert first is not None
    assert first.known
    again = read_query(a_query((10, first.data)))
    assert baked(again, PHONE, COOKIES, 100) == first
    for query, address in ((again, ip_address("192.0.2.2")), (read_query(a_query((10, bytes(24)))), PHONE)):
        other = baked(query, address, COOKIES, 100)
        assert other is not None
        assert not other.known


def test_e8_what_is_no_cookie_is_malformed() -> None:
    with pytest.raises(Malformed):
        baked(read_query(a_query((10, b"1"))), PHONE, COOKIES, 0)


def test_the_first_configured_option_of_a_forwarder_tells_of_a_device() -> None:
    both = a_query((65001, b"mac"), (65074, b"site"))
    assert told(both, PHONE, BEHIND) == f"edns:65074:{b'site'.hex()}"
    assert told(a_query((65001, b"mac")), PHONE, BEHIND) == f"edns:65001:{b'mac'.hex()}"
    assert told(a_query((65001, b""), (65074, bytes(65))), PHONE, BEHIND) is None


def test_e7_nobody_else_and_nothing_else_does() -> None:
    query = a_query((65001, b"mac"))
    assert told(query, ip_address("192.0.2.9"), BEHIND) is None
    for wire in (a_query(), a_query((26946, b"x")), b"", query[:20], b"\0\0\x81\x80" + query[4:]):
        assert told(wire, PHONE, BEHIND) is None
