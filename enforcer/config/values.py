"""Single values as people write them: addresses, networks, sizes, moments. ValueError says what to write instead."""

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from difflib import get_close_matches
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_network
from typing import Self

from enforcer.devices.device import Address, Network

_LONGEST_QUOTE = 80
_IDENTIFIER = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ENDPOINT = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<four>[^\]\[:]+))(?::(?P<port>[0-9]{1,5}))?")
_LABEL = re.compile(r"[a-z0-9_-]{1,63}")
_SIZE = re.compile(r"([0-9]{1,16}(?:\.[0-9]{1,6})?) ?([A-Za-z]*)")
_UNITS = {"B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_BINARY_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_BYTES = {"": 1} | {unit.casefold(): size for unit, size in (_UNITS | _BINARY_UNITS).items()}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An address and a port to listen on."""

    address: Address
    port: int

    def __str__(self) -> str:
        return f"{_host(self.address)}:{self.port}"

    def collides(self, other: Self) -> bool:
        """Whether one of the two would take what is meant for the other."""
        return (
            self.port == other.port
            and self.address.version == other.address.version
            and (self.address == other.address or self.address.is_unspecified or other.address.is_unspecified)
        )


class Transport(StrEnum):
    """How an upstream is asked. UDP: over TCP too, where an answer is truncated."""

    UDP = "udp"
    TCP = "tcp"
    TLS = "tls"
    HTTPS = "https"

    @property
    def port(self) -> int:
        """The port that need not be written."""
        return {Transport.TLS: 853, Transport.HTTPS: 443}.get(self, 53)


@dataclass(frozen=True, slots=True)
class Upstream:
    """A resolver to ask.

    name: what its certificate is for; None: its address. path: of HTTPS alone, from the first slash.
    """

    address: Address
    port: int = 53
    transport: Transport = Transport.UDP
    name: str | None = None
    path: str = ""

    def __str__(self) -> str:
        port = "" if self.port == self.transport.port else f":{self.port}"
        name = "" if self.name is None else f"#{self.name}"
        return f"{self.transport}://{_host(self.address)}{port}{self.path}{name}"

    @property
    def label(self) -> str:
        """Its name in metrics: without the path, which may be as good as a password."""
        return str(replace(self, path=""))

    @property
    def authenticated(self) -> bool:
        """Whether we can be sure who answers."""
        return self.transport in (Transport.TLS, Transport.HTTPS)

    @property
    def plain(self) -> bool:
        """Whether it takes what any client asks on port 53."""
        return self.transport is Transport.UDP and self.port == self.transport.port

    def reaches(self, listener: Endpoint) -> bool:
        """Whether a question to this upstream would surely arrive at our own listener.

        A listener on every address has all of loopback; which other addresses are this machine's is not known here.
        """
        if self.port != listener.port or self.address.version != listener.address.version:
            return False
        return self.address == listener.address or (listener.address.is_unspecified and self.address.is_loopback)


def quoted(value: object) -> str:
    """A value as a message shows it: on one line, shortened, in double quotes; a list or mapping is only named."""
    match value:
        case dict():
            return "a mapping"
        case list() | tuple():
            return "a list"
        case bool() | None:
            return '"null"' if value is None else f'"{str(value).lower()}"'
        case _:
            text = "".join(c if is_plain(c) else f"\\u{ord(c):04x}" for c in str(value))
            return f'"{text}"' if len(text) <= _LONGEST_QUOTE else f'"{text[:_LONGEST_QUOTE]}…"'


def instead(wrong: object, known: Collection[str]) -> str:
    """What to write instead of `wrong`: the nearest of `known`, or else all of them."""
    near = get_close_matches(str(wrong), known, n=1)
    if near:
        return f'did you mean "{near[0]}"?'
    return ("write one of " if len(known) > 1 else "write ") + ", ".join(f'"{name}"' for name in sorted(known))


def is_plain(text: str) -> bool:
    """False where a character could break the line, hide text or turn its direction round."""
    return not any(unicodedata.category(c) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"} for c in text)


def is_identifier(text: str) -> bool:
    """Whether `text` can name a node, realm, listener, service, device or group."""
    return _IDENTIFIER.fullmatch(text) is not None


def parse_endpoint(text: str) -> Endpoint:
    """Read `ADDRESS:PORT`, IPv6 in brackets."""
    match _split(text):
        case (address, int(port)):
            return Endpoint(address, port)
        case _:
            raise ValueError(
                f'{quoted(text)} is not an IP address and a port; write both, as in "127.0.0.1:5300" or "[::1]:5300"'
            )


def parse_upstream(text: str) -> Upstream:
    """Read `udp://`, `tcp://`, `tls://` or `https://`, `ADDRESS[:PORT]`, for https a path, and `#NAME` for TLS.

    IPv6 stands in brackets. What is asked over TLS has an address too, so that no resolver is needed to find it.
    """
    scheme, _, rest = text.partition("://")
    if rest and scheme == "quic":
        raise ValueError(f'{quoted(text)} is not supported by this version; write "tls://ADDRESS"')
    if text == "auto":
        raise ValueError('"auto" stands alone; write "upstreams: auto", or name every upstream')
    if "@" in rest:
        raise ValueError('an upstream has no user and no password; write it without, as in "tls://192.0.2.2"')
    transport = Transport(scheme) if scheme in set(Transport) else None
    rest, hash_, name = rest.partition("#")
    host, slash, path = rest.partition("/")
    found = _split(host)
    if (
        transport is None
        or found is None
        or found[0].is_unspecified
        or found[0].is_multicast
        or (hash_ and transport not in (Transport.TLS, Transport.HTTPS))
        or (slash and transport is not Transport.HTTPS)
    ):
        raise ValueError(
            f"{quoted(text)} is not an upstream; write one, as in "
            '"udp://192.0.2.1", "tls://192.0.2.2:853#dns.example" or "https://192.0.2.3/dns-query#dns.example"'
        )
    if transport is Transport.HTTPS and not re.fullmatch(r"[!-~]+", path):
        raise ValueError(f'{quoted(text)} has no path; write one, as in "https://192.0.2.3/dns-query#dns.example"')
    port = transport.port if found[1] is None else found[1]
    return Upstream(found[0], port, transport, parse_domain(name) if hash_ else None, slash + path)


def parse_address(text: str) -> Address:
    """Read an IPv4 address, or an IPv6 address without a zone index."""
    try:
        return _six(text) if ":" in text else IPv4Address(text)
    except ValueError:
        raise ValueError(
            f'{quoted(text)} is not an IP address; write one, as in "192.0.2.80" or "2001:db8::80"'
        ) from None


def parse_network(text: str) -> Network:
    """Read a network in CIDR form, or one address as the network of itself alone."""
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in text:
        raise ValueError(
            f'{quoted(text)} is not an address or a network; write one, as in "10.20.0.5" or "10.20.0.0/16"'
        )
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and network.network_address.ipv4_mapped is not None:
        # Sockets of both families report IPv4 clients so; they are looked up as IPv4.
        four = ip_network((network.network_address.ipv4_mapped, network.prefixlen - 96))
        raise ValueError(f'{quoted(text)} is IPv4 in IPv6 form; did you mean "{short(four)}"?')
    if "/" in text and parse_address(text.partition("/")[0]) != network.network_address:
        raise ValueError(f'{quoted(text)} has bits set after its prefix; did you mean "{network}"?')
    return network


def short(network: Network) -> str:
    """A network as people write it: a single address without its prefix length."""
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def parse_domain(text: str) -> str:
    """Read a domain name of ordinary labels; returns it in lower case, without a final dot."""
    name = text.removesuffix(".").lower()
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in name.split(".")):
        raise ValueError(f'{quoted(text)} is not a domain name; write one, as in "hostmaster.dept.example"')
    return name


def parse_size(text: str) -> int:
    """Read a number of bytes with a unit, 256MB (10⁶) or 2GiB (2³⁰); 1MB at least, to catch a forgotten unit."""
    match = _SIZE.fullmatch(text)
    size = int(float(match[1]) * _BYTES.get(match[2].casefold(), 0)) if match else 0
    if size < _UNITS["MB"]:
        raise ValueError(f'{quoted(text)} is not a size of 1MB or more; write one, as in "256MB" or "2GiB"')
    return size


def size_text(size: int) -> str:
    """The shortest exact form of a number of bytes: 256MB rather than 256000000B."""
    return min(
        (f"{size // unit}{name}" for name, unit in (_UNITS | _BINARY_UNITS).items() if size % unit == 0), key=len
    )


def parse_until(text: str) -> datetime:
    """Read the moment at which an exemption ends; that moment itself is already outside.

    A bare date ends at 00:00 UTC of that day: the last whole day is the one before. A time needs a zone.
    """
    try:
        moment = datetime.fromisoformat(text)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(
            f'{quoted(text)} is not a date or time; write one, as in "2027-03-31" or "2027-03-31T17:00:00-04:00"'
        ) from None
    if len(text) > len("2027-03-31"):
        raise ValueError(f'{quoted(text)} has no time zone; write one, as in "{moment.isoformat()}Z"')
    return moment.replace(tzinfo=UTC)


def _host(address: Address) -> str:
    return f"[{address}]" if address.version == 6 else str(address)


def _six(text: str) -> IPv6Address:
    if "%" in text:  # a zone index means something to one machine only
        raise ValueError
    return IPv6Address(text)


def _split(text: str) -> tuple[Address, int | None] | None:
    """`ADDRESS[:PORT]`; None for anything else."""
    match = _ENDPOINT.fullmatch(text)
    if match is None:
        return None
    port = None if match["port"] is None else int(match["port"])
    if port is not None and not 1 <= port <= 65535:
        return None
    try:
        return (IPv4Address(match["four"]) if match["six"] is None else _six(match["six"])), port
    except ValueError:
        return None
