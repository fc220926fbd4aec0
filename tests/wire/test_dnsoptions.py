import dns.edns
import dns.message
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.wire.dnsoptions import NONE, Wishes, wishes, with_options


def asking(*options: tuple[int, bytes]) -> bytes:
    made: list[dns.edns.Option] = [dns.edns.GenericOption(dns.edns.OptionType(code), data) for code, data in options]
    return dns.message.make_query("www.ok.test", "A", use_edns=0, options=made).to_wire()


def replying(texts: int = 1, *, last: int = 0, edns: bool = True) -> bytes:
    query = dns.message.make_query("www.ok.test", "TXT", use_edns=0 if edns else None)
    reply = dns.message.make_response(query)
    text = '"' + "x" * 200 + '"'
    if texts:
        records = [f'"{number}" {text}' for number in range(texts)]
        records += ['"' + "x" * last + '"'] * (last > 0)
        reply.answer.append(dns.rrset.from_text("www.ok.test.", 300, "IN", "TXT", *records))
    if edns:
        reply.use_edns(0, options=[dns.edns.EDEOption(dns.edns.EDECode.BLOCKED, "Blocked")])
    return reply.to_wire(max_size=65_535)


@pytest.mark.parametrize(
    ("options", "wished"),
    [
        ((), NONE),
        (((12, b""),), Wishes(padding=True, keepalive=False)),
        (((11, b""), (12, bytes(100))), Wishes(padding=True, keepalive=True)),
        (((11, b"\0\x64"),), Wishes(padding=False, keepalive=False)),
        (((8, b"\0\1\0\0"),), Wishes(padding=False, keepalive=False)),
    ],
    ids=["none", "padding", "both", "a keepalive with a value", "another"],
)
def test_a_query_says_what_it_wants(options: tuple[tuple[int, bytes], ...], wished: Wishes) -> None:
    assert wishes(asking(*options)) == wished


def test_a_query_without_edns_wants_nothing() -> None:
    assert wishes(dns.message.make_query("www.ok.test", "A").to_wire()) is NONE


@given(st.binary(max_size=100))
def test_any_octets_want_something_or_nothing(wire: bytes) -> None:
    assert isinstance(wishes(wire), Wishes)


@given(st.integers(0, 150))
def test_e9_a_padded_reply_is_a_multiple_of_468_and_says_the_same(texts: int) -> None:
    reply = replying(texts)
    padded = with_options(reply, keepalive_s=None, padded=True)
    assert len(padded) % 468 == 0
    assert len(padded) - len(reply) < 468 + 4
    before, after = dns.message.from_wire(reply), dns.message.from_wire(padded)
    assert after.answer == before.answer
    assert [option.otype for option in after.options] == [15, 12]


@given(st.integers(300, 301), st.integers(1, 250))
def test_e9_no_reply_grows_beyond_what_a_stream_can_carry(texts: int, last: int) -> None:
    padded = with_options(replying(texts, last=last), keepalive_s=10, padded=True)
    assert len(padded) <= 65_535
    dns.message.from_wire(padded)


def test_e9_a_reply_without_edns_stays_as_it_is() -> None:
    reply = replying(edns=False)
    assert with_options(reply, keepalive_s=10, padded=True) == reply


def test_e10_the_time_out_is_told_in_tenths_of_a_second_before_the_padding() -> None:
    told = dns.message.from_wire(with_options(replying(), keepalive_s=12.5, padded=True))
    assert [(option.otype, option.to_wire()) for option in told.options][1] == (11, b"\0\x7d")
    assert [option.otype for option in told.options] == [15, 11, 12]
