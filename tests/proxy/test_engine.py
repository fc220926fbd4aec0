import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from ipaddress import ip_network
from pathlib import Path

import pytest

from enforcer.clients import Realm
from enforcer.errors import Unavailable
from enforcer.policy.rules import Mode
from enforcer.proxy.engine import Engine, make_authority
from tests.proxy.playbook import Site, rules

LOCAL = Realm("local", (ip_network("127.0.0.0/8"),), Mode.ENFORCE)


@pytest.fixture
def sock() -> Iterator[socket.socket]:
    with socket.socket() as made:
        made.bind(("127.0.0.1", 0))
        yield made


async def say(port: int, data: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(data)
    answer = await reader.read()
    writer.close()
    with suppress(OSError):
        await writer.wait_closed()
    return answer


def test_it_serves_drains_and_stops(site: Site, sock: socket.socket) -> None:
    port = sock.getsockname()[1]
    mode = f"regular@127.0.0.1:{port}"
    site.door.judge_by(site.door.policy, rules(realms=(LOCAL,)))

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            engine = Engine(site.door, {mode: [sock]}, (), 3600, None)
            await engine.start(tasks)
            page = await say(port, b"CONNECT chat.banned.test:443 HTTP/1.1\r\n\r\n")
            assert page.startswith(b"HTTP/1.1 403 ")
            _, idle = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.sleep(0)
            await engine.drain(0.05)
            with pytest.raises(OSError, match=r"."):
                await asyncio.open_connection("127.0.0.1", port)
            engine.stop()
            idle.close()

    asyncio.run(scene())
    [(entry, count)] = site.recorded
    assert (entry.block.name, entry.block.realm, count) == ("chat.banned.test", "local", 1)


def test_a_mode_that_cannot_begin_is_named(site: Site, sock: socket.socket) -> None:
    sock.listen()
    mode = f"socks5@127.0.0.1:{sock.getsockname()[1]}"

    async def scene() -> None:
        async with asyncio.TaskGroup() as tasks:
            engine = Engine(site.door, {}, (mode,), 3600, None)
            try:
                await engine.start(tasks)
            finally:
                engine.stop()

    with pytest.raises(ExceptionGroup) as caught:
        asyncio.run(scene())
    assert caught.group_contains(Unavailable, match=rf'proxy mode "{mode}": cannot begin')


def test_nothing_that_could_decrypt_is_there_unless_the_page_is_wanted(site: Site, tmp_path: Path) -> None:
    async def scene() -> None:
        names = [set(Engine(site.door, {}, (), 3600, ca)._master.addons.lookup) for ca in (None, tmp_path / "ca")]
        assert names == [{"enforcer", "proxyserver"}, {"enforcer", "proxyserver", "tlsconfig"}]

    asyncio.run(scene())
    assert (tmp_path / "ca").stat().st_mode & 0o777 == 0o700


def test_the_authority_is_made_once(tmp_path: Path) -> None:
    make_authority(tmp_path / "ca")
    certificate = (tmp_path / "ca" / "mitmproxy-ca-cert.pem").read_bytes()
    make_authority(tmp_path / "ca")
    assert (tmp_path / "ca" / "mitmproxy-ca-cert.pem").read_bytes() == certificate
    (tmp_path / "file").touch()
    with pytest.raises(Unavailable, match="cannot be kept there"):
        make_authority(tmp_path / "file" / "ca")
