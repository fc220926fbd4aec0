import struct

import dns.message
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.dns import read_response
from enforcer.wire.dnscodes import Rcode, RRType
from enforcer.wire.dnscut import truncated, without_ad, without_ech, without_opt
from enforcer.wire.dnswrite import ReplyEdns, ede, opt, pointer, record, reply, with_opt
from tests.wire.messages import Built, as_dnspython_lists, name, responses, vector, vectors

QUESTION = name("a.test") + b"\0\1\0\1"
TC = 0x0200


def stripped(wire: bytes) -> bytes:
    return without_opt(wire, read_response(wire))


def behind_an_opt(*records: bytes) -> bytes:
    head = struct.pack("!6H", 1, 0x8180, 1, 0, 0, 1 + len(records))
    return head + QUESTION + opt(1232, do=False) + b"".join(records)


@pytest.mark.parametrize("case", vectors("response"))
def test_recorded_responses_lose_their_opt_and_nothing_else(case: str) -> None:
    wire = vector(case)
    cut = stripped(wire)
    assert as_dnspython_lists(cut) == as_dnspython_lists(wire)
    assert dns.message.from_wire(cut).edns == -1
    assert cut[:2] == wire[:2]


@given(responses(), st.binary(max_size=3))
def test_a_response_loses_its_opt_and_trailing_octets_and_nothing_else(built: Built, after: bytes) -> None:
    cut = stripped(built.wire + after)
    assert as_dnspython_lists(cut) == as_dnspython_lists(built.wire)
    response = read_response(cut)
    assert response.opt is None
    assert response.end == len(cut)
    if not built.has_opt:
        assert cut == built.wire


@given(responses())
def test_taking_an_opt_away_undoes_adding_it(built: Built) -> None:
    plain = stripped(built.wire)
    assert stripped(with_opt(plain, opt(1232, do=True, options=[(10, b"12345678")]))) == plain


@pytest.mark.parametrize(
    ("rtype", "before", "count", "after"),
    [
        *((rtype, b"", 1, b"") for rtype in (RRType.NS, RRType.MD, RRType.MF, RRType.CNAME, RRType.MB, RRType.MG)),
        *((rtype, b"", 1, b"") for rtype in (RRType.MR, RRType.PTR, RRType.DNAME)),
        *((rtype, b"", 2, b"") for rtype in (RRType.MINFO, RRType.RP)),
        *((rtype, b"\0\1", 1, b"") for rtype in (RRType.MX, RRType.AFSDB, RRType.RT)),
        (RRType.SOA, b"", 2, bytes(20)),
        (RRType.SIG, bytes(18), 1, b"signature"),
        (RRType.PX, b"\0\1", 2, b""),
        (RRType.NXT, b"", 1, b"\x40"),
        (RRType.SRV, bytes(6), 1, b""),
        (RRType.NAPTR, b"\0\1\0\2\1U\0\2!x", 1, b""),
    ],
)
def test_rfc3597_4_compressed_names_behind_the_opt_are_written_in_full(
    rtype: int, before: bytes, count: int, after: bytes
) -> None:
    compressed = b"\2Mx" + pointer(0)
    wire = behind_an_opt(record(pointer(0), rtype, 9, before + compressed * count + after))
    in_full = before + b"\2Mx\1a\4test\0" * count + after
    assert stripped(wire).endswith(QUESTION + record(name("a.test"), rtype, 9, in_full))


def test_rfc3597_4_other_types_behind_the_opt_stay_as_they_are() -> None:
    data = b"\x02mx\xc0\x0c"
    wire = behind_an_opt(record(pointer(0), 65400, 9, data))
    assert stripped(wire).endswith(record(name("a.test"), 65400, 9, data))


@pytest.mark.parametrize(
    ("rtype", "data"),
    [
        (RRType.MX, b""),
        (RRType.MX, b"\0\1\2mx"),
        (RRType.CNAME, b"\xc0\xff"),
        (RRType.NAPTR, b"\0\0\0\0\xff"),
    ],
)
def test_a_name_that_is_none_behind_the_opt_is_malformed(rtype: int, data: bytes) -> None:
    wire = behind_an_opt(record(pointer(0), rtype, 9, data))
    with pytest.raises(Malformed):
        stripped(wire + b"\0")


def test_a_message_that_grows_too_long_is_malformed() -> None:
    owner = b"".join(b"\x3f" + bytes(63) for _ in range(3)) + b"\0"
    long = record(owner, RRType.NS, 9, b"\0")
    at = (0xC000 | 12 + len(QUESTION) + 11).to_bytes(2)
    with pytest.raises(Malformed, match="65535"):
        stripped(behind_an_opt(long, *[record(at, RRType.NS, 9, at)] * 200))


def test_rdata_that_grows_too_long_is_malformed() -> None:
    data = pointer(0) + bytes(0xFFFF - 2)
    with pytest.raises(Malformed, match="65535"):
        stripped(behind_an_opt(record(b"\0", RRType.SOA, 9, data)))


def test_rfc6891_6_1_3_an_rcode_that_needs_edns_is_not_turned_into_another() -> None:
    wire = reply(1, 0, QUESTION, Rcode.BADVERS, edns=ReplyEdns(1232, do=False))
    with pytest.raises(Malformed, match="rcode 16"):
        stripped(wire)


ADDRESSES = b"".join(record(pointer(0), RRType.A, 60, bytes(4)) for _ in range(40))
EDNS = ReplyEdns(1232, do=True, options=(ede(15, "x" * 400), (10, b"12345678")))


def test_rfc6891_7_a_reply_that_is_too_large_keeps_its_question_and_opt_with_tc_set() -> None:
    cut = truncated(reply(1, 0x0100, QUESTION, 0, answer=ADDRESSES, ancount=40, edns=EDNS), 512)
    kept = ReplyEdns(1232, do=True, options=((10, b"12345678"),))
    expected = bytearray(reply(1, 0x0100, QUESTION, 0, edns=kept))
    expected[2:4] = (int.from_bytes(expected[2:4]) | TC).to_bytes(2)
    assert cut == bytes(expected)


def test_rfc8914_3_error_options_go_before_data_and_tc_is_set() -> None:
    answer = record(pointer(0), RRType.A, 60, bytes(4)) * 10
    cut = truncated(reply(1, 0, QUESTION, Rcode.NOERROR, answer=answer, ancount=10, edns=EDNS), 512)
    response = read_response(cut)
    assert response.tc
    assert len(response.records) == 10
    assert response.opt is not None
    assert response.opt.edns.options == ((10, b"12345678"),)


def test_a_reply_without_edns_that_is_too_large_keeps_its_question() -> None:
    cut = truncated(reply(1, 0, QUESTION, Rcode.NXDOMAIN, answer=ADDRESSES, ancount=40), 512)
    response = read_response(cut)
    assert (response.tc, response.rcode, response.qname) == (True, Rcode.NXDOMAIN, name("a.test"))
    assert (response.records, response.opt, response.end) == ((), None, len(cut))


@given(responses(), st.integers(512, 2000))
def test_what_is_cut_fits_and_reads_as_a_response(built: Built, limit: int) -> None:
    cut = truncated(built.wire, limit)
    response = read_response(cut)
    original = read_response(built.wire)
    assert response.tc
    assert (response.qname, response.rcode, response.id) == (original.qname, original.rcode, original.id)
    assert (response.opt is None) == (original.opt is None)
    assert len(cut) <= limit
    dns.message.from_wire(cut)


KEYS = b"\0\5\0\4keys"


def an_https(params: bytes) -> bytes:
    return record(pointer(0), RRType.HTTPS, 300, b"\0\1\0" + params)


def bare(wire: bytes) -> bytes | None:
    return without_ech(wire, read_response(wire))


def test_a_message_without_ech_keys_is_left_alone() -> None:
    assert bare(reply(1, 0, QUESTION, 0, answer=an_https(b"\0\1\0\3\2h2"), ancount=1)) is None


def test_ech_keys_go_and_what_follows_still_means_the_same() -> None:
    exchange = record(pointer(0), RRType.MX, 60, b"\0\1\2mx" + pointer(0))
    address = record(b"\3www" + pointer(0), RRType.A, 60, bytes(4))
    wires = []
    for keys in (KEYS, b""):
        https = an_https(b"\0\1\0\3\2h2" + keys + b"\0\6\0\x10" + bytes(16))
        answer = b"".join((address, https, exchange, address, https))
        wires.append(reply(1, 0, QUESTION, 0, answer=answer, ancount=5))
    cut = bare(wires[0])
    assert cut is not None
    assert as_dnspython_lists(cut) == as_dnspython_lists(wires[1])
    assert read_response(cut).end == len(cut)
    assert b"keys" not in cut


def test_names_behind_the_keys_that_pointed_behind_them_are_whole() -> None:
    answer = an_https(KEYS)
    at = 12 + len(QUESTION) + len(answer)
    long = record(name("host.other.test"), RRType.A, 60, bytes(4))
    pointing = record((0xC000 | at).to_bytes(2), RRType.CNAME, 60, b"\1x" + (0xC000 | at + 5).to_bytes(2))
    cut = bare(reply(1, 0, QUESTION, 0, answer=answer + long + pointing, ancount=3))
    assert cut is not None
    assert str(dns.message.from_wire(cut).answer[2]) == "host.other.test. 60 IN CNAME x.other.test."


def test_a_message_that_grows_too_long_without_its_keys_is_malformed() -> None:
    owner = b"".join(b"\x3f" + bytes(63) for _ in range(3)) + b"\0"
    first = record(owner, RRType.A, 1, bytes(4))
    at = (0xC000 | 12 + len(QUESTION)).to_bytes(2)
    answer = first + an_https(KEYS) + record(at, RRType.A, 1, bytes(4)) * 1000
    with pytest.raises(Malformed):
        bare(reply(1, 0, QUESTION, 0, answer=answer, ancount=1002))


def test_rfc6840_5_7_what_was_changed_is_not_authentic_any_more() -> None:
    wire = reply(1, 0, QUESTION, 0, answer=an_https(KEYS), ancount=1)
    wire = wire[:3] + bytes((wire[3] | 0x20,)) + wire[4:]
    cut = bare(wire)
    assert cut is not None
    assert [read_response(message).ad for message in (wire, cut, without_ad(wire))] == [True, False, False]
