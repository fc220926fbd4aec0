from ipaddress import ip_address, ip_network

import dns.edns
import dns.message
import pytest

from enforcer.decide.cookies import Cookies
from enforcer.errors import Malformed
from enforcer.resolver.conduct import Conduct
from enforcer.resolver.personal import Personal, personal
from enforcer.wire.dns import Query, read_query
from tests.resolver.desk import MANNERS

PHONE = ip_address("192.0.2.1")
PLAIN = Conduct(MANNERS, drop_outside=False, name_clients=True, max_ttl=60)
BAKING = Conduct(MANNERS, drop_outside=False, name_clients=True, max_ttl=60, cookies=Cookies((bytes(16),)))
BEHIND = Conduct(
    MANNERS,
    drop_outside=False,
    name_clients=True,
    max_ttl=60,
    forwarders=(ip_network("192.0.2.0/30"),),
    device_options=(65074, 65001),
)


def a_query(*options: tuple[int, bytes]) -> Query:
    query = dns.message.make_query("www.ok.test", "A")
    query.use_edns(options=[dns.edns.GenericOption(dns.edns.OptionType.make(code), data) for code, data in options])
    return read_query(query.to_wire())


def test_a_query_without_options_keeps_what_its_connection_has_shown() -> None:
    assert personal(a_query(), PHONE, PLAIN, 0, None) == Personal(None, known=True, shown=None)
    assert personal(a_query(), PHONE, BEHIND, 0, "token:00") == Personal(None, known=True, shown="token:00")


def test_e8_a_cookie_that_is_not_ours_is_told_from_one_that_is() -> None:
    first = personal(a_query((10, b"12345678")), PHONE, BAKING, 100, None)
    assert first.known
    assert first.cookie is not None
    assert personal(a_query((10, first.cookie)), PHONE, BAKING, 100, None) == first
    assert not personal(a_query((10, first.cookie)), ip_address("192.0.2.2"), BAKING, 100, None).known
    assert not personal(a_query((10, b"12345678" + bytes(16))), PHONE, BAKING, 100, None).known


def test_e8_what_is_no_cookie_is_malformed_only_where_there_are_cookies() -> None:
    assert personal(a_query((10, b"1")), PHONE, PLAIN, 0, None).cookie is None
    with pytest.raises(Malformed):
        personal(a_query((10, b"1")), PHONE, BAKING, 0, None)


def test_the_first_configured_option_counts_and_a_device_beats_the_forwarders_own_proof() -> None:
    both = a_query((65001, b"mac"), (65074, b"site"))
    assert personal(both, PHONE, BEHIND, 0, "certificate:00").shown == f"edns:65074:{b'site'.hex()}"
    assert personal(a_query((65001, b"mac")), PHONE, BEHIND, 0, None).shown == f"edns:65001:{b'mac'.hex()}"
    assert personal(both, ip_address("192.0.2.9"), BEHIND, 0, "certificate:00").shown == "certificate:00"
    assert personal(both, PHONE, PLAIN, 0, None).shown is None
