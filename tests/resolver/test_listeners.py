import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from ipaddress import ip_network
from pathlib import Path

import dns.rcode
import pytest

from enforcer.policy.rules import Mode
from enforcer.resolver import listeners
from enforcer.resolver.clients import Directory, Realm
from enforcer.resolver.listeners import TcpLimits, TcpPath
from enforcer.resolver.upstream import Failure
from tests.resolver.desk import NO_BANS, Desk, a_query, read

LOOPBACK = Realm("lab", (ip_network("127.0.0.0/8"), ip_network("::1/128")), Mode.ENFORCE)
LIMITS = TcpLimits(clients=100, per_client=100, idle_s=10)


class Client:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *wires: bytes) -> None:
        self.writer.write(b"".join(len(wire).to_bytes(2) + wire for wire in wires))
        await self.writer.drain()

    async def reply(self) -> bytes:
        async with asyncio.timeout(5):
            return await self.reader.readexactly(int.from_bytes(await self.reader.readexactly(2)))

    async def ask(self, *wires: bytes) -> list[bytes]:
        await self.send(*wires)
        return [await self.reply() for _ in wires]

    def reset(self) -> None:
        """Go without a word: the other side gets a reset."""
        sock = self.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()

    async def is_closed(self) -> bool:
        """Whether the other side closes, with nothing more to say."""
        async with asyncio.timeout(5):
            try:
                return await self.reader.read() == b""
            except ConnectionResetError:
                return True


class Line:
    """A listener on loopback."""

    def __init__(self, path: TcpPath, where: tuple[str, int]) -> None:
        self.path = path
        self.where = where
        self.clients: list[Client] = []

    async def client(self) -> Client:
        self.clients.append(Client(*await asyncio.open_connection(*self.where)))
        return self.clients[-1]

    async def settled(self, connections: int) -> bool:
        """Whether so many connections are left, soon."""
        for _ in range(200):
            if len(self.path.connections) == connections:
                return True
            await asyncio.sleep(0.005)
        return False


@asynccontextmanager
async def line(desk: Desk, limits: TcpLimits = LIMITS, bound: str = "127.0.0.1") -> AsyncIterator[Line]:
    directory = Directory((LOOPBACK,))
    directory.follow(desk.orders)
    path = TcpPath(directory, desk.handler, desk.counters.words, desk.hands.clock, limits)
    server = await asyncio.get_running_loop().create_server(path.connection, bound, 0)
    made = Line(path, server.sockets[0].getsockname()[:2])
    try:
        yield made
    finally:
        for client in made.clients:
            client.writer.close()
        server.close()
        path.close()
        path.close()
        assert await made.settled(0)
        assert path.of_client == {}


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()

    asyncio.run(whole())


def rcodes(replies: list[bytes]) -> list[str]:
    return [dns.rcode.to_text(read(reply).rcode()) for reply in replies]


def test_t2_many_queries_of_a_connection_are_answered_recorded_and_counted(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            queries = [a_query(name, number=n) for n, name in enumerate(["chat.test", "www.ok.test"] * 10)]
            replies = await client.ask(*queries)
            assert [reply[:2] for reply in replies] == [query[:2] for query in queries]
            assert rcodes(replies) == ["NXDOMAIN", "NOERROR"] * 10

    run(scenario)
    ((count, entry),) = desk.attempts()
    assert (count, entry.client_ip, entry.block.transport) == (10, "127.0.0.1", "tcp")
    assert desk.counted("dns_queries", "tcp", "4", "a") == 20
    assert desk.counted("dns_responses", "blocked", "tcp") == 10


def test_t2_a_query_may_come_octet_by_octet(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            query = a_query("chat.test")
            for octet in (len(query).to_bytes(2) + query) * 2:
                client.writer.write(bytes((octet,)))
                await client.writer.drain()
                await asyncio.sleep(0)
            assert rcodes([await client.reply(), await client.reply()]) == ["NXDOMAIN"] * 2

    run(scenario)


def test_t2_answers_leave_as_they_are_ready(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            desk.upstreams.hold = True
            slow, quick = a_query("www.ok.test", number=1), a_query("chat.test", number=2)
            await client.send(slow, quick)
            assert (await client.reply())[:2] == quick[:2]
            desk.upstreams.release()
            assert (await client.reply())[:2] == slow[:2]

    run(scenario)


def test_answers_that_come_at_once_from_a_dead_upstream_do_not_upset_the_framing(desk: Desk) -> None:
    desk.upstreams.fails = Failure.UNREACHABLE

    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            queries = [a_query(f"{number}.ok.test", number=number) for number in range(1500)]
            replies = await client.ask(*queries)
            assert [reply[:2] for reply in replies] == [query[:2] for query in queries]
            assert set(rcodes(replies)) == {"SERVFAIL"}

    run(scenario)
    assert len(desk.upstreams.asked) == 1500
    assert desk.counted("dns_responses", "servfail", "tcp") == 1500


def test_a_client_with_too_many_questions_on_their_way_is_not_read_until_some_are_answered(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "WAITING_A_CONNECTION", 3)

    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            desk.upstreams.hold = True
            await client.send(*(a_query(f"{number}.ok.test", number=number) for number in range(5)))
            await asyncio.sleep(0.02)
            assert len(desk.upstreams.asked) == 3
            desk.upstreams.hold = False
            desk.upstreams.release()
            assert sorted([(await client.reply())[1] for _ in range(5)]) == [0, 1, 2, 3, 4]

    run(scenario)


def test_d13_over_tcp_a_large_answer_is_whole(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            (reply,) = await client.ask(a_query("large.ok.test", "TXT"))
            assert len(read(reply).answer) == 1

    run(scenario)


@pytest.mark.parametrize("wire", [b"", b"\0" * 11, b"\0\0\x80" + bytes(20)], ids=["empty", "short", "response"])
def test_who_does_not_speak_dns_is_cut_off_and_what_follows_is_not_taken(desk: Desk, wire: bytes) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            await client.send(wire, a_query("chat.test"))
            assert await client.is_closed()

    run(scenario)
    assert desk.counted("dns_responses", "dropped", "tcp") == 1
    assert desk.attempts() == []


def test_d11_a_stranger_is_refused_or_cut_off(desk: Desk, tmp_path: Path) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            tcp.path.directory = Directory(())
            assert rcodes(await (await tcp.client()).ask(a_query("chat.test"))) == ["REFUSED"]
        silent = Desk(tmp_path / "silent", drop_outside=True)
        async with line(silent) as tcp:
            tcp.path.directory = Directory(())
            client = await tcp.client()
            await client.send(a_query("chat.test"))
            assert await client.is_closed()
        silent.close()

    run(scenario)


@pytest.mark.parametrize("limits", [TcpLimits(2, 100, 10), TcpLimits(100, 2, 10)], ids=["all", "one client"])
def test_no_more_connections_are_taken_than_the_limits_say(desk: Desk, limits: TcpLimits) -> None:
    async def scenario() -> None:
        async with line(desk, limits) as tcp:
            first, second = await tcp.client(), await tcp.client()
            assert rcodes(await first.ask(a_query("chat.test"))) == rcodes(await second.ask(a_query("chat.test")))
            third = await tcp.client()
            assert await third.is_closed()
            first.writer.close()
            assert await tcp.settled(1)
            assert rcodes(await (await tcp.client()).ask(a_query("chat.test"))) == ["NXDOMAIN"]

    run(scenario)


def test_t2_an_idle_connection_is_closed_and_one_that_asks_or_waits_is_not(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            idle, busy, waiting, trickling = [await tcp.client() for _ in range(4)]
            await idle.ask(a_query("chat.test"))
            await busy.ask(a_query("chat.test"))
            await trickling.ask(a_query("chat.test"))
            desk.upstreams.hold = True
            await waiting.send(a_query("www.ok.test"))
            await asyncio.sleep(0.01)
            desk.hands.pass_s(8)
            await busy.ask(a_query("chat.test"))
            trickling.writer.write(b"\0")
            await asyncio.sleep(0.01)
            desk.hands.pass_s(3)
            tcp.path.sweep()
            assert await idle.is_closed()
            assert await trickling.is_closed()
            assert await tcp.settled(2)
            desk.upstreams.release()
            assert rcodes([await waiting.reply()]) == ["NOERROR"]
            tcp.path.sweep()
            assert rcodes(await waiting.ask(a_query("chat.test"))) == ["NXDOMAIN"]

    run(scenario)


def test_a_client_that_does_not_read_its_answers_is_not_read_and_at_last_cut_off(desk: Desk) -> None:
    query = a_query("large.ok.test", "TXT")
    message = len(query).to_bytes(2) + query

    async def scenario() -> None:
        async with line(desk) as tcp:
            loop = asyncio.get_running_loop()
            with socket.socket() as client:
                client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                client.setblocking(False)
                await loop.sock_connect(client, tcp.where)
                for _ in range(100):
                    try:
                        client.send(message * 500)
                    except BlockingIOError:
                        break
                    await asyncio.sleep(0.002)
                (connection,) = tcp.path.connections
                assert not connection._may_ask()
                for _ in range(2):
                    desk.hands.pass_s(11)
                    tcp.path.sweep()
                assert await tcp.settled(0)

    run(scenario)


def test_who_asks_no_more_still_gets_the_answer_that_it_waits_for(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            desk.upstreams.hold = True
            await client.send(a_query("www.ok.test"))
            client.writer.write_eof()
            await asyncio.sleep(0.01)
            desk.upstreams.release()
            assert read(await client.reply()).answer
            assert await client.is_closed()

    run(scenario)


def test_who_is_gone_when_the_answer_comes_is_recorded_all_the_same(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            desk.upstreams.hold = True
            await client.send(a_query("cloaked.ok.test"))
            await asyncio.sleep(0.01)
            client.reset()
            assert await tcp.settled(0)
            desk.upstreams.release()

    run(scenario)
    assert [count for count, _ in desk.attempts()] == [1]


def test_over_ipv6_a_client_is_known_by_its_address(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk, bound="::1") as tcp:
            assert rcodes(await (await tcp.client()).ask(a_query("chat.test"))) == ["NXDOMAIN"]

    run(scenario)
    assert [entry.client_ip for _, entry in desk.attempts()] == ["::1"]
    assert desk.counted("dns_queries", "tcp", "6", "a") == 1


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert caplog.records == []


def test_t1_tcp_is_answered_without_a_query_over_udp_before(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            assert rcodes(await client.ask(a_query("www.ok.test"), a_query("chat.test"))) == ["NOERROR", "NXDOMAIN"]

    run(scenario)


def test_t3_each_answer_comes_on_the_connection_that_asked_whoever_else_waits_for_it(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            desk.upstreams.hold = True
            clients = [await tcp.client() for _ in range(3)]
            for number, client in enumerate(clients):
                await client.send(a_query("www.ok.test", number=number))
            await asyncio.sleep(0.02)
            desk.upstreams.release()
            assert [read(await client.reply()).id for client in clients] == [0, 1, 2]
            assert desk.upstreams.asked == ["www.ok.test A"]

    run(scenario)


def test_what_was_answered_before_is_answered_from_memory_until_policy_changes(desk: Desk) -> None:
    async def scenario() -> None:
        async with line(desk) as tcp:
            client = await tcp.client()
            for _ in range(3):
                assert rcodes(await client.ask(a_query("www.ok.test"), a_query("chat.test"))) == ["NOERROR", "NXDOMAIN"]
            desk.follow(NO_BANS)
            tcp.path.directory.follow(desk.orders)
            assert rcodes(await client.ask(a_query("chat.test"))) == ["NXDOMAIN"], "upstream has no such name"
            assert desk.upstreams.asked == ["www.ok.test A", "chat.test A"]
            assert sum(count for count, _ in desk.attempts()) == 3

    run(scenario)
