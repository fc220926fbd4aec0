"""Each part of the gateway dies, is replaced, and is reloaded in the middle of traffic: nothing banned passes."""

import os
import signal
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

import pytest

from enforcer.folders import Folders
from enforcer.gateway.marks import Order, current, generation_of
from enforcer.orders import decode_orders
from tests.e2e.lab import BIG, HARD_CODED, SITE, SITE6, Lab, digest
from tests.e2e.lan import RULE, total, wait_for
from tests.e2e.test_gateway import ALERT, BANNED, FINE, MMTLS
from tests.tools import need
from tests.wire.hellos import hello

FAMILY = {SITE: socket.AF_INET, SITE6: socket.AF_INET6}
PARTS = ("hub", "dns-0", "proxy-0", "gate-0", "gateway-0")
HELLO = hello(BANNED.encode())


class Session:
    """A TLS connection that is open for long, and says back what it is told."""

    def __init__(self, lab: Lab, name: str = FINE, port: int = 8443) -> None:
        context = ssl.create_default_context(cafile=lab.ca)
        self._tls = context.wrap_socket(lab.phone.connect(SITE, port, timeout_s=4.0), server_hostname=name)
        self.talk(b"echo")

    def talk(self, data: bytes = b"still there?") -> None:
        self._tls.sendall(data)
        assert self._tls.recv(len(data)) == data

    def is_ended(self) -> bool:
        try:
            for _ in range(20):
                self.talk()
                time.sleep(0.1)
        except (OSError, AssertionError):
            return True
        return False

    def close(self) -> None:
        self._tls.close()


@contextmanager
def session(lab: Lab, name: str = FINE) -> Iterator[Session]:
    opened = Session(lab, name)
    yield opened
    opened.close()


@contextmanager
def dead(lab: Lab, part: str) -> Iterator[None]:
    """While the block runs, a part is killed and nobody replaces it."""
    assert lab.service.process is not None
    supervisor = lab.service.process.pid
    pid = wait_for(lambda: lab.service.pids().get(part), f"{part} runs")
    os.kill(supervisor, signal.SIGSTOP)
    try:
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not Path(f"/proc/{pid}/cmdline").exists() or not _alive(pid), f"{part} is dead")
        yield
    finally:
        os.kill(supervisor, signal.SIGCONT)
    lab.service.restarted(part, pid)


def _alive(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


def try_everything(lab: Lab) -> None:
    """All that must not pass; what the phone gets of it depends on what is dead."""
    lab.phone.dig("8.8.8.8", BANNED)
    for address in (SITE, SITE6):
        lab.phone.send(address, 443, HELLO, timeout_s=0.5)
    lab.phone.send(SITE, 443, MMTLS, timeout_s=0.5)
    lab.phone.send(SITE, 80, f"GET / HTTP/1.1\r\nHost: {BANNED}\r\n\r\n".encode(), timeout_s=0.5)
    lab.phone.send(HARD_CODED, 443, b"x", timeout_s=0.5)
    lab.phone.send("8.8.8.8", 853, b"x", timeout_s=0.5)


@pytest.mark.parametrize("part", PARTS)
def test_with_a_part_dead_nothing_banned_passes_and_what_was_allowed_goes_on(lab: Lab, part: str) -> None:
    with session(lab) as opened:
        with dead(lab, part):
            opened.talk()
            try_everything(lab)
            opened.talk()
        opened.talk()
        assert not lab.internet.saw(BANNED.encode())
        assert not lab.internet.saw(MMTLS[:8])
        assert not [each for each in lab.internet.arrived if each.address == HARD_CODED or each.port == 853]
        assert BANNED not in lab.upstream.asked
        assert lab.phone.send(SITE, 443, HELLO).data == ALERT
        lab.blocked(1, layer="tls", dest_ip=SITE)
        assert lab.phone.https(FINE, SITE, lab.ca).data.endswith(b"hello")


def pages(lab: Lab) -> int:
    request = f"GET / HTTP/1.1\r\nHost: {BANNED}\r\n\r\n".encode()
    return sum(b" 403 " in lab.second.send(address, 80, request).data for address in (SITE, SITE6) for _ in range(5))


def answers(lab: Lab) -> int:
    return sum(
        lab.second.dig("8.8.8.8", BANNED, *way).status == "NXDOMAIN" for way in ((), ("+tcp",)) for _ in range(5)
    )


@pytest.mark.parametrize(
    ("part", "layer", "ask"), [("proxy-0", "http", pages), ("dns-0", "dns", answers)], ids=["proxy", "resolver"]
)
def test_every_page_and_every_answer_is_one_attempt_though_who_gives_it_is_killed_in_between(
    lab: Lab, part: str, layer: str, ask: Callable[[Lab], int]
) -> None:
    refused = ask(lab)
    pid = lab.service.kill(part)
    refused += ask(lab)
    lab.service.restarted(part, pid)
    refused += ask(lab)
    assert refused >= 20
    assert total(lab.blocked(refused, layer=layer, device="second")) == refused
    assert not lab.internet.arrived
    assert BANNED not in lab.upstream.asked


@pytest.mark.parametrize("part", ["hub", "gate-0"])
def test_every_connection_that_was_refused_is_one_attempt_whoever_is_killed_meanwhile(lab: Lab, part: str) -> None:
    """Of the second phone, since the first may still send again what it sent to a dead gate."""
    outcomes = [lab.second.send(SITE, 443, HELLO) for _ in range(15)]
    pid = lab.service.kill(part)
    outcomes += [lab.second.send(SITE, 443, HELLO, timeout_s=8.0) for _ in range(25)]
    lab.service.restarted(part, pid)
    refused = sum(outcome.data == ALERT for outcome in outcomes)
    assert refused >= 39  # who was in the queue of a killed gate sends again
    assert total(lab.blocked(refused, layer="tls", device="second")) == refused


def test_every_packet_that_the_kernel_rejected_is_one_attempt_though_the_gateway_is_killed(lab: Lab) -> None:
    with lab.phone.open(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for _ in range(3):
            for number in range(50):
                sock.sendto(b"x", (HARD_CODED, 5000 + number % 7))
                time.sleep(0.004)
            pid = lab.service.kill("gateway-0")
            for number in range(50):
                sock.sendto(b"x", (HARD_CODED, 5000 + number % 7))
                time.sleep(0.004)
            lab.service.restarted("gateway-0", pid)
    assert total(lab.blocked(300, layer="ip", dest_ip=HARD_CODED)) == 300


def reload(lab: Lab, *more: str, **changes: object) -> None:
    """Another policy or configuration, in force everywhere: the gate and the kernel follow within a second."""
    (lab.service.folder / "chat.yaml").write_text(
        (lab.service.folder / "chat.yaml").read_text().partition("rules:\n")[0]
        + "rules:\n"
        + "".join(RULE % trigger for trigger in ("suffix: blocked.test", *more))
    )
    if changes:
        lab.service.change(**changes)
    before = lab.service.stderr.count("event=in_force")
    lab.service.enforcer("reload")
    wait_for(lambda: lab.service.stderr.count("event=in_force") >= before + 4, "all workers follow")
    generation = decode_orders(Folders(lab.service.data).orders.read_bytes()).generation
    wanted = f"0x{Order().number(current(generation_of(generation))):08x}"
    listed = (need("nft"), "list", "set", "inet", "enforcer", "current")
    wait_for(lambda: wanted in lab.gateway.run(*listed), "the kernel follows")


def test_a_reload_loses_no_allowed_connection_and_a_new_ban_ends_those_that_it_covers(lab: Lab) -> None:
    with session(lab) as kept, session(lab, "mail.qq.com") as ended:
        reload(lab, "suffix: other.test")
        for each in (kept, ended):
            each.talk()
        assert lab.blocked(0) == []
        reload(lab, "exact: mail.qq.com")
        assert ended.is_ended()
        kept.talk()
        [line] = lab.blocked(1)
        assert (line["layer"], line["name"], line["response"], line["device"]) == (
            "tls",
            "mail.qq.com",
            "reset",
            "phone",
        )
    reload(lab)
    assert lab.phone.https("mail.qq.com", SITE, lab.ca).data.endswith(b"hello")


def test_reloads_in_the_middle_of_traffic_lose_nothing_that_is_allowed_and_no_attempt(lab: Lab) -> None:
    """What ends before its time is an error of the client's; what passes unjudged arrives at the server."""
    stop = threading.Event()
    outcomes: list[tuple[str | None, str]] = []
    refused: list[bytes] = []

    def browse() -> None:
        while not stop.is_set():
            outcome = lab.second.https(FINE, SITE, lab.ca, path="/big ")
            outcomes.append((outcome.error, digest(outcome)))

    def chat() -> None:
        while not stop.is_set():
            refused.append(lab.second.send(SITE6, 443, HELLO).data)

    threads = [threading.Thread(target=each) for each in (browse, chat)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2):
            reload(lab, f"suffix: other{number}.test")
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert set(outcomes) == {(None, sha256(BIG).hexdigest())}
    assert set(refused) == {ALERT}
    assert total(lab.blocked(len(refused), device="second")) == len(refused)
    assert not lab.internet.saw(BANNED.encode())
    reload(lab)


def test_new_banned_addresses_end_connections_to_them(lab: Lab) -> None:
    with session(lab) as opened:
        reload(lab, f"cidr: {SITE}/32", f"cidr: {SITE6}/128")
        assert opened.is_ended()
        for address in (SITE, SITE6):
            assert lab.phone.send(address, 443, b"x").error == "refused"
            with lab.phone.open(FAMILY[address], socket.SOCK_DGRAM) as sock:
                sock.sendto(b"x", (address, 8000))
        lines = lab.blocked(4)
        assert {line["layer"] for line in lines} == {"ip"}
        assert {(line["dest_ip"], line["response"]) for line in lines} == {
            (address, response) for address in (SITE, SITE6) for response in ("reset", "reject")
        }
    reload(lab)


def test_a_paused_realm_is_observed_and_what_it_began_ends_with_the_pause(lab: Lab) -> None:
    lab.service.enforcer("pause", "--realm", "office", "--minutes", "5", "--reason", "drill")
    time.sleep(1.5)
    with session(lab, BANNED) as opened:
        assert lab.phone.send(HARD_CODED, 5222, b"x").data == b"answered"
        lines = lab.blocked(2, action="observed")
        assert {(line["layer"], line["response"]) for line in lines} == {("tls", None), ("ip", None)}
        opened.talk()
        lab.service.enforcer("resume", "--realm", "office")
        assert opened.is_ended()
        assert total(lab.blocked(1, action="blocked", layer="tls")) == 1
        assert lab.phone.send(HARD_CODED, 5222, b"x").error == "refused"


def test_an_exempt_device_reaches_what_is_banned_and_the_other_does_not(lab: Lab) -> None:
    exemption = {"device": "phone", "services": ["wechat"], "until": "2126-01-01", "reason": "r", "approved_by": "a"}
    reload(lab, **{"policy.exemptions": [exemption]})
    wait_for(lambda: lab.phone.https(BANNED, SITE, lab.ca).data.endswith(b"hello") or None, "the grant arrives")
    lab.fresh()
    with session(lab, BANNED) as opened:
        assert lab.phone.send(HARD_CODED, 5222, b"x").data == b"answered"
        assert lab.phone.send(SITE, 8443, MMTLS).data == b"answered"
        assert lab.phone.https("dns.google", SITE, lab.ca).error == "TLSV1_UNRECOGNIZED_NAME"
        assert lab.second.https(BANNED, SITE, lab.ca).error == "TLSV1_UNRECOGNIZED_NAME"
        opened.talk()
        assert sorted((line["device"], line["service"]) for line in lab.blocked(2)) == [
            ("phone", "bypass"),
            ("second", "wechat"),
        ]
        reload(lab, **{"policy.exemptions": []})
        assert opened.is_ended()
    assert lab.phone.send(HARD_CODED, 5222, b"x").error == "refused"


def test_what_the_kernel_cannot_tell_apart_is_counted_and_said(lab: Lab) -> None:
    reload(lab, **{"gateway.drops_max": 16})
    lab.service.enforcer("gateway", "remove")  # and with the rules what others have left in the set
    wait_for(lambda: "policy wants" in lab.service.enforcer("gateway", "check", status=None), "the rules are back")
    lab.fresh()
    with lab.phone.open(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        for port in range(7000, 7060):
            sock.sendto(b"x", (HARD_CODED, port))
    wait_for(lambda: lab.service.counted("attempts_dropped", reason="untold") or None, "the gateway counts")
    time.sleep(1.2)
    untold = lab.service.counted("attempts_dropped", reason="untold")
    assert total(lab.blocked(60 - untold, layer="ip")) == 60 - untold
    assert 0 < untold < 60
    assert wait_for(lambda: lab.service.events("loss"), "the log says so")[0]["reason"] == "untold"
    reload(lab, **{"gateway.drops_max": 65_536})


def test_a_connection_from_before_the_rules_is_ended_once(lab: Lab) -> None:
    lab.service.enforcer("gateway", "remove")
    with session(lab) as opened:
        wait_for(lambda: "event=gone" in lab.service.stderr or None, "the gateway sees that its rules are gone")
        wait_for(lambda: "policy wants" in lab.service.enforcer("gateway", "check", status=None), "they are back")
        assert opened.is_ended()
    assert lab.phone.https(FINE, SITE, lab.ca).data.endswith(b"hello")


def test_what_a_dedicated_name_resolves_to_is_refused_though_nobody_asked_for_the_name(lab: Lab) -> None:
    assert lab.phone.send("198.51.100.77", 5222, b"x").data == b"answered"
    reload(lab, "exact: dedicated.test, dedicated: true")
    wait_for(lambda: lab.phone.send("198.51.100.77", 5222, b"x").error == "refused" or None, "it is learned")
    lines = lab.blocked(1, layer="ip")
    assert {(line["rule"], line["dest_ip"]) for line in lines} == {("chat/exact/dedicated.test", "198.51.100.77")}
    reload(lab)
    wait_for(lambda: lab.phone.send("198.51.100.77", 5222, b"x").data == b"answered" or None, "it is forgotten")
