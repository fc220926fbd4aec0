"""kill -9 of every process of the whole service, at random moments, while phones try what is banned on every layer."""

import json
import random
import socket
import threading
import time
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import pytest

from enforcer.attempts.attempt import POSITIONS
from tests.e2e.lab import HARD_CODED, SITE, Lab
from tests.e2e.lan import Record, assert_whole, question, total, wait_for
from tests.e2e.test_gateway import ALERT, FINE
from tests.e2e.test_gateway_faults import session
from tests.wire.hellos import hello

SEED = 53
ROUNDS = 2
PARTS = ("hub", "dns-0", "proxy-0", "gate-0", "gateway-0", "console-0", "sinks-0")
BAN = "blocked.test"
DROPS_PER_S = 50


@dataclass
class Tries:
    """What a phone has tried, by name: how often, and how often it was refused as it should be."""

    sent: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def make(self, name: str, attempt: Callable[[], bool]) -> None:
        self.sent[name] += 1
        self.refused[name] += attempt()


class Phone:
    """Tries banned names and addresses again and again, by a thread for each layer, as an application does."""

    def __init__(self, lab: Lab) -> None:
        self._host, self._stop = lab.second, threading.Event()
        self._udp = self._host.open(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.settimeout(0.5)
        self._udp.connect(("192.0.2.53", 53))
        self._drops = self._host.open(socket.AF_INET, socket.SOCK_DGRAM)
        self.dns, self.tls, self.http, self.ip = Tries(), Tries(), Tries(), Tries()

    @contextmanager
    def trying(self) -> Iterator[None]:
        layers = ((self._ask, 0.005), (self._greet, 0.05), (self._request, 0.05), (self._send, 1 / DROPS_PER_S))
        threads = [threading.Thread(target=self._again, args=layer) for layer in layers]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in threads:
                thread.join(30)
            self._udp.close()
            self._drops.close()

    def goes_on(self) -> None:
        """Wait until something more was refused on each layer."""
        for layer in (self.dns, self.tls, self.http):
            enough = layer.refused.total() + 10
            wait_for(lambda: layer.refused.total() >= enough, "what is banned is refused again")  # noqa: B023 (at once)

    def _again(self, attempt: Callable[[int], None], pause_s: float) -> None:
        number = 0
        while not self._stop.wait(pause_s):
            attempt(number)
            number += 1

    def _ask(self, number: int) -> None:
        name = f"d{number % 40}.{BAN}"
        wire = question(name, number=number & 0xFFFF)

        def asked() -> bool:
            with suppress(OSError):
                self._udp.send(wire)
                while (answer := self._udp.recv(4096))[:2] != wire[:2]:
                    pass
                return answer[3] & 0xF == 3
            return False

        self.dns.make(name, asked)

    def _greet(self, number: int) -> None:
        name = f"t{number}.{BAN}"
        self.tls.make(name, lambda: self._host.send(SITE, 443, hello(name.encode()), timeout_s=8.0).data == ALERT)

    def _request(self, number: int) -> None:
        name = f"h{number}.{BAN}"
        wire = f"GET / HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
        self.http.make(name, lambda: b" 403 " in self._host.send(SITE, 80, wire).data)

    def _send(self, number: int) -> None:
        self.ip.make(HARD_CODED, lambda: self._drops.sendto(b"x", (HARD_CODED, 5000 + number % 7)) == 1)


@pytest.mark.timeout(180)
def test_each_process_is_killed_and_no_attempt_is_lost_or_doubled_and_nothing_banned_passes(lab: Lab) -> None:
    chance, phone = random.Random(SEED), Phone(lab)
    missing = what_is_missing(lab)
    with ExitStack() as stack:
        kept = stack.enter_context(session(lab))
        with phone.trying():
            for _ in range(ROUNDS):
                killed = {}
                for part in chance.sample(PARTS, len(PARTS)):
                    time.sleep(chance.uniform(0.0, 0.4))
                    killed[part] = lab.service.kill(part)
                    kept.talk()
                for part, pid in killed.items():
                    lab.service.restarted(part, pid)
                    kept.talk()
                phone.goes_on()
    assert_nothing_passed(lab)
    assert_recorded(lab, phone)
    assert what_is_missing(lab) == missing
    assert_all_is_back(lab)


def assert_nothing_passed(lab: Lab) -> None:
    assert not lab.internet.saw(BAN.encode())
    assert HARD_CODED not in {each.address for each in lab.internet.arrived}
    assert not [name for name in lab.upstream.asked if name.endswith(BAN)]


def assert_recorded(lab: Lab, phone: Phone) -> None:
    """Whatever was refused is recorded, and no try more often than it was made.

    A try that a killed process had written down, and not answered, is made again by TCP: one more for each kill.
    """
    for layer, tries, again in (("dns", phone.dns, 0), ("tls", phone.tls, ROUNDS), ("http", phone.http, 0)):
        lines = lab.blocked(tries.refused.total(), layer=layer, device="second")
        recorded = Counter[str]()
        for line in lines:
            recorded[line["name"]] += line["count"]
        for name, sent in tries.sent.items():
            assert tries.refused[name] <= recorded[name] <= sent + again, (layer, name)
        assert recorded.total() <= tries.sent.total() + again
        assert recorded.keys() <= tries.sent.keys()
    sent = phone.ip.sent.total()
    drops = total(lab.blocked(sent, layer="ip", device="second", dest_ip=HARD_CODED))
    assert sent <= drops <= sent + ROUNDS * DROPS_PER_S, (
        "killed between a record and its note, one second is told twice"
    )
    assert_whole(lab.service)
    assert_without_gaps(lab)


def what_is_missing(lab: Lab) -> list[Record]:
    """What the log itself says that it lacks; other tests have made it lose attempts in the same laboratory."""
    return lab.service.events("loss") + lab.service.events("gap")


def assert_without_gaps(lab: Lab) -> None:
    """Of each row of the spool every attempt is in a line, from the first to the last that is."""
    rows = defaultdict(list)
    for line in lab.service.attempts():
        source = line["src"]
        rows[source["worker"], source["epoch"], source["to"] // POSITIONS].append((source["from"], source["to"]))
    for (_, _, row), ranges in rows.items():
        end = row * POSITIONS
        for first, last in sorted(ranges):
            assert first == end + 1
            end = last


def assert_all_is_back(lab: Lab) -> None:
    """All that was killed serves again, and what the sinks were handed is complete."""
    assert lab.phone.https(FINE, SITE, lab.ca).data.endswith(b"hello")
    console = f"http://{lab.service.config['console']['listen']}/"

    def page() -> int:
        with urllib.request.urlopen(console, timeout=10) as answer:
            return int(answer.status)

    assert lab.gateway.within(page) == 200
    sink = lab.service.config["attempts"]["sinks"][0]["path"]
    ids = {line["id"] for line in lab.service.log()}

    def shipped() -> bool:
        return ids <= {json.loads(line)["id"] for line in (lab.service.folder / sink).read_text().splitlines()}

    wait_for(shipped, "every line of the log is in the sink's file")
    told = json.loads(lab.service.enforcer("status", "--json"))
    assert told["problems"] == []
    assert {part for part in PARTS if told["processes"][part]["up"]} == set(PARTS)
