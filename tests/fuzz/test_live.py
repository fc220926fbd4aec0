"""Mangled queries towards a live listener: it goes on, answers good ones, and lets nothing banned through."""

import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.lan import PHONE, Service, Unbound, assert_whole, dig, question
from tests.tools import need

BATCH = 250
UNFILTERED = (b"\xcb\x00\x71", b"unfiltered", bytes.fromhex("20010db80bad"))
"""What upstream would say for banned names: 203.0.113.0/24, a text, 2001:db8:bad::/48."""

SEEDS = {
    "blocked": question("fuzz.blocked.test"),
    "blocked-plain": question("fuzz.blocked.test", edns=False),
    "blocked-text": question("fuzz.blocked.test", 16),
    "blocked-https": question("a.very.much.longer.name.fuzz.blocked.test", 65),
    "allowed": question("fuzz.ok.test"),
    "options": question("fuzz.blocked.test")[:-2] + bytes.fromhex("0014 000a0008 0123456789abcdef 000c0000 00030000"),
}


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("live")
    with Unbound(folder / "unbound") as upstream, Service(folder / "service", upstream.url) as service:
        service.change(**{"resolver.timeouts": {"attempt_s": 0.3, "query_s": 1}})
        yield service.start()


def mangled(wire: bytes, seed: int, ratio: float) -> list[bytes]:
    """Many copies of a message, as zzuf leaves them."""
    done = subprocess.run(
        [need("zzuf"), "-s", str(seed), "-r", str(ratio)], input=wire * BATCH, capture_output=True, check=True
    )
    return [done.stdout[at : at + len(wire)] for at in range(0, len(wire) * BATCH, len(wire))]


def assert_well(service: Service, pids: dict[str, int]) -> None:
    """A good query is answered on both transports, and nothing was started anew."""
    for options in ((), ("+tcp",)):
        assert dig("127.0.0.1", service.port, "good.blocked.test", *options, source=PHONE).ede == "15 (Blocked)"
        assert dig("127.0.0.1", service.port, "www.test", *options, source=PHONE).data == ["192.0.2.10"]
    assert service.pids() == pids


def assert_filtered(answer: bytes, query: bytes) -> None:
    """What still asks for a banned name gets nothing of what upstream knows."""
    assert answer[:2] == query[:2]
    assert answer[2] & 0x80
    if b"\x07blocked\x04test\x00" in query.lower():
        assert not [data for data in UNFILTERED if data in answer]


@pytest.mark.parametrize("ratio", [0.002, 0.02, 0.2])
@pytest.mark.parametrize("seed", SEEDS)
def test_mangled_datagrams_do_no_harm(live: Service, seed: str, ratio: float) -> None:
    pids = live.pids()
    queries = mangled(SEEDS[seed], len(seed), ratio)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((PHONE, 0))
        sock.connect(("127.0.0.1", live.port))
        sock.settimeout(0.5)
        by_id: dict[bytes, list[bytes]] = {}
        for query in queries:
            by_id.setdefault(query[:2], []).append(query)
            sock.send(query)
        with suppress(TimeoutError):
            while True:
                answer = sock.recv(65_536)
                for query in by_id[answer[:2]]:
                    if query[12:] in answer or len(by_id[answer[:2]]) == 1:
                        assert_filtered(answer, query)
    assert_well(live, pids)


@pytest.mark.parametrize("ratio", [0.002, 0.05])
@pytest.mark.parametrize("seed", SEEDS)
def test_mangled_streams_do_no_harm(live: Service, seed: str, ratio: float) -> None:
    """The length is mangled too, so that messages run into each other, or wait for what never comes."""
    pids = live.pids()
    wire = len(SEEDS[seed]).to_bytes(2) + SEEDS[seed]
    queries = mangled(wire, len(seed), ratio)
    for at in range(0, BATCH, 25):
        with socket.create_connection(("127.0.0.1", live.port), 5, (PHONE, 0)) as sock:
            with suppress(ConnectionError):
                sock.sendall(b"".join(queries[at : at + 25]))
                sock.shutdown(socket.SHUT_WR)
            answers = b""
            with suppress(ConnectionError, TimeoutError):
                sock.settimeout(2)
                while data := sock.recv(65_536):
                    answers += data
        if ratio < 0.01 and "blocked" in seed:  # hardly any name is changed
            assert not [data for data in UNFILTERED if data in answers]
    assert_well(live, pids)


def test_random_octets_do_no_harm(live: Service) -> None:
    pids = live.pids()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((PHONE, 0))
        sock.connect(("127.0.0.1", live.port))
        for size in range(0, 1500, 3):
            sock.send(os.urandom(size))
    for size in (1, 2, 3, 100, 70_000):
        with socket.create_connection(("127.0.0.1", live.port), 5, (PHONE, 0)) as sock, suppress(ConnectionError):
            sock.sendall(os.urandom(size))
    assert_well(live, pids)


def test_after_all_of_it_the_record_is_whole_and_nothing_was_logged_as_an_error(live: Service) -> None:
    assert live.stop() == 0
    assert live.counted("attempts_dropped") == 0
    assert sum(line["count"] for line in live.attempts()) == live.counted("dns_responses", outcome="blocked")
    assert_whole(live)
    assert [line for line in Path(live.stderr_file).read_text().splitlines() if line.startswith(("ERROR", "  "))] == []
