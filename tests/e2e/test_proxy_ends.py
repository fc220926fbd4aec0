"""What becomes of connections when the proxy stops, is killed, or has a new ban; and in a mitmproxy of one's own."""

import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.e2e.lan import ENFORCER, Service, assert_whole, total, wait_for
from tests.e2e.net import GATEWAY, REDIRECT, SERVER, Net
from tests.e2e.test_proxy import ALERT, BANNED, REGULAR, TRANSPARENT, curl, handshake, hello, made, say

LOAD = """
import socket, sys
alerts = 0
deadline = __import__("time").monotonic() + float(sys.argv[3])
while __import__("time").monotonic() < deadline:
    try:
        sock = socket.create_connection((sys.argv[1], 443), 2)
        sock.settimeout(2)
        sock.sendall(bytes.fromhex(sys.argv[2]))
        alerts += sock.recv(7) == bytes.fromhex("15030300020270")
        sock.close()
    except OSError:
        pass
print(alerts)
"""
HOLD = """
import socket, sys, time
sock = socket.create_connection((sys.argv[1], 8080), 10)
sock.sendall(b"hold")
print(sock.recv(4), flush=True)
sock.settimeout(90)
try:
    print("ended", sock.recv(4), flush=True)
except OSError as error:
    print("ended", type(error).__name__, flush=True)
"""


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Net]:
    with Net(tmp_path / "net") as net:
        net.nft(REDIRECT % TRANSPARENT)
        yield net


@contextmanager
def mitmdump(net: Net, service: Service, *options: str) -> Iterator[Path]:
    """A mitmproxy of somebody's own with the addon; gives its output."""
    script = subprocess.run([ENFORCER, "proxy", "--script"], capture_output=True, text=True, check=True).stdout.strip()
    out = service.folder / "mitmdump.out"
    command = [Path(sys.executable).with_name("mitmdump"), "-s", script, "--set", f"enforcer_config={service.path}"]
    command += ["--set", f"confdir={service.folder / 'mitmproxy'}", *options]
    with out.open("wb") as file:
        process = subprocess.Popen([*net.inside("gateway"), *map(str, command)], stdout=file, stderr=subprocess.STDOUT)
    try:
        in_force = service.data / "run" / "counters" / "proxy-63"
        wait_for(lambda: in_force.exists() and service.counted("worker_generation") > 0, "mitmdump follows the hub")
        yield out
    finally:
        process.terminate()
        process.wait(20)


@pytest.mark.timeout(180)
def test_killed_under_load_it_loses_no_attempt_and_stopped_it_lets_nobody_through(net: Net, tmp_path: Path) -> None:
    with made(net, tmp_path / "service") as service:
        service.start()
        first = hello(net, "load.blocked.test")
        counted: list[int] = []
        clients = [
            threading.Thread(target=lambda: counted.append(int(net.python("phone", LOAD, SERVER, first, "5"))))
            for _ in range(3)
        ]
        for client in clients:
            client.start()
        time.sleep(1.5)
        service.restarted("proxy-0", service.kill("proxy-0"))
        for client in clients:
            client.join()
        assert sum(counted) > 50
        assert total(service.recorded(sum(counted), name="load.blocked.test")) >= sum(counted)
        assert_whole(service)
        assert service.stop() == 0
        assert say(net, first, 443) == "ConnectionRefusedError"
        assert say(net, "00010203", 8080) == "ConnectionRefusedError"


def test_a_new_ban_ends_what_it_would_have_refused_and_nothing_else(net: Net, tmp_path: Path) -> None:
    with made(net, tmp_path / "service") as service:
        service.start()
        held = subprocess.Popen(
            [*net.inside("phone"), sys.executable, "-c", HOLD, SERVER], stdout=subprocess.PIPE, text=True
        )
        other = subprocess.Popen(
            [*net.inside("phone"), sys.executable, "-c", HOLD, "198.51.100.66"], stdout=subprocess.PIPE, text=True
        )
        assert held.stdout is not None
        assert held.stdout.readline() == "b'hold'\n"
        other.kill()
        other.wait()
        service.ban(*BANNED, "suffix: unrelated.test")
        service.enforcer("reload")
        assert say(net, "00010203", 8080) == "got 00010203"
        service.ban(*BANNED, f"cidr: {SERVER}/32")
        service.enforcer("reload")
        assert held.stdout.readline() == "ended ConnectionResetError\n"
        held.wait()
        held.stdout.close()
        assert other.stdout is not None
        other.stdout.close()
        assert total(service.recorded(1, layer="ip", dest_ip=SERVER)) == 1


def test_the_page_inside_of_tls_is_shown_for_banned_names_alone(net: Net, tmp_path: Path) -> None:
    with made(net, tmp_path / "service", **{"proxy.intercept_for_block_page": True}) as service:
        service.start()
        ca = service.data / "proxy-ca" / "mitmproxy-ca-cert.pem"
        said = curl(net, "-i", "--cacert", str(ca), "https://chat.blocked.test/")
        assert said.startswith("HTTP/1.1 403 Forbidden")
        assert "Clavardage" in said
        assert total(service.recorded(1, name="chat.blocked.test", layer="tls", response="page")) == 1
        own = re.findall(r"issuer=.*", handshake(net, "www.ok.test"))
        assert own == re.findall(r"issuer=.*", handshake(net, "www.ok.test", where="gateway"))
        assert "GET " in curl(net, "https://www.ok.test/")


def test_it_works_in_a_mitmproxy_of_ones_own(net: Net, tmp_path: Path) -> None:
    with made(net, tmp_path / "service", proxy={"modes": []}) as service:
        service.spawn("hub")
        modes = ["--mode", f"transparent@{TRANSPARENT}", "--mode", f"regular@{GATEWAY}:{REGULAR}"]
        with mitmdump(net, service, *modes) as out:
            first = hello(net, "own.blocked.test")
            assert say(net, first, 443) == ALERT
            assert say(net, first, 443, 1) == ALERT
            assert "alert number 112" in handshake(net, "own.blocked.test")
            assert say(net, "16f10400a10000009d0104f10100a8", 8080) == "ConnectionResetError"
            assert "Clavardage" in curl(net, "http://chat.blocked.test/")
            assert "GET " in curl(net, "https://www.ok.test/zebra")
            assert "GET " in curl(net, "-x", f"http://{GATEWAY}:{REGULAR}", "-k", f"https://{SERVER}/zebra")
            assert "403" in curl(net, "-x", f"http://{GATEWAY}:{REGULAR}", "https://chat.blocked.test/")
            assert total(service.recorded(3, name="own.blocked.test")) == 3
        said = out.read_text()
        for trace in ("zebra", "ok.test", "blocked.test", "192.0.2.7", SERVER):
            assert trace not in said, said
