"""A browser through the proxy, and QUIC and DNS through a mode that carries UDP."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lan import Service, total, wait_for
from tests.e2e.net import GATEWAY, REDIRECT, SERVER, Net
from tests.e2e.test_proxy import REGULAR, TRANSPARENT, curl, made
from tests.tools import chromium, need, need_tun

SOCKS = 1080
QUIC = """
import asyncio, ssl, sys
from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.h3.connection import H3_ALPN, H3Connection
from aioquic.h3.events import DataReceived
from aioquic.quic.configuration import QuicConfiguration

class Client(QuicConnectionProtocol):
    def ask(self):
        self.got = asyncio.get_running_loop().create_future()
        self.http = H3Connection(self._quic)
        stream = self._quic.get_next_available_stream_id()
        fields = [(b":method", b"GET"), (b":scheme", b"https"), (b":authority", b"x"), (b":path", b"/over-quic")]
        self.http.send_headers(stream, fields, end_stream=True)
        self.transmit()
    def quic_event_received(self, event):
        for each in self.http.handle_event(event) if hasattr(self, "http") else ():
            if isinstance(each, DataReceived):
                self.got.set_result(each.data)

async def main():
    settings = QuicConfiguration(alpn_protocols=H3_ALPN, server_name=sys.argv[2], verify_mode=ssl.CERT_NONE)
    connected = connect(sys.argv[1], 443, configuration=settings, create_protocol=Client)
    try:
        async with asyncio.timeout(6), connected as client:
            client.ask()
            print(await client.got)
    except (ConnectionError, TimeoutError):
        print("nothing")

asyncio.run(main())
"""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with Net(tmp_path_factory.mktemp("net")) as net:
        net.nft(REDIRECT % TRANSPARENT)
        yield net


@pytest.fixture(scope="module")
def gateway(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    need_tun()
    modes = [f"transparent@{TRANSPARENT}", f"regular@{GATEWAY}:{REGULAR}", f"socks5@{GATEWAY}:{SOCKS}"]
    modes += ["tun:enf0", f"dns@{GATEWAY}:5353"]
    with made(net, tmp_path_factory.mktemp("gateway") / "service", **{"proxy.modes": modes}) as service:
        service.start()
        ip = need("ip")
        for command in (
            ("link", "set", "enf0", "up"),
            ("route", "add", "default", "dev", "enf0", "table", "100"),
            ("rule", "add", "iif", "phone0", "ipproto", "udp", "dport", "443", "table", "100"),
        ):
            wait_for(lambda command=command: not net.run("gateway", ip, *command), " ".join(command))  # type: ignore[misc]
        net.run("gateway", need("sysctl"), "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.enf0.rp_filter=0")
        yield service


def browse(net: Net, folder: Path, url: str, *options: str) -> str:
    """What a browser shows."""
    return net.run(
        "phone",
        *chromium(folder),
        f"--host-resolver-rules=MAP * {SERVER}, EXCLUDE {GATEWAY}",
        *options,
        "--dump-dom",
        url,
        timeout_s=50,
    )


def test_a_browser_loads_what_is_allowed_and_says_why_it_does_not_load_the_rest(
    net: Net, gateway: Service, tmp_path: Path
) -> None:
    assert "GET " in browse(net, tmp_path / "ok", "https://www.ok.test/")
    assert "ERR_SSL_UNRECOGNIZED_NAME_ALERT" in browse(net, tmp_path / "banned", "https://browser.blocked.test/")
    assert gateway.recorded(1, name="browser.blocked.test", layer="tls")
    page = browse(net, tmp_path / "page", "http://page.blocked.test/")
    assert "Clavardage" in page
    assert "dept-2026-04" in page


def test_a_browser_that_knows_its_proxy(net: Net, gateway: Service, tmp_path: Path) -> None:
    proxy = f"--proxy-server=http://{GATEWAY}:{REGULAR}"
    assert "GET " in browse(net, tmp_path / "ok", f"https://{SERVER}/", proxy)
    assert "ERR_TUNNEL_CONNECTION_FAILED" in browse(net, tmp_path / "banned", "https://tunnel.blocked.test/", proxy)
    assert gateway.recorded(1, name="tunnel.blocked.test", layer="http")


def test_quic_is_carried_or_swallowed_by_its_name(net: Net, gateway: Service) -> None:
    assert "/over-quic" in net.python("phone", QUIC, SERVER, "www.ok.test")
    assert net.python("phone", QUIC, SERVER, "quic.blocked.test").endswith("nothing\n")
    [line] = gateway.recorded(1, name="quic.blocked.test")
    assert (line["layer"], line["transport"], line["dest_ip"], line["device"]) == ("quic", "udp", SERVER, "phone")
    assert line["alpn"] == ["h3"]
    assert total(gateway.attempts(name="quic.blocked.test")) == 1


def test_over_socks_the_name_that_is_asked_for_is_judged_with_what_is_said(net: Net, gateway: Service) -> None:
    at = f"{GATEWAY}:{SOCKS}"
    assert "GET " in curl(net, "--socks5", at, "https://www.ok.test/over-socks")
    assert "unrecognized name" in curl(net, "--socks5-hostname", at, "https://chat.blocked.test/")
    hidden = ("--connect-to", "www.ok.test:443:socks.blocked.test:443", "https://www.ok.test/")
    assert "unrecognized name" in curl(net, "--socks5-hostname", at, *hidden)
    curl(net, "--socks5-hostname", at, "gopher://raw.blocked.test:8080/1ping")
    for name, layer in (("chat", "tls"), ("socks", "tls"), ("raw", "ip")):
        assert total(gateway.recorded(1, name=f"{name}.blocked.test", layer=layer)) == 1


def test_questions_of_mode_dns_are_answered_by_policy(net: Net, gateway: Service) -> None:
    said = net.run("phone", need("dig"), f"@{GATEWAY}", "-p", "5353", "+time=5", "+tries=1", "dns.blocked.test")
    assert "status: NXDOMAIN" in said
    assert "EDE: 15" in said
    assert gateway.recorded(1, name="dns.blocked.test", layer="dns", client_ip="192.0.2.7")
    over_tcp = net.run("phone", need("dig"), f"@{GATEWAY}", "-p", "5353", "+tcp", "+tries=1", "tcp.blocked.test")
    assert "status: NXDOMAIN" in over_tcp
