"""The whole path in network namespaces: two phones, a gateway, and an internet that has what a phone would reach.

    phone 192.0.2.7, 2001:db8:20::7   ─┐
    second 192.0.2.9, 2001:db8:20::9  ─┴─ gateway 192.0.2.53 │ 198.51.100.53 ── internet 198.51.100.2, and all others

The internet has addresses that real applications have built in, and a resolver, web and DNS servers behind them.
Sockets are made inside of a namespace by a thread that has moved there, and are used from the test.
"""

import asyncio
import os
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from itertools import count
from pathlib import Path

from aioquic.asyncio.client import connect
from aioquic.asyncio.protocol import QuicConnectionProtocol
from aioquic.asyncio.server import serve
from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.events import QuicEvent, StreamDataReceived

from enforcer.blocklists import shipped_folder
from tests.certificates import Authority
from tests.e2e.lan import Answer, Record, Service, Unbound, dig, wait_for
from tests.tools import need, need_namespaces

CLONE_NEWNET = 0x40000000
SITE, SITE6 = "198.51.100.10", "2001:db8:66::10"
UPSTREAM = "198.51.100.2"
HARD_CODED = "43.130.30.240"  # WeChat's HTTPDNS, in every copy of the application
FALLBACKS = ("8.8.8.8", "1.1.1.1", "223.6.6.6", "9.9.9.9", "185.228.168.168")  # Kaspersky's, in its order
FALLBACK6 = "2001:4860:4860::8888"
PORTS = (80, 443, 853, 5222, 8080, 8443)
BIG = bytes(range(256)) * 4096
NAMES = ("www.test", "mail.qq.com", "push.apple.com", "mtalk.google.com", "cloudflare-ech.com", "short.weixin.qq.com")

APEX = "$ORIGIN test.\n$TTL 300\n@ SOA ns hostmaster 1 3600 600 86400 60\n@ NS ns\nwww A 198.51.100.10\n"
ZONE = f"""\
local-data: "www.test. A {SITE}"
  local-data: "www.test. AAAA {SITE6}"
  local-data: "mail.qq.com. A {SITE}"
  local-data: "push.apple.com. A {SITE}"
  local-data: "mtalk.google.com. A {SITE}"
  local-data: "short.weixin.qq.com. A {SITE}"
  local-data: "dedicated.test. 60 A 198.51.100.77"
  local-data: "alias.test. CNAME short.weixin.qq.com."
  local-data: "ksn.kaspersky-labs.com. A {SITE}"
"""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a client got. error: reset, refused, unreachable, timeout; None: the other side ended it in order."""

    data: bytes
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Host:
    """A namespace."""

    name: str

    @property
    def inside(self) -> tuple[str, ...]:
        return need("ip"), "netns", "exec", self.name

    def within[T](self, what: Callable[[], T]) -> T:
        """Call something in a thread that lives in the namespace."""

        def moved() -> T:
            with Path("/run/netns", self.name).open() as namespace:
                os.setns(namespace.fileno(), CLONE_NEWNET)
            return what()

        with ThreadPoolExecutor(1) as pool:
            return pool.submit(moved).result()

    def open(self, family: int, kind: int, protocol: int = 0) -> socket.socket:
        return self.within(lambda: socket.socket(family, kind, protocol))

    def dig(self, address: str, *words: str) -> Answer:
        return dig(address, 53, *words, inside=self.inside)

    def run(self, *words: str, status: int | None = None) -> str:
        done = subprocess.run(
            [*self.inside, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=30
        )
        assert status in (None, done.returncode), done.stdout
        return done.stdout

    def connect(self, address: str, port: int, timeout_s: float = 5.0) -> socket.socket:
        """A connection; raises what the system says."""
        sock = self.open(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
        sock.settimeout(timeout_s)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            sock.connect((address, port))
        except OSError:
            sock.close()
            raise
        return sock

    def send(self, address: str, port: int, *pieces: bytes, pause_s: float = 0.03, timeout_s: float = 5.0) -> Outcome:
        """Send pieces, a segment each, and read until the other side ends it or has nothing more to say."""
        received = b""
        try:
            with self.connect(address, port, timeout_s) as sock:
                for number, piece in enumerate(pieces):
                    if number:
                        time.sleep(pause_s)
                    sock.sendall(piece)
                while data := sock.recv(65_536):
                    received += data
        except ConnectionResetError:
            return Outcome(received, "reset")
        except BrokenPipeError:
            return Outcome(received, "reset")
        except ConnectionRefusedError:
            return Outcome(received, "refused")
        except TimeoutError:
            return Outcome(received, "timeout")
        except OSError:
            return Outcome(received, "unreachable")
        return Outcome(received)

    def https(self, name: str, address: str, ca: Path, port: int = 443, path: str = "/") -> Outcome:
        """A whole request over TLS, certificate checked; error: what TLS says, or as `send`."""
        context = ssl.create_default_context(cafile=ca)
        received = b""
        try:
            with (
                self.connect(address, port) as sock,
                context.wrap_socket(sock, server_hostname=name) as tls,
            ):
                tls.sendall(f"GET {path} HTTP/1.1\r\nHost: {name}\r\nConnection: close\r\n\r\n".encode())
                while data := tls.recv(65_536):
                    received += data
        except ssl.SSLError as error:
            return Outcome(received, error.reason or "tls")
        except ConnectionError as error:
            return Outcome(received, "reset" if isinstance(error, ConnectionResetError) else "refused")
        except TimeoutError:
            return Outcome(received, "timeout")
        return Outcome(received)

    def quic(self, name: str, address: str, ca: Path, timeout_s: float = 3.0) -> bytes | None:
        """What a QUIC server says; None when no connection came about in time."""
        settings = QuicConfiguration(is_client=True, alpn_protocols=["lab"], server_name=name)
        settings.load_verify_locations(str(ca))

        async def ask() -> bytes | None:
            with suppress(ConnectionError, TimeoutError):
                async with asyncio.timeout(timeout_s), connect(address, 443, configuration=settings) as client:
                    reader, writer = await client.create_stream()
                    writer.write(b"hello")
                    writer.write_eof()
                    return await reader.read()
            return None

        return self.within(lambda: asyncio.run(ask()))


@dataclass(frozen=True, slots=True)
class Arrived:
    """A connection as a server saw it. first: what came first."""

    client: str
    address: str
    port: int
    first: bytes


class Internet:
    """Every server: on any address, TLS, HTTP, or raw bytes, by what comes first; QUIC on UDP 443."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.authority = Authority(folder, "internet")
        pair = self.authority.pair("site", *NAMES)
        self._context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._context.load_cert_chain(pair.certificate, pair.key)
        self.arrived: list[Arrived] = []
        self._listeners = [self._listen(port) for port in PORTS]
        self._quic = threading.Thread(target=lambda: host.within(lambda: asyncio.run(self._serve_quic(pair))))
        self._stop = threading.Event()
        self._ready = threading.Event()
        self.datagrams: list[bytes] = []
        for each in self._listeners:
            threading.Thread(target=self._accept, args=(each,), daemon=True).start()
        self._quic.start()
        assert self._ready.wait(10)

    def saw(self, data: bytes) -> bool:
        """Whether any server got these octets among the first."""
        return any(data in each.first for each in self.arrived)

    def close(self) -> None:
        self._stop.set()
        for each in self._listeners:
            each.close()
        self._quic.join(10)

    def _listen(self, port: int) -> socket.socket:
        sock = self.host.open(socket.AF_INET6, socket.SOCK_STREAM)
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("::", port))
        sock.listen(256)
        return sock

    def _accept(self, listener: socket.socket) -> None:
        while not self._stop.is_set():
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock: socket.socket) -> None:
        sock.settimeout(20)
        with suppress(OSError), sock:
            first = sock.recv(65_536, socket.MSG_PEEK)
            if not first:
                return
            client, address = (each[0].removeprefix("::ffff:") for each in (sock.getpeername(), sock.getsockname()))
            self.arrived.append(Arrived(client, address, sock.getsockname()[1], first))
            if first[0] == 0x16 and first[1:2] in {b"", b"\x03"}:
                with self._context.wrap_socket(sock, server_side=True) as tls:
                    self._talk(tls)
            else:
                self._talk(sock)

    def _talk(self, sock: socket.socket) -> None:
        """HTTP: a page, or the big file; a line: itself, again and again; anything else: an answer, and the end."""
        data = sock.recv(65_536)
        if data.startswith(b"echo"):
            while data:
                sock.sendall(data)
                data = sock.recv(65_536)
        elif data.startswith((b"GET", b"POST")):
            body = BIG if b" /big " in data else b"hello"
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n" % len(body) + body)
        elif data:
            sock.sendall(b"answered")

    async def _serve_quic(self, pair: object) -> None:
        settings = QuicConfiguration(is_client=False, alpn_protocols=["lab"])
        settings.load_cert_chain(self.authority.folder / "site.pem", self.authority.folder / "site.key")
        server = await serve("::", 443, configuration=settings, create_protocol=_Echo)
        self._ready.set()
        await asyncio.to_thread(self._stop.wait)
        server.close()  # type: ignore[no-untyped-call]


class _Echo(QuicConnectionProtocol):
    def quic_event_received(self, event: QuicEvent) -> None:
        if isinstance(event, StreamDataReceived):
            self._quic.send_stream_data(event.stream_id, event.data, end_stream=event.end_stream)
            self.transmit()


@dataclass(slots=True)
class Lab:
    """Everything, and when a test began, so that it sees its own attempts alone."""

    phone: Host
    second: Host
    gateway: Host
    internet: Internet
    service: Service
    upstream: Unbound
    _since: str = ""

    @property
    def ca(self) -> Path:
        return self.internet.authority.pem

    def metric(self, name: str, **labels: str) -> float:
        """From the page, which is on the gateway's loopback."""
        return self.gateway.within(lambda: self.service.metric(name, **labels))

    def fresh(self) -> None:
        """Forget what came before."""
        self._since = datetime.now(UTC).isoformat(timespec="milliseconds")
        self.internet.arrived.clear()

    def blocked(self, count: int = 1, **fields: object) -> list[Record]:
        """The attempts since `fresh` with these members, once there are so many; not one more within a moment."""

        def found() -> list[Record]:
            return [line for line in self.service.attempts(**fields) if line["time"] >= self._since]

        wait_for(lambda: sum(line["count"] for line in found()) >= count, f"{count} attempts of {fields}")
        return found()


def ip(*words: str) -> None:
    subprocess.run([need("ip"), *words], check=True)


def sysctl(host: Host, *settings: str) -> None:
    host.run(need("sysctl"), "-qw", *settings, status=0)


def _address(host: str, device: str, *addresses: str) -> None:
    for address in addresses:
        ip("-n", host, "address", "add", address, "dev", device, *(("nodad",) if ":" in address else ()))


_numbers = count()


@contextmanager
def networks() -> Iterator[tuple[Host, Host, Host, Host]]:
    """Phone, second phone, gateway and internet, joined and routed."""
    need_namespaces()
    number = next(_numbers)
    names = [f"lab{os.getpid()}.{number}-{each}" for each in ("phone", "second", "gateway", "internet")]
    phone, second, gateway, internet = names
    try:
        for name in names:
            ip("netns", "add", name)
            ip("-n", name, "link", "set", "lo", "up")
        ip("-n", gateway, "link", "add", "lan", "type", "bridge")
        for number, host in enumerate((phone, second)):
            ip("-n", gateway, "link", "add", f"port{number}", "type", "veth", "peer", "name", "eth0", "netns", host)
            ip("-n", gateway, "link", "set", f"port{number}", "master", "lan", "up")
        ip("-n", gateway, "link", "add", "wan", "type", "veth", "peer", "name", "eth0", "netns", internet)
        for host, device in ((gateway, "lan"), (gateway, "wan"), (phone, "eth0"), (second, "eth0"), (internet, "eth0")):
            ip("-n", host, "link", "set", device, "up")
        _address(gateway, "lan", "192.0.2.53/24", "2001:db8:20::53/64")
        _address(gateway, "wan", "198.51.100.53/24", "2001:db8:66::53/64")
        _address(phone, "eth0", "192.0.2.7/24", "2001:db8:20::7/64")
        _address(second, "eth0", "192.0.2.9/24", "2001:db8:20::9/64")
        _address(
            internet, "eth0", "198.51.100.2/24", f"{SITE}/24", "198.51.100.77/24", "2001:db8:66::2/64", f"{SITE6}/64"
        )
        _address(internet, "lo", *(f"{each}/32" for each in (HARD_CODED, *FALLBACKS)), f"{FALLBACK6}/128")
        for host in (phone, second):
            ip("-n", host, "route", "add", "default", "via", "192.0.2.53")
            ip("-n", host, "-6", "route", "add", "default", "via", "2001:db8:20::53")
        ip("-n", gateway, "route", "add", "default", "via", "198.51.100.2")
        ip("-n", gateway, "-6", "route", "add", "default", "via", "2001:db8:66::2")
        ip("-n", internet, "route", "add", "192.0.2.0/24", "via", "198.51.100.53")
        ip("-n", internet, "-6", "route", "add", "2001:db8:20::/64", "via", "2001:db8:66::53")
        hosts = Host(phone), Host(second), Host(gateway), Host(internet)
        sysctl(hosts[2], "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        yield hosts
    finally:
        for name in names:
            subprocess.run([need("ip"), "netns", "delete", name], check=False, stderr=subprocess.DEVNULL)


@contextmanager
def laboratory(folder: Path, **changes: object) -> Iterator[Lab]:
    """Everything, started."""
    with ExitStack() as stack:
        phone, second, gateway, internet = stack.enter_context(networks())
        folder.mkdir(parents=True, exist_ok=True)
        everywhere = "".join(f"\n  interface: {each}@53" for each in (UPSTREAM, *FALLBACKS, FALLBACK6))
        more = f"{ZONE}{everywhere}\n  access-control: ::/0 allow"
        upstream = stack.enter_context(
            Unbound(
                folder / "unbound",
                inside=internet.inside,
                port=53,
                more=more,
                zone=APEX,
            )
        )
        servers = Internet(internet, folder)
        stack.callback(servers.close)
        devices = "id,group,addresses\nphone,field,192.0.2.7 2001:db8:20::7\nsecond,field,192.0.2.9 2001:db8:20::9\n"
        service = stack.enter_context(
            Service(folder / "service", f"udp://{UPSTREAM}", inside=gateway.inside, devices=devices)
        )
        lists = [str(shipped_folder() / f"{each}.yaml") for each in ("wechat", "kaspersky", "bypass")]
        listeners = [
            {"name": "dns4", "udp": "192.0.2.53:53", "tcp": "192.0.2.53:53"},
            {"name": "dns6", "udp": "[2001:db8:20::53]:53", "tcp": "[2001:db8:20::53]:53"},
        ]
        service.change(
            **{
                "policy.lists": [*lists, "chat.yaml"],
                "policy.exemptions": [],
                "realms": [
                    {
                        "name": "office",
                        "networks": ["192.0.2.0/24", "2001:db8:20::/48"],
                        "listeners": ["dns4", "dns6"],
                    }
                ],
                "resolver.listeners": listeners,
                "proxy": {"modes": ["transparent@5081"], "workers": 1},
                "gateway": {"enabled": True, "interfaces": ["lan"], "learn": True},
                "attempts": {"aggregate_s": 0},
                **changes,
            }
        )
        yield Lab(phone, second, gateway, servers, service.start(), upstream)


def digest(outcome: Outcome) -> str:
    """Of what came behind the head."""
    return sha256(outcome.data.partition(b"\r\n\r\n")[2]).hexdigest()
