import dns.rcode
import dns.rdatatype
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.wire.dnscodes import Rcode, RRType, rcode_name, type_name, type_number


@pytest.mark.parametrize("rtype", list(RRType))
def test_types_have_the_numbers_that_dnspython_knows(rtype: RRType) -> None:
    if rtype.name in dns.rdatatype.RdataType.__members__:
        assert int(dns.rdatatype.from_text(rtype.name)) == int(rtype)


@pytest.mark.parametrize("rcode", [rcode for rcode in Rcode if rcode <= Rcode.BADVERS])
def test_rcodes_have_the_numbers_that_dnspython_knows(rcode: Rcode) -> None:
    assert rcode.name == "DSOTYPENI" or int(dns.rcode.from_text(rcode.name)) == int(rcode)


def test_types_are_named() -> None:
    assert type_name(65) == "HTTPS"
    assert type_number("HTTPS") == type_number("https") == type_number("TYPE65") == 65


def test_rfc3597_5_a_type_without_a_name_is_written_with_its_number() -> None:
    assert type_name(65400) == "TYPE65400"
    assert type_number("TYPE65400") == 65400


@given(st.integers(0, 0xFFFF))
def test_a_type_is_read_as_it_is_written(number: int) -> None:
    assert type_number(type_name(number)) == number


@pytest.mark.parametrize("text", ["", "TYPE", "TYPE65536", "TYPE-1", "TYPE²", "65", "HTTP"])
def test_what_is_no_type_says_how_one_is_written(text: str) -> None:
    with pytest.raises(ValueError, match='"TYPE65"'):
        type_number(text)


def test_rcodes_are_named() -> None:
    assert rcode_name(3) == "NXDOMAIN"
    assert rcode_name(16) == "BADVERS"
    assert rcode_name(24) == "RCODE24"
