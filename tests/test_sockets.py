import socket
from ipaddress import ip_address

import pytest

from enforcer.config.values import Endpoint
from enforcer.errors import Unavailable
from enforcer.sockets import bound


def test_an_address_is_shared_only_where_that_is_asked_for() -> None:
    with bound(Endpoint(ip_address("127.0.0.1"), 0), socket.SOCK_DGRAM, shared=True) as first:
        endpoint = Endpoint(ip_address("127.0.0.1"), first.getsockname()[1])
        with pytest.raises(Unavailable, match="Address already in use"):
            bound(endpoint, socket.SOCK_DGRAM)
        with bound(endpoint, socket.SOCK_DGRAM, shared=True) as second:
            assert second.getsockname() == first.getsockname()


def test_an_ipv6_socket_leaves_ipv4_to_another() -> None:
    with bound(Endpoint(ip_address("::"), 0), socket.SOCK_DGRAM) as six:
        port = six.getsockname()[1]
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with bound(Endpoint(ip_address("0.0.0.0"), port), socket.SOCK_DGRAM) as four:
            assert four.getsockname() == ("0.0.0.0", port)


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1"), ("::1", r"\[::1\]")])
def test_an_address_that_somebody_has_is_said(host: str, text: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((host, 0))
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"{text}:{port}: cannot listen on UDP \(Address already in use\)"):
            bound(Endpoint(ip_address(host), port), socket.SOCK_DGRAM)


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(
        Unavailable, match=r"metrics.listen: 192.0.2.1:5300: cannot listen on TCP \(Cannot assign requested address\)"
    ):
        bound(Endpoint(ip_address("192.0.2.1"), 5300), socket.SOCK_STREAM, key="metrics.listen")
