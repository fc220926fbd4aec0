"""The PROXY protocol, version 2: which client a front end speaks for (HAProxy's proxy-protocol.txt §2.2).

The header comes before everything else of a connection: 16 octets that say how many more there are, then those. What
is read here is the source address; the destination and the TLVs are passed over.
"""

from ipaddress import IPv4Address, IPv6Address

from enforcer.errors import Malformed

HEAD = 16
REST_MAX = 2048  # the addresses take 36 octets at most; the others are TLVs, of which a front end sends a few
_SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
_VERSION_2, _PROXY = 0x20, 1
_TCP4, _TCP6 = 0x11, 0x21


def rest_of(head: bytes) -> int:
    """How many octets follow the first 16. Raises Malformed unless those begin a header of version 2."""
    if len(head) != HEAD or not head.startswith(_SIGNATURE):
        raise Malformed("PROXY header: it does not begin with the signature of version 2")
    if head[12] & 0xF0 != _VERSION_2 or head[12] & 0x0F > _PROXY:
        raise Malformed(f"PROXY header: version and command are {head[12]:#04x}")
    size = int.from_bytes(head[14:16])
    if size > REST_MAX:
        raise Malformed(f"PROXY header: {size} octets; {REST_MAX} are the most")
    return size


def source(head: bytes, rest: bytes) -> tuple[IPv4Address | IPv6Address, int] | None:
    """The client's address and port; None where the front end speaks for itself (LOCAL, as health checks do).

    rest: as many octets as `rest_of` said. Raises Malformed as it does, for any other number of octets, for addresses
    cut short, and for a client over anything but TCP, whose address would be unknown.
    """
    if len(rest) != rest_of(head):
        raise Malformed(f"PROXY header: {len(rest)} octets follow, and not as many as it says")
    if head[12] & 0x0F != _PROXY:
        return None
    if head[13] == _TCP4 and len(rest) >= 12:
        return IPv4Address(rest[0:4]), int.from_bytes(rest[8:10])
    if head[13] == _TCP6 and len(rest) >= 36:
        return IPv6Address(rest[0:16]), int.from_bytes(rest[32:34])
    raise Malformed(f"PROXY header: no addresses over TCP in {len(rest)} octets of family {head[13]:#04x}")
