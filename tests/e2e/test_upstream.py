"""Upstreams that answer, are cut, are silent or dead: what the client gets."""

import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.lan import Service, Unbound, free_port


@contextmanager
def silent() -> Iterator[str]:
    """An upstream that takes questions and says nothing."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        yield f"udp://127.0.0.1:{sock.getsockname()[1]}"


def dead() -> str:
    """An upstream's address where nobody listens."""
    return f"udp://127.0.0.1:{free_port()}"


@pytest.fixture
def mended(upstream: Unbound, tmp_path: Path) -> Iterator[Service]:
    """A service whose first upstream is silent, its second dead; the third answers."""
    with silent() as first, Service(tmp_path / "own", first, dead(), upstream.url) as service:
        service.change(**{"resolver.strategy": "ordered", "resolver.timeouts": {"attempt_s": 0.3}})
        yield service.start()


def test_when_the_first_upstreams_are_silent_and_dead_the_next_one_answers(mended: Service) -> None:
    for number in range(4):
        answer = mended.dig(f"failover{number}.ok.test")
        assert (answer.status, answer.data) == ("NOERROR", ["192.0.2.20"])
    first, second, third = mended.config["resolver"]["upstreams"]
    assert mended.metric("enforcer_upstream_failures_total", upstream=first, reason="timeout") >= 3
    assert mended.metric("enforcer_upstream_failures_total", upstream=second, reason="network") >= 1
    assert mended.metric("enforcer_upstream_up", upstream=third) == 1
    assert mended.metric("enforcer_upstream_up", upstream=first) == 0


def test_when_every_upstream_is_dead_clients_are_told_and_bans_still_hold(tmp_path: Path) -> None:
    with silent() as other, Service(tmp_path / "own", dead(), other) as service:
        service.change(**{"resolver.timeouts": {"attempt_s": 0.2, "query_s": 0.6}})
        service.start()
        answer = service.dig("www.test")
        assert (answer.status, answer.answer) == ("SERVFAIL", [])
        assert answer.ede in ("22 (No Reachable Authority)", "23 (Network Error)")
        assert service.dig("dead.blocked.test").ede == "15 (Blocked)"
        service.recorded(1, name="dead.blocked.test")


def test_when_upstream_comes_back_names_resolve_again(tmp_path: Path) -> None:
    port = free_port()
    with Service(tmp_path / "own", f"udp://127.0.0.1:{port}") as service:
        service.change(**{"resolver.timeouts": {"attempt_s": 0.2, "query_s": 0.6}})
        service.start()
        assert service.dig("www.test").status == "SERVFAIL"
        with Unbound(tmp_path / "unbound", port=port):
            until = time.monotonic() + 15
            while service.dig("www.test").status == "SERVFAIL":
                assert time.monotonic() < until
                time.sleep(0.5)
            assert service.dig("www.test").data == ["192.0.2.10"]


def test_what_upstream_cuts_is_asked_for_over_tcp(service: Service) -> None:
    answer = service.dig("big.test", "TXT", "+tcp")
    assert answer.data[0].count("x" * 200) == 12


def test_cached_answers_are_not_asked_for_again_and_their_ttl_counts_down(own: Service, upstream: Unbound) -> None:
    own.start()
    assert own.dig("fleeting.test").answer[0][1] == "5"
    time.sleep(2.2)
    assert own.dig("FLEETING.test").answer[0][1] in ("2", "3")
    assert upstream.asked.count("fleeting.test") == 1
    assert own.metric("enforcer_dns_responses_total", outcome="cached") == 1
    time.sleep(3)
    assert own.dig("fleeting.test").answer[0][1] == "5"
    assert upstream.asked.count("fleeting.test") == 2


def test_negative_answers_are_cached_too(own: Service, upstream: Unbound) -> None:
    """RFC 2308 §5: NXDOMAIN and NODATA, for as long as their SOA says."""
    own.start()
    for status, question in (("NXDOMAIN", ("absent.test", "A")), ("NOERROR", ("ns.test", "MX"))):
        for _ in range(3):
            answer = own.dig(*question)
            assert (answer.status, answer.answer) == (status, [])
            assert [record[3] for record in answer.authority] == ["SOA"]
        assert upstream.asked.count(question[0]) == 1
