import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.decide.flow import Opening
from enforcer.gateway.plain import plain_name
from tests.wire.hellos import SNI, alpn, big, extension, hello, message, of_ssl, records, sni

USUAL = [hello(b"www.test"), big(b"www.test"), of_ssl("www.test"), hello(b"WWW.test.")]


@pytest.mark.parametrize("data", USUAL, ids=["small", "as a browser", "OpenSSL", "as sent"])
def test_the_name_of_a_usual_hello(data: bytes) -> None:
    name = plain_name(data)
    assert name is not None
    assert name.lower().rstrip(b".") == b"www.test"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        hello(),
        hello(b"www.test", size=40),
        hello(b"www.test") + b"more",
        hello(b"www.test")[:-1],
        hello(b"www.test", b"chat.test"),
        records(message(sni(b"www.test"), sni(b"chat.test"))),
        records(message(sni(b"www.test", kind=1))),
        records(message(extension(SNI, b"\0\3\0\0\0"))),
        records(message(extension(SNI, b""))),
        records(message(alpn(b"h2"))[:-2]),
        b"GET / HTTP/1.1\r\nHost: www.test\r\n\r\n" + bytes(40),
    ],
)
def test_what_is_unusual_is_for_the_other_reader(data: bytes) -> None:
    assert plain_name(data) is None


@given(st.sampled_from(USUAL), st.data())
def test_what_it_reads_the_other_reader_reads_alike(data: bytes, chance: st.DataObject) -> None:
    """Whatever octets are changed, taken out or put in."""
    raw = bytearray(data)
    for _ in range(chance.draw(st.integers(0, 4))):
        at = chance.draw(st.integers(0, len(raw) - 1))
        match chance.draw(st.sampled_from("cdi")):
            case "c":
                raw[at] = chance.draw(st.integers(0, 255))
            case "d":
                del raw[at]
            case _:
                raw.insert(at, chance.draw(st.integers(0, 255)))
    name = plain_name(bytes(raw))
    if name is not None:
        seen, alone = Opening().add(bytes(raw)), Opening().add(hello(name))
        assert seen is not None
        assert alone is not None
        assert (seen.names, seen.addresses, seen.shows) == (alone.names, alone.addresses, alone.shows)


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_not(data: bytes) -> None:
    plain_name(data)
    plain_name(b"\x16\3\1" + (len(data) + 4).to_bytes(2) + b"\1" + len(data).to_bytes(3) + data)
