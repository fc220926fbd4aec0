"""A feed: who is answered, when, and with what; and the same over sockets and TLS."""

import asyncio
import socket
import ssl
from collections.abc import Sequence
from ipaddress import ip_network
from pathlib import Path

import pytest

from enforcer.config.identity import Calling
from enforcer.devices.session import Report, Status
from enforcer.devices.subject import Subject
from enforcer.errors import Unavailable
from enforcer.identity.radius import (
    ANSWER_MS,
    Client,
    Feed,
    RadSec,
    enlarge,
    listen_udp,
    radsec_context,
    read_secret,
    report_of,
)
from enforcer.wire.radius import RADSEC_SECRET, Accounting, Code, StatusType, answer, read_packet, request
from tests.certificates import Authority
from tests.identity.gateway import ON, SECRET, START, STOP, accounting
from tests.records import NOON_MS

PGW = ("192.0.2.10", 40_000)


class Desk:
    """A feed, and what it has recorded."""

    def __init__(self, *, proof_required: bool = False) -> None:
        self.reports: list[Report] = []
        self.works = True
        client = Client("pgw", ip_network("192.0.2.10"), SECRET)
        wide = Client("wide", ip_network("192.0.2.0/24"), b"another-secret-32-bytes-minimum!")
        self.feed = Feed("apn", [wide, client], self.take, proof_required=proof_required)

    def take(self, reports: Sequence[Report]) -> bool:
        if self.works:
            self.reports += reports
        return self.works

    def send(self, *packets: bytes, source: tuple[str, int] = PGW, now_ms: int = NOON_MS) -> list[bytes]:
        return [reply for reply, _ in self.feed.receive([(each, source) for each in packets], now_ms)]

    def results(self) -> dict[str, int]:
        return {result.value: count for result, count in self.feed.results.items() if count}


def test_what_is_authentic_is_recorded_and_then_answered() -> None:
    desk, packet = Desk(), accounting(START)
    assert desk.send(packet) == [answer(read_packet(packet), SECRET)]
    (report,) = desk.reports
    assert (report.realm, report.gateway, report.session, report.status) == ("apn", "pgw1", "s1", Status.START)
    assert desk.results() == {"accepted": 1}


def test_drill_wrong_secret() -> None:
    desk = Desk()
    assert desk.send(accounting(START, secret=b"not-the-secret-of-this-client-7!")) == []
    assert (desk.results(), desk.reports) == ({"bad_authenticator": 1}, [])


def test_drill_replayed_packet_is_answered_alike_and_recorded_once() -> None:
    desk, packet = Desk(), accounting(START)
    assert (
        desk.send(packet) + desk.send(packet, now_ms=NOON_MS + ANSWER_MS) == [answer(read_packet(packet), SECRET)] * 2
    )
    assert len(desk.reports) == 1
    assert desk.results() == {"accepted": 1, "duplicate": 1}
    desk.send(packet, now_ms=NOON_MS + 2 * ANSWER_MS)  # by then it is read again, and changes nothing in the table
    assert len(desk.reports) == 2


def test_the_same_identifier_for_another_packet_is_no_duplicate() -> None:
    desk = Desk()
    desk.send(accounting(START), accounting(STOP), accounting(START))
    assert len(desk.reports) == 3


def test_drill_full_disk_is_no_answer_and_the_retry_is_recorded() -> None:
    desk, packet = Desk(), accounting(START)
    desk.works = False
    assert desk.send(packet) == []
    assert desk.results() == {"unrecorded": 1}
    desk.works = True
    assert len(desk.send(packet)) == 1
    assert len(desk.reports) == 1


def test_who_is_unknown_gets_no_answer() -> None:
    desk = Desk()
    assert desk.send(accounting(START), source=("203.0.113.9", 1)) == []
    assert desk.results() == {"unknown_client": 1}


def test_the_narrowest_network_tells_the_secret() -> None:
    desk = Desk()
    other = accounting(START, secret=b"another-secret-32-bytes-minimum!")
    assert len(desk.send(other, source=("192.0.2.11", 1))) == 1
    assert desk.send(other) == []


def test_what_is_malformed_gets_no_answer() -> None:
    desk = Desk()
    assert desk.send(b"", b"x" * 19, accounting(START)[:-1], accounting(START)[:60]) == []
    access = bytes((1,)) + accounting(START)[1:]
    assert desk.send(access) == []
    assert desk.results() == {"malformed": 5}


def test_status_server_is_answered_and_records_nothing() -> None:
    desk = Desk()
    asked = request(Code.STATUS_SERVER, 7, [(80, bytes(16))], SECRET, authenticator=bytes(range(16)))
    assert desk.send(asked) == [answer(read_packet(asked), SECRET)]
    assert (desk.results(), desk.reports) == ({"status": 1}, [])


def test_proof_can_be_demanded_of_all() -> None:
    desk = Desk(proof_required=True)
    assert desk.send(accounting(START)) == []
    assert len(desk.send(accounting(START, more=((80, bytes(16)),)))) == 1


def test_accounting_that_is_not_of_sessions_is_answered() -> None:
    desk = Desk()
    assert len(desk.send(request(Code.ACCOUNTING_REQUEST, 1, [(40, b"\0\0\0\x0f")], SECRET))) == 1
    assert desk.reports == []


def test_what_a_client_sends_is_listed() -> None:
    desk = Desk()
    desk.send(accounting(ON), accounting(START, number=2, imei="0010150123456701"))
    assert {"imsi", "imeisv", "ipv4", "event_s"} <= desk.feed.clients[1].seen


@pytest.mark.parametrize(
    ("said", "calling", "subject"),
    [
        (
            {"calling": "16135550123", "imsi": "001010123456789"},
            Calling.AUTO,
            Subject(None, "001010123456789", "16135550123"),
        ),
        ({"calling": "00-10-A4-23-19-C0"}, Calling.AUTO, Subject(mac="0010a42319c0")),
        ({"calling": "0010A42319C0"}, Calling.AUTO, Subject(mac="0010a42319c0")),
        ({"calling": "447700900123"}, Calling.AUTO, Subject(msisdn="447700900123")),
        ({"calling": "447700900123"}, Calling.MAC, Subject(mac="447700900123")),
        ({"calling": "001010123456789"}, Calling.IMSI, Subject(imsi="001010123456789")),
        ({"calling": "+1 613 555 0123"}, Calling.MSISDN, Subject(msisdn="16135550123")),
        ({"calling": "16135550123", "imeisv": "0010150123456701"}, Calling.IGNORE, Subject(imei="00101501234567")),
        ({"calling": "nonsense", "imsi": "x", "imeisv": "0"}, Calling.AUTO, Subject()),
    ],
)
def test_what_the_calling_station_is(said: dict[str, str], calling: Calling, subject: Subject) -> None:
    report = report_of(Accounting(StatusType.START, "s1", **said), "apn", calling, "192.0.2.10", NOON_MS)  # type: ignore[arg-type]
    assert report is not None
    assert report.subject == subject
    assert report.gateway == "192.0.2.10"


@pytest.mark.parametrize("secret", ["short", "aaaaaaaaaaaaaaaaaaaaaaaaaaaa", "  fifteen-letters  "])
def test_a_secret_that_can_be_guessed_is_refused(tmp_path: Path, secret: str) -> None:
    (tmp_path / "secret").write_text(secret)
    with pytest.raises(Unavailable, match="can be guessed") as caught:
        read_secret(tmp_path / "secret")
    assert secret.strip() not in str(caught.value)


def test_a_secret_is_the_files_text(tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(SECRET + b"\n")
    assert read_secret(tmp_path / "secret") == SECRET
    with pytest.raises(Unavailable, match="cannot be read"):
        read_secret(tmp_path / "nowhere")
    assert SECRET.decode() not in repr(Client("pgw", None, SECRET))


def test_over_udp_each_sender_gets_its_answer() -> None:
    desk = Desk()
    desk.feed.clients[1].network = ip_network("127.0.0.1")
    with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
        server.bind(("127.0.0.1", 0))
        server.setblocking(False)
        enlarge(server)
        client.settimeout(5)
        packet = accounting(START)
        client.sendto(packet, server.getsockname())
        listen_udp(server, desk.feed, lambda: NOON_MS)
        assert client.recv(4096) == answer(read_packet(packet), SECRET)
        listen_udp(server, desk.feed, lambda: NOON_MS)  # with nothing there


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def radsec(
    authority: Authority, sent: bytes, *, certificate: str | None, by: Authority | None = None
) -> tuple[Desk, bytes]:
    """What a client with a certificate gets for some octets; its connection is then ended by the server or by us."""
    desk = Desk()
    pgw = Client("pgw2.example", None, RADSEC_SECRET)
    ours = authority.pair("ours", "radius.test")
    server_context = radsec_context(ours.certificate, ours.key, authority.pem)
    context = ssl.create_default_context(cafile=str(authority.pem))
    if certificate is not None:
        pair = (by or authority).pair("theirs", certificate)
        context.load_cert_chain(pair.certificate, pair.key)
    context.set_alpn_protocols(["radius/1.0"])

    async def talk() -> bytes:
        handler = RadSec(desk.feed, {"pgw2.example": pgw}, lambda: NOON_MS)
        server = await asyncio.start_server(handler.serve, "127.0.0.1", 0, ssl=server_context)
        port = server.sockets[0].getsockname()[1]
        try:
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", port, ssl=context, server_hostname="radius.test"
            )
            writer.write(sent)
            got = b""
            try:
                async with asyncio.timeout(1):
                    got = await reader.read(20)
            except (ssl.SSLError, ConnectionError, TimeoutError):
                pass
            writer.close()
            return got
        finally:
            server.close()

    return desk, asyncio.run(talk())


def test_radsec_is_answered_over_its_connection(authority: Authority) -> None:
    packet = accounting(START, secret=RADSEC_SECRET)
    desk, got = radsec(authority, packet, certificate="pgw2.example")
    assert got == answer(read_packet(packet), RADSEC_SECRET)
    assert len(desk.reports) == 1


def test_drill_radsec_with_an_unknown_certificate(authority: Authority, tmp_path: Path) -> None:
    packet = accounting(START, secret=RADSEC_SECRET)
    desk, got = radsec(authority, packet, certificate="other.example")
    assert (got, desk.reports, desk.results()) == (b"", [], {"unknown_client": 1})
    (tmp_path / "foreign").mkdir()
    desk, got = radsec(authority, packet, certificate="pgw2.example", by=Authority(tmp_path / "foreign", "foreign"))
    assert (got, desk.reports) == (b"", [])
    desk, got = radsec(authority, packet, certificate=None)
    assert (got, desk.reports) == (b"", [])


def test_radsec_that_cannot_be_framed_is_closed(authority: Authority) -> None:
    desk, got = radsec(
        authority, b"\x04\x01\x00\x05" + accounting(START, secret=RADSEC_SECRET), certificate="pgw2.example"
    )
    assert (got, desk.reports) == (b"", [])


def test_files_that_are_no_certificates_are_unavailable(tmp_path: Path) -> None:
    (tmp_path / "x").write_text("x")
    with pytest.raises(Unavailable, match="cannot be used for TLS"):
        radsec_context(tmp_path / "x", tmp_path / "x", tmp_path / "x")
