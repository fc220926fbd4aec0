from dataclasses import replace
from ipaddress import IPv4Address, IPv6Address

import dns.edns
import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.decide.dns import (
    PAYLOAD,
    STREAM_MAX,
    Ask,
    Found,
    Manners,
    Outcome,
    Reply,
    begin,
    failed,
    fitted,
    judge_answer,
    outside,
    passed,
    refused,
    screen,
    udp_limit,
)
from enforcer.errors import Malformed
from enforcer.policy.names import parse
from enforcer.policy.rules import Answer, Mode
from enforcer.policy.verdict import Action, Client
from enforcer.wire.dns import Query, read_query, read_response
from enforcer.wire.svcb import service
from tests.policy.made import NOW, a_list, a_policy
from tests.wire.messages import vector, vectors

CLIENT = Client("lab")
MANNERS = Manners(
    block_ttl=60,
    ede_code=15,
    ede_text="Blocked / Bloqué",
    mname=parse("policy.invalid"),
    rname=parse("hostmaster.dept.example"),
    sinkhole=(IPv4Address("192.0.2.53"), IPv6Address("2001:db8::53")),
)
BANS = a_policy(
    a_list("suffix: chat.test", "exact: pay.bank.test", "cidr: 198.51.100.0/24", "cidr: '2001:db8:bad::/48'"),
    a_list("suffix: null.test", service="nulled", more="answer: 'null'"),
    a_list("suffix: sink.test", service="sunk", more="answer: sinkhole"),
    a_list("suffix: nodata.test", service="nodata", more="answer: nodata"),
    a_list("suffix: seen.test", "cidr: 203.0.113.0/24", service="seen", more="mode: monitor"),
)
EVERY_TYPE = ["A", "AAAA", "HTTPS", "SVCB", "ANY", "TXT", "NS", "DS", "SOA", "MX", "CNAME", "TYPE65400"]


def a_query(name: str, rtype: str = "A", rclass: str = "IN", *, edns: int | None = None, do: bool = False) -> bytes:
    return dns.message.make_query(name, rtype, rclass, use_edns=edns, want_dnssec=do, id=0xD08B).to_wire()


def taken(wire: bytes) -> Query:
    query = screen(wire)
    assert isinstance(query, Query)
    return query


def refusal(wire: bytes) -> Reply:
    reply = screen(wire)
    assert isinstance(reply, Reply)
    return reply


def begun(name: str, rtype: str = "A", *, client: Client = CLIENT, manners: Manners = MANNERS, **how: int) -> Reply:
    reply = begin(taken(a_query(name, rtype, **how)), client, BANS, NOW, manners)  # type: ignore[arg-type]
    assert isinstance(reply, Reply)
    return reply


def shown(reply: Reply | bytes) -> dns.message.Message:
    return dns.message.from_wire(reply.wire if isinstance(reply, Reply) else reply)


def codes(message: dns.message.Message) -> list[int]:
    return [int(option.code) for option in message.options if isinstance(option, dns.edns.EDEOption)]


def texts(section: list[dns.rrset.RRset]) -> list[str]:
    return [str(rrset) for rrset in section]


def an_answer(query: bytes, *records: str, section: str = "answer") -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(query))
    for record in records:
        owner, ttl, rtype, rdata = record.split(maxsplit=3)
        getattr(reply, section).append(dns.rrset.from_text(owner, int(ttl), "IN", rtype, rdata))
    reply.use_edns(False)
    return reply.to_wire(max_size=65535)


def found(name: str, *records: str, rtype: str = "A", section: str = "answer", client: Client = CLIENT) -> Found | None:
    wire = an_answer(a_query(name, rtype), *records, section=section)
    return judge_answer(wire, read_response(wire), client, BANS, NOW)


def cut_off(name: str, *records: str, rtype: str = "A", edns: int | None = None) -> Reply:
    """What an answer with something banned in it is refused with."""
    query = a_query(name, rtype, edns=edns)
    wire = an_answer(query, *records)
    response = read_response(wire)
    banned = judge_answer(wire, response, CLIENT, BANS, NOW)
    assert banned is not None
    assert banned.verdict.action is Action.BLOCK
    return refused(taken(query), wire, response, banned, MANNERS)


# Messages (standards §2.1)


@given(st.binary(max_size=11))
def test_d1_less_than_a_header_gets_no_answer(wire: bytes) -> None:
    assert screen(wire) is None


def test_d1_a_response_gets_no_answer() -> None:
    assert screen(vector("response-nxdomain")) is None


@pytest.mark.parametrize("name", vectors("malformed-query"))
def test_d1_d2_d4_e2_what_cannot_be_read_is_answered_formerr_with_its_id(name: str) -> None:
    wire = vector(name)
    reply = refusal(wire)
    assert reply.outcome is Outcome.FORMERR
    assert reply.wire[:2] == wire[:2]
    assert shown(reply).rcode() == dns.rcode.FORMERR


@pytest.mark.parametrize("count", [0, 2])
def test_d2_another_number_of_questions_than_one_is_answered_formerr(count: int) -> None:
    wire = a_query("www.ok.test")
    assert refusal(wire[:4] + count.to_bytes(2) + wire[6:]).outcome is Outcome.FORMERR


@pytest.mark.parametrize("opcode", range(1, 16))
def test_d3_an_opcode_other_than_query_is_answered_notimp(opcode: int) -> None:
    wire = bytearray(a_query("chat.test"))
    wire[2] |= opcode << 3
    reply = refusal(bytes(wire))
    assert reply.outcome is Outcome.NOTIMP
    assert reply.wire[:2] == wire[:2]
    assert (reply.wire[2] & 0x80, reply.wire[2] >> 3 & 0xF, reply.wire[3] & 0xF) == (0x80, opcode, 4)


def test_d4_a_label_of_64_octets_is_answered_formerr() -> None:
    wire = a_query("x.test")
    assert refusal(wire[:12] + b"\x40" + wire[13:]).outcome is Outcome.FORMERR


def test_d5_a_label_with_a_dot_in_it_is_not_two_labels() -> None:
    assert isinstance(begin(taken(a_query(r"chat\.test")), CLIENT, BANS, NOW, MANNERS), Ask)
    assert isinstance(begin(taken(a_query(r"\000\255.ok.test")), CLIENT, BANS, NOW, MANNERS), Ask)
    assert begun(r"\000\255.chat.test").outcome is Outcome.BLOCKED


@pytest.mark.parametrize(("rtype", "rclass"), [("TYPE65400", "IN"), ("A", "CLASS4"), ("TYPE0", "CLASS255")])
def test_d6_unknown_types_and_classes_are_asked_for_unless_banned(rtype: str, rclass: str) -> None:
    assert isinstance(begin(taken(a_query("www.ok.test", rtype, rclass)), CLIENT, BANS, NOW, MANNERS), Ask)
    banned = begin(taken(a_query("chat.test", rtype, rclass)), CLIENT, BANS, NOW, MANNERS)
    assert isinstance(banned, Reply)
    assert banned.outcome is Outcome.BLOCKED


@pytest.mark.parametrize("flags", [0x0000, 0x0100, 0x0110, 0x0170, 0x05F0])
def test_d7_an_answer_has_the_id_the_case_rd_and_cd_of_the_query_and_ra_but_not_aa(flags: int) -> None:
    wire = a_query("CHAT.test")
    wire = wire[:2] + flags.to_bytes(2) + wire[4:]
    reply = begin(taken(wire), CLIENT, BANS, NOW, MANNERS)
    assert isinstance(reply, Reply)
    assert reply.wire[:2] == wire[:2]
    assert int.from_bytes(reply.wire[2:4]) == 0x8083 | flags & 0x0110
    assert reply.wire[12 : len(wire)] == wire[12:]


@pytest.mark.parametrize("name", ["version.bind", "id.server", "chat.test"])
def test_d8_class_ch_is_never_forwarded(name: str) -> None:
    query = taken(a_query(name, "TXT", "CH"))
    reply = begin(query, CLIENT, BANS, NOW, MANNERS)
    assert isinstance(reply, Reply)
    assert shown(reply).rcode() == dns.rcode.REFUSED
    told = begin(query, CLIENT, BANS, NOW, replace(MANNERS, chaos="resolver"))
    assert isinstance(told, Reply)
    assert texts(shown(told).answer) == [f'{name}. 0 CH TXT "resolver"']


@pytest.mark.parametrize("rtype", ["AXFR", "IXFR"])
def test_d10_transfers_are_refused(rtype: str) -> None:
    question = a_query("ok.test")
    number = {"AXFR": 252, "IXFR": 251}[rtype].to_bytes(2)
    assert shown(refusal(question[:-4] + number + question[-2:])).rcode() == dns.rcode.REFUSED
    wire = a_query("ok.test", edns=0)
    reply = refusal(wire.replace(b"\x04test\0\0\x01", b"\x04test\0" + number))
    assert (shown(reply).rcode(), codes(shown(reply))) == (dns.rcode.REFUSED, [18])


def test_d11_a_stranger_is_refused_and_told_why() -> None:
    reply = outside(taken(a_query("chat.test", edns=0)))
    assert (reply.outcome, reply.verdict) == (Outcome.REFUSED, None)
    assert (shown(reply).rcode(), codes(shown(reply))) == (dns.rcode.REFUSED, [18])


def test_d12_octets_behind_the_last_record_are_ignored() -> None:
    wire = a_query("chat.test")
    reply = begin(taken(wire + b"trailing"), CLIENT, BANS, NOW, MANNERS)
    assert isinstance(reply, Reply)
    assert reply.wire == begun("chat.test").wire


def test_d13_what_is_too_large_for_udp_keeps_its_question_and_opt_and_says_so() -> None:
    query = taken(a_query("www.ok.test", "TXT", edns=0))
    whole = passed(query, an_answer(a_query("www.ok.test", "TXT"), *[f'www.ok.test. 300 TXT "{"x" * 250}"'] * 6), 0)
    cut = shown(fitted(whole, query, stream=False))
    assert cut.flags & dns.flags.TC
    assert (cut.answer, cut.edns, len(cut.question)) == ([], 0, 1)
    assert fitted(whole, query, stream=True) == whole


def test_d13_tc_of_an_upstream_is_passed_on() -> None:
    query = taken(a_query("www.ok.test"))
    wire = bytearray(an_answer(a_query("www.ok.test")))
    wire[2] |= 0x02
    assert shown(passed(query, wire, 0)).flags & dns.flags.TC


def test_an_answer_that_our_opt_makes_too_long_for_tcp_is_cut() -> None:
    query = taken(a_query("www.ok.test", "TXT", edns=0))
    records = [f"www.ok.test. 300 TYPE65400 \\# 60000 {'00' * 60_000}", f"a.test. 1 TYPE65400 \\# 5470 {'00' * 5470}"]
    wire = an_answer(a_query("www.ok.test", "TXT"), *records)
    whole = passed(query, wire, 0)
    assert len(wire) <= STREAM_MAX < len(whole)
    assert len(fitted(whole, query, stream=True)) <= STREAM_MAX


def test_d14_a_signed_query_is_refused() -> None:
    assert shown(refusal(vector("query-tsig"))).rcode() == dns.rcode.REFUSED


# EDNS (standards §2.2)


@pytest.mark.parametrize("name", ["chat.test", "pay.bank.test", "a.null.test", "a.sink.test", "localhost", "a.onion"])
def test_e1_an_answer_has_opt_if_the_query_has(name: str) -> None:
    assert shown(begun(name)).edns == -1
    assert shown(begun(name, edns=0)).edns == 0


def test_e1_errors_have_opt_if_the_query_has() -> None:
    for edns, version in ((None, -1), (0, 0)):
        query = taken(a_query("www.ok.test", edns=edns))
        assert shown(outside(query)).edns == version
        assert shown(failed(query, "no upstream answered in time", network=False)).edns == version


def test_e3_another_version_of_edns_is_answered_badvers_in_version_0() -> None:
    message = shown(refusal(vector("query-edns-version-1")))
    assert (message.rcode(), message.edns) == (dns.rcode.BADVERS, 0)


@pytest.mark.parametrize(("payload", "limit"), [(None, 512), (0, 512), (511, 512), (600, 600), (4096, PAYLOAD)])
def test_e4_a_reply_over_udp_is_no_larger_than_both_sides_take(payload: int | None, limit: int) -> None:
    edns = None if payload is None else 0
    query = taken(dns.message.make_query("www.ok.test", "A", use_edns=edns, payload=payload or 0).to_wire())
    assert udp_limit(query) == limit
    assert udp_limit(None) == 512


def test_e5_e6_options_are_not_echoed() -> None:
    for name in ("query-cookie", "query-padding", "query-dnssec-subnet"):
        query = taken(vector(name))
        message = shown(passed(query, an_answer(a_query("x.test"))[:12] + query.question, 0))
        assert (message.edns, message.options, message.payload) == (0, (), PAYLOAD)


def test_e11_the_reason_is_dropped_before_data_and_tc_is_set_with_it() -> None:
    query = taken(a_query("cloaked.test", edns=0))
    reply = failed(query, "x" * 1300, network=False)
    message = shown(fitted(reply.wire, query, stream=False))
    assert (message.flags & dns.flags.TC, codes(message), message.rcode()) == (dns.flags.TC, [], dns.rcode.SERVFAIL)


# The blocked answer (standards §2.3)


def test_b1_a_banned_name_is_answered_nxdomain_with_the_soa_of_what_is_banned() -> None:
    reply = begun("a.b.chat.test", edns=0)
    message = shown(reply)
    assert (reply.outcome, reply.answer, reply.ede) == (Outcome.BLOCKED, Answer.NXDOMAIN, 15)
    assert (message.rcode(), message.answer, codes(message)) == (dns.rcode.NXDOMAIN, [], [15])
    soa = "chat.test. 60 IN SOA policy.invalid. hostmaster.dept.example. 1 3600 600 86400 60"
    assert texts(message.authority) == [soa]


def test_b1_the_worked_answer_of_the_vectors_is_ours_octet_for_octet() -> None:
    text = "Blocked by organization policy / Bloqué par la politique de l’organisation"
    policy = a_policy(a_list("suffix: weixin.qq.com"))
    reply = begin(taken(vector("query-blocked")), CLIENT, policy, NOW, replace(MANNERS, ede_text=text))
    assert isinstance(reply, Reply)
    assert reply.wire == vector("response-blocked")


@pytest.mark.parametrize("rtype", EVERY_TYPE)
def test_b2_every_type_gives_the_same_result(rtype: str) -> None:
    message = shown(begun("a.chat.test", rtype))
    assert (message.rcode(), message.answer) == (dns.rcode.NXDOMAIN, [])
    assert message.authority == shown(begun("a.chat.test")).authority


@pytest.mark.parametrize("name", ["pay.bank.test", "a.nodata.test"])
def test_b3_a_rule_for_an_exact_name_is_answered_nodata(name: str) -> None:
    reply = begun(name, edns=0)
    message = shown(reply)
    assert (reply.answer, message.rcode(), message.answer, codes(message)) == (
        Answer.NODATA,
        dns.rcode.NOERROR,
        [],
        [15],
    )
    assert len(message.authority) == 1
    assert isinstance(begin(taken(a_query("a.pay.bank.test")), CLIENT, BANS, NOW, MANNERS), Ask)


def test_b4_a_chain_is_given_up_to_the_banned_name_which_is_denied() -> None:
    reply = cut_off(
        "www.ok.test",
        "www.ok.test. 300 CNAME edge.cdn.test.",
        "edge.cdn.test. 30 CNAME a.chat.test.",
        "a.chat.test. 300 CNAME b.elsewhere.test.",
        "b.elsewhere.test. 300 A 192.0.2.1",
        edns=0,
    )
    message = shown(reply)
    assert (reply.via, reply.outcome, reply.answer) == ("a.chat.test", Outcome.BLOCKED, Answer.NXDOMAIN)
    assert (message.rcode(), codes(message)) == (dns.rcode.NXDOMAIN, [15])
    assert texts(message.answer) == [
        "www.ok.test. 60 IN CNAME edge.cdn.test.",
        "edge.cdn.test. 30 IN CNAME a.chat.test.",
    ]
    assert str(message.authority[0].name) == "chat.test."


def test_b4_the_order_of_the_records_does_not_matter() -> None:
    chain = ["www.ok.test. 300 CNAME edge.cdn.test.", "edge.cdn.test. 30 CNAME a.chat.test."]
    assert cut_off("www.ok.test", *chain[::-1]).wire == cut_off("www.ok.test", *chain).wire


def test_b4_an_exact_name_at_the_end_of_a_chain_is_answered_nodata() -> None:
    reply = cut_off("www.ok.test", "www.ok.test. 300 CNAME a.pay.bank.test.", "a.pay.bank.test. 9 CNAME pay.bank.test.")
    message = shown(reply)
    assert (reply.answer, message.rcode(), len(message.answer)) == (Answer.NODATA, dns.rcode.NOERROR, 2)
    assert str(message.authority[0].name) == "pay.bank.test."


@pytest.mark.parametrize("name", ["null.test", "sink.test", "nodata.test"])
def test_b4_only_a_list_that_answers_nxdomain_denies_the_end_of_a_chain(name: str) -> None:
    message = shown(cut_off("www.ok.test", f"www.ok.test. 300 CNAME a.{name}."))
    assert (message.rcode(), len(message.answer), len(message.authority)) == (dns.rcode.NOERROR, 1, 1)


def test_b4_a_dname_that_leads_to_what_is_banned_is_refused() -> None:
    reply = cut_off(
        "a.ok.test", "ok.test. 300 DNAME chat.test.", "a.ok.test. 300 CNAME a.chat.test.", "a.chat.test. 9 A 192.0.2.1"
    )
    message = shown(reply)
    assert (message.rcode(), reply.via) == (dns.rcode.NXDOMAIN, "chat.test")
    assert texts(message.answer) == ["a.ok.test. 60 IN CNAME a.chat.test."]


@pytest.mark.parametrize(
    ("rtype", "rdata", "via"),
    [
        ("A", "198.51.100.7", "198.51.100.7"),
        ("AAAA", "2001:db8:bad::1", "2001:db8:bad::1"),
        ("AAAA", "::ffff:198.51.100.7", "::ffff:198.51.100.7"),
        ("AAAA", "64:ff9b::c633:6407", "64:ff9b::c633:6407"),
        ("HTTPS", "1 a.chat.test. alpn=h2", "a.chat.test"),
        ("HTTPS", "0 a.chat.test.", "a.chat.test"),
        ("SVCB", "1 . ipv4hint=192.0.2.1,198.51.100.7", "198.51.100.7"),
        ("HTTPS", "1 . ipv6hint=2001:db8:bad::1", "2001:db8:bad::1"),
        ("DNAME", "chat.test.", "chat.test"),
    ],
)
def test_b4_an_address_or_target_that_is_banned_is_answered_nodata(rtype: str, rdata: str, via: str) -> None:
    reply = cut_off("www.ok.test", f"www.ok.test. 300 {rtype} {rdata}", rtype=rtype)
    message = shown(reply)
    assert (reply.via, reply.answer) == (via, Answer.NODATA)
    assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])
    assert str(message.authority[0].name) == "www.ok.test."


@pytest.mark.parametrize("section", ["answer", "authority", "additional"])
def test_b4_every_section_is_judged(section: str) -> None:
    assert found("www.ok.test", "b.test. 300 A 198.51.100.7", section=section) is not None


def test_b4_what_is_allowed_is_not_found() -> None:
    assert found("www.ok.test", "www.ok.test. 300 CNAME chat.test.org.", "chat.test.org. 300 A 192.0.2.1") is None
    assert found("www.ok.test", "www.ok.test. 300 TXT chat.test") is None


def test_b4_a_record_that_is_not_what_its_type_says_is_not_passed_on() -> None:
    for rtype, data in (("A", "0102"), ("CNAME", "0361"), ("HTTPS", "0001"), ("HTTPS", "000100000400030a0000")):
        number = dns.rdatatype.from_text(rtype).to_bytes(2)
        record = b"\xc0\x0c" + number + b"\0\x01\0\0\0\x09" + (len(data) // 2).to_bytes(2) + bytes.fromhex(data)
        wire = an_answer(a_query("www.ok.test"))
        wire = wire[:7] + b"\x01" + wire[8:] + record
        with pytest.raises(Malformed):
            judge_answer(wire, read_response(wire), CLIENT, BANS, NOW)


def test_a_chain_in_a_circle_ends() -> None:
    records = ["www.ok.test. 9 CNAME b.test.", "b.test. 9 CNAME www.ok.test.", "c.test. 9 CNAME a.chat.test."]
    message = shown(cut_off("www.ok.test", *records))
    assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])


def test_b5_a_blocked_answer_is_never_authentic_and_the_same_with_do() -> None:
    plain, signed = shown(begun("chat.test", edns=0)), shown(begun("chat.test", edns=0, do=True))
    assert not signed.flags & dns.flags.AD
    assert (signed.rcode(), signed.authority, signed.answer) == (plain.rcode(), plain.authority, [])


def test_b6_the_longest_blocked_answer_needs_no_more_than_512_octets() -> None:
    name = ".".join(["a" * 63, "b" * 63, "c" * 63, "d" * 40, "chat.test"])
    assert len(begun(name, edns=0).wire) <= 512


@pytest.mark.parametrize(
    ("name", "rtype", "addresses"),
    [
        ("a.null.test", "A", ["0.0.0.0"]),
        ("a.null.test", "AAAA", ["::"]),
        ("a.null.test", "ANY", ["0.0.0.0", "::"]),
        ("a.null.test", "HTTPS", []),
        ("a.sink.test", "A", ["192.0.2.53"]),
        ("a.sink.test", "AAAA", ["2001:db8::53"]),
        ("a.sink.test", "TXT", []),
    ],
)
def test_b7_a_forged_answer_points_to_the_null_address_or_the_sinkhole_and_says_so(
    name: str, rtype: str, addresses: list[str]
) -> None:
    message = shown(begun(name, rtype, edns=0))
    assert (message.rcode(), codes(message)) == (dns.rcode.NOERROR, [4, 15])
    assert [str(rdata) for rrset in message.answer for rdata in rrset] == addresses
    assert all(rrset.ttl <= 60 for rrset in message.answer)
    assert len(message.authority) == (0 if addresses else 1)


def test_b8_what_is_observed_is_asked_for() -> None:
    step = begin(taken(a_query("www.seen.test")), CLIENT, BANS, NOW, MANNERS)
    assert isinstance(step, Ask)
    assert step.observed is not None
    assert step.observed.action is Action.OBSERVE
    watched = begin(taken(a_query("chat.test")), Client("lab", Mode.MONITOR), BANS, NOW, MANNERS)
    assert isinstance(watched, Ask)
    assert watched.observed is not None


def test_b8_of_an_answer_what_blocks_goes_before_what_is_observed() -> None:
    seen = found("www.ok.test", "www.ok.test. 300 A 203.0.113.1")
    assert seen is not None
    assert seen.verdict.action is Action.OBSERVE
    both = found("www.ok.test", "www.ok.test. 300 A 203.0.113.1", "www.ok.test. 300 A 198.51.100.1")
    assert both is not None
    assert (both.verdict.action, both.via) == (Action.BLOCK, "198.51.100.1")


# Names that are answered here (standards §2.6)


@pytest.mark.parametrize(
    ("name", "rcode"),
    [
        ("use-application-dns.net", dns.rcode.NXDOMAIN),
        ("mask.icloud.com", dns.rcode.NXDOMAIN),
        ("MASK.icloud.com", dns.rcode.NXDOMAIN),
        ("a.mask.icloud.com", dns.rcode.NXDOMAIN),
        ("mask-h2.icloud.com", dns.rcode.NXDOMAIN),
        ("resolver.arpa", dns.rcode.NOERROR),
        ("_dns.resolver.arpa", dns.rcode.NOERROR),
        ("a.onion", dns.rcode.NXDOMAIN),
        ("a.invalid", dns.rcode.NXDOMAIN),
    ],
)
@pytest.mark.parametrize("rtype", ["A", "AAAA", "HTTPS", "SVCB"])
def test_signals_are_negative_with_a_soa_for_every_type_and_leave_no_trace(name: str, rcode: int, rtype: str) -> None:
    reply = begun(name, rtype, edns=0)
    message = shown(reply)
    assert (reply.outcome, reply.verdict) == (Outcome.LOCAL, None)
    assert (message.rcode(), message.answer, len(message.authority), codes(message)) == (rcode, [], 1, [])


@pytest.mark.parametrize(
    "name", ["icloud.com", "amask.icloud.com", "application-dns.net", "ipv4only.arpa", "arpa", "."]
)
def test_neighbours_of_signals_are_asked_for(name: str) -> None:
    assert isinstance(begin(taken(a_query(name)), CLIENT, BANS, NOW, MANNERS), Ask)


@pytest.mark.parametrize("name", ["localhost", "a.localhost"])
def test_localhost_is_loopback(name: str) -> None:
    assert [str(rdata) for rdata in shown(begun(name)).answer[0]] == ["127.0.0.1"]
    assert [str(rdata) for rdata in shown(begun(name, "AAAA")).answer[0]] == ["::1"]
    assert (shown(begun(name, "MX")).rcode(), shown(begun(name, "MX")).answer) == (dns.rcode.NOERROR, [])


def test_a_ban_goes_before_a_signal() -> None:
    policy = a_policy(a_list("suffix: icloud.com"))
    reply = begin(taken(a_query("mask.icloud.com")), CLIENT, policy, NOW, MANNERS)
    assert isinstance(reply, Reply)
    assert reply.outcome is Outcome.BLOCKED


@pytest.mark.parametrize(("network", "code"), [(True, 23), (False, 22)])
def test_when_no_upstream_answers_the_client_is_told_servfail_and_why(network: bool, code: int) -> None:
    message = shown(failed(taken(a_query("www.ok.test", edns=0)), "no upstream can be reached", network=network))
    assert (message.rcode(), codes(message)) == (dns.rcode.SERVFAIL, [code])


def test_ddr_a_client_is_told_of_the_encrypted_ways_to_ask_in_its_realm_alone() -> None:
    target = parse("dns.example")
    ways = (service(1, target, alpn=("h2",), port=443), service(2, target, alpn=("dot",), port=853))
    manners = replace(MANNERS, designated={"lab": ways})
    told, elsewhere, other = (
        begin(read_query(a_query(name, rtype)), client, BANS, NOW, manners)
        for name, rtype, client in (
            ("_DNS.resolver.arpa", "SVCB", CLIENT),
            ("_dns.resolver.arpa", "SVCB", Client("other")),
            ("_dns.resolver.arpa", "A", CLIENT),
        )
    )
    assert isinstance(told, Reply)
    assert told.outcome is Outcome.LOCAL
    (rrset,) = dns.message.from_wire(told.wire).answer
    assert rrset.ttl == 60
    assert sorted(record.to_text() for record in rrset) == [
        '1 dns.example. alpn="h2" port="443"',
        '2 dns.example. alpn="dot" port="853"',
    ]
    for reply in (elsewhere, other):
        assert isinstance(reply, Reply)
        message = dns.message.from_wire(reply.wire)
        assert (message.rcode(), message.answer) == (dns.rcode.NOERROR, [])


@pytest.mark.parametrize("name", ["resolver.arpa", "DNS.example", "other.example"])
def test_resinfo_rfc_9606_tells_of_us_under_our_names_alone(name: str) -> None:
    said = b"\x09exterr=15\x13infourl=https://x/y"
    manners = replace(MANNERS, names=frozenset({parse("dns.example")}), information=said)
    reply = begin(read_query(a_query(name, "TYPE261")), CLIENT, BANS, NOW, manners)
    assert begin(read_query(a_query("dns.example", "A")), CLIENT, BANS, NOW, manners) == Ask()
    if name == "other.example":
        assert reply == Ask()
        return
    assert isinstance(reply, Reply)
    assert reply.outcome is Outcome.LOCAL
    (rrset,) = dns.message.from_wire(reply.wire).answer
    assert (rrset.rdtype, rrset[0].to_wire()) == (261, said)
    untold = begin(read_query(a_query(name, "TYPE261")), CLIENT, BANS, NOW, MANNERS)
    assert not isinstance(untold, Reply) or dns.message.from_wire(untold.wire).answer == []


def test_a_ban_goes_before_our_own_names() -> None:
    manners = replace(MANNERS, names=frozenset({parse("chat.test")}), information=b"\0")
    reply = begin(read_query(a_query("chat.test", "TYPE261")), CLIENT, BANS, NOW, manners)
    assert isinstance(reply, Reply)
    assert reply.outcome is Outcome.BLOCKED
