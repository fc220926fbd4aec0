"""Encrypted listeners on loopback, and real clients that ask them."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import IPv4Address, ip_network
from pathlib import Path

from enforcer.config.values import Endpoint
from enforcer.counters import Transport
from enforcer.devices.device import Network
from enforcer.policy.rules import Mode
from enforcer.processes.sockets import tcp_socket
from enforcer.resolver.admission import Admission
from enforcer.resolver.clients import Directory, Realm
from enforcer.resolver.credentials import Credentials, TlsFiles
from enforcer.resolver.doh import DohPath
from enforcer.resolver.doors import Door
from enforcer.resolver.listeners import StreamPath, TcpLimits, TcpPath, TlsPath
from tests.certificates import Authority
from tests.resolver.desk import Desk

LIMITS = TcpLimits(clients=100, per_client=100, idle_s=10)
LOOPBACK = Realm("lab", (ip_network("127.0.0.0/8"),), Mode.ENFORCE)
ROAMING = Realm("roaming", (), Mode.MONITOR)
NAME = "dns.test"
TOKEN = "abcdefghijklmnop"  # 80 bits in base32


class Site:
    """A certificate, and the files of a listener."""

    def __init__(self, folder: Path) -> None:
        self.authority = Authority(folder)
        self.pair = self.authority.pair("dns", NAME, f"*.{NAME}")
        self.devices = Authority(folder, "devices")

    def credentials(
        self,
        admission: Admission | None = None,
        *,
        clients: bool = False,
        required: bool = True,
        tokens: Path | None = None,
    ) -> Credentials:
        files = TlsFiles(self.pair.certificate, self.pair.key, self.devices.pem if clients else None, required, tokens)
        return Credentials("roam", files, admission or Admission())


class Opened:
    """A listener that is asked."""

    def __init__(self, path: StreamPath, port: int) -> None:
        self.path = path
        self.port = port

    async def settled(self, connections: int) -> bool:
        """Whether so many connections are left, soon."""
        for _ in range(400):
            if len(self.path.connections) == connections:
                return True
            await asyncio.sleep(0.005)
        return False


@asynccontextmanager
async def opened(
    desk: Desk,
    kind: Transport,
    credentials: Credentials | None = None,
    *,
    realms: tuple[Realm, ...] = (LOOPBACK,),
    limits: TcpLimits = LIMITS,
    front_ends: tuple[Network, ...] = (),
) -> AsyncIterator[Opened]:
    directory = Directory(realms)
    directory.follow(desk.orders)
    make = {Transport.TCP: TcpPath, Transport.DOT: TlsPath, Transport.DOH: DohPath}[kind]
    path = make(directory, desk.handler, desk.counters.words, desk.hands.clock, limits, credentials=credentials)
    sock = tcp_socket(Endpoint(IPv4Address("127.0.0.1"), 0))
    sock.listen()
    context = None if credentials is None else (lambda: credentials.context(kind))
    door = Door(sock, path, context=context, front_ends=front_ends)
    async with asyncio.TaskGroup() as tasks:
        serving = tasks.create_task(door.serve(tasks))
        made = Opened(path, sock.getsockname()[1])
        try:
            yield made
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)
            door.close()
            path.close()
            path.close()
            assert await made.settled(0)
            assert path.of_client == {}


async def client(*command: str | Path, stdin: bytes = b"") -> tuple[int, bytes]:
    """A program's exit status, and all that it writes."""
    process = await asyncio.create_subprocess_exec(
        *map(str, command),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, "LC_ALL": "C"},
    )
    async with asyncio.timeout(20):
        out, _ = await process.communicate(stdin)
    return process.returncode or 0, out
