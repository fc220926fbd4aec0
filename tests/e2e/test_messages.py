"""Messages as clients really send them: the EDNS flag-day set, odd ones, large answers, many on one connection."""

import socket
import subprocess

import pytest

from tests.e2e.lan import OUTSIDE, PHONE, Answer, Service, Unbound, question
from tests.tools import need


@pytest.mark.parametrize(
    ("options", "status"),
    [
        ("+noedns", "NOERROR"),
        ("+edns=0 +norec", "NOERROR"),
        ("+edns=100 +noednsneg", "BADVERS"),
        ("+edns=0 +ednsopt=100", "NOERROR"),
        ("+edns=0 +ednsflags=0x80", "NOERROR"),
        ("+edns=100 +noednsneg +ednsopt=100", "BADVERS"),
        ("+dnssec +bufsize=512", "NOERROR"),
        ("+tcp +dnssec", "NOERROR"),
        ("+cookie", "NOERROR"),
        ("+opcode=15 +noedns", "NOTIMP"),
        ("+subnet=0.0.0.0/0", "NOERROR"),
        ("+nsid", "NOERROR"),
        ("+padding=128", "NOERROR"),
        ("+tcp +keepalive", "NOERROR"),
    ],
)
@pytest.mark.parametrize("name", ["test", "flagday.blocked.test"])
def test_the_edns_flag_day_set_is_answered(service: Service, options: str, status: str, name: str) -> None:
    """RFC 6891 §6.1, §7: BADVERS in version 0; unknown options and flags ignored, and not echoed."""
    answer = service.dig(*options.split(), name, "SOA")
    assert answer.status == ("NXDOMAIN" if status == "NOERROR" and "blocked" in name else status), answer.text
    assert answer.edns == ("+noedns" not in options.split())
    if answer.edns:
        assert "EDNS: version: 0" in answer.text
        assert not [word for word in ("OPT=100", "MBZ", "CLIENT-SUBNET", "NSID", "PADDING") if word in answer.text]


@pytest.mark.parametrize("options", [(), ("+tcp",)])
def test_the_version_is_not_told_and_not_asked_for_upstream(
    service: Service, upstream: Unbound, options: tuple[str, ...]
) -> None:
    for name in ("version.bind", "id.server"):
        assert service.dig(name, "TXT", "CH", *options).status == "REFUSED"
        assert name not in upstream.asked


def test_a_configured_text_answers_for_the_version(own: Service) -> None:
    own.change(**{"resolver.chaos": "none of your business"})
    own.start()
    assert own.dig("version.bind", "TXT", "CH").data == ['"none of your business"']


def test_zones_are_not_handed_out(service: Service, upstream: Unbound) -> None:
    before = len(upstream.asked)
    assert "Transfer failed" in service.dig("test", "AXFR").text
    assert service.dig("test", "IXFR=1", "+notcp", "+edns=0").status in ("REFUSED", "")
    assert len(upstream.asked) == before


@pytest.mark.parametrize("opcode", ["status", "notify", "update", "6"])
def test_what_is_no_query_is_not_implemented(service: Service, opcode: str) -> None:
    assert service.dig(f"+opcode={opcode}", "www.test").status == "NOTIMP"


def test_a_large_answer_is_cut_over_udp_and_whole_over_tcp(service: Service) -> None:
    cut = service.dig("big.test", "TXT", "+ignore")
    assert "tc" in cut.flags
    assert (cut.edns, cut.answer) == (True, [])
    whole = service.dig("big.test", "TXT")  # dig asks again over TCP
    assert "tc" not in whole.flags
    assert whole.data[0].startswith('"000xxx')
    assert whole.data[0].count("x" * 200) == 12


@pytest.mark.parametrize("size", [512, 1232, 4096])
def test_an_answer_over_udp_is_never_larger_than_both_sides_take(service: Service, size: int) -> None:
    wire = question("big.test", 16, edns=False)
    wire = wire[:11] + b"\x01" + wire[12:] + b"\x00\x00\x29" + size.to_bytes(2) + bytes(6)
    assert len(service.send(wire)) <= min(size, 1232)
    assert len(service.send(question("big.test", 16, edns=False))) <= 512


def test_many_questions_on_one_connection_are_all_answered(service: Service) -> None:
    """RFC 7766 §6.2.1.1: in whatever order, each with its own ID; in pieces as the network likes to cut them."""
    names = [f"pipe{number}.{'blocked' if number % 2 else 'ok'}.test" for number in range(40)]
    stream = b""
    for number, name in enumerate(names):
        wire = question(name, number=number)
        stream += len(wire).to_bytes(2) + wire
    with socket.create_connection(("127.0.0.1", service.port), 5, (PHONE, 0)) as sock, sock.makefile("rb") as answers:
        for at in range(0, len(stream), 101):
            sock.sendall(stream[at : at + 101])
        found = {}
        for _ in names:
            wire = answers.read(int.from_bytes(answers.read(2)))
            found[int.from_bytes(wire[:2])] = wire[3] & 0xF
    assert found == {number: 3 if number % 2 else 0 for number in range(40)}
    for number in range(1, 40, 2):
        service.recorded(1, name=names[number])


def test_kdig_keeps_its_connection_and_gets_every_answer(service: Service) -> None:
    command = [need("kdig"), "@127.0.0.1", "-p", str(service.port), "+tcp", "+keepopen", "+edns"]
    names = ["www.test", "kept.blocked.test", "brief.test"]
    text = subprocess.run([*command, *names], capture_output=True, text=True, check=False).stdout
    assert [Answer(part).status for part in text.split(";; ->>HEADER<<-")[1:]] == ["NOERROR", "NXDOMAIN", "NOERROR"]
    assert "Blocked by organization policy" in text


@pytest.mark.parametrize("qtype", ["A", "AAAA", "HTTPS"])
@pytest.mark.parametrize(
    ("name", "status"),
    [
        ("use-application-dns.net", "NXDOMAIN"),
        ("mask.icloud.com", "NXDOMAIN"),
        ("mask-h2.icloud.com", "NXDOMAIN"),
        ("_dns.resolver.arpa", "NOERROR"),
        ("resolver.arpa", "NOERROR"),
        ("site.onion", "NXDOMAIN"),
    ],
)
def test_signals_to_clients_are_given_here_and_not_recorded(
    service: Service, upstream: Unbound, name: str, qtype: str, status: str
) -> None:
    """Firefox's DoH and Private Relay stay off, discovery of a designated resolver finds none, RFC 7686 for .onion."""
    answer = service.dig(name, qtype)
    assert (answer.status, answer.answer, answer.ede) == (status, [], "")
    assert [record[3] for record in answer.authority] == ["SOA"]
    assert name not in upstream.asked
    assert service.attempts(name=name) == []


HEADER = b"\xbe\xef\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00"


ASKED = b"\x01a\x04test\x00\x00\x01\x00\x01"
OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"

MALFORMED = {
    "two questions (RFC 9619)": HEADER[:4] + b"\x00\x02" + HEADER[6:] + ASKED * 2,
    "no question": HEADER[:4] + b"\x00\x00" + HEADER[6:],
    "a label of 64": HEADER + b"\x40" + b"a" * 64 + b"\x00\x00\x01\x00\x01",
    "a cut label": HEADER + b"\x3f" + b"a" * 10,
    "a pointer to itself": HEADER + b"\xc0\x0c\x00\x01\x00\x01",
    "a name of more than 255": HEADER + (b"\x3f" + b"a" * 63) * 4 + b"\x00\x00\x01\x00\x01",
    "two OPT records": HEADER[:11] + b"\x02" + ASKED + OPT * 2,
    "an OPT record with an owner": HEADER[:11] + b"\x01" + ASKED + b"\x01a" + OPT,
}
NO_QUERY = {
    "nothing": b"",
    "two octets": b"\x12\x34",
    "a cut header": HEADER[:11],
    "a response": HEADER[:2] + b"\x81\x80" + HEADER[4:] + ASKED,
}


@pytest.mark.parametrize("wire", MALFORMED.values(), ids=MALFORMED)
def test_a_malformed_query_is_told_so_with_its_id(service: Service, wire: bytes) -> None:
    answer = service.send(wire)
    assert answer[:2] == b"\xbe\xef"
    assert (answer[2] & 0x80, answer[3] & 0xF) == (0x80, 1)


@pytest.mark.parametrize("wire", NO_QUERY.values(), ids=NO_QUERY)
def test_what_cannot_be_a_query_gets_no_answer(service: Service, wire: bytes) -> None:
    with pytest.raises(TimeoutError):
        service.send(wire, timeout_s=0.3)


def test_a_malformed_query_of_a_stranger_gets_no_answer(service: Service) -> None:
    with pytest.raises(TimeoutError):
        service.send(HEADER[:4] + b"\x00\x00" + HEADER[6:], OUTSIDE, timeout_s=0.3)


def test_labels_of_any_octets_are_forwarded_and_do_not_pass_for_others(service: Service) -> None:
    """RFC 2181 §11: a dot within a label borders nothing."""
    for name, blocked in ((r"x\.blocked.test", False), (r"\000\255.ok.test", False), (r"\000.blocked.test", True)):
        answer = service.dig(name)
        assert answer.status in ("NOERROR", "NXDOMAIN")
        assert (answer.ede == "15 (Blocked)") == blocked, name
    [record] = service.recorded(1, name=r"\000.blocked.test")
    assert record["rule"] == "chat/suffix/blocked.test"
