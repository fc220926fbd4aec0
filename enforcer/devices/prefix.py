"""An address or prefix as a key of tables: small, quick to make, and comparable by length."""

from ipaddress import IPv4Network, IPv6Address, IPv6Network
from typing import NamedTuple

from enforcer.devices.device import Address, Network


class Prefix(NamedTuple):
    """version: 4 or 6. bits: the first `length` bits of its addresses, as a number."""

    version: int
    length: int
    bits: int

    @property
    def network(self) -> Network:
        """The same as a network."""
        whole = 32 if self.version == 4 else 128
        number = self.bits << (whole - self.length)
        return IPv4Network((number, self.length)) if self.version == 4 else IPv6Network((number, self.length))

    @property
    def is_single(self) -> bool:
        """Whether it is one address."""
        return self.length == (32 if self.version == 4 else 128)


def prefix_of(network: Network) -> Prefix:
    """A network as a prefix."""
    shift = network.max_prefixlen - network.prefixlen
    return Prefix(network.version, network.prefixlen, int(network.network_address) >> shift)


def host_prefix(address: Address) -> Prefix:
    """One address as a prefix; an IPv4 address in IPv6 form as IPv4, since that is how sockets of both report it."""
    if isinstance(address, IPv6Address):
        address = address.ipv4_mapped or address
    return Prefix(address.version, address.max_prefixlen, int(address))
