"""Two queues, and every part allowed to fail open: what passes without it, what does not, and that it closes again."""

import re
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lab import FALLBACK6, FALLBACKS, HARD_CODED, SITE, SITE6, UPSTREAM, Lab, Outcome, laboratory
from tests.e2e.lan import Record, question, total, wait_for
from tests.e2e.test_gateway import ALERT, BANNED, FINE, MMTLS
from tests.e2e.test_gateway_faults import HELLO, dead
from tests.tools import need

AFTER_S = 3
MANY = (SITE, SITE6, UPSTREAM, "2001:db8:66::2", *FALLBACKS, FALLBACK6)
PORT = 8443  # on which resolvers are no bypass
PAGE = f"GET / HTTP/1.1\r\nHost: {BANNED}\r\nConnection: close\r\n\r\n".encode()
FINE_PAGE = f"GET / HTTP/1.1\r\nHost: {FINE}\r\nConnection: close\r\n\r\n".encode()


@pytest.fixture(scope="module")
def opening(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    gateway = {
        "enabled": True,
        "interfaces": ["lan"],
        "workers": 2,
        "fail_open": ["dns", "proxy", "gate"],
        "fail_open_after_s": AFTER_S,
    }
    with laboratory(tmp_path_factory.mktemp("open"), gateway=gateway) as lab:
        yield lab


@pytest.fixture
def lab(opening: Lab) -> Lab:
    opening.fresh()
    return opening


def opened(lab: Lab) -> list[str]:
    """The ports that are open now, by the kernel."""
    text = lab.gateway.run(need("nft"), "list", "set", "inet", "enforcer", "opened")
    return re.findall(r"(\d+) timeout", text)


def open_for(lab: Lab, kind: str) -> float:
    return lab.metric("enforcer_gateway_open", kind=kind)


def nothing_else_passes(lab: Lab) -> None:
    """Addresses, encrypted resolvers and MMTLS, whatever is dead."""
    assert lab.phone.send(HARD_CODED, 443, b"x").error == "refused"
    assert lab.phone.send("8.8.8.8", 853, b"x").error == "refused"
    assert lab.phone.send(SITE, 443, MMTLS).error == "reset"
    assert not lab.internet.saw(MMTLS[:8])
    assert not [each for each in lab.internet.arrived if each.address == HARD_CODED or each.port == 853]


def said(lab: Lab, part: str) -> list[str]:
    """What the log says of a part, in order; one that is slow to start is open for a moment too."""
    return [event["state"] for event in lab.service.events("fail_open") if event["part"] == part]


def is_told(lab: Lab, part: str, before: int) -> None:
    """The log says that a part was opened and closed, since it had so many such events of it."""
    wait_for(lambda: said(lab, part)[before:] == ["opened", "closed"], "the log says both")


def through(lab: Lab) -> list[int]:
    """Packets that each queue has had, by the kernel's own count."""
    text = lab.gateway.run("cat", "/proc/thread-self/net/netfilter/nfnetlink_queue")
    return [int(line.split()[7]) for line in text.splitlines()]


def test_two_queues_share_the_work_and_lose_no_attempt(lab: Lab) -> None:
    before = through(lab)
    assert len(before) == 2
    for address in MANY:
        for host in (lab.phone, lab.second):
            assert host.send(address, PORT, HELLO) == Outcome(ALERT)
            assert host.https(FINE, address, lab.ca, PORT).data.endswith(b"hello")
    lines = lab.blocked(2 * len(MANY))
    assert total(lines) == 2 * len(MANY)
    assert {(line["device"], line["name"]) for line in lines} == {("phone", BANNED), ("second", BANNED)}
    assert {line["src"]["worker"] for line in lines} == {"gate-0", "gate-1"}
    assert all(now > then for now, then in zip(through(lab), before, strict=True))
    assert not lab.internet.saw(BANNED.encode())


def answered(lab: Lab, server: str, *options: str) -> str:
    return lab.phone.dig(server, BANNED, *options).status


def test_without_a_resolver_dns_goes_to_the_upstream_until_one_lives_or_the_gateway_dies(lab: Lab) -> None:
    lab.phone.dig("8.8.8.8", BANNED)
    lab.blocked(1, layer="dns")
    before = len(said(lab, "dns"))
    with dead(lab, "dns-0"):
        wait_for(lambda: opened(lab) == ["53"], "DNS is open")
        for server in ("8.8.8.8", "192.0.2.53", "203.0.113.53"):
            assert lab.phone.dig(server, BANNED).data == [SITE]
            assert lab.phone.dig(server, BANNED, "+tcp").data == [SITE]
        assert not answered(lab, FALLBACK6)  # of IPv6 there is no upstream
        nothing_else_passes(lab)
        assert lab.phone.send(SITE, 443, HELLO).data == ALERT
        assert "port 53 is failed open" in lab.service.enforcer("gateway", "check", status=1)
        assert "port 53 is failed open" in lab.service.enforcer("gateway", "show")
        assert wait_for(lambda: open_for(lab, "dns"), "the page says so") == 1
        assert (open_for(lab, "proxy"), open_for(lab, "gate")) == (0, 0)
        assert "dns is dead and failed open" in lab.service.enforcer("status")
        over_tcp = lab.phone.connect("8.8.8.8", 53)
        assert asked(over_tcp) is not None
    with over_tcp:
        wait_for(lambda: not opened(lab), "it is closed again")
        assert answered(lab, "8.8.8.8") == "NXDOMAIN"
        assert asked(over_tcp) is None
    is_told(lab, "dns", before)


def asked(sock: socket.socket) -> bytes | None:
    """What comes back to a question on a connection; None: it has ended."""
    wire = question(BANNED)
    try:
        sock.sendall(len(wire).to_bytes(2) + wire)
        return sock.recv(4096) or None
    except OSError:
        return None


def test_a_gateway_that_is_dead_too_leaves_nothing_open(lab: Lab) -> None:
    with dead(lab, "dns-0"):
        wait_for(lambda: answered(lab, "8.8.8.8") == "NOERROR", "DNS is open")
        with dead(lab, "gateway-0"):
            wait_for(lambda: not opened(lab), "it lapses")
            assert not answered(lab, "8.8.8.8")
            nothing_else_passes(lab)
    wait_for(lambda: answered(lab, "8.8.8.8") == "NXDOMAIN", "the resolver is back")


@pytest.mark.parametrize("address", [SITE, SITE6])
def test_without_a_proxy_the_gate_judges_http(lab: Lab, address: str) -> None:
    with dead(lab, "proxy-0"):
        wait_for(lambda: sorted(opened(lab)) == ["80", "8080"], "HTTP is open")
        for port in (80, 8080):
            assert lab.phone.send(address, port, FINE_PAGE).data.endswith(b"hello")
            assert lab.phone.send(address, port, PAGE) == Outcome(b"", "reset")
        nothing_else_passes(lab)
        assert {each.client for each in lab.internet.arrived} <= {"192.0.2.7", "2001:db8:20::7"}
        lines: list[Record] = lab.blocked(2, layer="http")
        assert {(line["response"], line["name"]) for line in lines} == {("reset", BANNED)}
        assert not lab.internet.saw(BANNED.encode())
    wait_for(lambda: not opened(lab), "it is closed again")
    assert b" 403 " in lab.phone.send(address, 80, PAGE).data


def test_without_a_gate_connections_pass_unjudged_and_are_counted(lab: Lab) -> None:
    before, events = lab.metric("enforcer_gateway_rejected_total", reason="unjudged"), len(said(lab, "gate"))
    with dead(lab, "gate-0"), dead(lab, "gate-1"):
        for address in MANY:
            assert lab.phone.https(FINE, address, lab.ca, PORT).data.endswith(b"hello")
        assert lab.phone.send(SITE, 443, HELLO).data != ALERT
        assert lab.internet.saw(BANNED.encode())
        nothing_else_passes(lab)
        wait_for(lambda: open_for(lab, "gate"), "the page says so")
        assert not opened(lab)
        assert lab.metric("enforcer_gateway_rejected_total", reason="unjudged") > before
    for address in MANY:
        assert lab.phone.send(address, PORT, HELLO) == Outcome(ALERT)
    is_told(lab, "gate", events)


def test_nobody_is_told_what_passed(lab: Lab) -> None:
    """What nobody judged, nobody has written down: the log says that it passed, not who did."""
    paths = [path for path in Path(lab.service.data).rglob("*") if path.is_file() and path.parent.name != "policy"]
    assert not [path for path in paths if FINE.encode() in path.read_bytes()]
    assert FINE not in lab.service.stderr
