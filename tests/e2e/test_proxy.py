"""Real clients through the proxy: what the gateway redirects to it, IPv4 and IPv6, and mode regular."""

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.lan import Service, total
from tests.e2e.net import BANNED_SERVER, GATEWAY, PHONE, PHONE6, REDIRECT, SERVER, SERVER6, Net
from tests.e2e.origin import BIG
from tests.tools import need

TRANSPARENT, REGULAR = 5081, 5080
MMTLS = "16f10400a10000009d0104f10100a8" + "00" * 151
BANNED = ("suffix: blocked.test", f"cidr: {BANNED_SERVER}/32", "fingerprint: mmtls", "http_path: /mmtls/")

SAY = """
import socket, sys
host, port, size, data = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), bytes.fromhex(sys.argv[4])
try:
    sock = socket.create_connection((host, port), 10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for at in range(0, len(data), size or len(data)):
        sock.sendall(data[at : at + (size or len(data))])
    print("got", sock.recv(4096).hex())
except OSError as error:
    print(type(error).__name__)
"""
HELLO = """
import ssl, sys
context = ssl.create_default_context()
incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
try:
    context.wrap_bio(incoming, outgoing, server_hostname=sys.argv[1]).do_handshake()
except ssl.SSLWantReadError:
    print(outgoing.read().hex())
"""
ALERT = "got 15030300020270"


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    with Net(tmp_path_factory.mktemp("net")) as net:
        net.nft(REDIRECT % TRANSPARENT)
        yield net


def made(net: Net, folder: Path, **changes: object) -> Service:
    service = Service(folder, "udp://127.0.0.1:9", inside=net.inside("gateway"))
    service.ban(*BANNED)
    (folder / "devices.csv").write_text(f"id,group,addresses,realm\nphone,field,{PHONE} {PHONE6},office\n")
    service.change(
        **{
            "realms": [
                {"name": "office", "networks": ["192.0.2.0/24", "2001:db8:1::/64"], "listeners": ["dns4", "dns6"]}
            ],
            "policy.exemptions": [],
            "proxy": {
                "modes": [f"transparent@{TRANSPARENT}", f"regular@{GATEWAY}:{REGULAR}"],
                "workers": 1,
                "drain_s": 0,
            },
        }
    )
    service.change(**changes)
    return service


@pytest.fixture(scope="module")
def gateway(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    with made(net, tmp_path_factory.mktemp("gateway") / "service") as service:
        yield service.start()


def curl(net: Net, *arguments: str, where: str = "phone") -> str:
    known = [
        f"{name}:{port}:{SERVER}"
        for name in ("www.ok.test", "zebra.ok.test", "chat.blocked.test")
        for port in (80, 443)
    ]
    resolve = [word for each in known for word in ("--resolve", each)]
    return net.run(where, need("curl"), "-sS", "-m", "20", "--cacert", str(net.authority.pem), *resolve, *arguments)


def handshake(net: Net, name: str, address: str = SERVER, where: str = "phone") -> str:
    at = f"[{address}]:443" if ":" in address else f"{address}:443"
    return net.run(where, need("openssl"), "s_client", "-connect", at, "-servername", name)


def fingerprint(net: Net, said: str) -> str:
    found = re.search(r"-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", said, re.DOTALL)
    assert found is not None, said
    return net.run("phone", need("openssl"), "x509", "-noout", "-fingerprint", "-sha256", given=found[0].encode())


def say(net: Net, data: str, port: int, size: int = 0, host: str = SERVER) -> str:
    return net.python("phone", SAY, host, str(port), str(size), data).strip()


def hello(net: Net, name: str) -> str:
    return net.python("phone", HELLO, name).strip()


@pytest.mark.parametrize("address", [SERVER, SERVER6])
def test_a_device_sees_the_servers_own_certificate(net: Net, gateway: Service, address: str) -> None:
    direct = handshake(net, "www.ok.test", address, where="gateway")
    through = handshake(net, "www.ok.test", address)
    assert fingerprint(net, direct) == fingerprint(net, through)


@pytest.mark.parametrize("address", [SERVER, SERVER6])
def test_a_banned_name_gets_alert_112_and_the_server_never_hears_of_it(
    net: Net, gateway: Service, address: str
) -> None:
    before = len(net.asked)
    assert "alert number 112" in handshake(net, "alert.blocked.test", address)
    assert len(net.asked) == before
    client = PHONE if address == SERVER else PHONE6
    [line] = gateway.recorded(1, name="alert.blocked.test", client_ip=client)
    assert (line["device"], line["layer"], line["response"], line["dest_ip"]) == ("phone", "tls", "alert", address)
    assert (line["dest_port"], line["transport"], line["realm"], line["ech"]) == (443, "tcp", "office", False)


def test_downloads_and_uploads_are_identical(net: Net, gateway: Service, tmp_path: Path) -> None:
    expected = hashlib.sha256(BIG).hexdigest()
    for scheme in ("http", "https"):
        curl(net, f"{scheme}://www.ok.test/big", "-o", str(tmp_path / scheme))
        assert hashlib.sha256((tmp_path / scheme).read_bytes()).hexdigest() == expected
        curl(net, "-x", f"http://{GATEWAY}:{REGULAR}", f"{scheme}://{SERVER}/big", "-k", "-o", str(tmp_path / "x"))
        assert hashlib.sha256((tmp_path / "x").read_bytes()).hexdigest() == expected
    (tmp_path / "up").write_bytes(BIG)
    for more in ((), ("-H", "Transfer-Encoding: chunked"), ("-H", "Expect: 100-continue")):
        said = curl(
            net, "http://www.ok.test/up", "--data-binary", f"@{tmp_path / 'up'}", "--expect100-timeout", "0.1", *more
        )
        assert said == f"POST {expected}"


@pytest.mark.parametrize("proxy", [(), ("-x", f"http://{GATEWAY}:{REGULAR}")])
def test_a_banned_page_is_replaced_by_ours(net: Net, gateway: Service, proxy: tuple[str, ...]) -> None:
    said = curl(net, "-i", *proxy, "http://chat.blocked.test/private?q=secret")
    assert said.startswith("HTTP/1.1 403 Forbidden")
    assert "no-store" in said
    assert "chat.blocked.test" in said
    assert "Clavardage" in said
    assert "secret" not in said
    assert not any("blocked.test" in line for line in net.asked)


def test_a_large_upload_to_a_banned_host_gets_the_page(net: Net, gateway: Service, tmp_path: Path) -> None:
    (tmp_path / "up").write_bytes(BIG)
    said = curl(net, "http://chat.blocked.test/up", "-H", "Expect:", "--data-binary", f"@{tmp_path / 'up'}")
    assert "Clavardage" in said


def test_requests_of_one_connection_are_judged_each(net: Net, gateway: Service) -> None:
    first = "474554202f6f6e6520485454502f312e310d0a486f73743a207777772e6f6b2e746573740d0a0d0a"
    said = net.python(
        "phone",
        "import socket, sys\n"
        "sock = socket.create_connection((sys.argv[1], 80), 10)\n"
        "sock.sendall(bytes.fromhex(sys.argv[2])); print(sock.recv(4096))\n"
        "sock.sendall(bytes.fromhex(sys.argv[2]).replace(b'www.ok', b'later.blocked'))\n"
        "print(b''.join(iter(lambda: sock.recv(4096), b'')))",
        SERVER,
        first,
    )
    assert "200 OK" in said
    assert "403 Forbidden" in said
    assert total(gateway.recorded(1, name="later.blocked.test")) == 1
    assert not any("later.blocked" in line for line in net.asked)


@pytest.mark.parametrize("port", [80, 443, 8080])
@pytest.mark.parametrize("size", [0, 1])
def test_mmtls_is_reset_on_every_port(net: Net, gateway: Service, port: int, size: int) -> None:
    assert say(net, MMTLS, port, size) in ("ConnectionResetError", "BrokenPipeError")
    assert gateway.recorded(1, layer="mmtls", dest_port=port, response="reset")


@pytest.mark.parametrize("size", [1, 2, 5, 200])
def test_a_hello_in_pieces_hides_nothing(net: Net, gateway: Service, size: int) -> None:
    assert say(net, hello(net, f"pieces{size}.blocked.test"), 443, size) == ALERT
    assert gateway.recorded(1, name=f"pieces{size}.blocked.test")
    assert say(net, hello(net, "www.ok.test"), 443, size).startswith("got 160303")


def test_servers_that_speak_first_and_other_protocols_pass(net: Net, gateway: Service) -> None:
    assert say(net, b"EHLO phone\r\n".hex(), 25).startswith("got " + b"220 mail.ok.test".hex())
    assert say(net, "00010203", 8080) == "got 00010203"
    long = (
        "import socket, time\nsock = socket.create_connection(('198.51.100.10', 8080), 10)\n"
        "for _ in range(3): sock.sendall(b'\\0ping'); print(sock.recv(9)); time.sleep(1.2)"
    )
    assert net.python("phone", long).count("ping") == 3
    quiet = "import socket; print(socket.create_connection(('198.51.100.10', 25), 10).recv(99))"
    assert "220 mail" in net.python("phone", quiet)


def test_a_banned_address_is_refused_whatever_is_said(net: Net, gateway: Service) -> None:
    assert say(net, hello(net, "www.ok.test"), 443, host=BANNED_SERVER) == ALERT
    assert say(net, "00010203", 8080, host=BANNED_SERVER) == "ConnectionResetError"
    assert gateway.recorded(1, dest_ip=BANNED_SERVER, layer="ip")
    refused = curl(net, "-x", f"http://{GATEWAY}:{REGULAR}", f"https://{BANNED_SERVER}/", "-k")
    assert "CONNECT tunnel failed, response 403" in refused


def test_who_was_not_redirected_is_closed(net: Net, gateway: Service) -> None:
    assert say(net, "00010203", TRANSPARENT, host=GATEWAY) in ("got", "ConnectionResetError")


def test_an_explicit_proxy_judges_what_is_in_the_tunnel_too(net: Net, gateway: Service) -> None:
    proxy = ("-x", f"http://{GATEWAY}:{REGULAR}")
    assert "GET " in curl(net, *proxy, "-k", f"https://{SERVER}/")
    hidden = ("--connect-to", f"::{SERVER}:443", "https://tunnel.blocked.test/")
    assert "unrecognized name" in curl(net, *proxy, "-k", *hidden)
    assert gateway.recorded(1, name="tunnel.blocked.test", layer="tls")
    inside = curl(net, *proxy, f"http://127.0.0.1:{gateway.metrics_port}/metrics", "-w", "%{http_code}")
    assert inside == "502"


def test_nothing_allowed_is_written_anywhere(net: Net, gateway: Service) -> None:
    for scheme in ("http", "https"):
        curl(net, f"{scheme}://zebra.ok.test/zebra")
        curl(net, "-x", f"http://{GATEWAY}:{REGULAR}", f"{scheme}://{SERVER}/zebra", "-k", "-H", "Host: zebra.ok.test")
    assert sum("/zebra" in line for line in net.asked) == 4
    page = net.run("gateway", need("curl"), "-sS", f"http://127.0.0.1:{gateway.metrics_port}/metrics")
    assert "enforcer_proxy_connections_total" in page
    written = {str(path): path.read_bytes() for path in gateway.data.rglob("*") if path.is_file()}
    written |= {"stderr": gateway.stderr.encode(), "metrics": page.encode()}
    for where, data in written.items():
        assert b"zebra" not in data, where
