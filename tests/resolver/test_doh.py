"""DNS over HTTPS, with real clients and with bad ones."""

import asyncio
import gc
import ssl
from base64 import urlsafe_b64encode
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from weakref import ref

import dns.edns
import dns.message
import dns.rcode
import h2.config
import h2.connection
import h2.events
import h2.settings
import pytest

from enforcer.counters import Transport
from enforcer.devices.tokens import token_hash
from enforcer.resolver import listeners
from enforcer.resolver.admission import Admission
from tests.resolver.desk import Desk, a_query, read
from tests.resolver.secured import NAME, ROAMING, TOKEN, Opened, Site, client, opened
from tests.tools import need

CURL = ("--silent", "--show-error", "--include", "--max-time", "10")
TYPE = "content-type: application/dns-message"
PADDING = dns.edns.GenericOption(dns.edns.OptionType.PADDING, b"")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


@pytest.fixture(autouse=True)
def _nothing_is_logged(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert caplog.records == []


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    async def whole() -> None:
        await scenario()

    asyncio.run(whole())


def with_token(*, required: bool = True) -> Admission:
    digest = token_hash(TOKEN)
    assert digest is not None
    return Admission(tokens=True, required=required, name=NAME, hashes=frozenset({digest}))


def dns_parameter(wire: bytes) -> str:
    return urlsafe_b64encode(wire).rstrip(b"=").decode()


class Curl:
    """Asks one listener."""

    def __init__(self, site: Site, line: Opened, *flags: str) -> None:
        self.command: tuple[str | Path, ...] = (need("curl"), *CURL, "--cacert", site.authority.pem, *flags)
        self.at = ("--resolve", f"{NAME}:{line.port}:127.0.0.1")
        self.url = f"https://{NAME}:{line.port}"

    async def __call__(self, path: str, *more: str, body: bytes | None = None) -> tuple[str, bytes]:
        """The head of the response, in lower case, and the body."""
        posted = () if body is None else ("--data-binary", "@-")
        _, out = await client(*self.command, *self.at, *posted, *more, self.url + path, stdin=body or b"")
        head, _, content = out.partition(b"\r\n\r\n")
        return head.decode("latin-1").lower(), content


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_t5_get_and_post_are_answered_200_whatever_the_rcode_with_an_age(desk: Desk, site: Site, version: str) -> None:
    async def scenario() -> None:
        async with opened(desk, Transport.DOH, site.credentials()) as doh:
            curl = Curl(site, doh, version)
            for name, rcode, age in (("chat.test", 3, 60), ("www.ok.test", 0, 300), ("missing.ok.test", 3, 30)):
                wire = a_query(name, number=0)
                posted = await curl("/dns-query", "-H", TYPE, body=wire)
                got = await curl(f"/dns-query?dns={dns_parameter(wire)}")
                for head, content in (posted, got):
                    assert head.startswith("http/2 200" if version == "--http2" else "http/1.1 200")
                    assert "content-type: application/dns-message" in head
                    assert f"cache-control: private, max-age={age}" in head
                    assert read(content).rcode() == rcode

    run(scenario)
    ((count, entry),) = desk.attempts()
    assert (count, entry.client_ip, entry.block.transport) == (2, "127.0.0.1", "doh")
    assert desk.counted("dns_queries", "doh", "4", "a") == 6
    assert desk.counted("dns_responses", "blocked", "doh") == 2


@pytest.mark.parametrize("version", ["--http2", "--http1.1"])
def test_t5_bad_requests_have_the_status_that_says_why(desk: Desk, site: Site, version: str) -> None:
    wire = a_query("chat.test")

    async def scenario() -> None:
        async with opened(desk, Transport.DOH, site.credentials()) as doh:
            curl = Curl(site, doh, version)
            statuses = [
                (await curl("/", body=wire))[0],
                (await curl("/dns-query/x/y", "-H", TYPE, body=wire))[0],
                (await curl("/dns-query/" + TOKEN, "-H", TYPE, body=wire))[0],
                (await curl("/dns-query"))[0],
                (await curl(f"/dns-query?dns={dns_parameter(wire)}=="))[0],
                (await curl("/dns-query", "-H", TYPE, body=b"x"))[0],
                (await curl("/dns-query", "-X", "PUT", body=wire))[0],
                (await curl("/dns-query", "-H", TYPE, body=wire + bytes(17_000)))[0],
                (await curl("/dns-query", "-H", "content-type: text/plain", body=wire))[0],
            ]
            assert [head.split()[1] for head in statuses] == [
                *("404", "404", "404", "400", "400", "400", "405", "413", "415"),
            ]
            assert "allow: get, post" in statuses[6]
            assert all("cache-control: no-store" in head for head in statuses)

    run(scenario)
    assert desk.attempts() == []


def test_t5_kdig_asks_over_https(desk: Desk, site: Site) -> None:
    kdig = need("kdig")

    async def scenario() -> None:
        async with opened(desk, Transport.DOH, site.credentials()) as doh:
            for method in ("+https", "+https-get"):
                _, out = await client(
                    kdig, "@127.0.0.1", "-p", str(doh.port), "+https", method, f"+tls-ca={site.authority.pem}",
                    f"+tls-hostname={NAME}", "+padding", "www.ok.test", "A",
                )  # fmt: skip
                assert b"HTTP session (HTTP/2-" in out
                assert b"status: 200" in out
                assert b"192.0.2.80" in out

    run(scenario)


def test_t5_the_size_in_edns_means_nothing_and_e9_an_answer_is_padded(desk: Desk, site: Site) -> None:
    small = dns.message.make_query("large.ok.test", "TXT", use_edns=0, payload=512)
    padded = dns.message.make_query(
        "chat.test", "A", use_edns=0, options=[dns.edns.GenericOption(dns.edns.OptionType.PADDING, b"")]
    )

    async def scenario() -> None:
        async with opened(desk, Transport.DOH, site.credentials()) as doh:
            curl = Curl(site, doh)
            _, large = await curl("/dns-query", "-H", TYPE, body=small.to_wire())
            assert len(read(large).answer) == 1
            _, content = await curl("/dns-query", "-H", TYPE, body=padded.to_wire())
            assert len(content) % 468 == 0

    run(scenario)


@pytest.mark.parametrize(("required", "token", "status"), [
    (True, TOKEN, "200"), (True, TOKEN.upper(), "200"), (True, TOKEN[::-1], "404"), (True, "", "404"),
    (False, "", "200"), (False, TOKEN[::-1], "404"),
])  # fmt: skip
def test_a_token_in_the_path_lets_in(desk: Desk, site: Site, required: bool, token: str, status: str) -> None:
    path = f"/dns-query/{token}" if token else "/dns-query"

    async def scenario() -> None:
        admission = with_token(required=required)
        async with opened(desk, Transport.DOH, site.credentials(admission), realms=(ROAMING,)) as doh:
            head, content = await Curl(site, doh)(path, "-H", TYPE, body=a_query("chat.test"))
            assert head.split()[1] == status
            if status == "200":
                assert dns.rcode.to_text(read(content).rcode()) == ("NXDOMAIN" if token else "REFUSED")

    run(scenario)
    shown = f"token:{(token_hash(TOKEN) or b'').hex()}"
    recorded = [(entry.block.action.value, entry.shown) for _, entry in desk.attempts()]
    assert recorded == [("observed", shown)] * (status == "200" and bool(token))


def test_a_token_is_written_down_nowhere(desk: Desk, site: Site, caplog: pytest.LogCaptureFixture) -> None:
    async def scenario() -> None:
        async with opened(desk, Transport.DOH, site.credentials(with_token()), realms=(ROAMING,)) as doh:
            await Curl(site, doh)("/dns-query/" + TOKEN, "-H", TYPE, body=a_query("chat.test"))

    run(scenario)
    files = [path.read_bytes() for path in desk.folder.rglob("*") if path.is_file()]
    assert not any(TOKEN.encode() in data for data in files)
    assert TOKEN not in caplog.text


class Http2:
    """A client that does what it is told, frame by frame."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
        self.h2.initiate_connection()

    @classmethod
    async def to(cls, line: Opened, site: Site) -> "Http2":
        context = ssl.create_default_context(cafile=str(site.authority.pem))
        context.set_alpn_protocols(["h2"])
        return cls(*await asyncio.open_connection("127.0.0.1", line.port, ssl=context, server_hostname=NAME))

    def post(self, wire: bytes, *, whole: bool = True) -> int:
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", "POST"), (":scheme", "https"), (":authority", NAME), (":path", "/dns-query")]
        self.h2.send_headers(stream, [*fields, ("content-type", "application/dns-message")])
        self.h2.send_data(stream, wire, end_stream=whole)
        return stream

    def flush(self) -> None:
        self.writer.write(self.h2.data_to_send())

    async def until[E: h2.events.Event](self, kind: type[E], times: int = 1) -> list[E]:
        """So many events of a kind."""
        found: list[E] = []
        async with asyncio.timeout(5):
            while len(found) < times:
                self.flush()
                data = await self.reader.read(65_536)
                if not data:
                    break
                found += [event for event in self.h2.receive_data(data) if isinstance(event, kind)]
        return found


async def http2(desk: Desk, site: Site, scenario: Callable[[Http2, Opened], Awaitable[None]]) -> None:
    async with opened(desk, Transport.DOH, site.credentials()) as doh:
        asking = await Http2.to(doh, site)
        try:
            await scenario(asking, doh)
        finally:
            asking.writer.close()


def test_answers_of_many_streams_leave_as_they_are_ready(desk: Desk, site: Site) -> None:
    async def scenario(asking: Http2, _: Opened) -> None:
        desk.upstreams.hold = True
        slow, quick = asking.post(a_query("www.ok.test")), asking.post(a_query("chat.test"))
        assert [event.stream_id for event in await asking.until(h2.events.StreamEnded)] == [quick]
        desk.upstreams.release()
        assert [event.stream_id for event in await asking.until(h2.events.StreamEnded)] == [slow]

    run(lambda: http2(desk, site, scenario))


@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_a_connection_that_has_ended_leaves_no_garbage(desk: Desk, site: Site, alpn: str) -> None:
    async def scenario() -> None:
        context = ssl.create_default_context(cafile=str(site.authority.pem))
        context.set_alpn_protocols([alpn])
        async with opened(desk, Transport.DOH, site.credentials()) as doh:
            _, writer = await asyncio.open_connection("127.0.0.1", doh.port, ssl=context, server_hostname=NAME)
            assert await doh.settled(1)
            (connection,) = map(ref, doh.path.connections)
            engine = ref(vars(connection())["_engine"])
            writer.close()
            assert await doh.settled(0)
            assert (connection(), engine()) == (None, None)

    gc.disable()
    try:
        run(scenario)
    finally:
        gc.enable()


def test_an_answer_that_comes_after_the_client_has_gone_is_nothing_to_anybody(desk: Desk, site: Site) -> None:
    async def scenario(asking: Http2, doh: Opened) -> None:
        desk.upstreams.hold = True
        asking.post(a_query("www.ok.test"))
        asking.post(a_query("chat.test"))
        await asking.until(h2.events.StreamEnded)
        asking.writer.transport.abort()
        assert await doh.settled(0)
        desk.upstreams.release()

    run(lambda: http2(desk, site, scenario))


def test_more_streams_than_allowed_end_the_connection(desk: Desk, site: Site) -> None:
    async def scenario(asking: Http2, _: Opened) -> None:
        await asking.until(h2.events.RemoteSettingsChanged)
        assert asking.h2.remote_settings.max_concurrent_streams == 100
        asking.h2.remote_settings[h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS] = 1000
        asking.h2.remote_settings.acknowledge()
        desk.upstreams.hold = True
        for number in range(101):
            asking.post(a_query(f"{number}.ok.test"))
        assert await asking.until(h2.events.ConnectionTerminated)

    run(lambda: http2(desk, site, scenario))


def test_streams_that_are_reset_at_once_do_not_get_around_the_limit(desk: Desk, site: Site) -> None:
    async def scenario(asking: Http2, _: Opened) -> None:
        desk.upstreams.hold = True
        for number in range(400):
            asking.h2.reset_stream(asking.post(a_query(f"{number}.ok.test")))
            if number % 50 == 49:
                asking.flush()
                await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert len(desk.upstreams.asked) == listeners.WAITING_A_CONNECTION
        desk.upstreams.release()

    run(lambda: http2(desk, site, scenario))


def test_a_client_whose_window_is_closed_gets_the_rest_when_it_opens(desk: Desk, site: Site) -> None:
    async def scenario(asking: Http2, doh: Opened) -> None:
        asking.h2.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 100})
        stream = asking.post(a_query("large.ok.test", "TXT"))
        (first,) = await asking.until(h2.events.DataReceived)
        assert len(first.data or b"") == 100
        asking.h2.increment_flow_control_window(10_000, stream)
        assert await asking.until(h2.events.StreamEnded)
        asking.post(a_query("large.ok.test", "TXT"))
        await asking.until(h2.events.DataReceived)
        desk.hands.pass_s(11)
        doh.path.sweep()
        assert await doh.settled(0)

    run(lambda: http2(desk, site, scenario))


def test_a_body_without_an_end_is_cut_off_and_the_connection_goes_on(desk: Desk, site: Site) -> None:
    async def scenario(asking: Http2, _: Opened) -> None:
        asking.post(bytes(16_000), whole=False)
        stream = asking.h2.get_next_available_stream_id() - 2
        asking.h2.send_data(stream, bytes(1000))
        (response,) = await asking.until(h2.events.ResponseReceived)
        assert response.headers is not None
        assert (":status", "413") in [(str(name), str(value)) for name, value in response.headers]
        asking.post(a_query("chat.test"))
        (response,) = await asking.until(h2.events.ResponseReceived)
        assert response.headers is not None
        assert (":status", "200") in [(str(name), str(value)) for name, value in response.headers]

    run(lambda: http2(desk, site, scenario))


@pytest.mark.parametrize(
    "octets", [b"\0" * 64, b"GET / HTTP/9\r\n\r\n", b"GET /dns-query HTTP/1.1\r\n" + b"x: y\r\n" * 9999]
)
@pytest.mark.parametrize("alpn", ["h2", "http/1.1"])
def test_what_is_no_http_ends_the_connection_and_nothing_else(desk: Desk, site: Site, octets: bytes, alpn: str) -> None:
    async def scenario() -> None:
        async with opened(desk, Transport.DOH, site.credentials()) as doh:
            context = ssl.create_default_context(cafile=str(site.authority.pem))
            context.set_alpn_protocols([alpn])
            reader, writer = await asyncio.open_connection("127.0.0.1", doh.port, ssl=context, server_hostname=NAME)
            writer.write(octets)
            async with asyncio.timeout(5):
                await reader.read()
            writer.close()
            assert await doh.settled(0)

    run(scenario)


def test_requests_of_http_1_1_follow_each_other_on_one_connection(desk: Desk, site: Site) -> None:
    wire = a_query("www.ok.test")
    request = f"POST /dns-query HTTP/1.1\r\nhost: x\r\n{TYPE}\r\ncontent-length: {len(wire)}\r\n\r\n".encode() + wire

    async def scenario() -> None:
        async with opened(desk, Transport.DOH, site.credentials()) as doh:
            desk.upstreams.hold = True
            context = ssl.create_default_context(cafile=str(site.authority.pem))
            reader, writer = await asyncio.open_connection("127.0.0.1", doh.port, ssl=context, server_hostname=NAME)
            writer.write(request * 3)
            await asyncio.sleep(0.05)
            assert len(desk.upstreams.asked) == 1
            desk.upstreams.hold = False
            desk.upstreams.release()
            async with asyncio.timeout(5):
                for _ in range(3):
                    head = await reader.readuntil(b"\r\n\r\n")
                    size = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
                    assert read(await reader.readexactly(size)).answer
            writer.close()

    run(scenario)
