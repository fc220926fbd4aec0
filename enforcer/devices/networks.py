"""Which device or group has an address of a realm by a static row; the weakest source there is."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv6Address

from enforcer.devices.device import (
    Address,
    Binding,
    Confidence,
    Granularity,
    Identity,
    Owner,
    Source,
    State,
)

NOBODY = Owner(
    device=None,
    group=None,
    identity=Identity(Source.UNKNOWN, Confidence.NONE, State.UNRESOLVED, None, Granularity.NETWORK),
)

# The prefixes of one length: how far to shift an address right, and the owner of what is left.
type _Prefixes = tuple[int, Mapping[int, Owner]]


@dataclass(frozen=True, slots=True)
class Networks:
    """Every static binding, found by address; immutable.

    Two bindings of one realm and network with different owners raise ValueError; the inventory lets none through.
    """

    bindings: tuple[Binding, ...] = ()
    _prefixes: Mapping[tuple[str, int], tuple[_Prefixes, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_prefixes", _by_prefix(self.bindings))

    def owner(self, realm: str, address: Address) -> Owner:
        """The owner of the longest prefix that holds `address`, or `NOBODY`.

        An IPv4-mapped IPv6 address, as a socket of both families reports it, is looked up as IPv4.
        """
        if isinstance(address, IPv6Address):
            address = address.ipv4_mapped or address
        number = int(address)
        for shift, owners in self._prefixes.get((realm, address.version), ()):
            owner = owners.get(number >> shift)
            if owner is not None:
                return owner
        return NOBODY


def _by_prefix(bindings: Iterable[Binding]) -> Mapping[tuple[str, int], tuple[_Prefixes, ...]]:
    """For each realm and IP version the prefixes of each length, the longest first."""
    found: dict[tuple[str, int], dict[int, dict[int, Owner]]] = defaultdict(lambda: defaultdict(dict))
    for binding in bindings:
        network = binding.network
        shift = network.max_prefixlen - network.prefixlen
        owner = _owner(binding)
        if (
            found[binding.realm, network.version][shift].setdefault(int(network.network_address) >> shift, owner)
            != owner
        ):
            raise ValueError(f"{network} of realm {binding.realm} is bound twice")
    return {key: tuple(sorted(lengths.items())) for key, lengths in found.items()}


def _owner(binding: Binding) -> Owner:
    """What a static row says of whoever uses its addresses.

    It is the weakest source there is (below a neighbour table): nothing on the network confirms that the device holds
    the address now, and any other can take it. So the source is `network` and the confidence `low`. One address names
    the device; a prefix that is a device's own (the /64 of a mobile bearer, which tethered hosts share) its connection;
    a prefix without a device only the group, so that the device stays unresolved.
    """
    single = binding.network.prefixlen == binding.network.max_prefixlen
    if binding.device is None:
        state, granularity = State.UNRESOLVED, Granularity.NETWORK
    else:
        state, granularity = State.RESOLVED, Granularity.DEVICE if single else Granularity.CONNECTION
    return Owner(
        device=binding.device,
        group=binding.group,
        identity=Identity(binding.source, Confidence.LOW, state, None, granularity),
    )
