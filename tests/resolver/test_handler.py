import json
import logging
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_address, ip_network
from pathlib import Path
from tempfile import TemporaryDirectory

import dns.edns
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.counters import Transport
from enforcer.decide import dns as decide
from enforcer.decide.cookies import Cookies
from enforcer.decide.dns import Ech, Structured
from enforcer.orders import Grant, Pause
from enforcer.policy.names import parse
from enforcer.policy.rules import Mode
from enforcer.resolver import handler as handler_module
from enforcer.resolver.clients import Realm
from enforcer.resolver.upstream import Answer, Done, Failure, Question
from enforcer.wire.dns import Query, read_query, read_response
from enforcer.wire.name import parents
from tests.policy.made import NOW, a_list, a_policy
from tests.resolver.desk import BANS, NO_BANS, PHONE, STRANGER, TABLET, Desk, a_query, read, said
from tests.wire.messages import vector, vectors

BANNED = ["chat.test", "a.chat.test", "pay.bank.test", "wx7.qq.test", "a.null.test", "a.nodata.test", "cloaked.ok.test"]


def rcode(wire: bytes | None) -> str:
    return dns.rcode.to_text(read(wire).rcode())


def ttl(wire: bytes | None) -> int:
    return int(read(wire).answer[0].ttl)


def total(desk: Desk) -> int:
    return sum(count for count, _ in desk.attempts())


# What becomes of a query


def test_a_banned_name_is_blocked_recorded_once_and_never_asked_for(desk: Desk) -> None:
    assert rcode(desk.ask(a_query("a.chat.test", edns=True))) == "NXDOMAIN"
    ((count, entry),) = desk.attempts()
    block = entry.block
    assert (count, entry.client_ip, block.name, block.rule) == (1, PHONE, "a.chat.test", "chat/suffix/chat.test")
    assert (block.qtype, block.rcode, block.ede, block.transport, block.realm) == ("A", "NXDOMAIN", 15, "udp", "lab")
    assert block.ruleset == BANS.ruleset
    assert desk.upstreams.asked == []


def test_an_allowed_name_is_forwarded_then_given_from_the_cache_and_leaves_no_trace(desk: Desk) -> None:
    assert rcode(desk.ask(a_query("www.ok.test"))) == "NOERROR"
    for number in range(3):
        assert rcode(desk.ask(a_query("www.ok.test", number=number))) == "NOERROR"
    assert desk.upstreams.asked == ["www.ok.test A"]
    assert desk.attempts() == []
    assert desk.counted("cache_requests", "miss") == 1


@pytest.mark.parametrize("name", vectors("malformed-query"))
def test_d1_what_cannot_be_read_is_answered_formerr_but_not_to_a_stranger(desk: Desk, name: str) -> None:
    assert rcode(desk.ask(vector(name))) == "FORMERR"
    assert desk.ask(vector(name), STRANGER) is None


def test_d5_binary_labels_are_forwarded_as_they_are(desk: Desk) -> None:
    desk.ask(a_query(r"a\000\200\.b.ok.test"))
    assert desk.upstreams.asked == [r"a\000\200\.b.ok.test A"]


@pytest.mark.parametrize("name", ["www.OK.test", "cHaT.test", "MASK.icloud.com"])
def test_d7_the_client_gets_its_own_letter_case_back_also_from_what_is_kept(desk: Desk, name: str) -> None:
    for spelled in (name, name.upper(), name.lower(), name.swapcase()):
        query = a_query(spelled, number=99)
        reply = desk.ask(query)
        assert reply is not None
        assert reply[:2] == query[:2]
        assert reply[12 : len(query)] == query[12:]


def test_d9_any_of_a_banned_name_is_blocked_and_of_another_forwarded(desk: Desk) -> None:
    assert rcode(desk.ask(a_query("chat.test", "ANY"))) == "NXDOMAIN"
    desk.ask(a_query("www.ok.test", "ANY"))
    assert desk.upstreams.asked == ["www.ok.test ANY"]


def test_d11_a_stranger_is_refused_or_dropped_and_never_recorded(desk: Desk, tmp_path: Path) -> None:
    for name in ("chat.test", "www.ok.test"):
        assert rcode(desk.ask(a_query(name), STRANGER)) == "REFUSED"
    silent = Desk(tmp_path / "silent", drop_outside=True)
    assert silent.ask(a_query("www.ok.test"), STRANGER) is None
    assert (silent.attempts(), desk.attempts(), desk.upstreams.asked) == ([], [], [])
    silent.close()


def test_d12_octets_behind_the_last_record_are_not_relayed(desk: Desk) -> None:
    assert desk.ask(a_query("www.ok.test") + b"\0trailing") == desk.ask(a_query("www.ok.test"))


def test_d13_a_large_answer_is_cut_over_udp_and_whole_over_tcp(desk: Desk) -> None:
    query = a_query("large.ok.test", "TXT")
    for _ in range(2):
        cut, whole = read(desk.ask(query)), read(desk.ask(query, transport=Transport.TCP))
        assert (bool(cut.flags & dns.flags.TC), cut.answer) == (True, [])
        assert (bool(whole.flags & dns.flags.TC), len(whole.answer)) == (False, 1)


def test_e5_an_answer_from_the_cache_has_opt_as_the_query_has(desk: Desk) -> None:
    for _ in range(2):
        assert read(desk.ask(a_query("www.ok.test"))).edns == -1
        assert read(desk.ask(a_query("www.ok.test", edns=True))).edns == 0


def test_c1_ttls_count_down_and_then_upstream_is_asked_again(desk: Desk) -> None:
    seen = []
    for _ in range(5):
        seen.append(ttl(desk.ask(a_query("soon.ok.test"))))
        desk.hands.pass_s(0.75)
    assert seen == [2, 2, 1, 2, 2]
    assert desk.upstreams.asked == ["soon.ok.test A"] * 2


def test_c1_max_ttl_is_the_most_that_a_client_is_told(tmp_path: Path) -> None:
    desk = Desk(tmp_path, max_ttl=60)
    assert ttl(desk.ask(a_query("www.ok.test"))) == 60
    desk.close()


def test_c2_nxdomain_is_kept_for_every_type_and_ends_with_its_soa(desk: Desk) -> None:
    for rtype in ("A", "AAAA", "HTTPS"):
        assert rcode(desk.ask(a_query("none.ok.test", rtype))) == "NXDOMAIN"
    assert len(desk.upstreams.asked) == 1
    desk.hands.pass_s(30)
    desk.ask(a_query("none.ok.test"))
    assert len(desk.upstreams.asked) == 2


def test_c4_without_serve_stale_what_has_expired_is_not_given(desk: Desk) -> None:
    desk.ask(a_query("soon.ok.test"))
    desk.hands.pass_s(3)
    desk.upstreams.fails = Failure.SILENT
    assert rcode(desk.ask(a_query("soon.ok.test"))) == "SERVFAIL"


def test_c4_what_has_expired_is_given_for_a_day_once_a_refresh_has_failed(tmp_path: Path) -> None:
    desk = Desk(tmp_path, serve_stale=True)
    desk.ask(a_query("soon.ok.test"))
    desk.ask(a_query("none.ok.test"))
    desk.hands.pass_s(40)
    assert ttl(desk.ask(a_query("soon.ok.test"))) == 2
    desk.hands.pass_s(40)
    desk.upstreams.asked.clear()
    desk.upstreams.fails = Failure.SILENT
    for name, code, ede in [("soon.ok.test", "NOERROR", 3), ("none.ok.test", "NXDOMAIN", 19)] * 2:
        reply = desk.ask(a_query(name, edns=True))
        assert rcode(reply) == code
        assert [int(option.code) for option in read(reply).options if isinstance(option, dns.edns.EDEOption)] == [ede]
        assert {rrset.ttl for rrset in (*read(reply).answer, *read(reply).authority)} == {30}
    assert desk.upstreams.asked == ["soon.ok.test A", "none.ok.test A"]
    desk.hands.pass_s(86_400)
    assert rcode(desk.ask(a_query("soon.ok.test"))) == "SERVFAIL"
    desk.upstreams.fails = None
    desk.hands.pass_s(120)
    assert ttl(desk.ask(a_query("soon.ok.test"))) == 2
    desk.close()


def test_c4_what_has_expired_is_judged_as_everything_is(tmp_path: Path) -> None:
    desk = Desk(tmp_path, NO_BANS, serve_stale=True)
    desk.ask(a_query("cloaked.ok.test"))
    desk.hands.pass_s(400)
    desk.upstreams.fails = Failure.SILENT
    assert rcode(desk.ask(a_query("cloaked.ok.test"))) == "NOERROR"
    desk.follow(BANS)
    assert rcode(desk.ask(a_query("cloaked.ok.test"))) == "NXDOMAIN"
    assert total(desk) == 1
    desk.close()


def test_c5_answers_with_do_are_kept_apart(desk: Desk) -> None:
    for _ in range(2):
        desk.ask(a_query("www.ok.test", edns=True))
        desk.ask(a_query("www.ok.test", do=True))
    assert len(desk.upstreams.asked) == 2


@pytest.mark.parametrize("authentic", [False, True])
def test_c5_ad_is_passed_on_from_an_authenticated_upstream_to_who_asks_for_it(desk: Desk, authentic: bool) -> None:
    def ask(question: Question, done: Done) -> None:
        wire = bytearray(said(question).wire)
        wire[3] |= 0x20
        done(Answer(bytes(wire), read_response(bytes(wire)), authentic))

    desk.upstreams.ask = ask  # type: ignore[method-assign]
    plain = a_query("www.ok.test")
    asking = plain[:3] + bytes((plain[3] | 0x20,)) + plain[4:]
    for _ in range(3):
        for query, told in ((plain, False), (asking, authentic), (a_query("www.ok.test", do=True), authentic)):
            assert bool(read(desk.ask(query)).flags & dns.flags.AD) is told


def test_u7_one_who_cannot_be_answered_does_not_keep_the_others_waiting(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    desk.upstreams.hold = True

    def broken() -> handler_module.Waiter:
        def give(rendered: object, wire: bytes) -> None:
            raise OSError("www.ok.test")

        return give

    phone = ip_address(PHONE)
    group = desk.directory.group(phone, NOW)
    desk.handler.answer(a_query("www.ok.test"), group, Transport.UDP, broken, client=phone.packed)
    desk.ask(a_query("www.ok.test"))
    desk.upstreams.release()
    assert rcode(desk.late[0]) == "NOERROR"
    assert "OSError" in caplog.text
    assert "ok.test" not in caplog.text


@pytest.mark.parametrize(("code", "told"), [(15, [15]), (16, [16]), (17, [17]), (22, [])])
def test_that_upstreams_own_policy_refused_is_told_with_its_code_and_is_no_attempt(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, code: int, told: list[int]
) -> None:
    def ask(question: Question, done: Done) -> None:
        message = dns.message.from_wire(said(question).wire)
        message.use_edns(options=[dns.edns.EDEOption(dns.edns.EDECode.make(code), "their text")])
        wire = message.to_wire()
        done(Answer(wire, read_response(wire)))

    monkeypatch.setattr(desk.upstreams, "ask", ask)
    for _ in range(3):
        reply = read(desk.ask(a_query("missing.ok.test", edns=True)))
        options = [option for option in reply.options if isinstance(option, dns.edns.EDEOption)]
        assert [int(option.code) for option in options] == told
        assert "their text" not in [option.text for option in options]
        assert read(desk.ask(a_query("missing.ok.test"))).options == ()
        desk.hands.pass_s(1)
    assert desk.attempts() == []


# What answers give away


def test_b4_a_cloaked_name_is_blocked_fresh_and_from_the_cache_and_recorded_each_time(desk: Desk) -> None:
    replies = [read(desk.ask(a_query("cloaked.ok.test"))) for _ in range(3)]
    assert [dns.rcode.to_text(reply.rcode()) for reply in replies] == ["NXDOMAIN"] * 3
    assert desk.upstreams.asked == ["cloaked.ok.test A"]
    ((count, entry),) = desk.attempts()
    assert (count, entry.block.name, entry.block.via) == (3, "cloaked.ok.test", "a.chat.test")


def test_b4_a_banned_address_is_answered_nodata(desk: Desk) -> None:
    for _ in range(2):
        reply = read(desk.ask(a_query("address.ok.test")))
        assert (dns.rcode.to_text(reply.rcode()), reply.answer) == ("NOERROR", [])
    assert [(count, entry.block.via) for count, entry in desk.attempts()] == [(2, "198.51.100.7")]


@pytest.mark.parametrize("name", ["never-cloaked.ok.test", "never.seen.test"])
def test_a_block_that_cannot_be_kept_takes_one_row_however_often_it_comes(desk: Desk, name: str) -> None:
    for number in range(200):
        desk.ask(a_query(name, number=number))
    assert len(desk.upstreams.asked) == 200
    assert [count for count, _ in desk.attempts()] == [200]


def test_the_same_attempt_asked_in_other_words_takes_the_same_row(desk: Desk) -> None:
    for spelled in ("chat.test", "CHAT.test"):
        for edns in (False, True):
            desk.ask(a_query(spelled, edns=edns))
    assert [(count, entry.block.ede) for count, entry in desk.attempts()] == [(2, None), (2, 15)]


def test_an_answer_that_cannot_be_read_is_servfail_and_not_passed_on(desk: Desk) -> None:
    wire = bytearray(a_query("www.ok.test"))
    wire[2:4], wire[6:8] = b"\x81\x80", b"\0\x01"
    wire += b"\xc0\x0c\0\x01\0\x01\0\0\x01\x2c\0\x03abc"  # an A record of three octets

    def ask(question: Question, done: Done) -> None:
        done(Answer(bytes(wire), read_response(bytes(wire))))

    desk.upstreams.ask = ask  # type: ignore[method-assign]
    for _ in range(2):
        assert rcode(desk.ask(a_query("www.ok.test"))) == "SERVFAIL"


# Names of the operator's own


LOCAL = (
    "printer.ok.test 300 A 192.0.2.7",
    "a.chat.test 300 A 192.0.2.7",
    "cloak.ok.test 300 CNAME a.chat.test",
    "bad.ok.test 300 A 198.51.100.7",
    "www.seen.test 300 A 192.0.2.7",
)


def test_local_records_are_answered_here_behind_policy(tmp_path: Path) -> None:
    desk = Desk(tmp_path, local=LOCAL)
    for _ in range(3):
        reply = read(desk.ask(a_query("printer.ok.test", edns=True)))
        assert (str(reply.answer[0]), reply.edns) == ("printer.ok.test. 300 IN A 192.0.2.7", 0)
        assert rcode(desk.ask(a_query("a.chat.test"))) == "NXDOMAIN"
        assert rcode(desk.ask(a_query("cloak.ok.test"))) == "NXDOMAIN"
        assert read(desk.ask(a_query("bad.ok.test"))).answer == []
    assert total(desk) == 9
    assert read(desk.ask(a_query("www.seen.test"))).answer != []
    assert total(desk) == 10
    assert desk.upstreams.asked == []
    desk.close()


# ECH keys (standards §2.8), and everything in an answer that leads somewhere


@pytest.mark.parametrize("rtype", ["HTTPS", "SVCB"])
def test_ech_keys_are_stripped_fresh_and_from_the_cache_and_the_rest_stays(desk: Desk, rtype: str) -> None:
    for again in range(3):
        (rrset,) = read(desk.ask(a_query("keys.ok.test", rtype, number=again))).answer
        assert "ech" not in str(rrset)
        assert 'alpn="h2"' in str(rrset)
    assert len(desk.upstreams.asked) == 1


def test_ech_keys_stay_for_who_asks_for_signatures_and_where_they_pass(desk: Desk, tmp_path: Path) -> None:
    assert "ech" in str(read(desk.ask(a_query("keys.ok.test", "HTTPS", do=True))).answer[0])
    passing = Desk(tmp_path / "pass", ech=Ech.PASS)
    for _ in range(2):
        assert "ech" in str(read(passing.ask(a_query("keys.ok.test", "HTTPS"))).answer[0])
    passing.close()


def test_a_group_that_may_have_keys_gives_none_to_one_that_may_not(desk: Desk) -> None:
    lab, open_lab = ip_network("192.0.2.0/25"), ip_network("192.0.2.128/25")
    desk.directory.serve((Realm("lab", (lab,), Mode.ENFORCE), Realm("open", (open_lab,), Mode.ENFORCE, Ech.PASS)))
    for client, has in [("192.0.2.200", True), ("192.0.2.1", False)] * 2:
        assert ("ech" in str(read(desk.ask(a_query("keys.ok.test", "HTTPS"), client)).answer[0])) is has


def test_https_records_that_are_dropped_are_nodata_and_never_asked_for(tmp_path: Path) -> None:
    desk = Desk(tmp_path, ech=Ech.DROP_HTTPS)
    for _ in range(2):
        reply = read(desk.ask(a_query("keys.ok.test", "HTTPS", do=True)))
        assert (reply.rcode(), reply.answer, len(reply.authority)) == (0, [], 1)
    assert desk.upstreams.asked == []
    assert rcode(desk.ask(a_query("a.chat.test", "HTTPS"))) == "NXDOMAIN"
    assert "ech" not in str(read(desk.ask(a_query("keys.ok.test", "SVCB"))).answer[0])
    assert total(desk) == 1
    desk.ask(a_query("keys.seen.test", "HTTPS"))
    assert [entry.block.action for _, entry in desk.attempts()] == ["blocked", "observed"]
    desk.close()


LINKS = [("CNAME", ""), ("DNAME", ""), ("HTTPS", "1 "), ("SVCB", "1 "), ("HTTPS", "0 ")]
BELOW, ITSELF, ALIKE = "a.chat.test", "pay.bank.test", "wx7.qq.test"
ADDRESS, ADDRESS6, TRANSLATED = "198.51.100.7", "2001:db8:bad::7", "64:ff9b::c633:6407"
LEADS = [
    *((rtype, f"{rdata}{target}.") for target in (BELOW, ITSELF, ALIKE) for rtype, rdata in LINKS),
    ("A", ADDRESS),
    ("AAAA", ADDRESS6),
    ("AAAA", f"::ffff:{ADDRESS}"),
    ("AAAA", TRANSLATED),
    *((rtype, f'1 . alpn=h2 ipv4hint=192.0.2.1,{ADDRESS} ech="AARrZXlz"') for rtype in ("HTTPS", "SVCB")),
    *((rtype, f"1 . ipv6hint=2001:db8::1,{ADDRESS6}") for rtype in ("HTTPS", "SVCB")),
    *((rtype, f"1 . ipv6hint={TRANSLATED}") for rtype in ("HTTPS", "SVCB")),
]
BESIDE = [
    "side.ok.test. 300 IN A 192.0.2.80",
    'keys.ok.test. 300 IN HTTPS 1 . ech="AARrZXlz"',
    "ok.test. 9 IN NS ns.ok.test.",
]
MATRIX = a_policy(
    a_list(
        "suffix: chat.test",
        "exact: pay.bank.test",
        "cidr: 198.51.100.0/24",
        "cidr: '2001:db8:bad::/48'",
        r"regex: '^wx[0-9]+\.qq\.test$'",
    )
)


def saying(section: str, records: list[str]) -> Callable[[Question, Done], None]:
    """An upstream that has these records for every question, all in one section."""

    def ask(question: Question, done: Done) -> None:
        asked = dns.message.make_query(
            dns.name.from_wire(question.qname, 0)[0], dns.rdatatype.RdataType(question.qtype)
        )
        reply = dns.message.make_response(asked, recursion_available=True)
        for record in records:
            owner, ttl, rclass, kind, data = record.split(maxsplit=4)
            getattr(reply, section).append(dns.rrset.from_text(owner, int(ttl), rclass, kind, data))
        done(Answer(reply.to_wire(), read_response(reply.to_wire())))

    return ask


@pytest.mark.parametrize("ech", Ech)
@pytest.mark.parametrize("section", ["answer", "authority", "additional"])
@pytest.mark.parametrize(("rtype", "rdata"), LEADS)
def test_nothing_in_an_answer_that_leads_to_what_is_banned_leaves(
    tmp_path: Path, rtype: str, rdata: str, section: str, ech: Ech
) -> None:
    desk = Desk(tmp_path, MATRIX, ech=ech)
    for position in range(len(BESIDE) + 1):
        name = f"p{position}.ok.test"
        records = [*BESIDE[:position], f"{name}. 300 IN {rtype} {rdata}", *BESIDE[position:]]
        desk.upstreams.ask = saying(section, records)  # type: ignore[assignment, method-assign]
        for edns in (False, False, True, True):
            wire = desk.ask(a_query(name, "MX", edns=edns, do=edns), transport=Transport.TCP if edns else Transport.UDP)
            assert wire is not None
            reply = read(wire)
            kinds = {rrset.rdtype for rrset in (*reply.answer, *reply.authority, *reply.additional)}
            assert kinds <= {dns.rdatatype.CNAME, dns.rdatatype.SOA}
            assert not any(ip_address(address).packed in wire for address in (ADDRESS, ADDRESS6, TRANSLATED))
    assert total(desk) == 4 * (len(BESIDE) + 1)
    desk.close()


# Observing, pausing, exempting, and a new policy


def test_b8_a_list_that_observes_forwards_and_records_without_ede(desk: Desk) -> None:
    for _ in range(3):
        reply = read(desk.ask(a_query("www.seen.test", edns=True)))
        assert (dns.rcode.to_text(reply.rcode()), len(reply.answer), reply.options) == ("NOERROR", 1, ())
    ((count, entry),) = desk.attempts()
    assert (count, entry.block.action, entry.block.ede, entry.block.rcode) == (3, "observed", None, None)


def test_b8_a_realm_in_monitor_mode_blocks_nothing_and_records_all(tmp_path: Path) -> None:
    desk = Desk(tmp_path, mode=Mode.MONITOR)
    for name in ("a.chat.test", "cloaked.ok.test", "address.ok.test"):
        desk.ask(a_query(name))
        desk.ask(a_query(name))
    assert {(entry.block.name, count) for count, entry in desk.attempts()} == {
        ("a.chat.test", 2),
        ("cloaked.ok.test", 2),
        ("address.ok.test", 2),
    }
    assert all(entry.block.action == "observed" for _, entry in desk.attempts())
    desk.close()


def test_b8_what_is_observed_is_recorded_even_if_no_upstream_answers(desk: Desk) -> None:
    desk.upstreams.fails = Failure.UNREACHABLE
    for _ in range(3):
        assert rcode(desk.ask(a_query("www.seen.test"))) == "SERVFAIL"
    assert total(desk) == 3


def test_a_newly_banned_name_does_not_come_out_of_the_cache(desk: Desk) -> None:
    desk.follow(NO_BANS)
    assert rcode(desk.ask(a_query("cloaked.ok.test"))) == "NOERROR"
    assert rcode(desk.ask(a_query("cloaked.ok.test"))) == "NOERROR"
    desk.follow(BANS)
    assert rcode(desk.ask(a_query("cloaked.ok.test"))) == "NXDOMAIN"
    assert total(desk) == 1
    desk.follow(NO_BANS)
    assert rcode(desk.ask(a_query("cloaked.ok.test"))) == "NOERROR"


def test_a_question_on_its_way_is_judged_by_the_policy_in_force_when_the_answer_comes(desk: Desk) -> None:
    desk.follow(NO_BANS)
    desk.upstreams.hold = True
    desk.ask(a_query("a.chat.test"))
    desk.ask(a_query("cloaked.ok.test"))
    desk.follow(BANS)
    desk.upstreams.release()
    assert [rcode(reply) for reply in desk.late] == ["NXDOMAIN"] * 2
    assert total(desk) == 2


def test_a_pause_observes_and_ends_by_itself(desk: Desk) -> None:
    assert rcode(desk.ask(a_query("cloaked.ok.test"))) == "NXDOMAIN"
    desk.order(pauses=(Pause("lab", NOW + timedelta(seconds=30)),))
    for second, told in ((0, "NOERROR"), (29, "NOERROR"), (30, "NXDOMAIN")):
        desk.hands.ms = desk.hands.start + second * 1000
        assert rcode(desk.ask(a_query("cloaked.ok.test"))) == told


def test_an_exempt_address_reaches_its_service_until_the_grant_ends_and_no_other(desk: Desk) -> None:
    desk.order(grants=(Grant("lab", ip_address(TABLET), ("chat",), NOW + timedelta(seconds=60)),))
    for name, tablet in (("cloaked.ok.test", "NOERROR"), ("a.null.test", "NOERROR")):
        assert rcode(desk.ask(a_query(name), TABLET)) == tablet
    assert rcode(desk.ask(a_query("cloaked.ok.test"), PHONE)) == "NXDOMAIN"
    assert [entry.block.service for _, entry in desk.attempts()] == ["nulled", "chat"]
    desk.hands.pass_s(60)
    assert rcode(desk.ask(a_query("cloaked.ok.test"), TABLET)) == "NXDOMAIN"


def test_a_rule_ends_on_its_day_also_where_its_answer_was_kept(desk: Desk) -> None:
    desk.upstreams.zone = {("late.test", "A"): ["late.test. 300 IN A 192.0.2.1"]}
    desk.hands.ms += 12 * 3600 * 1000 - 30_000  # half a minute before midnight
    assert rcode(desk.ask(a_query("late.test"))) == "NXDOMAIN"
    desk.hands.pass_s(91)
    assert rcode(desk.ask(a_query("late.test"))) == "NOERROR"


# Records


def test_repeats_within_the_window_are_one_row_and_later_ones_another(desk: Desk) -> None:
    for _ in range(5):
        desk.ask(a_query("chat.test"))
        desk.hands.pass_s(20)
    assert [count for count, _ in desk.attempts()] == [3, 2]


def test_each_client_has_its_own_row(desk: Desk) -> None:
    for client in (PHONE, TABLET, PHONE):
        desk.ask(a_query("chat.test"), client)
    assert Counter({entry.client_ip: count for count, entry in desk.attempts()}) == {PHONE: 2, TABLET: 1}


def test_without_a_notice_no_client_is_written_down_and_all_are_counted(tmp_path: Path) -> None:
    desk = Desk(tmp_path, name_clients=False)
    for client in (PHONE, TABLET, PHONE):
        desk.ask(a_query("chat.test"), client)
    assert [(count, entry.client_ip, entry.client_port) for count, entry in desk.attempts()] == [(3, None, None)]
    desk.close()


def test_u6_a_full_spool_stops_records_and_not_blocks_and_counts_what_it_lost(tmp_path: Path) -> None:
    desk = Desk(tmp_path, capacity=4, max_bytes=3000)
    for number in range(10):
        assert rcode(desk.ask(a_query(f"{number}.chat.test"))) == "NXDOMAIN"
    assert total(desk) == 4
    assert desk.counted("attempts_dropped", "spool_full") == 6
    desk.close()


def test_u6_a_file_system_that_fails_stops_records_and_not_blocks(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(entry: bytes, now_ms: int) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr(desk.spool, "open", fail)
    assert rcode(desk.ask(a_query("chat.test"))) == "NXDOMAIN"
    assert desk.counted("attempts_dropped", "disk_full") == 1


def test_a_mistake_of_ours_is_servfail_and_says_no_name_in_the_log(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: object) -> None:
        raise KeyError("a.chat.test")

    monkeypatch.setattr(decide, "begin", fail)
    assert rcode(desk.ask(a_query("a.chat.test", edns=True))) == "SERVFAIL"
    monkeypatch.setattr(decide, "screen", fail)
    assert desk.ask(a_query("a.chat.test")) is None
    assert [record.levelno for record in caplog.records] == [logging.ERROR] * 2
    assert "chat" not in caplog.text


def test_what_is_asked_often_stays_in_a_full_cache(tmp_path: Path) -> None:
    desk = Desk(tmp_path, cache_bytes=1 << 15)
    for number in range(100):
        desk.ask(a_query("www.ok.test"))
        desk.ask(a_query(f"{number}.ok.test"))
    assert desk.upstreams.asked.count("www.ok.test A") == 1
    desk.close()


def test_each_second_the_size_of_the_cache_is_published(desk: Desk) -> None:
    desk.ask(a_query("www.ok.test"))
    desk.handler.tick(desk.hands.ms)
    assert (desk.counted("cache_entries"), desk.counted("cache_bytes")) == (1, desk.cache.bytes)


# Laws

CHAT = parse("chat.test")
TEMPLATES = [vector(name) for name in vectors("query")] + [
    a_query(name, edns=edns) for name in BANNED for edns in (False, True)
]


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """Any octets, or a query with some of its octets changed, cut or added to."""
    wire = bytearray(draw(st.sampled_from(TEMPLATES)))
    for at, octet in draw(st.lists(st.tuples(st.integers(0, len(wire) - 1), st.integers(0, 255)), max_size=4)):
        wire[at] = octet
    return bytes(wire[: draw(st.integers(0, len(wire)))]) + draw(st.binary(max_size=8))


@settings(max_examples=150)
@given(st.lists(st.binary(max_size=80) | damaged(), min_size=1, max_size=8), st.sampled_from(Transport))
def test_no_octets_raise_or_get_a_banned_name_answered(wires: Sequence[bytes], transport: Transport) -> None:
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        for wire in wires:
            before = desk.recorded
            reply = desk.ask(wire, transport=transport)
            if reply is None:
                continue
            assert reply[:2] == wire[:2]
            assert reply[2] & 0x80
            assert transport.stream or len(reply) <= 1232
            query = decide.screen(wire)
            if isinstance(query, Query) and query.qclass != 3 and CHAT in (query.qname, *parents(query.qname)):
                assert (reply[3] & 0xF, reply[6:8], desk.recorded) == (3, b"\0\0", before + 1)
        assert not any(f".{asked}".partition(" ")[0].endswith(".chat.test") for asked in desk.upstreams.asked)
        desk.close()


@settings(max_examples=60)
@given(
    st.sampled_from(BANNED),
    st.lists(st.booleans(), min_size=20, max_size=20),
    st.integers(0, 0xFFFF),
    st.lists(st.tuples(st.integers(0, 65535), st.binary(max_size=6)), max_size=3) | st.none(),
    st.sampled_from(["A", "AAAA", "HTTPS", "TXT", "ANY"]),
)
def test_case_flags_and_options_do_not_change_the_verdict(
    name: str, upper: list[bool], flags: int, options: list[tuple[int, bytes]] | None, rtype: str
) -> None:
    spelled = "".join(c.upper() if up else c for c, up in zip(name, upper, strict=False))
    rtype = "A" if name == "cloaked.ok.test" else rtype
    edns = None if options is None else 0
    extra: list[dns.edns.Option] = [
        dns.edns.GenericOption(dns.edns.OptionType.make(code), data) for code, data in options or []
    ]
    query = dns.message.make_query(spelled, rtype, use_edns=edns, options=extra, id=7).to_wire()
    query = query[:2] + (flags & 0x07FF).to_bytes(2) + query[4:]
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder))
        plain = desk.ask(a_query(name, rtype))
        for _ in range(2):
            reply = desk.ask(query)
            assert reply is not None
            assert (rcode(reply), read(reply).answer) == (rcode(plain), read(plain).answer)
        assert total(desk) == desk.recorded == 3
        desk.close()


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("ask"),
            st.sampled_from([*BANNED, "www.ok.test", "www.seen.test", "never-cloaked.ok.test", "never.seen.test"]),
            st.sampled_from([PHONE, TABLET, "2001:db8::1"]),
            st.sampled_from(Transport),
        ),
        st.tuples(st.just("pass"), st.sampled_from([0.2, 1, 15, 61, 700])),
        st.tuples(st.just("follow"), st.booleans()),
        st.tuples(st.just("hold"), st.booleans()),
        st.tuples(st.just("fail"), st.booleans()),
    ),
    max_size=60,
)


@settings(max_examples=100)
@given(STEPS, st.integers(1, 6), st.sampled_from([0, 1, 60]))
def test_the_counts_of_all_rows_are_the_blocks_that_were_answered(
    steps: list[tuple[object, ...]], capacity: int, window_s: float
) -> None:
    with TemporaryDirectory() as folder:
        desk = Desk(Path(folder), capacity=capacity, window_s=window_s)
        for number, step in enumerate(steps):
            match step:
                case ("ask", str(name), str(client), Transport() as transport):
                    desk.ask(a_query(name, number=number), client, transport=transport)
                case ("pass", float() | int() as seconds):
                    desk.hands.pass_s(seconds)
                    desk.handler.tick(desk.hands.ms)
                case ("follow", bool(banned)):
                    desk.follow(BANS if banned else NO_BANS)
                case ("hold", bool(hold)):
                    desk.upstreams.hold = hold
                    desk.upstreams.release()
                case ("fail", bool(fails)):
                    desk.upstreams.fails = Failure.SILENT if fails else None
        desk.upstreams.release()
        assert total(desk) == desk.recorded
        desk.close()


def test_the_question_section_of_a_template_can_be_read() -> None:
    assert all(read_query(wire).qname for wire in TEMPLATES)


# What is one client's alone


SECRET = bytes(range(16))
SINK = (ip_address("192.0.2.200"),)


def with_options(name: str, *options: tuple[int, bytes], rtype: str = "A") -> bytes:
    query = dns.message.make_query(name, rtype, id=7)
    query.use_edns(options=[dns.edns.GenericOption(dns.edns.OptionType.make(code), data) for code, data in options])
    return query.to_wire()


def cookie_in(reply: bytes | None) -> bytes | None:
    found = [option for option in read(reply).options if option.otype == dns.edns.OptionType.COOKIE]
    return found[0].to_wire() if found else None


@pytest.fixture
def baker(desk: Desk) -> Desk:
    desk.conduct = replace(desk.conduct, cookies=Cookies((SECRET,)))
    desk.follow(BANS)
    return desk


@pytest.mark.parametrize("name", ["www.ok.test", "a.chat.test", "localhost"])
def test_e8_every_answer_has_the_clients_cookie_and_ours_blocked_cached_or_late(baker: Desk, name: str) -> None:
    cookie: bytes | None = None
    for _ in range(3):
        cookie = cookie_in(baker.ask(with_options(name, (10, b"12345678"))))
        assert cookie is not None
        assert cookie[:8] == b"12345678"
        assert len(cookie) == 24
        assert cookie_in(baker.ask(with_options(name, (10, cookie)))) == cookie
        assert cookie_in(baker.ask(a_query(name, edns=True))) is None, "nobody else's"
    assert cookie_in(baker.ask(with_options(name, (10, b"12345678")), TABLET)) != cookie


@pytest.mark.parametrize("length", [0, 7, 9, 15, 41])
def test_e8_another_length_is_formerr_where_there_are_cookies_and_ignored_where_not(baker: Desk, length: int) -> None:
    query = with_options("www.ok.test", (10, bytes(length)))
    assert rcode(baker.ask(query)) == "FORMERR"
    baker.conduct = replace(baker.conduct, cookies=None)
    baker.follow(BANS)
    reply = baker.ask(query)
    assert (rcode(reply), cookie_in(reply)) == ("NOERROR", None)


@pytest.mark.parametrize(("server", "code"), [(b"", "NOERROR"), (bytes(16), "BADCOOKIE"), (None, "NOERROR")])
def test_e8_d2_a_query_without_a_question_gets_a_cookie(baker: Desk, server: bytes | None, code: str) -> None:
    if server is None:
        server = (cookie_in(baker.ask(with_options("www.ok.test", (10, b"12345678")))) or b"")[8:]
    query = with_options("x", (10, b"12345678" + server))
    alone = query[:4] + bytes(2) + query[6:12] + query[12 + 3 + 4 :]
    reply = baker.ask(alone)
    assert (rcode(reply), read(reply).question) == (code, [])
    assert len(cookie_in(reply) or b"") == 24
    assert rcode(baker.ask(query[:4] + bytes(8))) == "FORMERR", "without a cookie it is no query"


def test_e8_a_cookie_that_does_not_fit_is_no_reason_to_exceed_the_limit(baker: Desk) -> None:
    reply = baker.ask(with_options("large.ok.test", (10, b"12345678"), rtype="TXT"))
    assert reply is not None
    assert len(reply) <= 1232
    assert read(reply).flags & dns.flags.TC
    assert cookie_in(reply) is not None


@pytest.fixture
def behind(desk: Desk) -> Desk:
    """A desk at which the tablet is a forwarder of ours, and the phone is not."""
    desk.conduct = replace(
        desk.conduct, forwarders=(ip_network(f"{TABLET}/32"),), device_options=(65001, 65073, 65074, 20292)
    )
    desk.follow(BANS)
    return desk


@pytest.mark.parametrize("code", [65001, 65073, 65074, 20292])
def test_a_forwarder_of_ours_says_for_which_device_it_asks(behind: Desk, code: int) -> None:
    for _ in range(3):
        behind.ask(with_options("a.chat.test", (3, b""), (code, b"\2\0\0\0\0\1")), TABLET)
    ((count, entry),) = behind.attempts()
    assert (count, entry.client_ip, entry.shown) == (3, TABLET, f"edns:{code}:020000000001")


def test_devices_behind_one_forwarder_are_told_apart_late_answers_too(behind: Desk) -> None:
    behind.ask(with_options("cloaked.ok.test", (65001, b"one")), TABLET)
    behind.ask(with_options("cloaked.ok.test", (65001, b"two")), TABLET)
    behind.ask(with_options("cloaked.ok.test", (65001, b"one")), TABLET)
    behind.ask(a_query("cloaked.ok.test"), TABLET)
    assert sorted((entry.shown or "", count) for count, entry in behind.attempts()) == [
        ("", 1),
        (f"edns:65001:{b'one'.hex()}", 2),
        (f"edns:65001:{b'two'.hex()}", 1),
    ]


@pytest.mark.parametrize(
    ("client", "option"),
    [(PHONE, (65001, b"\2\0\0\0\0\1")), (TABLET, (26946, b"x")), (TABLET, (65001, b"")), (TABLET, (65001, bytes(65)))],
    ids=["not a forwarder", "not configured", "empty", "too long"],
)
def test_e7_what_anybody_can_write_is_not_believed(behind: Desk, client: str, option: tuple[int, bytes]) -> None:
    behind.ask(with_options("a.chat.test", option), client)
    assert [entry.shown for _, entry in behind.attempts()] == [None]


def test_what_a_connection_has_shown_is_recorded_and_what_is_allowed_leaves_no_trace(desk: Desk) -> None:
    token = f"token:{'0' * 64}"
    for name in ("a.chat.test", "www.ok.test", "a.chat.test"):
        desk.ask(a_query(name), transport=Transport.DOT, shown=token)
    desk.ask(a_query("a.chat.test"), transport=Transport.DOT)
    assert sorted((count, entry.shown or "") for count, entry in desk.attempts()) == [(1, ""), (2, token)]


# Structured errors


def structured(desk: Desk, full: str = '{"c":["mailto:it@dept.test"],"s":5,"l":"en","j":"Blocked"}') -> Desk:
    wanted = Structured(65400, full, '{"s":5}')
    desk.conduct = replace(desk.conduct, manners=replace(desk.conduct.manners, structured=wanted, sinkhole=SINK))
    desk.follow(BANS)
    return desk


def told(reply: bytes | None) -> list[tuple[int, str | None]]:
    options = [option for option in read(reply).options if isinstance(option, dns.edns.EDEOption)]
    return [(int(option.code), option.text) for option in options]


@pytest.mark.parametrize("name", ["a.chat.test", "pay.bank.test", "cloaked.ok.test"])
def test_b6_who_asks_by_the_option_gets_json_and_nobody_else(desk: Desk, name: str) -> None:
    desk = structured(desk)
    for _ in range(2):
        ((code, text),) = told(desk.ask(with_options(name, (65400, b""))))
        assert (code, json.loads(text or "")["s"]) == (15, 5)
        for others in (a_query(name, edns=True), with_options(name, (65400, b"x")), with_options(name, (65401, b""))):
            assert told(desk.ask(others)) == [(15, "Blocked / Bloqué")]


def test_b6_where_all_of_it_does_not_fit_the_justification_is_left_out_before_tc_is_set(desk: Desk) -> None:
    desk = structured(desk, json.dumps({"s": 5, "j": "x" * 1100}))
    reply = desk.ask(with_options("a.chat.test", (65400, b"")))
    assert told(reply) == [(15, '{"s":5}')]
    assert not read(reply).flags & dns.flags.TC


@pytest.mark.parametrize(("name", "plain"), [("www.sink.test", [4, 15]), ("www.null.test", [4, 15])])
def test_b7_who_asks_for_structure_gets_no_forged_answer(desk: Desk, name: str, plain: list[int]) -> None:
    desk = structured(desk)
    assert [code for code, _ in told(desk.ask(a_query(name, edns=True)))] == plain
    reply = desk.ask(with_options(name, (65400, b"")))
    assert [code for code, _ in told(reply)] == [15]
    assert read(reply).answer == []
