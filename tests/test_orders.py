from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Corrupt
from enforcer.orders import Grant, Grants, Orders, Pause, ShownGrant, decode_orders, encode_orders

MOMENTS = st.integers(0, 4_000_000_000_000).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
)
ORDERS = st.builds(
    Orders,
    generation=st.integers(0, 1 << 40),
    policy=st.text(),
    pauses=st.lists(st.builds(Pause, st.text(), MOMENTS)).map(tuple),
    grants=st.lists(
        st.builds(
            Grant,
            st.text(),
            st.builds(IPv4Address, st.integers(0, (1 << 32) - 1))
            | st.builds(IPv6Address, st.integers(0, (1 << 128) - 1)),
            st.lists(st.text()).map(tuple),
            MOMENTS,
            st.none() | st.integers(0, 128),
            st.booleans(),
        )
    ).map(tuple),
    shown=st.lists(
        st.builds(ShownGrant, st.text(), st.text(), st.lists(st.text()).map(tuple), MOMENTS, st.booleans())
    ).map(tuple),
)


@given(orders=ORDERS)
def test_decoding_undoes_encoding(orders: Orders) -> None:
    assert decode_orders(encode_orders(orders)) == orders


@given(data=st.binary())
def test_any_other_bytes_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_orders(data)


WHOLE = (
    b'{"generation":1,"policy":"a","pauses":[["lab",5]],'
    b'"grants":[["lab","192.0.2.1",["chat"],5,null,false]],"shown":[]}'
)


@pytest.mark.parametrize(
    "change",
    [
        (b'"generation":1,', b""),
        (b'"generation":1', b'"generation":"x"'),
        (b"192.0.2.1", b"192.0.2"),
        (b'["lab",5]]', b'["lab"]]'),
        (b'["lab",5]]', b'["lab",null]]'),
        (b'"grants":[[', b'"grants":[[1,'),
    ],
)
def test_orders_that_are_not_whole_are_corrupt(change: tuple[bytes, bytes]) -> None:
    assert decode_orders(WHOLE).generation == 1
    with pytest.raises(Corrupt):
        decode_orders(WHOLE.replace(*change))


@given(cut=st.integers(0, len(WHOLE) - 1))
def test_a_torn_file_is_corrupt(cut: int) -> None:
    with pytest.raises(Corrupt):
        decode_orders(WHOLE[:cut])


NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
SOON, LATER = NOW + timedelta(seconds=60), NOW + timedelta(seconds=90)
PHONE, PREFIX = IPv4Address("192.0.2.1"), IPv6Address("2001:db8:20:30::")


def granted(*grants: Grant, shown: tuple[ShownGrant, ...] = ()) -> Grants:
    return Grants(Orders(1, "a", grants=grants, shown=shown))


def test_a_grant_is_for_its_address_in_its_realm_until_its_end() -> None:
    grants = granted(Grant("lab", PHONE, ("chat",), SOON), Grant("lab", PHONE, ("chat", "av"), LATER))
    assert grants.of("lab", PHONE, NOW).exempt == {"chat": LATER, "av": LATER}
    assert grants.of("lab", PHONE, LATER).exempt == {}
    assert grants.of("other", PHONE, NOW).exempt == {}
    assert grants.of("lab", IPv4Address("192.0.2.2"), NOW).exempt == {}
    assert (grants.end_between(NOW, SOON), grants.end_between(LATER, LATER + timedelta(1))) == (True, False)


def test_a_grant_for_a_prefix_is_for_all_of_it() -> None:
    grants = granted(Grant("lab", PREFIX, ("chat",), SOON, 64))
    assert grants.of("lab", IPv6Address("2001:db8:20:30:a:b:c:d"), NOW).exempt == {"chat": SOON}
    assert grants.of("lab", IPv6Address("2001:db8:20:31::"), NOW).exempt == {}


def test_a_grant_for_what_is_shown_goes_with_it() -> None:
    grants = granted(shown=(ShownGrant("roaming", "token:ab", ("chat",), SOON),))
    assert grants.of("roaming", PHONE, NOW, "token:ab").exempt == {"chat": SOON}
    assert grants.of("roaming", PHONE, NOW, "token:cd").exempt == {}
    assert grants.of("roaming", PHONE, NOW).exempt == {}


def test_a_client_can_be_observed() -> None:
    grants = granted(Grant("lab", PHONE, (), SOON, observed=True), Grant("lab", PHONE, ("chat",), LATER))
    assert (grants.of("lab", PHONE, NOW).observed, grants.of("lab", PHONE, SOON).observed) == (SOON, None)
