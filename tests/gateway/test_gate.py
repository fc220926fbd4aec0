"""The gate against a kernel, in a namespace of its own: packets over loopback, through OUTPUT."""

import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from enforcer.attempts.ledger import Ledger
from enforcer.attempts.spool import Spool
from enforcer.clients import Clients
from enforcer.counters import Counters
from enforcer.errors import Unavailable
from enforcer.gateway import marks, nft
from enforcer.gateway.first import FirstPackets, Manner, Moment
from enforcer.gateway.gate import Gate
from tests.gateway.namespace import alone
from tests.gateway.test_first import NOW, policy
from tests.records import NOON_MS
from tests.tools import need


def gate(folder: Path, queue: int = 53, length: int = 64) -> Gate:
    counters = Counters(folder / "counters")
    spool = Spool(folder / "spool", window_ms=60_000, max_bytes=1 << 30, capacity=64, heap=1 << 16)
    first = FirstPackets(Clients(), Ledger(spool), counters.words, marks.Order())
    first.judge_by(policy("suffix: chat.test"), 1, Manner(), str)
    return Gate(queue, length, first, marks.Order(), lambda: Moment(NOW, NOON_MS, time.monotonic()))


def queue_loopback() -> None:
    """Datagrams to port 9, as undecided ones."""
    mark = hex(marks.Order().number(marks.PENDING))
    for words in (
        ("-t", "mangle", "-A", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "MARK", "--set-mark", mark),
        ("-t", "mangle", "-A", "OUTPUT", "-p", "udp", "--dport", "9", "-j", "NFQUEUE", "--queue-num", "53"),
    ):
        subprocess.run([need("iptables"), *words], check=True)


def until(what: Callable[[], bytes | None], gate: Gate) -> bytes | None:
    end = time.monotonic() + 5
    while time.monotonic() < end:
        gate.readable()
        with suppress(BlockingIOError):
            return what()
        time.sleep(0.01)
    return None


def test_a_packet_waits_in_the_queue_and_goes_on_with_its_verdict(tmp_path: Path) -> None:
    def play() -> None:
        queue_loopback()
        reader = gate(tmp_path)
        reader.open()
        with socket.socket(type=socket.SOCK_DGRAM) as server, socket.socket(type=socket.SOCK_DGRAM) as client:
            server.bind(("127.0.0.1", 9))
            server.setblocking(False)
            client.sendto(b"hello", ("127.0.0.1", 9))
            with pytest.raises(BlockingIOError):
                server.recv(100)
            assert until(lambda: server.recv(100), reader) == b"hello"
        reader.close()

    alone(play)


def test_what_a_full_queue_cannot_hold_goes_on_to_the_rules_behind_it(tmp_path: Path) -> None:
    """Where they count and drop it, since no verdict is on it; nobody needs a privilege to read the kernel's count."""

    def play() -> None:
        queue_loopback()
        undecided = f"meta mark 0x{marks.Order().number(marks.PENDING):08x}"
        behind = f"type filter hook output priority mangle + 10; udp dport 9 {undecided} counter name unjudged drop;"
        nft.load(f"table ip t {{ counter unjudged {{ }}; chain behind {{ {behind} }}; }}\n")
        reader = gate(tmp_path, length=2)
        reader.open()
        with socket.socket(type=socket.SOCK_DGRAM) as client:
            for _ in range(5):
                with suppress(PermissionError):  # how the sender is told of what was dropped
                    client.sendto(b"hello", ("127.0.0.1", 9))
        listed = [need("nft"), "list", "counter", "ip", "t", "unjudged"]
        assert "packets 3 " in subprocess.run(listed, capture_output=True, text=True, check=True).stdout
        reader.close()
        assert reader.fileno() == -1

    alone(play)


def test_a_queue_has_one_reader(tmp_path: Path) -> None:
    def play() -> None:
        first, second = gate(tmp_path / "a"), gate(tmp_path / "b")
        first.open()
        with pytest.raises(Unavailable, match="NFQUEUE 53: another process reads it"):
            second.open()
        for each in (first, second):
            each.close()

    alone(play)
