"""What the first octets of a connection show, and what policy says about it.

`inspect` reads what a client has sent so far; `Opening` takes it as it comes, a segment at a time, and `Datagrams` a
datagram at a time. Each ends in `Seen`: which layer it is, and every name it shows. `judge_flow` asks the policy about
all of that, `judge_address` about a connection that has shown nothing yet.

Who carries the connection does this with what comes out:

a verdict that blocks    refuse, and record one attempt
a verdict that observes  let it pass, and record one attempt
ALLOW, readable          let it pass
ALLOW, not readable      NONSENSE, and QUIC of a version that we do not know: refuse. It is what nobody sends who is
                         not after a way round us, and the client has another way: another handshake, TCP
ALLOW, UNKNOWN           as `proxy.unknown` says; so too a client that says nothing, which is `SILENT`
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import NamedTuple

from enforcer.errors import Malformed
from enforcer.policy.judge import Policy
from enforcer.policy.names import join, parse, wire
from enforcer.policy.rules import Port, Transport
from enforcer.policy.verdict import Action, Address, Client, Destination, Layer, Verdict
from enforcer.wire import http, http2, mmtls, quic, tls
from enforcer.wire.name import Name

BYTES_MAX = 0x8000
"""Octets of one connection that are held until it shows where it goes; more of a ClientHello or head is nonsense."""

SEGMENTS_MAX = 4096
"""Segments that they may come in: a ClientHello of a browser, an octet at a time, is half of it."""

DATAGRAMS_MAX = 32
"""Datagrams of one client that are looked at; a ClientHello of 16 KiB takes 14."""

NAMES_MAX = 64
"""Names that one connection may show; more are nonsense."""

MMTLS = "mmtls"
"""The fingerprint of WeChat's own transport, as lists write it."""

_ALPN_MAX = 8  # protocols, and
_PROTOCOL_MAX = 32  # octets of each, that are kept for the record
_LANGUAGES_MAX = 100


class Shows(StrEnum):
    """What kind of thing a connection shows.

    NAME: a name, an address or a fingerprint. NO_NAME: a protocol that we know, which names nobody. NONSENSE: it begins
    as a protocol that we know, and goes on as no server could read it, or without end. UNKNOWN: any other protocol.
    """

    NAME = "name"
    NO_NAME = "no_name"
    NONSENSE = "nonsense"
    UNKNOWN = "unknown"


class Seen(NamedTuple):
    """What the first octets of a connection show. One is made for each, and a tuple costs least.

    layer: IP for UNKNOWN. names, addresses: every one that is shown, HTTP may show several. alpn: what the client
    offers, shortened for the record. ech: whether a ClientHello has an encrypted part, or pretends to; None off TLS
    and QUIC. path: of HTTP, in its normal form. fingerprint: as in lists. languages: what a browser asks for, as it
    says it (RFC 9110 §12.5.4), for its page alone.
    """

    layer: Layer
    shows: Shows
    names: tuple[Name, ...] = ()
    addresses: tuple[Address, ...] = ()
    alpn: tuple[str, ...] = ()
    ech: bool | None = None
    path: str | None = None
    fingerprint: str | None = None
    languages: str | None = None

    @property
    def readable(self) -> bool:
        """False for what must not pass though no rule matches: we know the protocol, and cannot say where it goes."""
        return self.shows is not Shows.NONSENSE and not (self.layer is Layer.QUIC and self.shows is Shows.UNKNOWN)


UNKNOWN = Seen(Layer.IP, Shows.UNKNOWN)
SILENT = UNKNOWN
"""A client that waits for the server to speak first (SMTP, MySQL): nothing but the address is known."""


@dataclass(frozen=True, slots=True)
class Judged:
    """The strictest verdict on one connection, and the destination it is about: its name is the one to record."""

    verdict: Verdict
    destination: Destination


class Opening:
    """The first octets of one TCP connection, held until they show where it goes; bounded in octets and pieces."""

    __slots__ = ("_at", "_data", "_message", "_pieces", "_requests")

    def __init__(self) -> None:
        self._data = bytearray()
        self._pieces = 0
        self._at = 0  # where the TLS records end that are in _message; or how far no end of a head of HTTP was found
        self._message = bytearray()
        self._requests: Requests | None = None  # of HTTP/2

    @property
    def size(self) -> int:
        """Octets taken so far."""
        return len(self._data)

    def add(self, data: bytes) -> Seen | None:
        """Take what came next, in the order of the stream; None: it takes more to tell.

        However small the pieces are, TLS records and frames of HTTP/2 are read once, and the end of a head of HTTP is
        looked for only in what is new.
        """
        seen = None if self._pieces else _whole(data)
        self._data += data
        self._pieces += 1
        if seen is None:
            seen = self._look(data)
        if seen is None and (len(self._data) >= BYTES_MAX or self._pieces >= SEGMENTS_MAX):
            return Seen(Layer.TLS if self._data[0] < ord(" ") else Layer.HTTP, Shows.NONSENSE)
        return seen

    def _look(self, new: bytes) -> Seen | None:
        data = self._data
        if not data:
            return None
        if self._requests is not None:
            return next(iter(self._requests.add(new)), None)
        if tls.is_tls(data):
            return self._tls()
        known = mmtls.is_mmtls(data)
        if known:
            return Seen(Layer.MMTLS, Shows.NAME, fingerprint=MMTLS)
        if known is None:
            return None
        known = http.is_http(data)
        if known:
            return self._http()
        return None if known is None else UNKNOWN

    def _tls(self) -> Seen | None:
        try:
            self._at = tls.unwrap(self._data, self._at, self._message)
            hello = tls.read_message(self._message)
        except Malformed:
            return Seen(Layer.TLS, Shows.NONSENSE)
        return None if hello is None else _hello(Layer.TLS, hello)

    def _http(self) -> Seen | None:
        """HTTP/2 with prior knowledge too, which begins as a request of HTTP/1."""
        data = self._data
        if self._at and not http.may_end(data, self._at):
            self._at = len(data)
            return None
        self._at = len(data)
        try:
            request = http.read_request(bytes(data))
        except Malformed:
            return Seen(Layer.HTTP, Shows.NONSENSE)
        if request is None:
            return None
        if request.method != b"PRI":
            return _request(request)
        self._requests = Requests()
        return next(iter(self._requests.add(bytes(data))), None)


class Requests:
    """The requests of HTTP/2 with prior knowledge, each of which may go elsewhere; bounded."""

    def __init__(self) -> None:
        self._heads = http2.Requests()

    def add(self, data: bytes) -> list[Seen]:
        """Take what came next, from the preface on; what is shown by each request whose head ends in it.

        The last is NONSENSE where no more can be read; it must not go on then.
        """
        seen: list[Seen] = []
        try:
            seen.extend(_request(each, ("h2c",)) for each in self._heads.add(data))
        except Malformed:
            seen.append(Seen(Layer.HTTP, Shows.NONSENSE))
        return seen


class Datagrams:
    """The first datagrams that one client sends to one server, until they show where it goes; bounded.

    Only what QUIC needs of them is held, not they themselves. A client may open further connections from the same port:
    `later` tells their first datagrams from those of the connection that was seen.
    """

    __slots__ = ("_count", "_initials")

    def __init__(self) -> None:
        self._count = 0
        self._initials: quic.Initials | None = None

    def add(self, datagram: bytes) -> Seen | None:
        """Take the next datagram, in any order; None: it takes more to tell."""
        self._count += 1
        if self._initials is None:
            known = quic.is_quic(datagram)
            if not known:
                return UNKNOWN if known is False else Seen(Layer.QUIC, Shows.UNKNOWN)
            self._initials = quic.Initials()
        try:
            hello = self._initials.add(datagram)
        except Malformed:
            return Seen(Layer.QUIC, Shows.NONSENSE)
        if hello is not None:
            return _hello(Layer.QUIC, hello)
        return None if self._count < DATAGRAMS_MAX else Seen(Layer.QUIC, Shows.NONSENSE)

    def later(self, datagram: bytes) -> bool:
        """Whether a datagram that came when these had shown something is to be judged by itself, as a first one."""
        return quic.is_quic(datagram) is True if self._initials is None else self._initials.is_other(datagram)


def inspect(data: bytes, *, transport: Transport) -> Seen | None:
    """What a client's first octets show: the stream so far, or one datagram; None: it takes more to tell."""
    return (Datagrams() if transport is Transport.UDP else Opening()).add(data)


def judge_flow(
    seen: Seen, address: Address | None, port: Port | None, *, policy: Policy, client: Client, now: datetime
) -> Judged:
    """What policy says about a connection to this address and port: the strictest of what it says to each name.

    address: None where only a name is known, as an explicit proxy is asked for it. A name comes before the address, so
    that the verdict tells the name's rule where both are banned.
    """
    judged = []
    for name, shown in _destinations(seen, address):
        destination = Destination(seen.layer, name, shown, port, seen.fingerprint, seen.path)
        verdict = policy.judge(destination, client, now)
        if verdict.action is Action.BLOCK:
            return Judged(verdict, destination)
        judged.append(Judged(verdict, destination))
    return next((each for each in judged if each.verdict.action is Action.OBSERVE), judged[0])


def judge_address(address: Address, port: Port | None, *, policy: Policy, client: Client, now: datetime) -> Judged:
    """What policy says about a connection that has shown nothing but where it goes, as its first packet does.

    port: None for a protocol that has none.
    """
    destination = Destination(Layer.IP, address=address, port=port)
    return Judged(policy.judge(destination, client, now), destination)


def _destinations(seen: Seen, address: Address | None) -> Iterator[tuple[Name | None, Address | None]]:
    """Each name with the address that the connection goes to, then each address that it names; at least one pair."""
    if not seen.names:
        yield None, address
    for name in seen.names:
        yield name, address
    for shown in seen.addresses:
        if shown != address:
            yield None, shown


def _hello(layer: Layer, hello: tls.ClientHello) -> Seen:
    names, alpn, ech = hello
    shown = _protocols(alpn)
    if len(names) == 1:  # as nearly all have
        (host,) = names
        name = wire(host.lower())
        if name is not None and not host[-1:].isdigit():
            return Seen(layer, Shows.NAME, (name,), (), shown, ech)
    return _named(layer, names, alpn=shown, ech=ech)


@lru_cache(maxsize=256)
def _protocols(alpn: tuple[bytes, ...]) -> tuple[str, ...]:
    return tuple(each[:_PROTOCOL_MAX].decode("ascii", "backslashreplace") for each in alpn[:_ALPN_MAX])


def named(host: str) -> Seen:
    """What a client shows that asks for a host before it says anything, as SOCKS does."""
    return _named(Layer.IP, (host.encode(),))


def _whole(data: bytes) -> Seen | None:
    """What most connections begin with, at once: a ClientHello in one record."""
    try:
        hello = tls.read_whole(data)
    except Malformed:
        return Seen(Layer.TLS, Shows.NONSENSE)
    return None if hello is None else _hello(Layer.TLS, hello)


def _request(request: http.Request, alpn: tuple[str, ...] = ()) -> Seen:
    """alpn: how ALPN would tell its protocol."""
    path = None if request.path is None else http.normal_path(request.path)
    upgrades = b",".join(request.values(b"upgrade")).lower().replace(b" ", b"").split(b",")
    fingerprint = MMTLS if MMTLS.encode() in upgrades else None
    languages = b",".join(request.values(b"accept-language"))[:_LANGUAGES_MAX].decode("latin-1") or None
    seen = _named(Layer.HTTP, request.hosts, alpn=alpn, path=path, fingerprint=fingerprint)
    return seen if languages is None else seen._replace(languages=languages)


def _named(
    layer: Layer,
    hosts: Sequence[bytes],
    *,
    alpn: tuple[str, ...] = (),
    ech: bool | None = None,
    path: str | None = None,
    fingerprint: str | None = None,
) -> Seen:
    names: dict[Name, None] = {}
    addresses: dict[Address, None] = {}
    for host in hosts[:NAMES_MAX]:
        name = wire(host.lower())
        if name is not None and not host[-1:].isdigit():
            names[name] = None
        else:
            _read_odd(host, names, addresses)
    if len(hosts) > NAMES_MAX or (hosts and not names and not addresses):
        shows = Shows.NONSENSE
    else:
        shows = Shows.NAME if hosts or fingerprint else Shows.NO_NAME
    return Seen(layer, shows, tuple(names), tuple(addresses), alpn, ech, path, fingerprint)


def _read_odd(host: bytes, names: dict[Name, None], addresses: dict[Address, None]) -> None:
    """Every name or address that somebody could read in a host that is not plainly a name.

    Servers differ: some end a name at a NUL, some take off white space and dots, some take UTF-8.
    """
    address = _address(host)
    if address is not None:
        addresses[address] = None
        return
    for text in (host, host.partition(b"\0")[0]):
        try:
            names[parse(text.decode().strip())] = None
        except (Malformed, UnicodeError):
            labels = [label for label in text.strip().lower().split(b".") if label]
            if labels and max(map(len, labels)) <= 63 and sum(map(len, labels)) + len(labels) < 255:
                names[join(labels)] = None


def _address(host: bytes) -> Address | None:
    text = host.partition(b"%")[0].strip(b"[].").decode("ascii", "replace")
    try:
        return IPv6Address(text) if ":" in text else IPv4Address(text)
    except AddressValueError:
        return None
