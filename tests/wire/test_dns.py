import struct
from ipaddress import IPv4Address, IPv6Address

import dns.exception
import dns.flags
import dns.message
import dns.opcode
import pytest
from dnslib import DNSRecord
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Malformed
from enforcer.wire.dns import (
    Edns,
    Record,
    Response,
    Section,
    address,
    is_query,
    negative_ttl,
    opcode,
    read_query,
    read_response,
    target,
)
from enforcer.wire.dnscodes import Rcode, RRClass, RRType
from enforcer.wire.dnswrite import ReplyEdns, opt, query, record, reply
from tests.wire.messages import Built, as_dnspython_lists, name, responses, vector, vectors

A_TEST = name("a.test")
QUESTION = A_TEST + b"\0\1\0\1"
OWNER = b"\xc0\x0c"


def header(questions: int, answers: int, authorities: int, additionals: int, flags: int = 0x0100) -> bytes:
    return struct.pack("!6H", 0x1234, flags, questions, answers, authorities, additionals)


def answered(*records: bytes) -> tuple[bytes, Response]:
    wire = reply(1, 0x0100, QUESTION, Rcode.NOERROR, answer=b"".join(records), ancount=len(records))
    return wire, read_response(wire)


def only(rtype: int, data: bytes, rclass: int = RRClass.IN) -> tuple[bytes, Record]:
    wire, response = answered(record(OWNER, rtype, 300, data, rclass))
    return wire, response.records[0]


# Queries


@pytest.mark.parametrize("case", vectors("query"))
def test_recorded_queries_are_read(case: str) -> None:
    wire = vector(case)
    read = read_query(wire)
    assert is_query(wire)
    assert opcode(wire) == read.opcode == 0
    assert wire[12:].startswith(read.question)
    assert read.question[:-4].lower() == read.qname


@pytest.mark.parametrize("case", vectors("malformed-query"))
def test_recorded_malformed_queries_are_malformed(case: str) -> None:
    with pytest.raises(Malformed):
        read_query(vector(case))


def test_a_query_of_dig_is_read() -> None:
    read = read_query(vector("query-cookie"))
    assert (read.id, read.qname, read.qtype, read.qclass) == (0xACE6, name("short.weixin.qq.com"), RRType.A, RRClass.IN)
    assert (read.rd, read.ad, read.cd) == (True, True, False)
    assert read.edns == Edns(1232, 0, False, ((10, bytes.fromhex("ef9bfdab6426aa7b")),))
    assert not read.signed


def test_the_question_keeps_the_letter_case_of_the_client() -> None:
    read = read_query(vector("query-without-edns"))
    assert read.question == b"\x05Short\x06WeiXin\x02qq\x03com\0\0\x1c\0\1"
    assert read.qname == name("short.weixin.qq.com")
    assert read.edns is None


def test_do_and_options_are_read_in_order() -> None:
    edns = read_query(vector("query-dnssec-subnet")).edns
    assert edns is not None
    assert edns.do
    assert [code for code, _ in edns.options] == [8, 10]


def test_a_signed_query_says_so() -> None:
    assert read_query(vector("query-tsig")).signed
    sig0 = header(1, 0, 0, 1) + QUESTION + b"\0" + struct.pack("!HHIH", RRType.SIG, 255, 0, 0)
    assert read_query(sig0).signed


def test_rfc1035_4_1_too_short_a_message_and_a_response_get_no_reply() -> None:
    assert not is_query(b"")
    assert not is_query(vector("query-cookie")[:11])
    assert is_query(vector("query-cookie")[:12])
    assert not is_query(vector("response-nxdomain"))


def test_the_opcode_is_known_without_reading_the_rest() -> None:
    assert opcode(header(0, 0, 0, 0, flags=0x3000)) == 6


def test_rfc5625_4_1_unknown_types_and_classes_and_flags_are_read() -> None:
    read = read_query(header(1, 0, 0, 0, flags=0x0140) + A_TEST + struct.pack("!2H", 65400, 4711))
    assert (read.qtype, read.qclass, read.flags) == (65400, 4711, 0x0140)


def test_octets_after_the_last_counted_record_are_ignored() -> None:
    wire = vector("query-cookie")
    assert read_query(wire + b"\xc0\x0c more") == read_query(wire)


def test_rfc6891_6_1_3_a_query_of_another_version_is_read_without_its_options() -> None:
    assert read_query(vector("query-edns-version-1")).edns == Edns(1232, 1, False, ())


@pytest.mark.parametrize(("said", "meant"), [(0, 512), (511, 512), (512, 512), (1232, 1232), (65535, 65535)])
def test_rfc6891_6_2_3_a_payload_below_512_means_512(said: int, meant: int) -> None:
    edns = read_query(header(1, 0, 0, 1) + QUESTION + opt(said, do=False)).edns
    assert edns is not None
    assert edns.payload == meant


@pytest.mark.parametrize("case", vectors("query"))
def test_every_proper_prefix_of_a_query_is_malformed(case: str) -> None:
    wire = vector(case)
    for cut in range(len(wire)):
        with pytest.raises(Malformed):
            read_query(wire[:cut])


NAMES = st.sampled_from(
    ["a.test", "short.weixin.qq.com", "xn--bcher-kva.example", r"dot\.ted.test", r"\000\255.test", "."]
)
FLAGS = st.fixed_dictionaries({flag: st.booleans() for flag in ("rd", "cd", "ad", "do")})
NUMBERS = st.integers(0, 0xFFFF)


@given(st.tuples(NUMBERS, NAMES.map(name), NUMBERS, NUMBERS), FLAGS, st.none() | st.integers(512, 0xFFFF))
def test_reading_undoes_writing_of_queries(
    asked: tuple[int, bytes, int, int], flags: dict[str, bool], payload: int | None
) -> None:
    rd, cd, ad, do = flags.values()
    read = read_query(query(*asked, rd=rd, cd=cd, ad=ad, do=do, payload=payload))
    assert (read.id, read.qname, read.qtype, read.qclass) == asked
    assert (read.opcode, read.rd, read.cd, read.ad, read.signed) == (0, rd, cd, ad, False)
    assert read.edns == (None if payload is None else Edns(payload, 0, do, ()))


@given(st.binary(max_size=120), st.sampled_from(vectors("query") + vectors("malformed-query")), st.data())
def test_any_octets_are_a_query_or_malformed_and_dnspython_and_dnslib_read_the_same_name(
    noise: bytes, case: str, data: st.DataObject
) -> None:
    wire = bytearray(vector(case))
    at = data.draw(st.integers(0, len(wire)))
    wire[at : at + data.draw(st.integers(0, 4))] = noise[:4]
    for message in (noise, bytes(wire)):
        try:
            read = read_query(message)
        except Malformed:
            continue
        if read.opcode:
            continue
        asked = (read.qname, read.qtype, read.qclass)
        assert as_dnspython_asks(message) in (asked, None)
        assert as_dnslib_asks(message) in (asked, None)


def as_dnspython_asks(wire: bytes) -> tuple[bytes, int, int] | None:
    try:
        question = dns.message.from_wire(wire, ignore_trailing=True, question_only=True).question[0]
    except (dns.exception.DNSException, ValueError):
        return None
    return bytes(question.name.canonicalize().to_wire() or b""), question.rdtype, question.rdclass


def as_dnslib_asks(wire: bytes) -> tuple[bytes, int, int] | None:
    try:
        question = DNSRecord.parse(wire).q
    except Exception:  # noqa: BLE001 (whatever it raises, it has read no name)
        return None
    parts = [bytes(part) for part in question.qname.label]
    qname = b"".join(bytes([len(part)]) + part for part in parts) + b"\0"
    return qname.lower(), question.qtype, question.qclass


# Responses


@pytest.mark.parametrize("case", vectors("response"))
def test_recorded_responses_are_read_as_dnspython_reads_them(case: str) -> None:
    wire = vector(case)
    assert listed(read_response(wire)) == [row[:5] for row in as_dnspython_lists(wire)]


@pytest.mark.parametrize("case", vectors("malformed-response"))
def test_recorded_malformed_responses_are_malformed(case: str) -> None:
    with pytest.raises(Malformed):
        read_response(vector(case))


def listed(response: Response) -> list[tuple[int, bytes, int, int, int]]:
    return [(each.section.value, each.name, each.type, each.cls, each.ttl) for each in response.records]


@given(responses(), st.binary(max_size=3))
def test_responses_are_read_as_dnspython_reads_them(built: Built, after: bytes) -> None:
    response = read_response(built.wire + after)
    assert listed(response) == [row[:5] for row in as_dnspython_lists(built.wire)]
    assert response.end == len(built.wire)
    assert (response.opt is not None) == built.has_opt
    for each in response.records:
        assert int.from_bytes(built.wire[each.ttl_at : each.ttl_at + 4]) == each.ttl
        assert int.from_bytes(built.wire[each.data_at - 2 : each.data_at]) == each.data_end - each.data_at


@given(responses())
def test_every_proper_prefix_of_a_response_is_malformed(built: Built) -> None:
    for cut in range(len(built.wire)):
        with pytest.raises(Malformed):
            read_response(built.wire[:cut])


def test_flags_of_a_response_are_read() -> None:
    response = read_response(header(1, 0, 0, 0, flags=0x86A3) + QUESTION)
    assert (response.tc, response.ad) == (True, True)
    response = read_response(header(1, 0, 0, 0, flags=0x8000) + QUESTION)
    assert (response.tc, response.ad) == (False, False)


def test_rfc6891_6_1_3_the_rcode_has_twelve_bits() -> None:
    edns = ReplyEdns(1232, do=True)
    response = read_response(reply(1, 0, QUESTION, Rcode.BADVERS, edns=edns))
    assert response.rcode == Rcode.BADVERS
    assert response.opt is not None
    assert response.opt.edns == Edns(1232, 0, True, ())
    assert read_response(vector("response-nxdomain")).rcode == Rcode.NXDOMAIN


def test_the_opt_record_is_found_wherever_it_stands() -> None:
    wire = vector("response-opt-first")
    found = read_response(wire).opt
    assert found is not None
    assert wire[found.at : found.end] == opt(1232, do=False)


def test_a_response_without_a_question_has_no_name() -> None:
    response = read_response(vector("response-formerr-header-only"))
    assert (response.qname, response.rcode, response.end) == (None, Rcode.FORMERR, 12)


@pytest.mark.parametrize(
    "wire",
    [
        header(1, 0, 0, 0) + QUESTION,
        header(2, 0, 0, 0, flags=0x8000) + QUESTION + QUESTION,
        header(1, 1, 0, 0, flags=0x8000) + QUESTION + opt(1232, do=False),
        header(1, 0, 0, 1, flags=0x8000) + QUESTION + OWNER + opt(1232, do=False)[1:],
        header(1, 0, 0, 1, flags=0x8000)
        + QUESTION
        + opt(1232, do=False, options=[(10, b"12345678")])[:-9]
        + b"\xff" * 9,
    ],
    ids=["a query", "two questions", "OPT in the answer", "OPT with an owner", "an overlong option"],
)
def test_what_is_no_response_is_malformed(wire: bytes) -> None:
    with pytest.raises(Malformed):
        read_response(wire)


# What records say


def test_the_targets_of_a_chain_and_its_addresses_are_read() -> None:
    wire = vector("response-cname-chain")
    records = read_response(wire).records
    assert [target(wire, each) for each in records] == [name("a.cdn.test"), None, None]
    assert [address(wire, each) for each in records] == [None, IPv4Address("192.0.2.2"), IPv4Address("192.0.2.1")]


def test_rfc6672_the_target_of_a_dname_is_read() -> None:
    wire = vector("response-dname")
    records = read_response(wire).records
    assert [target(wire, each) for each in records[:2]] == [name("cdn.test"), name("a.cdn.test")]


def test_rfc9460_2_5_the_target_of_an_https_record_is_read() -> None:
    wire = vector("response-https-alias")
    assert target(wire, read_response(wire).records[0]) == name("a.cdn.test")


def test_rfc9460_2_5_2_the_root_as_a_target_means_the_owner() -> None:
    wire = vector("response-https")
    assert target(wire, read_response(wire).records[0]) == name("https.test")


def test_rfc9460_2_5_1_the_root_as_an_alias_means_no_service() -> None:
    wire, alias = only(RRType.HTTPS, b"\0\0\0")
    assert target(wire, alias) is None


@pytest.mark.parametrize(
    ("rtype", "data"),
    [
        (RRType.CNAME, b""),
        (RRType.CNAME, OWNER + b"\0"),
        (RRType.CNAME, b"\1b"),
        (RRType.DNAME, b"\xc0\xff"),
        (RRType.HTTPS, b""),
        (RRType.HTTPS, b"\0\1"),
        (RRType.HTTPS, b"\0\1" + OWNER),
        (RRType.SVCB, b"\0\1\1b" + OWNER),
        (RRType.SVCB, b"\0\1\5b"),
    ],
)
def test_rdata_without_a_target_is_malformed(rtype: int, data: bytes) -> None:
    wire, each = only(rtype, data)
    with pytest.raises(Malformed):
        target(wire + b"\0" * 9, each)


@pytest.mark.parametrize(("rtype", "data"), [(RRType.A, b"\xc0\0\2"), (RRType.A, bytes(16)), (RRType.AAAA, bytes(4))])
def test_addresses_of_another_length_are_malformed(rtype: int, data: bytes) -> None:
    wire, each = only(rtype, data)
    with pytest.raises(Malformed, match="no address"):
        address(wire, each)


def test_addresses_are_read_of_class_in_alone() -> None:
    data = IPv6Address("2001:db8::1").packed
    wire, each = only(RRType.AAAA, data)
    assert address(wire, each) == IPv6Address("2001:db8::1")
    wire, each = only(RRType.A, b"\1\2\3", RRClass.CH)
    assert address(wire, each) is None


# Times


def test_ttls_are_found_but_for_the_one_of_opt() -> None:
    wire = vector("response-cname-chain")
    records = read_response(wire).records
    assert [wire[each.ttl_at : each.ttl_at + 4] for each in records] == [(300).to_bytes(4)] * 3
    assert [each.ttl for each in records] == [300] * 3


def test_rfc2181_8_a_ttl_with_the_top_bit_set_is_0() -> None:
    _, response = answered(record(OWNER, RRType.A, 0x80000000, bytes(4)), record(OWNER, RRType.A, 0x7FFFFFFF, bytes(4)))
    assert [each.ttl for each in response.records] == [0, 0x7FFFFFFF]


def soa_data(minimum: int) -> bytes:
    return b"\2ns" + OWNER + b"\0" + struct.pack("!5I", 1, 3600, 600, 86400, minimum)


def denied(data: bytes, ttl: int = 300) -> tuple[bytes, Response]:
    wire = reply(1, 0, QUESTION, Rcode.NXDOMAIN, authority=record(OWNER, RRType.SOA, ttl, data), nscount=1)
    return wire, read_response(wire)


@pytest.mark.parametrize(("minimum", "kept"), [(60, 60), (300, 300), (3600, 300), (0x80000000, 0)])
def test_rfc2308_5_a_negative_answer_is_kept_for_the_lesser_of_ttl_and_minimum(minimum: int, kept: int) -> None:
    assert negative_ttl(*denied(soa_data(minimum))) == kept


def test_rfc2308_5_a_negative_answer_without_soa_is_not_kept() -> None:
    wire = reply(1, 0, QUESTION, Rcode.NXDOMAIN)
    assert negative_ttl(wire, read_response(wire)) is None


def test_rfc2308_5_a_soa_in_the_answer_does_not_count() -> None:
    assert negative_ttl(*answered(record(OWNER, RRType.SOA, 300, soa_data(60)))) is None


@pytest.mark.parametrize("data", [b"", b"\0\0", soa_data(60)[:-1], soa_data(60) + b"\0", b"\xff" + soa_data(60)])
def test_a_soa_record_that_is_none_is_malformed(data: bytes) -> None:
    wire, response = denied(data)
    with pytest.raises(Malformed):
        negative_ttl(wire, response)


def test_sections_are_told_apart() -> None:
    assert [each.section for each in read_response(vector("response-opt-first")).records] == [
        Section.ANSWER,
        Section.ADDITIONAL,
        Section.ADDITIONAL,
    ]
