import struct

import dns.edns
import dns.flags
import dns.message
import dns.opcode
import dns.rcode
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.wire.dns import Edns, Query, Section, negative_ttl, read_query, read_response
from enforcer.wire.dnscodes import Rcode, RRClass, RRType
from enforcer.wire.dnswrite import ReplyEdns, blocked, ede, error, opt, pointer, query, record, reply, soa, with_opt
from tests.wire.messages import name, vector

TEXT = "Blocked by organization policy / Bloqué par la politique de l’organisation"
ASKED = read_query(vector("query-blocked"))
QUESTION = ASKED.question


def refuse(asked: Query, rcode: int = Rcode.NXDOMAIN, suffix_at: int = 6) -> bytes:
    return blocked(
        asked,
        rcode=rcode,
        suffix_at=suffix_at,
        block_ttl=60,
        mname=name("policy.invalid"),
        rname=name("hostmaster.dept.example"),
        edns_payload=1232,
        ede_code=15,
        ede_text=TEXT,
    )


def test_a_blocked_answer_is_the_recorded_one_octet_for_octet() -> None:
    answer = refuse(ASKED)
    assert answer == vector("response-blocked")
    assert len(answer) == 204


def test_rfc6891_7_a_blocked_answer_has_no_opt_for_a_query_without() -> None:
    plain = read_query(vector("query-without-edns"))
    answer = refuse(plain)
    response = read_response(answer)
    assert response.opt is None
    assert len(answer) == 110
    assert answer[12 : response.question_end] == plain.question


def test_rfc2308_5_the_soa_of_a_blocked_answer_is_owned_by_the_blocked_suffix() -> None:
    answer = refuse(ASKED)
    response = read_response(answer)
    (owned,) = response.records
    assert (owned.section, owned.name, owned.type) == (Section.AUTHORITY, name("weixin.qq.com"), RRType.SOA)
    assert negative_ttl(answer, response) == owned.ttl == 60


def test_rfc8020_2_a_blocked_answer_may_say_nodata() -> None:
    response = read_response(refuse(ASKED, Rcode.NOERROR, suffix_at=0))
    assert response.rcode == Rcode.NOERROR
    assert response.records[0].name == ASKED.qname


def test_a_blocked_answer_reads_the_same_to_dnspython() -> None:
    message = dns.message.from_wire(refuse(ASKED))
    assert message.rcode() == dns.rcode.NXDOMAIN
    assert dns.flags.to_text(message.flags) == "QR RD RA"
    (option,) = message.options
    assert isinstance(option, dns.edns.EDEOption)
    assert (option.code, option.text) == (15, TEXT)
    assert str(message.authority[0]) == (
        "weixin.qq.com. 60 IN SOA policy.invalid. hostmaster.dept.example. 1 3600 600 86400 60"
    )


@given(st.integers(0, 0xFFFF))
def test_a_reply_copies_opcode_rd_and_cd_and_sets_qr_and_ra_alone(flags: int) -> None:
    number, said = struct.unpack_from("!2H", reply(7, flags, QUESTION, Rcode.NOERROR))
    assert number == 7
    assert said == 0x8080 | flags & 0x7910


def test_rfc3225_3_do_is_copied() -> None:
    asked = read_query(vector("query-dnssec-subnet"))
    assert asked.edns is not None
    found = read_response(refuse(asked, suffix_at=0)).opt
    assert found is not None
    assert found.edns.do


def test_a_reply_holds_the_records_that_it_is_given() -> None:
    answer = record(pointer(0), RRType.A, 60, bytes(4)) * 2
    authority = soa(name("qq.com"), mname=b"\0", rname=b"\0", ttl=60)
    edns = ReplyEdns(1232, do=False, options=(ede(15, ""), (12, b"")))
    wire = reply(1, 0, QUESTION, 0, answer=answer, ancount=2, authority=authority, nscount=1, edns=edns)
    response = read_response(wire)
    assert [(each.section, each.name, each.type) for each in response.records] == [
        (Section.ANSWER, ASKED.qname, RRType.A),
        (Section.ANSWER, ASKED.qname, RRType.A),
        (Section.AUTHORITY, name("qq.com"), RRType.SOA),
    ]
    assert response.opt is not None
    assert response.opt.edns == Edns(1232, 0, False, ((15, b"\0\x0f"), (12, b"")))
    assert response.end == len(wire)


def test_rfc6891_6_1_3_an_rcode_above_15_cannot_be_said_without_edns() -> None:
    with pytest.raises(ValueError, match="16 needs EDNS"):
        reply(1, 0, QUESTION, Rcode.BADVERS)
    wire = reply(1, 0, QUESTION, Rcode.BADVERS, edns=ReplyEdns(1232, do=False))
    assert dns.message.from_wire(wire).rcode() == dns.rcode.BADVERS


def test_an_error_without_a_readable_query_has_its_id_and_opcode_and_no_question() -> None:
    wire = error(b"\xab\xcd\x29\x10" + bytes(8) + b"\xff", Rcode.NOTIMP)
    assert wire == b"\xab\xcd\xa9\x94" + bytes(8)
    assert dns.message.from_wire(wire).opcode() == dns.opcode.UPDATE


def test_an_error_to_a_query_that_was_read_echoes_its_question_and_has_opt_as_it_has() -> None:
    wire = vector("query-blocked")
    response = read_response(
        error(wire, Rcode.SERVFAIL, ASKED, ReplyEdns(1232, do=False, options=(ede(23, "timeout"),)))
    )
    assert (response.id, response.rcode, response.qname) == (ASKED.id, Rcode.SERVFAIL, ASKED.qname)
    assert response.opt is not None
    assert response.opt.edns.options == ((15, b"\0\x17timeout"),)
    assert read_response(error(wire, Rcode.REFUSED, ASKED)).opt is None


def test_our_query_has_one_opt_without_options() -> None:
    wire = query(7, ASKED.qname, RRType.HTTPS, RRClass.IN, rd=True, cd=True, ad=False, do=True, payload=1232)
    message = dns.message.from_wire(wire)
    assert message.flags == dns.flags.RD | dns.flags.CD
    assert (message.payload, message.ednsflags, message.options) == (1232, dns.flags.DO, ())
    assert str(message.question[0]) == "short.weixin.qq.com. IN HTTPS"


def test_our_query_without_edns_has_no_opt() -> None:
    wire = query(7, ASKED.qname, RRType.A, RRClass.IN, rd=True, cd=False, ad=True, do=False, payload=None)
    assert dns.message.from_wire(wire).edns == -1
    assert read_query(wire).ad


def test_rfc8914_2_an_ede_option_is_a_code_and_utf_8() -> None:
    assert ede(15, "é") == (15, b"\x00\x0f\xc3\xa9")
    assert ede(18, "") == (15, b"\x00\x12")


def test_an_opt_record_is_added_and_counted() -> None:
    plain = reply(1, 0, QUESTION, 0)
    extra = opt(1232, do=True)
    assert with_opt(plain, extra) == reply(1, 0, QUESTION, 0, edns=ReplyEdns(1232, do=True))
