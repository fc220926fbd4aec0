"""What a phone behind the gateway can reach, and what is written down of it."""

import socket
import time
from hashlib import sha256

import pytest

from tests.e2e.lab import BIG, FALLBACK6, FALLBACKS, HARD_CODED, SITE, SITE6, Lab, Outcome, digest
from tests.e2e.lan import total
from tests.wire.hellos import ECH, alpn, big, extension, hello, message, records, sni

BANNED, FINE = "short.weixin.qq.com", "www.test"
ALERT = bytes.fromhex("15030300020270")
MMTLS = bytes.fromhex("16f104016e0000016a0104f102c02b00a8") + bytes(353)
SHORT_LINK = bytes.fromhex("19f10400a10000009d0104f10100a8") + bytes(151)


def is_alone(lab: Lab, count: int = 1, **fields: object) -> None:
    """So many attempts, of the phone and attributed to it, and no other since the test began."""
    lines = lab.blocked(count)
    assert total(lines) == count, lines
    for line in lines:
        assert line["device"] == "phone"
        assert line["identity"]["source"] == "network"
        for name, value in fields.items():
            assert line[name] == value, (name, line)


# DNS


@pytest.mark.parametrize("server", [*FALLBACKS, FALLBACK6, "203.0.113.53"])
@pytest.mark.parametrize("options", [(), ("+tcp",)], ids=["udp", "tcp"])
def test_whatever_resolver_is_asked_ours_answers(lab: Lab, server: str, options: tuple[str, ...]) -> None:
    answer = lab.phone.dig(server, BANNED, *options)
    assert (answer.status, answer.ede) == ("NXDOMAIN", "15 (Blocked)")
    address = "2001:db8:20::7" if ":" in server else "192.0.2.7"
    is_alone(lab, layer="dns", service="wechat", name=BANNED, client_ip=address)
    assert lab.phone.dig(server, FINE, *options).data == [SITE]


def test_an_alias_of_a_banned_name_is_refused(lab: Lab) -> None:
    assert lab.phone.dig("8.8.8.8", "alias.test").status == "NXDOMAIN"
    is_alone(lab, layer="dns", name="alias.test", via=BANNED)


@pytest.mark.parametrize(
    ("server", "port", "response"),
    [("8.8.8.8", 853, "reset"), (SITE, 853, "reset"), (SITE6, 853, "reset"), ("8.8.8.8", 443, "reset")],
    ids=["dot", "dot anywhere", "dot over ipv6", "doh by number"],
)
def test_encrypted_resolvers_are_refused_at_once(lab: Lab, server: str, port: int, response: str) -> None:
    begun = time.monotonic()
    assert lab.phone.send(server, port, b"x").error == "refused"
    assert time.monotonic() - begun < 1.0
    is_alone(lab, layer="ip", service="bypass", dest_ip=server, dest_port=port, response=response, rule_kind="cidr")
    assert not lab.internet.arrived


def test_doh_by_name_is_refused(lab: Lab) -> None:
    assert lab.phone.https("dns.google", SITE, lab.ca).error == "TLSV1_UNRECOGNIZED_NAME"
    is_alone(lab, layer="tls", service="bypass", name="dns.google")


# Addresses


@pytest.mark.parametrize("port", [443, 5222])
def test_an_address_built_into_an_application_is_refused_on_every_port(lab: Lab, port: int) -> None:
    assert lab.phone.send(HARD_CODED, port, b"x").error == "refused"
    is_alone(lab, layer="ip", response="reset", service="wechat", dest_ip=HARD_CODED, dest_port=port)
    assert not lab.internet.arrived


@pytest.mark.parametrize("port", [80, 8080])
def test_newgetdns_at_an_address_built_into_the_application(lab: Lab, port: int) -> None:
    request = b"GET /cgi-bin/micromsg-bin/newgetdns?uin=0 HTTP/1.0\r\nHost: dns.weixin.qq.com\r\n\r\n"
    assert b" 403 " in lab.phone.send(HARD_CODED, port, request).data
    is_alone(lab, layer="http", response="page", service="wechat", dest_ip=HARD_CODED, dest_port=port)
    assert not lab.internet.arrived


def test_datagrams_to_a_banned_address_are_rejected_and_each_is_counted(lab: Lab) -> None:
    with lab.phone.open(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.settimeout(5.0)
        sock.connect((HARD_CODED, 8000))
        sock.send(b"file")
        with pytest.raises(OSError, match="No route to host"):  # administratively prohibited
            sock.recv(100)
    with lab.phone.open(socket.AF_INET, socket.SOCK_DGRAM) as sock:  # not connected, so that no error is in the way
        for _ in range(20):
            sock.sendto(b"file", (HARD_CODED, 8000))
    is_alone(lab, 21, layer="ip", response="reject", transport="udp", dest_port=8000)


# Names


@pytest.mark.parametrize("address", [SITE, SITE6])
def test_a_banned_name_gets_an_alert_and_the_server_gets_nothing(lab: Lab, address: str) -> None:
    assert lab.phone.https(BANNED, address, lab.ca).error == "TLSV1_UNRECOGNIZED_NAME"
    is_alone(lab, layer="tls", response="alert", name=BANNED, dest_ip=address, dest_port=443, service="wechat")
    assert not lab.internet.arrived


@pytest.mark.parametrize("port", [443, 8443, 5222])
def test_a_name_is_seen_on_every_port(lab: Lab, port: int) -> None:
    assert lab.phone.send(SITE, port, hello(BANNED.encode())).data == ALERT
    is_alone(lab, layer="tls", dest_port=port)


OUTER = message(sni(BANNED.encode()), extension(ECH, bytes(280)), alpn(b"h2"))


@pytest.mark.parametrize(
    ("pieces", "ech"),
    [
        ((big(BANNED.encode())[:1400], big(BANNED.encode())[1400:]), True),
        (tuple(bytes((octet,)) for octet in hello(BANNED.encode())), False),
        ((records(OUTER, size=7),), True),
        ((hello(BANNED.upper().encode()),), False),
        ((hello(BANNED.encode() + b"."),), False),
        ((hello(BANNED.encode(), version=4),), False),
    ],
    ids=["two segments", "an octet each", "many records", "capitals", "final dot", "record version"],
)
def test_a_hello_is_read_however_it_comes(lab: Lab, pieces: tuple[bytes, ...], ech: bool) -> None:
    outcome = lab.phone.send(SITE, 443, *pieces, pause_s=0.005)
    assert outcome.data == ALERT
    is_alone(lab, layer="tls", name=BANNED, ech=ech)


def test_real_ech_shows_its_outer_name_alone(lab: Lab) -> None:
    """Encrypted in earnest or not looks alike; keys for it are taken out of DNS answers."""
    assert lab.phone.https("cloudflare-ech.com", SITE, lab.ca).data.endswith(b"hello")
    outer = hello(b"www.test", more=(extension(ECH, bytes(280)),))
    assert lab.phone.send(SITE, 443, outer, timeout_s=1.0).data[:1] != ALERT[:1] or lab.internet.saw(outer[:60])
    lab.phone.dig("8.8.8.8", BANNED)
    is_alone(lab, layer="dns")


def test_quic(lab: Lab) -> None:
    assert lab.phone.quic(FINE, SITE, lab.ca) == b"hello"
    assert lab.phone.quic(FINE, SITE6, lab.ca) == b"hello"
    for address in (SITE, SITE6):
        assert lab.phone.quic(BANNED, address, lab.ca, timeout_s=1.5) is None
    is_alone(lab, 2, layer="quic", response="reject", name=BANNED, transport="udp", dest_port=443)


# Plain HTTP and MMTLS


@pytest.mark.parametrize(("address", "port"), [(SITE, 80), (SITE, 8080), (SITE6, 80), (SITE6, 8080)])
def test_plain_http_gets_the_page(lab: Lab, address: str, port: int) -> None:
    outcome = lab.phone.send(address, port, f"GET / HTTP/1.1\r\nHost: {BANNED}\r\n\r\n".encode())
    assert b" 403 " in outcome.data.partition(b"\r\n")[0]
    assert b"WeChat" in outcome.data
    is_alone(lab, layer="http", response="page", name=BANNED, dest_ip=address, dest_port=port)


def test_newgetdns_by_name_on_a_port_of_its_own(lab: Lab) -> None:
    request = b"GET /cgi-bin/micromsg-bin/newgetdns?uin=0 HTTP/1.0\r\nHost: dns.weixin.qq.com\r\n\r\n"
    assert b" 403 " in lab.phone.send(SITE, 8080, request).data
    is_alone(lab, layer="http", name="dns.weixin.qq.com", service="wechat")


@pytest.mark.parametrize("port", [80, 443, 8080, 5222])
@pytest.mark.parametrize("data", [MMTLS, SHORT_LINK], ids=["long link", "short link"])
def test_mmtls_is_refused_on_every_port(lab: Lab, port: int, data: bytes) -> None:
    assert lab.phone.send(SITE, port, data).error == "reset"
    is_alone(lab, layer="mmtls", service="wechat", response="reset", dest_port=port)
    assert not lab.internet.saw(data[:8])


def test_mmtls_over_ipv6_and_an_octet_first(lab: Lab) -> None:
    for port in (80, 443, 8080):
        assert lab.phone.send(SITE6, port, MMTLS).error == "reset"
    for address in (SITE, SITE6):
        assert lab.phone.send(address, 443, MMTLS[:1], MMTLS[1:]).error == "reset"
    is_alone(lab, 5, layer="mmtls", service="wechat")


# What is allowed


@pytest.mark.parametrize("name", [FINE, "mail.qq.com", "push.apple.com", "mtalk.google.com"])
def test_neighbours_get_the_servers_own_certificate_and_their_octets_and_leave_no_trace(lab: Lab, name: str) -> None:
    for address in (SITE, SITE6):
        outcome = lab.phone.https(name, address, lab.ca, path="/big ")
        assert (outcome.error, digest(outcome)) == (None, sha256(BIG).hexdigest())
        outcome = lab.phone.send(
            address, 80, f"GET /big HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode()
        )
        assert digest(outcome) == sha256(BIG).hexdigest()
    assert lab.phone.send(SITE, 5222, b"\0\1a protocol of its own") == Outcome(b"answered")
    lab.phone.dig("8.8.8.8", BANNED)
    is_alone(lab, layer="dns")
    paths = [path for path in lab.service.data.rglob("*") if path.is_file() and path.parent.name != "policy"]
    texts = [*(path.read_bytes() for path in paths), lab.service.stderr.encode()]
    assert not [text for text in texts if name.encode() in text]


def test_servers_see_the_phones_own_address(lab: Lab) -> None:
    lab.phone.https(FINE, SITE, lab.ca)
    assert [each.client for each in lab.internet.arrived] == ["192.0.2.7"]


def test_a_large_request_goes_through_whole(lab: Lab) -> None:
    """Its segments are queued behind the ones that decide."""
    body = bytes(range(256)) * 400
    with lab.phone.connect(SITE, 8443) as sock:
        sock.sendall(b"echo" + body)
        received = b""
        while len(received) < 4 + len(body):
            received += sock.recv(65_536)
    assert received == b"echo" + body


def test_each_device_is_told_from_the_other(lab: Lab) -> None:
    assert lab.second.https(BANNED, SITE, lab.ca).error == "TLSV1_UNRECOGNIZED_NAME"
    assert lab.phone.https(BANNED, SITE, lab.ca).error == "TLSV1_UNRECOGNIZED_NAME"
    lines = lab.blocked(2)
    assert sorted(line["device"] for line in lines) == ["phone", "second"]


def test_the_kernel_has_what_the_policy_wants_and_the_counters_say_so(lab: Lab) -> None:
    before = lab.metric("enforcer_gateway_drops_total", service="wechat", layer="ip")
    lab.phone.send(HARD_CODED, 443, b"x")
    is_alone(lab, layer="ip")
    assert lab.metric("enforcer_gateway_drops_total", service="wechat", layer="ip") == before + 1
    assert lab.service.enforcer("gateway", "check") == "the kernel has what the policy wants\n"
    assert lab.metric("enforcer_gateway_rejected_total", reason="unjudged") == 0
    assert lab.metric("enforcer_proxy_connections_total", layer="tls", verdict="allowed") > 0
