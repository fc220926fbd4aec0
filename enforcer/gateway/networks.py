"""Networks as sets of intervals take them: without overlaps, without some addresses, and as NAT64 shows them."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, collapse_addresses

from enforcer.policy.verdict import Address

type Network = IPv4Network | IPv6Network


def members(networks: Iterable[Network], version: int) -> dict[str, datetime | None]:
    """The networks of one IP version as elements of a set of intervals, for good."""
    return {str(network): None for network in collapsed(networks, version)}


def collapsed(networks: Iterable[Network], version: int) -> Iterator[Network]:
    """Without overlaps, which sets of intervals refuse."""
    if version == 4:
        yield from collapse_addresses(each for each in networks if isinstance(each, IPv4Network))
    else:
        yield from collapse_addresses(each for each in networks if isinstance(each, IPv6Network))


def as_range(network: Network) -> str:
    """As a set of intervals with ports takes it: a prefix of length 0 is a range there."""
    return str(network) if network.prefixlen else f"{network[0]}-{network[-1]}"


def without(network: Network, addresses: Sequence[Address]) -> list[Network]:
    """The network but for these addresses."""
    parts: list[Network] = [network]
    for address in addresses:
        for part in parts:
            if address in part:
                parts.remove(part)
                parts += _around(part, address)
                break
    return parts


def _around(network: Network, address: Address) -> Iterator[Network]:
    if isinstance(network, IPv4Network) and isinstance(address, IPv4Address):
        yield from network.address_exclude(IPv4Network(address))
    elif isinstance(network, IPv6Network) and isinstance(address, IPv6Address):
        yield from network.address_exclude(IPv6Network(address))


def through(nat64: IPv6Network, network: Network) -> IPv6Network:
    """An IPv4 network inside of a NAT64 prefix (RFC 6052 §2.2): its bits follow the prefix, but leave out octet 8."""
    bits = int(network.network_address)
    at, length = nat64.prefixlen, network.prefixlen
    if at == 96:
        return IPv6Network((int(nat64.network_address) | bits, 96 + length))
    octets = bytearray(nat64.network_address.packed)
    places = [place for place in range(at // 8, 16) if place != 8][:4]
    for place, octet in zip(places, bits.to_bytes(4), strict=True):
        octets[place] = octet
    whole, rest = divmod(length, 8)
    prefix = 8 * places[whole] + rest if whole < 4 else 8 * (places[3] + 1)
    return IPv6Network((bytes(octets), prefix))
