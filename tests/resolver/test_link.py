import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path

import dns.flags
import dns.message
import dns.rrset
import h2.config
import h2.connection
import h2.events
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from enforcer.config.values import Transport
from enforcer.config.values import Upstream as Target
from enforcer.counters import Counters, word
from enforcer.policy.names import parse
from enforcer.resolver import link as link_module
from enforcer.resolver.upstream import Answer, Failure, Manner, Question, Upstreams

QUICK = Manner(fastest=False, attempt_s=0.3, query_s=2)
LOOPBACK = IPv4Address("127.0.0.1")


def asking(name: str = "www.ok.test") -> Question:
    return Question(parse(name), 1, 1, do=False, cd=False)


def answer(query: bytes, name: str = "") -> bytes:
    reply = dns.message.make_response(dns.message.from_wire(query), recursion_available=True)
    if name:
        reply.question = dns.message.make_query(name, "A").question
    reply.flags |= dns.flags.AD
    reply.answer.append(dns.rrset.from_text(reply.question[0].name, 300, "IN", "A", "192.0.2.80"))
    return reply.to_wire()


@pytest.fixture
def words(tmp_path: Path) -> Iterator[memoryview]:
    counters = Counters(tmp_path / "counters")
    yield counters.words
    counters.close()


@dataclass(frozen=True)
class Pems:
    """A certificate for dns.example and 127.0.0.1, with its key, which signs itself."""

    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def pems(tmp_path_factory: pytest.TempPathFactory) -> Pems:
    folder = tmp_path_factory.mktemp("pems")
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "dns.example")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("dns.example"), x509.IPAddress(LOOPBACK)]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), True)
        .sign(key, hashes.SHA256())
    )
    (folder / "certificate.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption())
    )
    return Pems(folder / "certificate.pem", folder / "key.pem")


@dataclass
class Server:
    """An upstream on loopback. collect: how many queries it waits for, to answer them backwards then."""

    collect: int = 1
    http: bool = False
    status: str = "200"
    lies: bool = False
    most: int | None = None  # answers on a connection, which is closed then
    connections: int = 0
    queries: list[bytes] = field(default_factory=list)
    asked: asyncio.Event = field(default_factory=asyncio.Event)
    target: Target = field(default_factory=lambda: Target(LOOPBACK))

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            await (self._http(reader, writer) if self.http else self._lengths(reader, writer))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _lengths(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held: list[bytes] = []
        given = 0
        while given != self.most:
            held.append(await reader.readexactly(int.from_bytes(await reader.readexactly(2))))
            self.queries.append(held[-1])
            self.asked.set()
            if len(held) == self.collect:
                for query in reversed(held):
                    reply = answer(query, "www.other.test." if self.lies else "")
                    writer.write(len(reply).to_bytes(2) + reply)
                    given += 1
                held.clear()

    async def _http(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        http = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        http.initiate_connection()
        bodies: dict[int, bytes] = {}
        while True:
            writer.write(http.data_to_send())
            data = await reader.read(65536)
            if not data:
                return
            for event in http.receive_data(data):
                match event:
                    case h2.events.DataReceived(stream_id=int(stream), data=bytes(body)):
                        bodies[stream] = bodies.get(stream, b"") + body
                    case h2.events.StreamEnded(stream_id=int(stream)):
                        self.queries.append(bodies[stream])
            if len(bodies) >= self.collect:
                for stream in reversed(list(bodies)):
                    head = [(":status", self.status), ("content-type", "application/dns-message")]
                    http.send_headers(stream, head)
                    http.send_data(stream, answer(bodies.pop(stream)), end_stream=True)


@asynccontextmanager
async def serving(server: Server, pems: Pems | None = None, alpn: str = "dot") -> AsyncIterator[Server]:
    tls = None
    if pems is not None:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(pems.certificate, pems.key)
        tls.set_alpn_protocols([alpn])
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0, ssl=tls)
    port = listening.sockets[0].getsockname()[1]
    transport = Transport.TCP if tls is None else Transport.HTTPS if server.http else Transport.TLS
    server.target = Target(LOOPBACK, port, transport, None if tls is None else "dns.example")
    if server.http:
        server.target = replace(server.target, path="/dns-query")
    try:
        yield server
    finally:
        listening.close()


@asynccontextmanager
async def upstreams(
    words: memoryview, *targets: Target, manner: Manner = QUICK, ca: Path | None = None
) -> AsyncIterator[Upstreams]:
    async with asyncio.TaskGroup() as tasks:
        made = Upstreams(targets, manner, words, asyncio.get_running_loop(), tasks, ca=ca)
        try:
            yield made
        finally:
            made.close()


async def ask(upstreams: Upstreams, name: str = "www.ok.test") -> Answer | Failure:
    future: asyncio.Future[Answer | Failure] = asyncio.get_running_loop().create_future()
    upstreams.ask(asking(name), future.set_result)
    return await future


def run[T](scenario: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(10):
            return await scenario()

    return asyncio.run(bounded())


def failures(words: memoryview, reason: str, index: int = 0) -> int:
    return int(words[word("upstream_failures", str(index), reason)])


KINDS = ["tcp", "tls", "https"]


def a_server(kind: str, pems: Pems, collect: int = 1) -> tuple[Server, Pems | None, str]:
    http = kind == "https"
    return Server(http=http, collect=collect), None if kind == "tcp" else pems, "h2" if http else "dot"


@pytest.mark.parametrize("kind", KINDS)
def test_u4_many_questions_on_one_connection_answered_in_any_order(words: memoryview, pems: Pems, kind: str) -> None:
    async def scenario() -> None:
        server, tls, alpn = a_server(kind, pems, collect=20)
        async with serving(server, tls, alpn), upstreams(words, server.target, ca=pems.certificate) as asker:
            names = [f"n{number}.ok.test" for number in range(20)]
            for _ in range(2):
                answers = await asyncio.gather(*(ask(asker, name) for name in names))
                assert [isinstance(each, Answer) and each.response.qname for each in answers] == list(map(parse, names))
                assert all(isinstance(each, Answer) and each.authentic is (kind != "tcp") for each in answers)
            assert server.connections == 1
            ids = {query[:2] for query in server.queries[:20]}
            assert len(ids) == (1 if server.http else 20)

    run(scenario)


@pytest.mark.parametrize("kind", KINDS)
def test_ad_is_asked_for_where_it_can_be_believed(words: memoryview, pems: Pems, kind: str) -> None:
    async def scenario() -> None:
        server, tls, alpn = a_server(kind, pems)
        async with serving(server, tls, alpn), upstreams(words, server.target, ca=pems.certificate) as asker:
            await ask(asker)
        assert bool(dns.message.from_wire(server.queries[0]).flags & dns.flags.AD) is (kind != "tcp")

    run(scenario)


@pytest.mark.parametrize("kind", ["tls", "https"])
@pytest.mark.parametrize("wrong", ["name", "chain"])
def test_u5_a_wrong_name_or_chain_is_not_asked_but_the_next(
    words: memoryview, pems: Pems, kind: str, wrong: str
) -> None:
    async def scenario() -> None:
        first, tls, alpn = a_server(kind, pems)
        second = Server()
        ca = pems.certificate if wrong == "name" else None
        async with serving(first, tls, alpn), serving(second):
            target = replace(first.target, name="dns.other.test") if wrong == "name" else first.target
            async with upstreams(words, target, second.target, ca=ca) as asker:
                assert isinstance(await ask(asker), Answer)
        assert first.queries == []
        assert len(second.queries) == 1

    run(scenario)
    assert failures(words, "network") > 0


def test_u5_without_a_name_the_certificate_is_for_the_address(words: memoryview, pems: Pems) -> None:
    async def scenario() -> Answer | Failure:
        async with (
            serving(Server(), pems) as server,
            upstreams(words, replace(server.target, name=None), ca=pems.certificate) as asker,
        ):
            return await ask(asker)

    assert isinstance(run(scenario), Answer)


def test_u5_where_nothing_can_be_verified_nothing_is_answered(words: memoryview, pems: Pems) -> None:
    async def scenario() -> Answer | Failure:
        async with serving(Server(), pems) as server, upstreams(words, server.target) as asker:
            return await ask(asker)

    assert isinstance(run(scenario), Failure)


def test_an_upstream_that_does_not_speak_http_2_is_not_asked(words: memoryview, pems: Pems) -> None:
    async def scenario() -> Answer | Failure:
        server = Server(http=True)
        async with serving(server, pems, "http/1.1"), upstreams(words, server.target, ca=pems.certificate) as asker:
            return await ask(asker)

    assert isinstance(run(scenario), Failure)


def test_an_http_error_is_no_answer_and_the_next_is_asked(words: memoryview, pems: Pems) -> None:
    async def scenario() -> Answer | Failure:
        first, second = Server(http=True, status="503"), Server()
        async with (
            serving(first, pems, "h2"),
            serving(second),
            upstreams(words, first.target, second.target, ca=pems.certificate) as asker,
        ):
            return await ask(asker)

    assert isinstance(run(scenario), Answer)
    assert failures(words, "refused") == 1


def test_u4_an_answer_to_another_question_is_not_taken(words: memoryview) -> None:
    async def scenario() -> Answer | Failure:
        async with (
            serving(Server(lies=True)) as first,
            serving(Server()) as second,
            upstreams(words, first.target, second.target) as asker,
        ):
            return await ask(asker)

    result = run(scenario)
    assert isinstance(result, Answer)
    assert result.response.qname == parse("www.ok.test")
    assert failures(words, "mismatch") == 1


def test_a_connection_that_was_closed_is_opened_again(words: memoryview) -> None:
    async def scenario() -> int:
        async with serving(Server(most=1)) as server, upstreams(words, server.target) as asker:
            for _ in range(5):
                assert isinstance(await ask(asker), Answer)
            return server.connections

    assert run(scenario) == 5


def test_where_no_connection_can_be_made_it_is_not_tried_for_every_question(
    words: memoryview, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(link_module, "RETRY_MIN_S", 30.0)

    async def scenario() -> tuple[Answer | Failure, int]:
        async with serving(Server()) as server:
            target = server.target
        await asyncio.sleep(0)
        async with upstreams(words, target) as asker:
            first = await ask(asker)
            async with asyncio.timeout(1):
                again = [await ask(asker) for _ in range(10)]
        assert set(again) == {Failure.UNREACHABLE}
        return first, len(again)

    assert run(scenario) == (Failure.UNREACHABLE, 10)


def test_a_connection_takes_so_many_questions_and_no_more(words: memoryview, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(link_module, "IN_FLIGHT", 4)

    async def scenario() -> list[Answer | Failure]:
        async with serving(Server(collect=4)) as server, upstreams(words, server.target) as asker:
            return await asyncio.gather(*(ask(asker, f"n{number}.ok.test") for number in range(6)))

    assert [isinstance(each, Answer) for each in run(scenario)] == [True] * 4 + [False] * 2


def test_parallel_asks_all_and_takes_the_first_that_answers(words: memoryview) -> None:
    async def scenario() -> None:
        slow, quick = Server(collect=2), Server()
        manner = replace(QUICK, parallel=True)
        async with serving(slow), serving(quick), upstreams(words, slow.target, quick.target, manner=manner) as asker:
            assert isinstance(await ask(asker), Answer)
            await asyncio.wait_for(slow.asked.wait(), 5)
            assert (len(slow.queries), len(quick.queries)) == (1, 1)
            assert isinstance(await ask(asker, "other.ok.test"), Answer)

    run(scenario)
    assert failures(words, "mismatch", 0) == failures(words, "mismatch", 1) == 0
