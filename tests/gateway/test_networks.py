from ipaddress import IPv6Network, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.gateway.networks import as_range, members, through, without
from enforcer.policy.compiled import PolicySettings
from tests.gateway.test_ruleset import policy


def test_a_set_has_no_overlaps_and_one_version() -> None:
    networks = [ip_network(each) for each in ("192.0.2.0/25", "192.0.2.128/25", "192.0.2.7/32", "2001:db8::/32")]
    assert members(networks, 4) == {"192.0.2.0/24": None}
    assert members(networks, 6) == {"2001:db8::/32": None}


@pytest.mark.parametrize(
    ("network", "left"),
    [("9.9.9.0/30", ["9.9.9.0/32", "9.9.9.2/31"]), ("9.9.9.1/32", []), ("2001:db8::/127", ["2001:db8::/128"])],
)
def test_a_network_without_some_addresses(network: str, left: list[str]) -> None:
    found = without(ip_network(network), [ip_address("9.9.9.1"), ip_address("2001:db8::1"), ip_address("9.9.8.1")])
    assert sorted(map(str, found)) == left


def test_everything_is_a_range() -> None:
    assert as_range(ip_network("0.0.0.0/0")) == "0.0.0.0-255.255.255.255"
    assert as_range(ip_network("192.0.2.0/24")) == "192.0.2.0/24"


@given(st.sampled_from([32, 40, 48, 56, 64, 96]), st.integers(0, 2**32 - 1), st.integers(8, 32))
def test_networks_behind_nat64_hold_what_the_policy_takes_out_of_them(length: int, number: int, bits: int) -> None:
    nat64 = IPv6Network((int(ip_address("2001:db8:122::")) >> (128 - length) << (128 - length), length))
    network = ip_network((number >> (32 - bits) << (32 - bits), bits))
    shown = through(nat64, network)
    found = policy("cidr: 203.0.113.0/24")
    settings = PolicySettings(nat64=(nat64,))
    object.__setattr__(found, "settings", settings)
    assert found._plain(shown[0]) == network[0]
