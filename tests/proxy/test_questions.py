from dataclasses import replace

import dns.message
import dns.rcode
import dns.rrset
import pytest

from enforcer.decide.dns import Manners
from enforcer.errors import Malformed
from enforcer.policy.names import parse
from enforcer.policy.rules import Transport
from enforcer.proxy import questions
from tests.proxy.playbook import BANNED_SERVER, STRANGER, WATCHED, Site, flow, policy, rules

MANNERS = Manners(60, 15, "Blocked", parse("policy.invalid"), parse("hostmaster.invalid"))


@pytest.fixture
def site(site: Site) -> Site:
    site.door.judge_by(policy(), rules(manners=MANNERS))
    return site


def query(name: str) -> dns.message.QueryMessage:
    return dns.message.make_query(name, "A", use_edns=True)


def answer_to(asked: dns.message.Message, *records: str) -> bytes:
    response = dns.message.make_response(asked)
    for record in records:
        name, ttl, _, kind, data = record.split()
        response.answer.append(dns.rrset.from_text(name, int(ttl), "IN", kind, data))
    return response.to_wire()


def asked(site: Site, name: str, source: str = "10.20.0.7") -> bytes | None:
    return questions.ask(site.door, flow(source, None, 0, Transport.UDP), query(name).to_wire())


def test_a_banned_question_is_answered_here_and_recorded(site: Site) -> None:
    wire = asked(site, "chat.banned.test")
    assert wire is not None
    reply = dns.message.from_wire(wire)
    assert reply.rcode() == dns.rcode.NXDOMAIN
    assert reply.extended_errors()[0].code == 15
    [(entry, _)] = site.recorded
    assert (entry.block.layer, entry.block.name, entry.block.qtype) == ("dns", "chat.banned.test", "A")
    assert (entry.block.transport, entry.block.rcode, entry.client_ip) == ("udp", "NXDOMAIN", "10.20.0.7")


def test_an_allowed_question_may_be_asked_and_leaves_no_trace(site: Site) -> None:
    assert asked(site, "www.ok.test") is None
    assert site.recorded == []


def test_a_watched_client_gets_its_answer_and_is_recorded(site: Site) -> None:
    assert asked(site, "chat.banned.test", WATCHED) is None
    assert [entry.block.action for entry, _ in site.recorded] == ["observed"]


def test_clients_outside_are_refused_or_passed_and_never_recorded(site: Site) -> None:
    wire = asked(site, "chat.banned.test", STRANGER)
    assert wire is not None
    assert dns.message.from_wire(wire).rcode() == dns.rcode.REFUSED
    site.door.judge_by(policy(), replace(site.door.rules, outside=True))
    assert asked(site, "chat.banned.test", STRANGER) is None
    assert site.recorded == []


@pytest.mark.parametrize(
    ("records", "rcode"),
    [
        (("www.ok.test. 60 IN CNAME chat.banned.test.", "chat.banned.test. 60 IN A 198.51.100.9"), dns.rcode.NXDOMAIN),
        ((f"www.ok.test. 60 IN A {BANNED_SERVER}",), dns.rcode.NOERROR),
    ],
)
def test_an_answer_that_leads_to_something_banned_is_refused(site: Site, records: tuple[str, ...], rcode: int) -> None:
    question = query("www.ok.test")
    of = flow(transport=Transport.UDP)
    wire = questions.answer(site.door, of, question.to_wire(), answer_to(question, *records))
    assert wire is not None
    reply = dns.message.from_wire(wire)
    assert reply.rcode() == rcode
    assert not [each for each in reply.answer if each.rdtype == 1]
    [(entry, _)] = site.recorded
    assert entry.block.via in ("chat.banned.test", BANNED_SERVER)


def test_other_answers_are_passed_on(site: Site) -> None:
    question = query("www.ok.test")
    wire = answer_to(question, "www.ok.test. 60 IN A 198.51.100.9")
    assert questions.answer(site.door, flow(), question.to_wire(), wire) is None
    watched = answer_to(question, f"www.ok.test. 60 IN A {BANNED_SERVER}")
    assert questions.answer(site.door, flow(WATCHED), question.to_wire(), watched) is None
    assert questions.answer(site.door, flow(STRANGER), question.to_wire(), watched) is None
    assert [entry.block.action for entry, _ in site.recorded] == ["observed"]


def test_what_is_no_message_is_malformed(site: Site) -> None:
    with pytest.raises(Malformed):
        questions.ask(site.door, flow(), b"\0\1\x80\0" + bytes(8))
    with pytest.raises(Malformed):
        questions.answer(site.door, flow(), query("www.ok.test").to_wire(), b"x")
    broken = questions.ask(site.door, flow(), query("www.ok.test").to_wire()[:-20])
    assert broken is not None
    assert dns.message.from_wire(broken).rcode() == dns.rcode.FORMERR


def test_without_manners_nobody_is_answered(site: Site) -> None:
    site.door.judge_by(policy(), rules())
    with pytest.raises(LookupError):
        asked(site, "www.ok.test")
