from datetime import datetime
from ipaddress import ip_address

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from enforcer.decide.flow import (
    BYTES_MAX,
    DATAGRAMS_MAX,
    NAMES_MAX,
    SEGMENTS_MAX,
    SILENT,
    UNKNOWN,
    Datagrams,
    Judged,
    Opening,
    Seen,
    Shows,
    inspect,
    judge_address,
    judge_flow,
)
from enforcer.policy.names import parse
from enforcer.policy.rules import Port, Transport
from enforcer.policy.verdict import Action, Layer
from tests.policy.made import CLIENT, NOW, a_list, a_policy
from tests.wire.hellos import PRIOR_KNOWLEDGE, alpn, big, extension, hello, message, records, sni
from tests.wire.initials import V2, crypto, of_aioquic, seal

POLICY = a_policy(
    a_list(
        "suffix: bad.test",
        "cidr: 203.0.113.0/24",
        "cidr: 198.51.100.0/24, ports: [tcp/8080]",
        "fingerprint: mmtls",
        "http_path: /mmtls/",
        "http_path: files.test/chat/",
        never_block=("exact: files.test",),
    ),
    a_list("suffix: seen.test", service="watched", more="mode: monitor"),
)
MMTLS = bytes.fromhex("19f10400a10000009d0104f10100a8")
GET = b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n"


def seen(data: bytes, transport: Transport = Transport.TCP) -> Seen:
    found = inspect(data, transport=transport)
    assert found is not None
    return found


def judged(shown: Seen, address: str | None = "192.0.2.1", port: str = "tcp/443", now: datetime = NOW) -> Judged:
    transport, _, number = port.partition("/")
    to = None if address is None else ip_address(address)
    return judge_flow(shown, to, Port(Transport(transport), int(number)), policy=POLICY, client=CLIENT, now=now)


def action(data: bytes, address: str | None = "192.0.2.1", port: str = "tcp/443") -> Action:
    return judged(seen(data), address, port).verdict.action


OPENINGS = {
    "TLS": hello(b"chat.bad.test"),
    "TLS of a browser": big(b"chat.bad.test"),
    "TLS in records of one octet": hello(b"chat.bad.test", size=1),
    "TLS behind an alert": records(b"\x01\x00", kind=21) + hello(b"chat.bad.test"),
    "HTTP": GET % b"chat.bad.test",
    "HTTP behind empty lines": b"\r\n" + GET % b"chat.bad.test",
    "MMTLS": MMTLS,
}


@pytest.mark.parametrize("name", OPENINGS)
def test_each_protocol_is_known_whole_and_an_octet_at_a_time_and_with_more_behind(name: str) -> None:
    data = OPENINGS[name]
    whole = seen(data)
    assert judged(whole).verdict.action is Action.BLOCK
    assert seen(data + b"behind") == whole
    opening = Opening()
    steps = [opening.add(data[at : at + 1]) for at in range(len(data))]
    first = next(at for at, step in enumerate(steps) if step is not None)
    assert steps[first] == whole
    assert all(step == whole for step in steps[first:])


@given(st.sampled_from(sorted(OPENINGS)), st.lists(st.integers(1, 400), max_size=12))
def test_the_pieces_do_not_matter(name: str, sizes: list[int]) -> None:
    data = OPENINGS[name]
    opening = Opening()
    found, at = None, 0
    for size in (*sizes, len(data)):
        found = found or opening.add(data[at : at + size])
        at += size
    assert found == seen(data)


def test_what_tls_shows() -> None:
    shown = seen(big(b"Chat.BAD.test."))
    assert shown == Seen(Layer.TLS, Shows.NAME, (parse("chat.bad.test"),), alpn=("h2", "http/1.1"), ech=True)
    assert judged(shown).destination.name == parse("chat.bad.test")


@pytest.mark.parametrize(
    "name",
    [
        b"chat.bad.test",
        b"CHAT.Bad.TEST.",
        b"chat.bad.test..",
        b" chat.bad.test ",
        b".bad.test",
        b"chat..bad.test",
        b"chat.bad.test\0",
        b"chat.bad.test\0.ok.test",
        "chat.bad\u3002test".encode(),
        "\uff43hat.bad.test".encode(),
        b"a b.bad.test",
        b"\xff\xfe.bad.test",
    ],
)
def test_a_banned_name_in_any_writing_is_banned(name: bytes) -> None:
    assert action(hello(name)) is Action.BLOCK
    assert action(hello(b"ok.test", name)) is Action.BLOCK


@pytest.mark.parametrize("name", [b"ok.test", b"notbad.test", b"bad.test.ok", b"_ok.test", b"1.2.3"])
def test_other_names_are_not(name: bytes) -> None:
    assert action(hello(name)) is Action.ALLOW


def test_no_name_and_no_readable_name_are_classes_of_their_own() -> None:
    assert seen(hello()).shows is Shows.NO_NAME
    assert seen(hello()).readable
    for bad in (extension(0, b""), sni(b"a" * 300), sni(b"..")):
        shown = seen(hello(more=(bad,)))
        assert (shown.layer, shown.shows, shown.readable) == (Layer.TLS, Shows.NONSENSE, False)
    assert seen(GET % b"").shows is Shows.NO_NAME
    assert seen(GET % (b"a" * 300)).shows is Shows.NONSENSE


def test_an_address_as_a_name_is_judged_as_an_address() -> None:
    assert seen(hello(b"203.0.113.7")).addresses == (ip_address("203.0.113.7"),)
    assert action(hello(b"203.0.113.7")) is Action.BLOCK
    assert action(GET % b"[::ffff:203.0.113.7]:80") is Action.BLOCK
    assert action(GET % b"192.0.2.9") is Action.ALLOW


def test_the_destination_address_is_judged_with_every_name() -> None:
    assert action(hello(b"ok.test"), "203.0.113.7") is Action.BLOCK
    assert action(hello(), "203.0.113.7") is Action.BLOCK
    assert judged(SILENT, "203.0.113.7").verdict.action is Action.BLOCK
    assert action(hello(b"ok.test"), "198.51.100.1", "tcp/8080") is Action.BLOCK
    assert action(hello(b"ok.test"), "198.51.100.1") is Action.ALLOW
    assert action(hello(b"bad.test"), None) is Action.BLOCK
    assert action(hello(), None) is Action.ALLOW


@pytest.mark.parametrize(("address", "expected"), [("203.0.113.7", Action.BLOCK), ("192.0.2.1", Action.ALLOW)])
def test_an_address_alone(address: str, expected: Action) -> None:
    found = judge_address(ip_address(address), Port(Transport.TCP, 80), policy=POLICY, client=CLIENT, now=NOW)
    assert found.verdict.action is expected
    assert found.destination.layer is Layer.IP


def test_the_strictest_verdict_of_several_names_counts() -> None:
    both = judged(seen(hello(b"ok.test", b"seen.test", b"bad.test")))
    assert (both.verdict.action, both.destination.name) == (Action.BLOCK, parse("bad.test"))
    observed = judged(seen(hello(b"ok.test", b"seen.test", b"other.test")))
    assert (observed.verdict.action, observed.destination.name) == (Action.OBSERVE, parse("seen.test"))


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.1\r\nHost: ok.test\r\nHost: bad.test\r\n\r\n",
        b"GET http://bad.test/ HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"CONNECT bad.test:443 HTTP/1.1\r\n\r\n",
        b"POST /mmtls/0123abcd HTTP/1.1\r\nHost: ok.test\r\n\r\n",
        b"POST /./%6dmtls/0123abcd HTTP/1.1\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: ok.test\r\nUpgrade: h2c, MMTLS\r\n\r\n",
        b"GET /chat/app.apk HTTP/1.1\r\nHost: files.test\r\n\r\n",
    ],
)
def test_http_is_banned_by_any_host_by_path_and_by_upgrade(head: bytes) -> None:
    assert action(head) is Action.BLOCK


def test_http_neighbours_are_allowed() -> None:
    assert action(b"GET /other/ HTTP/1.1\r\nHost: files.test\r\n\r\n") is Action.ALLOW
    assert action(b"GET /?/mmtls/ HTTP/1.1\r\nHost: ok.test\r\n\r\n") is Action.ALLOW


@pytest.mark.parametrize("port", ["tcp/80", "tcp/443", "tcp/8080"])
def test_mmtls_is_banned_on_every_port(port: str) -> None:
    shown = seen(MMTLS)
    assert shown == Seen(Layer.MMTLS, Shows.NAME, fingerprint="mmtls")
    assert judged(shown, port=port).verdict.action is Action.BLOCK


@pytest.mark.parametrize("data", [b"\0", b"SSH-2.0-x y\r\n", b"EHLO a.test\r\n", b"\x16\xf2", b"\x17\x03\x03\0\x05"])
def test_anything_else_is_unknown(data: bytes) -> None:
    assert seen(data) == UNKNOWN
    assert seen(data).readable
    assert judged(UNKNOWN).verdict.action is Action.ALLOW


@pytest.mark.parametrize("data", [b"", b"\x16", b"\x16\xf1", b"\x19", b"G", b"GET / HTTP/1.1\r\n", b"\r\n", b"NICK"])
def test_too_little_asks_for_more(data: bytes) -> None:
    assert inspect(data, transport=Transport.TCP) is None


@pytest.mark.parametrize(
    ("data", "layer"),
    [
        (records(b"\x01\x00\x00\x02\x03\x03"), Layer.TLS),
        (b"\x16\x03\x01\x00\x01\x02", Layer.TLS),
        (b"\x16\x03\x01\x00\x00" * (BYTES_MAX // 5 + 1), Layer.TLS),
        (b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * (BYTES_MAX // 6), Layer.HTTP),
        (GET % b",".join(b"h%d.test" % number for number in range(NAMES_MAX + 1)), Layer.HTTP),
    ],
)
def test_what_no_server_reads_and_what_has_no_end_is_nonsense(data: bytes, layer: Layer) -> None:
    shown = seen(data)
    assert (shown.layer, shown.shows, shown.readable) == (layer, Shows.NONSENSE, False)


@pytest.mark.parametrize("data", [b"\x16\x03\x01\x40\x00", b"GET / HTTP/1.1\r\nX: "])
def test_a_client_that_goes_on_in_single_octets_is_nonsense_in_the_end(data: bytes) -> None:
    opening = Opening()
    opening.add(data)
    found = [opening.add(b"a") for _ in range(SEGMENTS_MAX - 1)]
    assert found[-1] is not None
    assert found[-1].shows is Shows.NONSENSE
    assert all(each is None for each in found[:-1])
    assert opening.size == len(data) + SEGMENTS_MAX - 1


def test_15_mb_of_a_hello_are_not_held() -> None:
    opening = Opening()
    endless = records(b"\x01\xef\xff\xff" + bytes(0x3000)) + records(bytes(15_000_000))
    found = (opening.add(endless[at : at + 1400]) for at in range(0, len(endless), 1400))
    shown = next(each for each in found if each is not None)
    assert shown.shows is Shows.NONSENSE
    assert opening.size <= BYTES_MAX


def test_http_2_with_prior_knowledge_shows_its_authority() -> None:
    shown = seen(PRIOR_KNOWLEDGE)
    assert shown.names == (parse("chat.test"), parse("other.test"))
    assert (shown.layer, shown.path, shown.alpn) == (Layer.HTTP, "/a?b", ("h2c",))
    assert inspect(PRIOR_KNOWLEDGE[:-1], transport=Transport.TCP) is None
    assert seen(b"PRI * HTTP/2.0\r\n\r\nXX").shows is Shows.NONSENSE


def test_quic_is_judged_by_its_name_over_one_datagram_or_several() -> None:
    (small,) = of_aioquic("chat.bad.test")
    shown = seen(small, Transport.UDP)
    assert (shown.layer, shown.shows, shown.alpn, shown.ech) == (Layer.QUIC, Shows.NAME, ("h3",), False)
    assert judged(shown, port="udp/443").verdict.action is Action.BLOCK
    large = big(b"chat.bad.test")[5:]
    datagrams = Datagrams()
    assert datagrams.add(seal(crypto(large[900:], 900), V2)) is None
    later = datagrams.add(seal(crypto(large[:900]), V2, number=3))
    assert later is not None
    assert judged(later, port="udp/443").verdict.action is Action.BLOCK


def test_quic_that_we_cannot_read_is_not_readable() -> None:
    other = seen(b"\xc3Q050\x08" + bytes(1300), Transport.UDP)
    assert (other.layer, other.shows, other.readable) == (Layer.QUIC, Shows.UNKNOWN, False)
    broken = seen(seal(b"\x08\x00"), Transport.UDP)
    assert (broken.layer, broken.shows, broken.readable) == (Layer.QUIC, Shows.NONSENSE, False)
    nameless = seen(of_aioquic(None)[0], Transport.UDP)
    assert (nameless.shows, nameless.readable) == (Shows.NO_NAME, True)


def test_other_datagrams_are_unknown() -> None:
    assert seen(b"\x40" + bytes(50), Transport.UDP) == UNKNOWN
    assert seen(b"", Transport.UDP) == UNKNOWN


def test_a_client_that_never_sends_a_whole_hello_over_quic_is_nonsense_in_the_end() -> None:
    datagrams = Datagrams()
    found = [datagrams.add(seal(crypto(b"\x01\0\x20\0"))) for _ in range(DATAGRAMS_MAX)]
    assert all(each is None for each in found[:-1])
    assert found[-1] is not None
    assert not found[-1].readable


@settings(max_examples=300)
@given(st.binary(max_size=80), st.sampled_from([b"", b"\x16\x03", b"\x16\xf1\x04", b"GET / HTTP/1.1\r\n", b"\r\n"]))
def test_any_octets_are_seen_or_ask_for_more(data: bytes, start: bytes) -> None:
    shown = inspect(start + data, transport=Transport.TCP)
    if shown is not None:
        assert judged(shown).verdict.action in Action


@given(st.binary(max_size=300))
def test_any_octets_as_a_name_are_judged(name: bytes) -> None:
    shown = seen(records(message(sni(name) if name else alpn(b"h2"))))
    judged(shown)
    assert len(shown.names) <= 2
