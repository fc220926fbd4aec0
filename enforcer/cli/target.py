"""What a person writes as a target, to the destinations that it stands for."""

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from enforcer.errors import Malformed
from enforcer.policy.names import ROOT, display, parse
from enforcer.policy.rules import Port, Transport
from enforcer.policy.verdict import Address, Destination, Layer
from enforcer.wire.name import Name

_WITH_PORT = re.compile(r"(.+):([0-9]{1,5})")
_HTTP = 80
_DEFAULT_PORTS = {"http": _HTTP, "https": 443}
_KINDS = 'a name, an address, "host:port" or a URL'


def read_target(text: str) -> tuple[Destination, ...]:
    """Read a name, an address, `host:port`, `[v6]:port`, or an http or https URL. Raises Malformed for anything else.

    A name alone is a DNS question; with a port, or in an https URL, it is what a TLS connection shows; with port 80, or
    in an http URL, what a request shows. An address with a port is reached over TCP or over UDP: two destinations.
    """
    if "://" in text:
        return (_url(text),)
    address = _address(text)
    if address is not None:
        return (Destination(Layer.IP, address=address),)
    if text.startswith("[") and "]" not in text:
        raise Malformed(f'"{text}" lacks a bracket; write an address with its port as in "[2001:db8::1]:443"')
    found = _WITH_PORT.fullmatch(text)
    if found is None:
        return (Destination(Layer.DNS, name=_name(text)),)
    host, number = found[1], _port(int(found[2]), text)
    address = _address(host)
    if address is not None:
        return tuple(Destination(Layer.IP, address=address, port=Port(each, number)) for each in Transport)
    layer = Layer.HTTP if number == _HTTP else Layer.TLS
    return (Destination(layer, name=_name(host), port=Port(Transport.TCP, number)),)


def _url(text: str) -> Destination:
    """The query string belongs to the path: a rule may begin with one."""
    try:
        url = urlsplit(text)
        number = url.port
    except ValueError as error:
        raise Malformed(f'"{text}" is not a URL ({error}); write one, as in "http://www.example.com/path"') from None
    if url.scheme not in _DEFAULT_PORTS or not url.hostname:
        raise Malformed(f'"{text}" is not an http or https URL; write one, as in "http://www.example.com/path"')
    port = Port(Transport.TCP, _DEFAULT_PORTS[url.scheme] if number is None else _port(number, text))
    address = _address(url.hostname)
    name = None if address is not None else _name(url.hostname)
    if url.scheme == "https":
        return Destination(Layer.TLS, name=name, address=address, port=port)
    path = f"{url.path or '/'}?{url.query}" if url.query else url.path or "/"
    return Destination(Layer.HTTP, name=name, address=address, port=port, path=path)


def _address(text: str) -> Address | None:
    """An address, IPv6 with or without brackets; None for what is none."""
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        return None if "%" in text else ip_address(text)
    except ValueError:
        return None


def _name(text: str) -> Name:
    name = parse(text)
    if name == ROOT or display(name).rpartition(".")[2].isdecimal():
        raise Malformed(f'"{text}" is neither a name nor an address; write {_KINDS}')
    return name


def _port(number: int, text: str) -> int:
    if not 1 <= number <= 65_535:
        raise Malformed(f'"{text}" has no port from 1 to 65535; write {_KINDS}')
    return number
