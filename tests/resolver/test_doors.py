"""DNS over TLS and clear text behind front ends: what happens before, and around, the first message."""

import asyncio
import hashlib
import ssl
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path

import dns.edns
import dns.message
import dns.rcode
import pytest

from enforcer.counters import Transport
from enforcer.devices.tokens import token_hash
from enforcer.orders import ShownGrant
from enforcer.policy.rules import Mode
from enforcer.resolver.admission import Admission
from enforcer.resolver.clients import Realm
from enforcer.resolver.listeners import TcpLimits
from tests.policy.made import NOW
from tests.resolver.desk import Desk, a_query, read
from tests.resolver.secured import LOOPBACK, NAME, ROAMING, TOKEN, Opened, Site, client, opened
from tests.tools import need


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


def trusting(site: Site, *, alpn: str = "dot") -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(site.authority.pem))
    context.set_alpn_protocols([alpn])
    return context


def with_token() -> Admission:
    digest = token_hash(TOKEN)
    assert digest is not None
    return Admission(tokens=True, required=True, name=NAME, hashes=frozenset({digest}))


async def ask(
    line: Opened, context: ssl.SSLContext | None, *wires: bytes, name: str = NAME, first: bytes = b""
) -> list[bytes]:
    """The replies of one connection; fewer when it is closed."""
    replies: list[bytes] = []
    async with asyncio.timeout(5):
        sni = name if context is not None else None
        reader, writer = await asyncio.open_connection("127.0.0.1", line.port, ssl=context, server_hostname=sni)
        try:
            writer.write(first + b"".join(len(wire).to_bytes(2) + wire for wire in wires))
            while len(replies) < len(wires):
                replies += [await reader.readexactly(int.from_bytes(await reader.readexactly(2)))]
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
    return replies


def rcodes(replies: list[bytes]) -> list[str]:
    return [dns.rcode.to_text(read(reply).rcode()) for reply in replies]


def test_t4_a_dot_client_is_answered_recorded_and_counted(desk: Desk, site: Site) -> None:
    kdig = need("kdig")

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials()) as dot:
            status, out = await client(
                kdig, "@127.0.0.1", "-p", str(dot.port), f"+tls-ca={site.authority.pem}", f"+tls-hostname={NAME}",
                "+padding", "+keepopen", "chat.test", "A", "www.ok.test", "A",
            )  # fmt: skip
            assert status == 0
            assert b"NXDOMAIN" in out
            assert b"192.0.2.80" in out
            assert b"TLS session (TLS1.3)" in out

    run(scenario)
    ((count, entry),) = desk.attempts()
    assert (count, entry.client_ip, entry.block.transport) == (1, "127.0.0.1", "dot")
    assert desk.counted("dns_queries", "dot", "4", "a") == 2
    assert desk.counted("dns_responses", "blocked", "dot") == 1


@pytest.mark.parametrize(
    ("version", "taken"), [("-tls1_1", False), ("-tls1_2", True), ("-tls1_3", True)], ids=["1.1", "1.2", "1.3"]
)
def test_t4_tls_below_1_2_is_refused(desk: Desk, site: Site, version: str, taken: bool) -> None:
    openssl = need("openssl")

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials()) as dot:
            _, out = await client(
                openssl, "s_client", "-connect", f"127.0.0.1:{dot.port}", version, "-cipher", "ALL:@SECLEVEL=0",
                "-alpn", "dot", "-servername", NAME,
            )  # fmt: skip
            assert (b"ALPN protocol: dot" in out) is taken

    run(scenario)


@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_t4_a_session_is_resumed_and_early_data_is_not_taken(
    desk: Desk, site: Site, tmp_path: Path, version: str
) -> None:
    openssl = need("openssl")
    session = tmp_path / "session"
    query = a_query("chat.test")

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials()) as dot:
            common = (openssl, "s_client", "-connect", f"127.0.0.1:{dot.port}", version, "-servername", NAME)
            # The ticket of TLS 1.3 comes with the first answer; the connection ends when the listener closes it.
            wrong = b"\0\1x"
            message = len(query).to_bytes(2) + query
            await client(*common, "-ign_eof", "-sess_out", session, stdin=message + wrong)
            _, out = await client(*common, "-ign_eof", "-sess_in", session, stdin=message + wrong)
            assert b"Reused, TLS" in out
            assert b"Early data was not sent" in out or version == "-tls1_2"
            assert b"Max Early Data: 0" in out or version == "-tls1_2"

    run(scenario)


def test_t4_there_is_no_clear_text_on_the_port_of_tls(desk: Desk, site: Site) -> None:
    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials()) as dot:
            assert await ask(dot, None, a_query("chat.test")) == []

    run(scenario)
    assert desk.attempts() == []


def test_t4_queries_are_pipelined_over_tls(desk: Desk, site: Site) -> None:
    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials()) as dot:
            queries = [a_query(name, number=n) for n, name in enumerate(["chat.test", "www.ok.test"] * 50)]
            replies = await ask(dot, trusting(site), *queries)
            assert [reply[:2] for reply in replies] == [query[:2] for query in queries]
            assert rcodes(replies) == ["NXDOMAIN", "NOERROR"] * 50

    run(scenario)


def with_options(name: str, *options: dns.edns.Option) -> bytes:
    return dns.message.make_query(name, "A", use_edns=0, options=list(options), id=7).to_wire()


@pytest.mark.parametrize("name", ["chat.test", "www.ok.test", "cloaked.ok.test"])
def test_e9_a_padded_query_has_a_padded_answer_over_tls_only(desk: Desk, site: Site, name: str) -> None:
    padded, plain = (
        with_options(name, dns.edns.GenericOption(dns.edns.OptionType.PADDING, bytes(50))),
        with_options(name),
    )

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials()) as dot:
            long, short = await ask(dot, trusting(site), padded, plain)
            assert len(long) % 468 == 0
            assert len(short) % 468
            assert [option.otype for option in read(long).options][-1:] == [12]
            assert read(long).answer == read(short).answer
        async with opened(desk, Transport.TCP, front_ends=(ip_network("192.0.2.0/24"),)) as tcp:
            (clear,) = await ask(tcp, None, padded)
            assert 12 not in [option.otype for option in read(clear).options]

    run(scenario)


def test_e10_who_asks_for_keepalive_is_told_the_idle_time_out(desk: Desk, site: Site) -> None:
    asking = with_options("www.ok.test", dns.edns.GenericOption(dns.edns.OptionType(11), b""))

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials()) as dot:
            told, untold = await ask(dot, trusting(site), asking, with_options("www.ok.test"))
            assert [(option.otype, option.to_wire()) for option in read(told).options] == [(11, b"\0\x64")]
            assert not read(untold).options

    run(scenario)
    udp = desk.ask(asking, client="192.0.2.1")
    assert not read(udp).options


def test_t7_a_new_certificate_is_shown_without_a_restart_and_a_bad_one_is_not(
    desk: Desk, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")

    async def scenario() -> None:
        credentials = site.credentials()
        async with opened(desk, Transport.DOT, credentials) as dot:

            async def shown() -> str | None:
                context = ssl.create_default_context(cafile=str(site.authority.pem))
                _, writer = await asyncio.open_connection("127.0.0.1", dot.port, ssl=context, server_hostname=NAME)
                serial = writer.get_extra_info("peercert")["serialNumber"]
                writer.close()
                return str(serial)

            first = await shown()
            old = site.pair.certificate.read_bytes()
            site.pair.certificate.write_bytes(old[: len(old) // 2])
            credentials.follow()
            assert await shown() == first
            site.authority.pair("dns", NAME)
            credentials.follow()
            credentials.follow()
            assert await shown() != first

    run(scenario)
    assert [record.getMessage().partition(" error=")[0] for record in caplog.records] == [
        "certificate event=unusable listener=roam kept=old",
        "certificate event=reloaded listener=roam",
    ]
    caplog.clear()


@pytest.mark.parametrize(
    ("required", "shows", "expected"),
    [
        (True, True, ["NXDOMAIN"]),
        (True, False, []),
        (False, True, ["NXDOMAIN"]),
        (False, False, ["REFUSED"]),
    ],
)
def test_t7_a_client_certificate_lets_in_from_anywhere(
    desk: Desk, site: Site, required: bool, shows: bool, expected: list[str]
) -> None:
    own = site.devices.pair("phone", "phone.test")
    context = trusting(site)
    if shows:
        context.load_cert_chain(own.certificate, own.key)
    anywhere = Realm("roaming", (), Mode.ENFORCE)

    async def scenario() -> None:
        credentials = site.credentials(clients=True, required=required)
        async with opened(desk, Transport.DOT, credentials, realms=(anywhere,)) as dot:
            assert rcodes(await ask(dot, context, a_query("chat.test"))) == expected

    run(scenario)
    der = ssl.PEM_cert_to_DER_cert(own.certificate.read_text())
    shown = f"certificate:{hashlib.sha256(der).hexdigest()}"
    recorded = [(entry.block.realm, entry.shown) for _, entry in desk.attempts()]
    assert recorded == [("roaming", shown)] * (expected == ["NXDOMAIN"])


def test_t7_a_client_certificate_of_another_authority_is_refused(desk: Desk, site: Site) -> None:
    other = site.authority.pair("stranger", "stranger.test")
    context = trusting(site)
    context.load_cert_chain(other.certificate, other.key)

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials(clients=True, required=False)) as dot:
            assert await ask(dot, context, a_query("chat.test")) == []

    run(scenario)


@pytest.mark.parametrize(("name", "strictest", "expected"), [
    (f"{TOKEN}.{NAME}", False, ["NOERROR"]),
    (f"{TOKEN.upper()}.{NAME}", False, ["NOERROR"]),
    (f"{TOKEN[::-1]}.{NAME}", False, []),
    (NAME, False, []),
    (f"{TOKEN[::-1]}.{NAME}", True, ["NXDOMAIN"]),
    (NAME, True, ["NXDOMAIN"]),
])  # fmt: skip
def test_a_token_in_the_server_name_lets_in_and_without_one_the_setting_says_what_happens(
    desk: Desk, site: Site, name: str, strictest: bool, expected: list[str]
) -> None:
    desk.upstreams.zone = {("chat.test", "A"): ["chat.test. 300 IN A 192.0.2.80"]}
    admission = with_token()
    admission.strictest = strictest

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials(admission), realms=(ROAMING,)) as dot:
            assert rcodes(await ask(dot, trusting(site), a_query("chat.test"), name=name)) == expected

    run(scenario)
    actions = {(): [], ("NOERROR",): ["observed"], ("NXDOMAIN",): ["blocked"]}[tuple(expected)]
    assert [entry.block.action.value for _, entry in desk.attempts()] == actions


HEADER = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c" + bytes((192, 0, 2, 1, 192, 0, 2, 53, 0x9C, 0x40, 3, 0x55))
PHONES = Realm("lab", (ip_network("192.0.2.0/24"),), Mode.ENFORCE)
FRONT = (ip_network("127.0.0.0/8"),)


def test_a_front_end_names_the_client_and_only_a_configured_one_is_believed(desk: Desk, site: Site) -> None:
    async def scenario() -> None:
        async with opened(desk, Transport.TCP, realms=(PHONES,), front_ends=FRONT) as tcp:
            assert rcodes(await ask(tcp, None, a_query("chat.test"), first=HEADER)) == ["NXDOMAIN"]
            assert await ask(tcp, None, a_query("chat.test")) == []
            local = HEADER[:12] + b"\x20\0\0\0"
            assert rcodes(await ask(tcp, None, a_query("chat.test"), first=local)) == ["REFUSED"]
        async with opened(desk, Transport.TCP, realms=(PHONES, LOOPBACK), front_ends=(ip_network("10.0.0.1"),)) as tcp:
            assert rcodes(await ask(tcp, None, b"", first=HEADER + bytes(4000))) == ["FORMERR"]

    run(scenario)
    assert [entry.client_ip for _, entry in desk.attempts()] == ["192.0.2.1"]


def test_a_front_end_of_tls_sends_its_header_before_the_handshake(desk: Desk, site: Site) -> None:
    context = trusting(site)

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials(), realms=(PHONES,), front_ends=FRONT) as dot:
            reader, writer = await asyncio.open_connection("127.0.0.1", dot.port)
            writer.write(HEADER)
            await writer.start_tls(context, server_hostname=NAME)
            query = a_query("chat.test")
            writer.write(len(query).to_bytes(2) + query)
            async with asyncio.timeout(5):
                reply = await reader.readexactly(int.from_bytes(await reader.readexactly(2)))
            assert rcodes([reply]) == ["NXDOMAIN"]
            writer.close()

    run(scenario)
    assert [entry.client_ip for _, entry in desk.attempts()] == ["192.0.2.1"]


def test_who_does_not_finish_the_handshake_takes_no_more_than_a_clients_share(desk: Desk, site: Site) -> None:
    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials(), limits=TcpLimits(100, 2, 10)) as dot:
            silent = [await asyncio.open_connection("127.0.0.1", dot.port) for _ in range(3)]
            async with asyncio.timeout(5):
                assert await silent[2][0].read() == b""
            assert await ask_or_nothing(dot, site) == []
            for _, writer in silent:
                writer.close()
            for _ in range(100):
                if await ask_or_nothing(dot, site):
                    break
                await asyncio.sleep(0.01)
            assert rcodes(await ask_or_nothing(dot, site)) == ["NXDOMAIN"]

    run(scenario)


async def ask_or_nothing(line: Opened, site: Site) -> list[bytes]:
    try:
        return await ask(line, trusting(site), a_query("chat.test"))
    except (OSError, ssl.SSLError):
        return []


def test_a_token_in_the_server_name_is_recorded_as_its_hash_and_a_grant_goes_with_it(desk: Desk, site: Site) -> None:
    shown = f"token:{(token_hash(TOKEN) or b'').hex()}"
    anywhere = Realm("roaming", (), Mode.ENFORCE)
    name = f"{TOKEN}.{NAME}"

    async def scenario() -> None:
        async with opened(desk, Transport.DOT, site.credentials(with_token()), realms=(anywhere,)) as dot:
            assert rcodes(await ask(dot, trusting(site), a_query("chat.test"), name=name)) == ["NXDOMAIN"]
            granted = ShownGrant("roaming", shown, ("chat",), NOW + timedelta(seconds=60))
            dot.path.directory.follow(replace(desk.orders, shown=(granted,)))
            assert rcodes(await ask(dot, trusting(site), a_query("chat.test"), name=name)) == ["NXDOMAIN"]
            assert desk.upstreams.asked == ["chat.test A"], "it was asked for, and upstream does not know it"

    run(scenario)
    assert [(count, entry.shown) for count, entry in desk.attempts()] == [(1, shown)]
