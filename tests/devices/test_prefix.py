"""Addresses and prefixes as keys."""

from ipaddress import ip_address, ip_network

import pytest

from enforcer.devices.prefix import Prefix, host_prefix, prefix_of


@pytest.mark.parametrize("text", ["10.20.30.40/32", "10.20.0.0/16", "2001:db8:20:30::/64", "2001:db8::1/128"])
def test_a_network_there_and_back(text: str) -> None:
    assert prefix_of(ip_network(text)).network == ip_network(text)


def test_an_address_is_the_prefix_of_itself_alone() -> None:
    assert host_prefix(ip_address("10.0.0.1")) == Prefix(4, 32, 0x0A000001)
    assert host_prefix(ip_address("::ffff:10.0.0.1")) == host_prefix(ip_address("10.0.0.1"))
    assert host_prefix(ip_address("2001:db8::1")).is_single
    assert not prefix_of(ip_network("2001:db8::/64")).is_single
