import dns.rcode
import dns.rdatatype
import pytest

from enforcer.wire.dnscodes import Rcode, RRType, rcode_name, type_name


@pytest.mark.parametrize("rtype", list(RRType))
def test_types_have_the_numbers_that_dnspython_knows(rtype: RRType) -> None:
    if rtype.name in dns.rdatatype.RdataType.__members__:
        assert int(dns.rdatatype.from_text(rtype.name)) == int(rtype)


@pytest.mark.parametrize("rcode", [rcode for rcode in Rcode if rcode <= Rcode.BADVERS])
def test_rcodes_have_the_numbers_that_dnspython_knows(rcode: Rcode) -> None:
    assert rcode.name == "DSOTYPENI" or int(dns.rcode.from_text(rcode.name)) == int(rcode)


def test_types_are_named() -> None:
    assert type_name(65) == "HTTPS"


def test_rfc3597_5_a_type_without_a_name_is_written_with_its_number() -> None:
    assert type_name(65400) == "TYPE65400"


def test_rcodes_are_named() -> None:
    assert rcode_name(3) == "NXDOMAIN"
    assert rcode_name(16) == "BADVERS"
    assert rcode_name(24) == "RCODE24"
