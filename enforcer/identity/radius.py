"""RADIUS accounting: what arrives, checked, recorded, and only then answered (RFC 2866 §4.1).

`Feed` decides; `listen_udp` and `serve_radsec` carry. What is not authentic, or not whole, gets no answer at all.
"""

import asyncio
import logging
import socket
import ssl
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from ipaddress import ip_address
from pathlib import Path

from enforcer.config.identity import Calling
from enforcer.devices.device import Network
from enforcer.devices.prefix import Prefix, host_prefix
from enforcer.devices.session import Report, Status
from enforcer.devices.subject import Subject, imei_of, imsi_of, mac_of, msisdn_of
from enforcer.errors import Malformed, Unavailable
from enforcer.wire.radius import (
    PACKET_MAX,
    Accounting,
    Code,
    StatusType,
    answer,
    framed,
    is_authentic,
    read_accounting,
    read_packet,
)

BATCH = 256
RECEIVE_BUFFER = 16 << 20  # two seconds of 5,000 packets a second
ANSWERS_MAX = 65_536
ANSWER_MS = 30_000  # for how long the answer to a packet is kept, in case it comes again
CONNECTIONS_MAX = 64
_SOURCES_MAX = 65_536

_log = logging.getLogger(__name__)

_STATUS = {
    StatusType.START: Status.START,
    StatusType.STOP: Status.STOP,
    StatusType.INTERIM: Status.INTERIM,
    StatusType.ON: Status.ON,
    StatusType.OFF: Status.OFF,
}

type Source = tuple[str, int]
type Take = Callable[[Sequence[Report]], bool]


class Result(StrEnum):
    """What became of a packet."""

    ACCEPTED = "accepted"
    DUPLICATE = "duplicate"
    STATUS = "status"
    BAD_AUTHENTICATOR = "bad_authenticator"
    MALFORMED = "malformed"
    UNKNOWN_CLIENT = "unknown_client"
    UNRECORDED = "unrecorded"


@dataclass(slots=True)
class Client:
    """Who may send. label: its name in metrics. seen: what its accounting has told so far. last_ms: its last packet."""

    label: str
    network: Network | None
    secret: bytes = field(repr=False)
    calling: Calling = Calling.AUTO
    seen: set[str] = field(default_factory=set)
    last_ms: int = 0


@dataclass(slots=True)
class _Answered:
    """An answer that was given, and to which packet: (its authenticator, when)."""

    authenticator: bytes
    octets: bytes
    at_ms: int


class Feed:
    """The accounting of one realm. take: records reports; False when that cannot be done now.

    results: packets by what became of them.
    """

    def __init__(self, realm: str, clients: Sequence[Client], take: Take, *, proof_required: bool = False) -> None:
        self.realm = realm
        self.clients = tuple(clients)
        self.results: Counter[Result] = Counter()
        self._take = take
        self._proof_required = proof_required
        self._by_source: dict[str, Client | None] = {}
        self._answers: dict[tuple[str, int, int], _Answered] = {}

    def receive(self, batch: Sequence[tuple[bytes, Source]], now_ms: int) -> list[tuple[bytes, Source]]:
        """Take in what has arrived over UDP; returns what to send to whom."""
        due: list[tuple[bytes, Source, Client, Report | None, bytes]] = []
        again = []
        for octets, source in batch:
            client = self._client(source[0])
            if client is None:
                self.results[Result.UNKNOWN_CLIENT] += 1
            elif (known := self._answered(octets, source, now_ms)) is not None:
                self.results[Result.DUPLICATE] += 1
                again.append((known, source))
            elif (read := self._read(octets, client, source[0], now_ms)) is not None:
                due.append((octets, source, client, *read))
        if not self._recorded([report for _, _, _, report, _ in due if report is not None]):
            return again
        for octets, source, client, _, reply in due:
            client.last_ms = now_ms
            self._remember(octets, source, reply, now_ms)
        return again + [(reply, source) for _, source, _, _, reply in due]

    def receive_one(self, octets: bytes, client: Client, source: str, now_ms: int) -> bytes | None:
        """Take in one packet of a connection; returns the answer, or None."""
        read = self._read(octets, client, source, now_ms)
        if read is None or not self._recorded([] if read[0] is None else [read[0]]):
            return None
        client.last_ms = now_ms
        return read[1]

    def _client(self, address: str) -> Client | None:
        try:
            return self._by_source[address]
        except KeyError:
            if len(self._by_source) >= _SOURCES_MAX:
                self._by_source.clear()
        source = ip_address(address)
        holding = [each for each in self.clients if each.network is not None and source in each.network]
        found = max(holding, key=lambda each: each.network.prefixlen if each.network else 0, default=None)
        self._by_source[address] = found
        return found

    def _read(self, octets: bytes, client: Client, source: str, now_ms: int) -> tuple[Report | None, bytes] | None:
        """A packet's report and answer; None for what gets none."""
        try:
            packet = read_packet(octets)
            if packet.code not in (Code.ACCOUNTING_REQUEST, Code.STATUS_SERVER):
                raise Malformed(f"code {packet.code}")
            if not is_authentic(packet, client.secret, proof_required=self._proof_required):
                self.results[Result.BAD_AUTHENTICATOR] += 1
                return None
            if packet.code == Code.STATUS_SERVER:
                self.results[Result.STATUS] += 1
                return None, answer(packet, client.secret)
            said = read_accounting(packet)
        except Malformed:
            self.results[Result.MALFORMED] += 1
            return None
        client.seen |= said.seen
        return report_of(said, self.realm, client.calling, source, now_ms), answer(packet, client.secret)

    def _recorded(self, reports: Sequence[Report]) -> bool:
        if reports and not self._take(reports):
            self.results[Result.UNRECORDED] += len(reports)
            return False
        self.results[Result.ACCEPTED] += len(reports)
        return True

    def _answered(self, octets: bytes, source: Source, now_ms: int) -> bytes | None:
        """The answer to a packet that was answered before: the same sender, identifier and authenticator."""
        if len(octets) < 20:
            return None
        known = self._answers.get((*source, octets[1]))
        if known is None or known.authenticator != octets[4:20] or now_ms - known.at_ms > ANSWER_MS:
            return None
        return known.octets

    def _remember(self, octets: bytes, source: Source, reply: bytes, now_ms: int) -> None:
        key = (*source, octets[1])
        self._answers.pop(key, None)  # so that the order is that of the answers
        self._answers[key] = _Answered(octets[4:20], reply, now_ms)
        while len(self._answers) > ANSWERS_MAX:
            del self._answers[next(iter(self._answers))]


def report_of(said: Accounting, realm: str, calling: Calling, source: str, now_ms: int) -> Report | None:
    """What accounting says, as the session table wants it; None for accounting that is not of sessions."""
    if said.status is None:
        return None
    prefixes = [Prefix(6, length, bits) for length, bits in said.prefixes]
    prefixes += [host_prefix(each) for each in (said.ipv4, said.ipv6) if each is not None]
    return Report(
        realm,
        said.nas or source,
        _STATUS[said.status],
        now_ms,
        said.session,
        None if said.event_s is None else said.event_s * 1000,
        said.delay_s,
        said.session_s,
        tuple(prefixes),
        _subject(said, calling),
        said.bearer,
        said.last_bearer,
    )


def _subject(said: Accounting, calling: Calling) -> Subject:
    imei = None if said.imeisv is None else imei_of(said.imeisv)
    imsi = None if said.imsi is None else imsi_of(said.imsi)
    msisdn = mac = None
    text = said.calling or ""
    if calling is Calling.IMSI:
        imsi = imsi or imsi_of(text)
    elif calling is Calling.MSISDN:
        msisdn = msisdn_of(text)
    elif calling is Calling.MAC:
        mac = mac_of(text)
    elif calling is Calling.AUTO and text:
        mobile = imei is not None or imsi is not None
        mac = None if mobile else mac_of(text, bare=not text.isdigit())
        msisdn = msisdn_of(text) if mac is None else None
    return Subject(imei, imsi, msisdn, mac)


def read_secret(path: Path) -> bytes:
    """A shared secret: the file's text without the white space around it. Raises Unavailable for one that is too short.

    RADIUS proves messages with MD5, so one captured packet lets anybody guess offline.
    """
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror}); mend secret_file") from error
    if len(secret) < 16 or len(set(secret)) < 8:
        raise Unavailable(
            f"{path}: the secret can be guessed; write 16 characters or more, by chance: openssl rand -base64 24 > FILE"
        )
    return secret


def listen_udp(sock: socket.socket, feed: Feed, clock_ms: Callable[[], int]) -> None:
    """Read what has arrived, until there is no more or others want their turn; to be called when there is something."""
    batch: list[tuple[bytes, Source]] = []
    with suppress(BlockingIOError):
        while len(batch) < BATCH:
            octets, source = sock.recvfrom(PACKET_MAX + 1)
            batch.append((octets, (source[0], source[1])))
    for octets, source in feed.receive(batch, clock_ms()):
        with suppress(OSError):  # the sender tries again
            sock.sendto(octets, source)


def enlarge(sock: socket.socket) -> None:
    """As large a buffer as we may have, whatever the system's limit says."""
    force = getattr(socket, "SO_RCVBUFFORCE", 33)
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
    with suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, force, RECEIVE_BUFFER)


def radsec_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """Mutual TLS (RFC 6614). A client that offers no ALPN speaks RADIUS/1.0 too. Raises Unavailable."""
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.load_cert_chain(certificate, key, password=lambda: "")
        context.load_verify_locations(client_ca)
    except (OSError, ValueError) as error:
        raise Unavailable(f"{certificate}, {key}, {client_ca}: cannot be used for TLS ({error})") from error
    context.verify_mode = ssl.CERT_REQUIRED
    context.set_alpn_protocols(["radius/1.0"])
    return context


class RadSec:
    """The TLS side of a feed: one connection after the other, each of a client that its certificate names."""

    def __init__(self, feed: Feed, names: Mapping[str, Client], clock_ms: Callable[[], int]) -> None:
        """names: the clients by the names in their certificates, in lower case."""
        self._feed = feed
        self._names = names
        self._clock_ms = clock_ms
        self._open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, to its end. What cannot be framed ends it."""
        source = str((writer.get_extra_info("peername") or ("",))[0])
        client = self._client(writer.get_extra_info("peercert"))
        self._open += 1
        try:
            if client is None or self._open > CONNECTIONS_MAX:
                self._feed.results[Result.UNKNOWN_CLIENT] += 1
                return
            while (octets := await _packet(reader)) is not None:
                reply = self._feed.receive_one(octets, client, source, self._clock_ms())
                if reply is not None:
                    writer.write(reply)
                    await writer.drain()
        except (Malformed, ConnectionError, ssl.SSLError):
            pass
        finally:
            self._open -= 1
            writer.close()

    def _client(self, certificate: Mapping[str, object] | None) -> Client | None:
        names = (certificate or {}).get("subjectAltName")
        for pair in names if isinstance(names, tuple) else ():
            found = self._names.get(str(pair[1]).lower()) if pair[0] in ("DNS", "URI", "IP Address") else None
            if found is not None:
                return found
        return None


async def _packet(reader: asyncio.StreamReader) -> bytes | None:
    """The next packet; None at the end of the connection. Raises Malformed."""
    try:
        head = await reader.readexactly(4)
        return head + await reader.readexactly((framed(head) or 4) - 4)
    except asyncio.IncompleteReadError:
        return None
