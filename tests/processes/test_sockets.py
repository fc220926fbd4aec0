import resource
import socket
from ipaddress import ip_address

import pytest

from enforcer.config.values import Endpoint
from enforcer.errors import Unavailable
from enforcer.processes.sockets import more_files, udp_socket


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_workers_share_one_udp_address(host: str) -> None:
    with udp_socket(Endpoint(ip_address(host), 0)) as first:
        port = first.getsockname()[1]
        with udp_socket(Endpoint(ip_address(host), port)) as second:
            assert first.getsockname()[:2] == second.getsockname()[:2] == (host, port)
            assert not first.getblocking()


def test_an_ipv6_socket_leaves_ipv4_to_another() -> None:
    with udp_socket(Endpoint(ip_address("::"), 0)) as six:
        port = six.getsockname()[1]
        assert six.getsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY) == 1
        with udp_socket(Endpoint(ip_address("0.0.0.0"), port)) as four:
            assert four.getsockname() == ("0.0.0.0", port)


@pytest.mark.parametrize(("host", "text"), [("127.0.0.1", "127.0.0.1"), ("::1", r"\[::1\]")])
def test_an_address_that_somebody_has_is_said(host: str, text: str) -> None:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind((host, 0))
        port = other.getsockname()[1]
        with pytest.raises(Unavailable, match=rf"{text}:{port}: cannot listen on UDP \(Address already in use\)"):
            udp_socket(Endpoint(ip_address(host), port))


def test_an_address_that_is_not_ours_is_said() -> None:
    with pytest.raises(Unavailable, match=r"192.0.2.1:5300: cannot listen on UDP \(Cannot assign requested address\)"):
        udp_socket(Endpoint(ip_address("192.0.2.1"), 5300))


def test_a_process_may_have_as_many_files_as_the_system_lets_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        more_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
