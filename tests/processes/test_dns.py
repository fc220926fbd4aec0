import asyncio
import socket
from dataclasses import replace
from datetime import UTC, datetime
from ipaddress import ip_address

import dns.message
import dns.rcode
import pytest

from enforcer.attempts.spool import Segment, segments
from enforcer.errors import EnforcerError, Unavailable
from enforcer.orders import GRANT_S, Grant, Orders, Pause
from enforcer.processes.clock import wall_ms
from tests.processes.site import Site, Work
from tests.resolver.desk import attempts


def test_a_worker_blocks_over_udp_and_tcp_and_leaves_its_record_sealed(work: Work, site: Site, ordered: Orders) -> None:
    async def scene() -> None:
        await work.ready.wait()
        for stream in (False, True):
            answer = await work.ask("a.chat.test", stream=stream)
            assert answer.rcode() == dns.rcode.NXDOMAIN
            assert [option.code for option in answer.extended_errors()] == [15]
        assert not await work.blocked("www.ok.test")

    work.play(scene)
    folder = site.folders.spool / "dns-0"
    found = [(count, entry.block.name, entry.client_ip) for count, entry in attempts(folder)]
    assert sum(count for count, _, _ in found) == 2
    assert {(name, ip) for _, name, ip in found} == {("a.chat.test", "127.0.0.1")}
    (path,) = (path for _, path in segments(folder))
    segment = Segment(path)
    assert segment.finished()
    segment.close()


def test_a_pause_and_a_grant_let_a_client_through_while_they_last(work: Work, site: Site, ordered: Orders) -> None:
    async def scene() -> None:
        await work.ready.wait()
        until = datetime.fromtimestamp(wall_ms() // 1000 + GRANT_S, UTC)
        for orders in (
            replace(ordered, pauses=(Pause("lab", until),)),
            replace(ordered, grants=(Grant("lab", ip_address("127.0.0.1"), ("chat",), until),)),
        ):
            site.order(orders)
            await work.becomes("a.chat.test", blocked=False)
            site.order(ordered)
            await work.becomes("a.chat.test", blocked=True)

    work.play(scene)


def test_a_udp_address_that_somebody_has_ends_the_worker_with_its_name(work: Work, site: Site) -> None:
    async def scene() -> None:
        await asyncio.sleep(30)

    with socket.socket(type=socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", site.port))
        with pytest.raises(Unavailable, match=f"127.0.0.1:{site.port}: cannot listen on UDP"):
            work.play(scene)


def test_a_tcp_address_that_somebody_has_ends_the_worker_with_its_name(work: Work, site: Site, ordered: Orders) -> None:
    async def scene() -> None:
        await asyncio.sleep(30)

    with (
        socket.create_server(("127.0.0.1", site.port)),
        pytest.raises(EnforcerError, match=f"127.0.0.1:{site.port}: cannot listen on TCP"),
    ):
        work.play(scene)
    assert not work.ready.is_set()
