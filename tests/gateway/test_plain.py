import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.decide.flow import Opening
from enforcer.gateway.plain import plain_hello
from tests.wire.hellos import ALPN, ECH, SNI, alpn, big, extension, hello, message, of_ssl, records, sni

USUAL = [hello(b"www.test"), big(b"www.test"), of_ssl("www.test"), hello(b"WWW.test.")]


@pytest.mark.parametrize("data", USUAL, ids=["small", "as a browser", "OpenSSL", "as sent"])
def test_the_name_of_a_usual_hello(data: bytes) -> None:
    plain = plain_hello(data)
    assert plain is not None
    assert plain.name.lower().rstrip(b".") == b"www.test"


def test_what_else_a_record_tells() -> None:
    found = [plain_hello(data) for data in (USUAL[0], USUAL[1], USUAL[2])]
    assert [each and (each.alpn is not None, each.ech) for each in found] == [
        (False, False),
        (True, True),
        (True, False),
    ]


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
        records(message(sni(b"www.test"), alpn(b"h2"), alpn(b"h3"))),
        b"GET / HTTP/1.1\r\nHost: www.test\r\n\r\n" + bytes(40),
    ],
)
def test_what_is_unusual_is_for_the_other_reader(data: bytes) -> None:
    assert plain_hello(data) is None


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
    plain = plain_hello(bytes(raw))
    if plain is not None:
        more = [] if plain.alpn is None else [extension(ALPN, plain.alpn)]
        more += [extension(ECH, b"")] if plain.ech else []
        assert Opening().add(bytes(raw)) == Opening().add(hello(plain.name, more=more))


@given(st.binary(max_size=300))
def test_any_octets_are_read_or_not(data: bytes) -> None:
    plain_hello(data)
    plain_hello(b"\x16\3\1" + (len(data) + 4).to_bytes(2) + b"\1" + len(data).to_bytes(3) + data)
