"""What a list writes as a trigger, to the form in which it is stored and compared."""

import re
from ipaddress import IPv6Network, ip_address, ip_network
from typing import assert_never

from enforcer.errors import Malformed
from enforcer.policy import names
from enforcer.policy.patterns import read_pattern
from enforcer.policy.rules import Kind

FINGERPRINTS = ("mmtls",)

_PATH = re.compile(r"[!-~]*")
_LONGEST_PATH = 200  # so that the rule's name fits into a record
_WIDEST = {4: 8, 6: 16}  # shorter prefixes hold a good part of the Internet


def read_trigger(kind: Kind, text: str, *, with_ports: bool = False) -> str:
    """The normal form of a trigger: an A-label name without the final dot, a pattern, a network, a path.

    with_ports: the rule names ports, so it may be for all addresses. Raises Malformed, saying what to write instead.
    """
    match kind:
        case Kind.EXACT | Kind.SUFFIX:
            return _name(text)
        case Kind.REGEX:
            return read_pattern(text).text
        case Kind.CIDR:
            return _network(text, with_ports)
        case Kind.FINGERPRINT:
            return _fingerprint(text)
        case Kind.HTTP_PATH:
            return _path(text)
    assert_never(kind)


def _name(text: str) -> str:
    try:
        address = ip_address(text)
    except ValueError:
        shown = names.display(names.parse(text))
        if shown == "." or shown.rpartition(".")[2].isdecimal():
            raise Malformed(f'"{text}" is not a domain name that can be blocked; write a whole name') from None
        return shown
    raise Malformed(f'"{text}" is an address, not a name; write "cidr: {address}/{address.max_prefixlen}"')


def _network(text: str, with_ports: bool) -> str:
    try:
        if "%" in text:  # a zone index means something to one machine only
            raise ValueError
        network = ip_network(text, strict=False)
    except ValueError:
        raise Malformed(f'"{text}" is not a network; write one as in "203.0.113.0/24" or "2001:db8::/48"') from None
    if "/" not in text:
        raise Malformed(f'network "{text}" has no prefix length; write "{network}" for it alone')
    if str(network) != text and ip_address(text.partition("/")[0]) != network.network_address:
        raise Malformed(f'network "{text}" has bits behind its prefix; write "{network}"')
    if isinstance(network, IPv6Network) and network.prefixlen >= 96 and (mapped := network.network_address.ipv4_mapped):
        raise Malformed(f'network "{text}" is IPv4 inside IPv6; write "{mapped}/{network.prefixlen - 96}"')
    if network.prefixlen < _WIDEST[network.version] and not with_ports:
        raise Malformed(f'network "{text}" is a good part of the Internet; name its ports, or narrower networks')
    return str(network)


def _fingerprint(text: str) -> str:
    if text not in FINGERPRINTS:
        raise Malformed(f'fingerprint "{text}" is not known; write one of {", ".join(FINGERPRINTS)}')
    return text


def _path(text: str) -> str:
    host, slash, path = text.partition("/")
    if not slash:
        raise Malformed(f'path "{text}" has no slash; write "/{text}", or "host/path"')
    if not _PATH.fullmatch(path):
        raise Malformed(f'path "{text}" has a blank or other scripts; write it percent-encoded, as it is sent')
    if len(path) > _LONGEST_PATH:
        raise Malformed(f"path of {len(path)} characters; write its first {_LONGEST_PATH}, or fewer")
    if not host and not path:
        raise Malformed('path "/" is every page of every host; write more of the path, or "host/"')
    return f"{_name(host) if host else ''}/{path}"
