"""A phone in a tunnel of WireGuard's that ends in the proxy: what it may reach, and what it is refused."""

import hashlib
import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.lan import Service, total, wait_for
from tests.e2e.net import GATEWAY, SERVER, SERVER6, Net
from tests.e2e.origin import BIG
from tests.e2e.test_proxy import curl, fingerprint, handshake, made
from tests.e2e.test_proxy_clients import QUIC
from tests.tools import need, need_tun

PORT = 51820
INSIDE, INSIDE6 = "203.0.113.7", "2001:db8:3::7"
NO_OTHER_WAY = "table inet gate { chain pass { type filter hook forward priority filter; policy drop; }; }"


def key() -> str:
    return subprocess.run([need("wg"), "genkey"], capture_output=True, text=True, check=True).stdout.strip()


def public(private: str) -> str:
    done = subprocess.run([need("wg"), "pubkey"], input=private, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@contextmanager
def tunnel(net: Net, private: str, peer: str) -> Iterator[None]:
    """The phone's end of a tunnel to the gateway, and the servers behind it."""
    name = f"wg{os.getpid()}"  # its socket is in a folder that all namespaces share
    with (net.folder / "wireguard.log").open("wb") as log:
        command = [*net.inside("phone"), need("wireguard-go"), "--foreground", name]
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: not net.run("phone", need("wg"), "show", name, "peers"), "WireGuard can be set up")
        ours = ("set", name, "private-key", "/dev/stdin", "peer", peer, "endpoint", f"{GATEWAY}:{PORT}")
        said = net.run("phone", need("wg"), *ours, "allowed-ips", "0.0.0.0/0,::/0", given=private.encode())
        for step in (
            ("address", "add", f"{INSIDE}/32", "dev", name),
            ("address", "add", f"{INSIDE6}/128", "dev", name, "nodad"),
            ("link", "set", name, "up"),
            ("route", "add", "198.51.100.0/24", "dev", name, "src", INSIDE),
            ("route", "add", "2001:db8:2::/64", "dev", name, "src", INSIDE6),
        ):
            said += net.run("phone", need("ip"), *step)
        assert not said, said
        yield
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Net]:
    need_tun()
    need("wireguard-go")
    with Net(tmp_path_factory.mktemp("net")) as net:
        net.nft(NO_OTHER_WAY)
        yield net


@pytest.fixture(scope="module")
def gateway(net: Net, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    folder = tmp_path_factory.mktemp("gateway") / "service"
    server, client = key(), key()
    inside = {"name": "vpn", "networks": ["203.0.113.0/24", "2001:db8:3::/64"], "listeners": ["dns4", "dns6"]}
    keys = folder / "wireguard.json"
    with made(net, folder, **{"realms": [inside], "proxy.modes": [f"wireguard:{keys}@{PORT}"]}) as service:
        keys.write_text(json.dumps({"server_key": server, "client_key": client}))
        (folder / "devices.csv").write_text(f"id,group,addresses,realm\nphone,field,{INSIDE} {INSIDE6},vpn\n")
        service.start()
        with tunnel(net, client, public(server)):
            yield service


@pytest.mark.parametrize("address", [SERVER, SERVER6])
def test_in_the_tunnel_a_device_sees_the_servers_own_certificate(net: Net, gateway: Service, address: str) -> None:
    direct = handshake(net, "www.ok.test", address, where="gateway")
    assert fingerprint(net, handshake(net, "www.ok.test", address)) == fingerprint(net, direct)


def test_what_is_allowed_comes_through_unchanged_and_leaves_no_trace(
    net: Net, gateway: Service, tmp_path: Path
) -> None:
    for scheme in ("http", "https"):
        curl(net, f"{scheme}://zebra.ok.test/big", "-o", str(tmp_path / scheme))
        assert hashlib.sha256((tmp_path / scheme).read_bytes()).digest() == hashlib.sha256(BIG).digest()
    page = net.run("gateway", need("curl"), "-sS", f"http://127.0.0.1:{gateway.metrics_port}/metrics")
    assert "enforcer_proxy_connections_total" in page
    written = {str(path): path.read_bytes() for path in gateway.data.rglob("*") if path.is_file()}
    for where, data in {**written, "stderr": gateway.stderr.encode(), "metrics": page.encode()}.items():
        assert b"zebra" not in data, where


@pytest.mark.parametrize(("address", "client"), [(SERVER, INSIDE), (SERVER6, INSIDE6)])
def test_a_banned_name_in_the_tunnel_gets_the_alert_and_is_recorded_once(
    net: Net, gateway: Service, address: str, client: str
) -> None:
    name = f"tls-{'6' if ':' in address else '4'}.blocked.test"
    at = f"[{address}]" if ":" in address else address
    assert "unrecognized name" in curl(net, "--connect-to", f"::{at}:443", f"https://{name}/")
    [line] = gateway.recorded(1, name=name)
    assert (line["layer"], line["response"], line["count"], line["device"]) == ("tls", "alert", 1, "phone")
    assert (line["client_ip"], line["dest_ip"], line["realm"]) == (client, address, "vpn")
    assert not any(name in asked for asked in net.asked)


def test_a_banned_host_in_the_tunnel_gets_the_page(net: Net, gateway: Service) -> None:
    said = curl(net, "-i", "http://chat.blocked.test/private")
    assert said.startswith("HTTP/1.1 403 Forbidden")
    assert "Clavardage" in said
    [line] = gateway.recorded(1, name="chat.blocked.test")
    assert (line["layer"], line["client_ip"], line["count"]) == ("http", INSIDE, 1)


def test_the_tunnel_carries_quic_and_dns_and_both_are_judged(net: Net, gateway: Service) -> None:
    assert "/over-quic" in net.python("phone", QUIC, SERVER, "www.ok.test")
    said = net.run("phone", need("dig"), f"@{SERVER}", "+time=5", "+tries=1", "dns.blocked.test")
    assert "status: NXDOMAIN" in said
    assert net.python("phone", QUIC, SERVER, "quic.blocked.test").endswith("nothing\n")
    for layer in ("dns", "quic"):
        lines = gateway.recorded(1, name=f"{layer}.blocked.test")
        assert [(line["layer"], line["client_ip"]) for line in lines] == [(layer, INSIDE)]
        assert total(lines) == 1
