from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Corrupt
from enforcer.orders import Grant, Orders, Pause, decode_orders, encode_orders

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
        )
    ).map(tuple),
)


@given(orders=ORDERS)
def test_decoding_undoes_encoding(orders: Orders) -> None:
    assert decode_orders(encode_orders(orders)) == orders


@given(data=st.binary())
def test_any_other_bytes_are_corrupt(data: bytes) -> None:
    with pytest.raises(Corrupt):
        decode_orders(data)


WHOLE = b'{"generation":1,"policy":"a","pauses":[["lab",5]],"grants":[["lab","192.0.2.1",["chat"],5]]}'


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
