"""A folder with a configuration and a list, and a worker that serves it."""

import asyncio
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import dns.message
import dns.rcode
import pytest

from enforcer.config.describe import show
from enforcer.config.load import load
from enforcer.config.model import Config
from enforcer.errors import Mistakes
from enforcer.folders import Folders
from enforcer.orders import Orders, encode_orders
from enforcer.processes.dns import dns_worker
from enforcer.processes.policy import compile_config
from tests.policy.made import NOW, list_text
from tests.resolver.desk import a_query

type Values = dict[str, object]

CHAT = list_text(["suffix: chat.test"])
TALK = list_text(["suffix: talk.test"])


def free_port() -> int:
    """A port that nobody has on loopback, over UDP and TCP."""
    while True:
        with (
            suppress(OSError),
            socket.socket(type=socket.SOCK_DGRAM) as udp,
            socket.socket() as tcp,
        ):
            udp.bind(("127.0.0.1", 0))
            port = int(udp.getsockname()[1])
            tcp.bind(("127.0.0.1", port))
            return port


class Site:
    """A folder with a configuration and a list."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.path = folder, folder / "enforcer.yaml"
        self.folders = Folders(folder / "data")
        self.port = free_port()
        self.ban(CHAT)
        self.resolver: Values = {
            "listeners": [{"name": "dns", "udp": f"127.0.0.1:{self.port}", "tcp": f"127.0.0.1:{self.port}"}],
            "upstreams": ["udp://127.0.0.1:9"],  # nobody is there
            "timeouts": {"attempt_s": 0.1, "query_s": 0.2},
            "workers": 2,
        }
        self.policy: Values = {
            "lists": ["chat.yaml"],
            "ban": "ban-1",
            "notice": {"monitoring_notice_acknowledged": True},
        }
        self.more: Values = {}

    def ban(self, text: str) -> None:
        (self.folder / "chat.yaml").write_text(text)

    @property
    def config(self) -> Config:
        values: Values = {
            "data_dir": "data",
            "policy": self.policy,
            "realms": [{"name": "lab", "networks": ["127.0.0.0/24"], "listeners": ["dns"]}],
            "resolver": self.resolver,
            **self.more,
        }
        self.path.write_text(json.dumps(values))
        return load(self.path)

    def compile(self) -> str:
        """The policy's file name."""
        return compile_config(self.path, self.config, NOW).sha256

    def wrong(self) -> list[str]:
        """The mistakes that compiling finds, each with its file and line."""
        with pytest.raises(Mistakes) as error:
            self.compile()
        return [str(mistake).removeprefix(f"{self.folder}/") for mistake in error.value.mistakes]

    def order(self, orders: Orders | bytes) -> None:
        """What the hub writes, as it does."""
        config = self.config
        for path, content in (
            (self.folders.accepted, show(config).encode()),
            (self.folders.orders, orders if isinstance(orders, bytes) else encode_orders(orders)),
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            fresh = path.with_name("fresh")
            fresh.write_bytes(content)
            fresh.replace(path)


class Work:
    """A worker of a site, in this process, while a scene is played."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.ready = asyncio.Event()

    def play(self, scene: Callable[[], Awaitable[None]]) -> None:
        """Run the worker beside the scene; then stop it with SIGTERM."""

        async def play() -> None:
            worker = asyncio.create_task(dns_worker(self.site.config, 0).run(self.ready.set))
            try:
                playing = asyncio.ensure_future(scene())
                await asyncio.wait((worker, playing), return_when=asyncio.FIRST_COMPLETED)
                if worker.done():
                    playing.cancel()
                    await worker
                    raise AssertionError("the worker ended before the scene")
                await playing
            finally:
                if not worker.done():
                    os.kill(os.getpid(), signal.SIGTERM)
                await worker

        asyncio.run(play())

    async def ask(self, name: str, *, stream: bool = False) -> dns.message.Message:
        """Ask the worker, over UDP or TCP."""
        at = ("127.0.0.1", self.site.port)
        query = a_query(name, edns=True)
        return dns.message.from_wire(await asyncio.to_thread(_over_tcp if stream else _over_udp, at, query))

    async def blocked(self, name: str) -> bool:
        """Whether policy answers; other names are SERVFAIL, since no upstream is there."""
        rcode = (await self.ask(name)).rcode()
        assert rcode in (dns.rcode.NXDOMAIN, dns.rcode.SERVFAIL)
        return rcode == dns.rcode.NXDOMAIN

    async def becomes(self, name: str, *, blocked: bool) -> None:
        """Wait until it is."""
        for _ in range(500):
            if await self.blocked(name) is blocked:
                return
            await asyncio.sleep(0.02)
        pytest.fail(f"{name} is still otherwise")


async def until_logged(caplog: pytest.LogCaptureFixture, event: str) -> None:
    """Wait until a line with this in it is logged."""
    for _ in range(1000):
        if event in caplog.text:
            return
        await asyncio.sleep(0.02)
    pytest.fail(f"never logged: {event}")


def _over_udp(at: tuple[str, int], query: bytes) -> bytes:
    with socket.socket(type=socket.SOCK_DGRAM) as sock:
        sock.settimeout(20)
        sock.sendto(query, at)
        return sock.recv(4096)


def _over_tcp(at: tuple[str, int], query: bytes) -> bytes:
    with socket.create_connection(at, 20) as sock, sock.makefile("rb") as file:
        sock.sendall(len(query).to_bytes(2) + query)
        return file.read(int.from_bytes(file.read(2)))
