import resource
from ipaddress import ip_address

import pytest

from enforcer.config.values import Endpoint
from enforcer.processes.sockets import more_files, udp_socket


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_workers_share_one_udp_address(host: str) -> None:
    with udp_socket(Endpoint(ip_address(host), 0)) as first:
        port = first.getsockname()[1]
        with udp_socket(Endpoint(ip_address(host), port)) as second:
            assert first.getsockname()[:2] == second.getsockname()[:2] == (host, port)
            assert not first.getblocking()


def test_a_process_may_have_as_many_files_as_the_system_lets_it() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        more_files()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (hard, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
