import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.wire.mmtls import is_mmtls

FULL = bytes.fromhex("16f104016e0000016a0104f102c02b00a8")
VECTORS = {  # from reports of captures; see enforcer/wire/mmtls.py
    "full handshake": FULL,
    "early data": bytes.fromhex("19f10400a10000009d0104f10100a8"),
    "long connection": bytes.fromhex("16f10400a10000009d0104f10100a8"),
    "older version": bytes.fromhex("16f1030057000000530103f101c02b"),
    "alert": bytes.fromhex("15f10400170000"),
    "data": bytes.fromhex("17f1030020"),
}
OTHERS = {
    "TLS": bytes.fromhex("1603010200010001fc0303"),
    "lengths that do not agree": bytes.fromhex("16f104016e0000ffff0104f1"),
    "HTTP": b"GET /mmtls/",
    "a third version": bytes.fromhex("16f105016e0000016a"),
    "no ClientHello": bytes.fromhex("16f104016e0000016a02"),
    "no version inside": bytes.fromhex("16f104016e0000016a0105"),
    "another version inside": bytes.fromhex("16f104016e0000016a0104f2"),
    "a record of nothing": bytes.fromhex("15f1040000"),
    "a record without end": bytes.fromhex("17f104ffff"),
    "a record too short for its message": bytes.fromhex("16f104000200000000"),
    "another type": bytes.fromhex("18f104"),
}


@pytest.mark.parametrize("name", VECTORS)
def test_what_the_app_sends_is_known(name: str) -> None:
    assert is_mmtls(VECTORS[name])


@pytest.mark.parametrize("name", OTHERS)
def test_other_octets_are_not(name: str) -> None:
    assert is_mmtls(OTHERS[name]) is False


@given(cut=st.integers(0, 11))
def test_every_prefix_asks_for_more(cut: int) -> None:
    assert is_mmtls(FULL[:cut]) is None


@given(st.binary(max_size=20))
def test_what_follows_changes_nothing(behind: bytes) -> None:
    assert is_mmtls(FULL + behind)
    assert is_mmtls(OTHERS["lengths that do not agree"] + behind) is False


@given(st.binary(max_size=20), st.binary(max_size=20))
def test_no_answer_is_taken_back(data: bytes, more: bytes) -> None:
    answer = is_mmtls(data)
    assert answer is None or is_mmtls(data + more) is answer
