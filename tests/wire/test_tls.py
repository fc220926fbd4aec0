from collections.abc import Callable
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.tls import HELLO_MAX, ClientHello, is_tls, read_client_hello, read_message, unwrap
from tests.wire.hellos import ECH, GREASE, alpn, big, extension, hello, message, of_ssl, records, sni

NAME = b"chat.blocked.test"
HELLO = hello(NAME, more=(alpn(b"h2", b"http/1.1"),))
PLAIN = ClientHello((NAME,), (b"h2", b"http/1.1"))


def test_the_name_and_the_protocols_are_read() -> None:
    assert read_client_hello(HELLO) == PLAIN


@given(cut=st.integers(0, len(HELLO) - 1))
def test_every_proper_prefix_asks_for_more(cut: int) -> None:
    assert read_client_hello(HELLO[:cut]) is None


@given(st.binary())
def test_what_follows_a_hello_does_not_change_it(behind: bytes) -> None:
    assert read_client_hello(HELLO + records(b"\x0b") + behind) == PLAIN
    assert read_message(message(sni(NAME)) + behind) == ClientHello((NAME,))


@given(version=st.integers(0, 255), size=st.integers(1, 300))
def test_any_minor_version_and_any_size_of_records(version: int, size: int) -> None:
    assert read_client_hello(hello(NAME, version=version, size=size)) == ClientHello((NAME,))


def read_by_records(data: bytes) -> ClientHello | None:
    taken = bytearray()
    unwrap(data, 0, taken)
    return read_message(taken)


def outcome(read: Callable[[bytes], ClientHello | None], data: bytes) -> ClientHello | type[Malformed] | None:
    try:
        return read(data)
    except Malformed:
        return Malformed


@settings(max_examples=500)
@given(
    st.sampled_from([HELLO, hello(NAME, size=99), hello(NAME) + hello(b"ok.test")]),
    st.integers(0, 120),
    st.binary(max_size=3),
    st.integers(0, 3),
    st.binary(max_size=40),
)
def test_in_place_the_same_is_read_as_by_records(data: bytes, at: int, new: bytes, lost: int, behind: bytes) -> None:
    changed = data[:at] + new + data[at + lost :] + behind
    assert outcome(read_client_hello, changed) == outcome(read_by_records, changed)


@given(st.lists(st.integers(0, 40), max_size=80))
def test_records_are_taken_out_once_however_they_come(steps: list[int]) -> None:
    data = hello(NAME, size=7)
    taken, at, seen = bytearray(), 0, 0
    for step in (*steps, len(data)):
        seen += step
        at = unwrap(data[:seen], at, taken)
    assert at == len(data)
    assert read_message(taken) == ClientHello((NAME,))


@pytest.mark.parametrize("kind", [20, 21])
def test_alerts_and_changes_of_cipher_between_records_are_skipped(kind: int) -> None:
    other = records(b"\x01\x00", kind=kind)
    first, second = message(sni(NAME))[:20], message(sni(NAME))[20:]
    assert read_client_hello(other + records(first) + other + records(second)) == ClientHello((NAME,))


@pytest.mark.parametrize("name", [None, "chat.blocked.test"])
def test_what_openssl_sends(name: str | None) -> None:
    found = read_client_hello(of_ssl(name))
    assert found == ClientHello(() if name is None else (name.encode(),), (b"h2", b"http/1.1"))


def test_what_a_browser_sends_has_grease_and_an_encrypted_part() -> None:
    assert read_client_hello(big(NAME)) == ClientHello((NAME,), (b"h2", b"http/1.1"), ech=True)


@pytest.mark.parametrize("kind", [ECH, 0xFFCE])
def test_an_encrypted_part_is_told(kind: int) -> None:
    found = read_client_hello(hello(NAME, more=(extension(kind, b"x"),)))
    assert found is not None
    assert found.ech


def test_every_name_of_every_list_is_given() -> None:
    found = read_client_hello(hello(b"ok.test", b"bad.test", more=(sni(b"third.test"), sni(b"fourth.test", kind=7))))
    assert found == ClientHello((b"ok.test", b"bad.test", b"third.test", b"fourth.test"))


@pytest.mark.parametrize("extensions", [(), (extension(10, b"\0\x02\0\x1d"),), (extension(GREASE, b""),)])
def test_a_hello_without_a_name(extensions: tuple[bytes, ...]) -> None:
    assert read_client_hello(hello(more=extensions)) == ClientHello()


def test_a_hello_without_extensions_at_all() -> None:
    whole = message()[4:-2]
    assert read_client_hello(records(b"\x01" + len(whole).to_bytes(3) + whole)) == ClientHello()


def test_protocols_that_break_off_and_grease_are_left_out() -> None:
    broken = extension(16, b"\x00\x20\x02\x0a\x0a\x02h2\xffhalf")
    assert read_client_hello(hello(NAME, more=(broken,))) == ClientHello((NAME,), (b"h2", b"half"))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"\x17\x03\x03\x00\x01x", id="application data"),
        pytest.param(b"\x16\x02", id="major version 2"),
        pytest.param(b"\x16\x03\x01\x41\x01", id="a record of more than 16,640 octets"),
        pytest.param(records(b"\x02\x00\x00\x01x"), id="a ServerHello"),
        pytest.param(records(b"\x01\x00\x40\x01"), id="a message of more than 16 KiB"),
        pytest.param(records(b"\x01\x00\x00\x02\x03\x03"), id="no room for the random"),
        pytest.param(records(b"\x01" + bytes((0, 0, 38)) + bytes(34) + b"\xff\0\0\0"), id="session ID behind the end"),
        pytest.param(hello(more=(extension(0, b""),)), id="no list of names"),
        pytest.param(hello(more=(extension(0, b"\0\0"),)), id="an empty list of names"),
        pytest.param(hello(more=(extension(0, b"\0\3\0\0\0"),)), id="an empty name"),
        pytest.param(hello(more=(extension(0, b"\0\4\0\0\2a"),)), id="a name behind its list"),
        pytest.param(hello(more=(extension(0, b"\0\2\0\0"),)), id="a list that ends inside a name's length"),
        pytest.param(hello(more=(extension(0, b"\0\5\0\0\1a"),)), id="a list behind its extension"),
        pytest.param(hello(more=(b"\0\x0a\0\x09abc",)), id="an extension behind the message"),
        pytest.param(hello(more=(b"\0",)), id="half an extension"),
    ],
)
def test_what_no_server_could_read(data: bytes) -> None:
    with pytest.raises(Malformed):
        read_client_hello(data)


@given(st.binary(max_size=200))
def test_any_octets_give_a_value_or_none_or_malformed(data: bytes) -> None:
    for each in (data, records(data), b"\x01\x00\x00" + bytes((len(data),)) + data):
        with suppress(Malformed):
            read_client_hello(each)


def test_no_more_is_kept_than_a_hello_may_have() -> None:
    kept = bytearray()
    unwrap(records(b"\x01\xff\xff\xff" + bytes(10 * HELLO_MAX)), 0, kept)
    assert len(kept) <= 4 + HELLO_MAX + 0x4000
    with pytest.raises(Malformed):
        read_message(kept)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"\x16", True),
        (b"\x15\x03", True),
        (b"\x14\x03\x03", True),
        (b"\x17", False),
        (b"\x16\xf1", False),
        (b"G", False),
    ],
)
def test_what_can_be_tls(data: bytes, expected: bool) -> None:
    assert is_tls(data) is expected
