"""Neighbours and peers of the kernel."""

import json

import pytest

from enforcer.errors import Unavailable
from enforcer.identity.links import NeighbourTable, TunnelPeers, neighbours, peers
from tests.tools import need

KEY = "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="


def test_neighbours_whose_mac_is_known() -> None:
    entries = [
        {"dst": "10.0.0.5", "lladdr": "00:10:a4:23:19:c0", "state": ["REACHABLE"]},
        {"dst": "2001:db8::5", "lladdr": "00:10:a4:23:19:c0", "state": ["STALE"]},
        {"dst": "10.0.0.6", "lladdr": "00:10:a4:23:19:c1", "state": ["FAILED"]},
        {"dst": "10.0.0.7", "state": ["INCOMPLETE"]},
        {"dst": "10.0.0.8", "state": ["REACHABLE"]},
        {"dst": "ff02::1", "lladdr": "33:33:00:00:00:01", "state": ["REACHABLE"]},
    ]
    found = neighbours(json.dumps(entries))
    assert [(str(each.prefix.network.network_address), each.subject.mac) for each in found] == [
        ("10.0.0.5", "0010a42319c0"),
        ("2001:db8::5", "0010a42319c0"),
    ]
    assert list(neighbours("")) == []


def test_peers_have_addresses_and_no_networks() -> None:
    found = peers(f"{KEY}\t10.9.0.2/32 fd00::2/128 10.9.0.0/24 ::/0\nother\t(none)\n")
    assert [(str(each.prefix.network), each.subject.tunnel) for each in found] == [
        ("10.9.0.2/32", KEY),
        ("fd00::2/128", KEY),
    ]


def test_an_interface_that_is_not_there_is_unavailable() -> None:
    need("ip")
    with pytest.raises(Unavailable, match="nowhere0"):
        NeighbourTable(["nowhere0"]).read()
    with pytest.raises(Unavailable, match="wg"):
        TunnelPeers("nowhere0").read()


def test_the_kernels_own_table_can_be_read() -> None:
    need("ip")
    assert NeighbourTable(["lo"]).read() == []
