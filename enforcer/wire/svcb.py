"""The parameters of SVCB and HTTPS records (RFC 9460 §2.2, §7)."""

import struct
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address

from enforcer.errors import Malformed
from enforcer.wire.dns import Record
from enforcer.wire.dnscodes import RRType
from enforcer.wire.name import Name, skip_name

_PARAMETER = struct.Struct("!2H")
_MANDATORY, _ALPN, _PORT, _IPV4HINT, _ECH, _IPV6HINT, _DOHPATH = 0, 1, 3, 4, 5, 6, 7


def parameters(wire: bytes, record: Record) -> dict[int, bytes]:
    """The SvcParams by key, in order; none for a record of another type.

    Those of AliasMode are read too: a client should ignore them (§2.4.2), which is no reason to trust that it does.
    Raises Malformed unless the keys strictly ascend and the last value ends where the record does (§2.2).
    """
    if record.type not in (RRType.SVCB, RRType.HTTPS):
        return {}
    found: dict[int, bytes] = {}
    last = -1
    at = skip_name(wire, record.data_at + 2)
    try:
        while at < record.data_end:
            key, size = _PARAMETER.unpack_from(wire, at)
            if key <= last:
                raise Malformed(f"SvcParam at octet {at}: key {key} is not above {last}")
            at += 4 + size
            found[key] = wire[at - size : at]
            last = key
    except struct.error:
        raise Malformed("SvcParams: the message ends inside them") from None
    if at != record.data_end:
        raise Malformed(f"SvcParams: they end at octet {at}, the record at {record.data_end}")
    return found


def hints(wire: bytes, record: Record) -> tuple[IPv4Address | IPv6Address, ...]:
    """The addresses of ipv4hint and ipv6hint (§7.3).

    Raises Malformed as `parameters` does, and for a list that is empty or no whole number of addresses.
    """
    found = parameters(wire, record)
    return (
        *map(IPv4Address, _split(found.get(_IPV4HINT), 4)),
        *map(IPv6Address, _split(found.get(_IPV6HINT), 16)),
    )


def has_ech(wire: bytes, record: Record) -> bool:
    """Whether the record carries keys for Encrypted ClientHello (RFC 9848). Raises Malformed as `parameters` does."""
    return _ECH in parameters(wire, record)


def without_ech(wire: bytes, record: Record) -> bytes:
    """The RDATA without the keys for Encrypted ClientHello, every other parameter byte for byte.

    `mandatory` names them no more either, since what it names has to be there (RFC 9460 §8); where it named nothing
    else, it goes too. Raises Malformed as `parameters` does.
    """
    kept = []
    for key, value in parameters(wire, record).items():
        if key == _ECH:
            continue
        rest = value
        if key == _MANDATORY:
            rest = b"".join(two for two in _split(value, 2) if int.from_bytes(two) != _ECH)
        if rest:
            kept.append(_PARAMETER.pack(key, len(rest)) + rest)
        elif not value:
            kept.append(_PARAMETER.pack(key, 0))
    return wire[record.data_at : skip_name(wire, record.data_at + 2)] + b"".join(kept)


def _split(data: bytes | None, size: int) -> list[bytes]:
    """The pieces of `size` octets that a list is made of; none without the parameter."""
    if data is None:
        return []
    if not data or len(data) % size:
        raise Malformed(f"SvcParam: a hint or list of {len(data)} octets is no number of items of {size}")
    return [data[at : at + size] for at in range(0, len(data), size)]


def service(
    priority: int,
    target: Name,
    *,
    alpn: tuple[str, ...],
    port: int,
    addresses: Iterable[IPv4Address | IPv6Address] = (),
    dohpath: str | None = None,
) -> bytes:
    """The RDATA of an SVCB record in ServiceMode (§2.2); `dohpath` is a URI template (RFC 9461 §5)."""
    found = {4: b"", 6: b""}
    for address in addresses:
        found[address.version] += address.packed
    values = {
        _ALPN: b"".join(bytes((len(name),)) + name.encode("ascii") for name in alpn),
        _PORT: port.to_bytes(2),
        _IPV4HINT: found[4],
        _IPV6HINT: found[6],
        _DOHPATH: (dohpath or "").encode("ascii"),
    }
    pairs = [_PARAMETER.pack(key, len(value)) + value for key, value in sorted(values.items()) if value]
    return b"".join((priority.to_bytes(2), target, *pairs))
