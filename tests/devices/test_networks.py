"""Which device or group has an address by a static row."""

from ipaddress import IPv4Network, IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.devices.device import (
    Binding,
    Confidence,
    Granularity,
    Identity,
    Network,
    Owner,
    Source,
    State,
)
from enforcer.devices.networks import NOBODY, Networks


def binding(network: str, device: str | None, group: str | None = "field", realm: str = "apn") -> Binding:
    return Binding(realm, ip_network(network), device, group, Source.NETWORK)


def owner(networks: Networks, address: str, realm: str = "apn") -> Owner:
    return networks.owner(realm, ip_address(address))


def named(networks: Networks, address: str, realm: str = "apn") -> str | None:
    found = owner(networks, address, realm)
    return found.device or found.group


def test_a_single_address_names_its_device_with_low_confidence() -> None:
    networks = Networks((binding("10.20.0.5", "dev-1"),))
    assert owner(networks, "10.20.0.5") == Owner(
        "dev-1", "field", Identity(Source.NETWORK, Confidence.LOW, State.RESOLVED, None, Granularity.DEVICE)
    )


def test_a_prefix_of_a_group_names_no_device() -> None:
    networks = Networks((binding("10.20.0.0/16", None),))
    assert owner(networks, "10.20.9.9") == Owner(
        None, "field", Identity(Source.NETWORK, Confidence.LOW, State.UNRESOLVED, None, Granularity.NETWORK)
    )


def test_a_prefix_of_a_device_names_its_connection() -> None:
    networks = Networks((binding("2001:db8:20:30::/64", "dev-1"),))
    found = owner(networks, "2001:db8:20:30:a:b:c:d")
    assert (found.device, found.identity.granularity) == ("dev-1", Granularity.CONNECTION)


def test_an_address_that_nobody_has_is_unknown() -> None:
    assert owner(Networks(), "10.20.0.5") is NOBODY
    assert owner(Networks((binding("10.20.0.5", "dev-1"),)), "10.20.0.6") is NOBODY
    assert (NOBODY.device, NOBODY.group) == (None, None)
    assert NOBODY.identity == Identity(Source.UNKNOWN, Confidence.NONE, State.UNRESOLVED, None, Granularity.NETWORK)


def test_an_address_means_something_in_its_realm_only() -> None:
    networks = Networks((binding("10.20.0.5", "dev-1", realm="apn"), binding("10.20.0.5", "dev-2", realm="wifi")))
    assert named(networks, "10.20.0.5", "apn") == "dev-1"
    assert named(networks, "10.20.0.5", "wifi") == "dev-2"
    assert named(networks, "10.20.0.5", "vpn") is None


def test_the_longest_prefix_counts() -> None:
    networks = Networks(
        (binding("10.0.0.0/8", None, "all"), binding("10.20.0.5", "dev-1"), binding("10.20.0.0/16", None))
    )
    assert named(networks, "10.20.0.5") == "dev-1"
    assert named(networks, "10.20.0.6") == "field"
    assert named(networks, "10.21.0.6") == "all"


def test_an_ipv4_client_is_the_same_at_a_socket_of_both_families() -> None:
    networks = Networks((binding("10.20.0.5", "dev-1"),))
    assert named(networks, "::ffff:10.20.0.5") == "dev-1"
    assert named(networks, "::10.20.0.5") is None


def test_a_zone_index_does_not_hide_a_device() -> None:
    networks = Networks((binding("fe80::1", "dev-1"),))
    assert networks.owner("apn", IPv6Address("fe80::1%2")).device == "dev-1"


def test_one_network_has_one_owner() -> None:
    first = binding("10.20.0.5", "dev-1")
    assert named(Networks((first, first)), "10.20.0.5") == "dev-1"
    with pytest.raises(ValueError, match="bound twice"):
        Networks((first, binding("10.20.0.5", "dev-2")))


NETWORKS = st.builds(lambda a, n: IPv4Network((a, n), strict=False), st.integers(0, 2**32 - 1), st.integers(0, 32))
SMALL = st.builds(lambda a, n: IPv4Network((a, n), strict=False), st.integers(0, 15), st.integers(27, 32))


@given(st.lists(NETWORKS | SMALL, unique=True, max_size=8), st.integers(0, 31) | st.integers(0, 2**32 - 1))
def test_the_owner_is_that_of_the_longest_network_with_the_address(networks: list[Network], number: int) -> None:
    address = ip_address(number.to_bytes(4))
    table = Networks(tuple(Binding("apn", n, str(n).replace("/", "-"), None, Source.NETWORK) for n in networks))
    holding = [network for network in networks if address in network]
    longest = max(holding, key=lambda network: network.prefixlen, default=None)
    assert table.owner("apn", address).device == (longest and str(longest).replace("/", "-"))
