"""Allowed names get the answers that Unbound gives with the same forwarder, over three transports."""

import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from tests.certificates import Authority, Pair
from tests.e2e.lan import ZONE, Service, Unbound, dig, free_port, wait_for
from tests.tools import need

NAME = "dns.test"
TYPES = ("A", "AAAA", "MX", "TXT", "CNAME", "NS", "SRV", "CAA", "HTTPS", "SVCB", "DS", "SOA", "NAPTR", "TYPE65400")
HOSTS = 50
KINDS = """\
plain{n}    A     192.0.2.{n}
plain{n}    AAAA  2001:db8::{n}
plain{n}    MX    10 mail{n}
plain{n}    TXT   "one {n}" "two"
plain{n}    CAA   0 issue "ca.test"
plain{n}    SRV   1 2 443 plain{n}
plain{n}    HTTPS 1 . alpn=h2,h3 ipv4hint=192.0.2.{n} ipv6hint=2001:db8::{n}
plain{n}    SVCB  2 other{n}.svc port=853 alpn=dot
plain{n}    NAPTR 10 20 "s" "SIP+D2U" "" plain{n}
plain{n}    TYPE65400 \\# 3 01ff{n:02x}
many{n}     A     192.0.2.1
many{n}     A     192.0.2.{n}
many{n}     A     198.18.{n}.1
brief{n} 1  A     192.0.2.{n}
zero{n}  0  A     192.0.2.{n}
link{n}     CNAME plain{n}
chain{n}    CNAME link{n}
lost{n}     CNAME nowhere{n}
*.wild{n}   A     192.0.2.{n}
empty.a.b{n} A    192.0.2.{n}
tree{n}     DNAME wild{n}
large{n}    TXT   {large}
"""
ASKED: tuple[str, ...] = (
    "plain{n}",
    "many{n}",
    "brief{n}",
    "zero{n}",
    "link{n}",
    "chain{n}",
    "lost{n}",
    "x.wild{n}",
    "y.z.wild{n}",
    "wild{n}",
)
ASKED += ("a.b{n}", "b{n}", "x.tree{n}", "nothing{n}", "x.plain{n}", "MiXeD.wIlD{n}", "large{n}")
PAIRS = [(f"{host.format(n=n)}.test", rtype) for n in range(1, HOSTS + 1) for host, rtype in product(ASKED, TYPES)]
WAIT_S = 10.0
STEP = 11  # shares no factor with the numbers of names and types, so that every combination has its turn


def zone() -> str:
    """The zone of all tests, with many names more."""
    large = " ".join(f'"{"x" * 240}"' for _ in range(8))
    return ZONE + "".join(KINDS.format(n=n, large=large) for n in range(1, HOSTS + 1))


@dataclass(frozen=True, slots=True)
class Server:
    """Where a resolver answers on loopback."""

    port: int
    tls: int


@contextmanager
def forwarding(folder: Path, upstream: int, pair: Pair) -> Iterator[Server]:
    """Unbound that forwards to a port, with no module but the one that asks."""
    folder.mkdir()
    server = Server(free_port(), free_port())
    (folder / "unbound.conf").write_text(f"""\
server:
  interface: 127.0.0.1@{server.port}
  interface: 127.0.0.1@{server.tls}
  tls-port: {server.tls}
  tls-service-pem: "{pair.certificate}"
  tls-service-key: "{pair.key}"
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: "{folder / "log"}"
  module-config: "iterator"
  num-threads: 1
  do-daemonize: no
  do-not-query-localhost: no
  local-zone: "test." nodefault
  rrset-roundrobin: no
  minimal-responses: no
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{upstream}
remote-control:
  control-enable: no
""")
    process = subprocess.Popen([need("unbound"), "-d", "-c", str(folder / "unbound.conf")])
    try:
        wait_for(lambda: dig("127.0.0.1", server.port, "www.test").status == "NOERROR", "Unbound answers")
        yield server
    finally:
        process.terminate()
        process.wait()


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Server, Path]]:
    """Ours, the reference, and who signed their certificates."""
    folder = tmp_path_factory.mktemp("same")
    authority = Authority(folder)
    pair = authority.pair("dns", NAME)
    with (
        Unbound(folder / "zone", zone=zone()) as knowing,
        forwarding(folder / "upstream", knowing.port, pair) as upstream,  # which follows aliases, as upstreams do
        forwarding(folder / "reference", upstream.port, pair) as theirs,
        Service(folder / "ours", f"udp://127.0.0.1:{upstream.port}") as service,
    ):
        tls = free_port()
        listeners = service.config["resolver"]["listeners"]
        listeners[0] |= {"tls": f"127.0.0.1:{tls}", "certificate": str(pair.certificate), "key": str(pair.key)}
        service.change()
        service.start()
        yield Server(service.port, tls), theirs, authority.pem


type Ask = Callable[[dns.message.Message], dns.message.Message]


@contextmanager
def asking(server: Server, transport: str, authority: Path) -> Iterator[Ask]:
    """How to ask a server; over a stream all questions go on one connection."""
    port = server.tls if transport == "tls" else server.port
    if transport == "udp":
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            yield lambda query: dns.query.udp(query, "127.0.0.1", WAIT_S, port, sock=sock, ignore_unexpected=True)
        return
    with socket.create_connection(("127.0.0.1", port)) as plain:
        if transport == "tcp":
            plain.setblocking(False)
            yield lambda query: dns.query.tcp(query, "127.0.0.1", WAIT_S, port, sock=plain)
            return
        context = ssl.create_default_context(cafile=authority)
        with context.wrap_socket(plain, server_hostname=NAME) as secured:
            secured.setblocking(False)
            yield lambda query: dns.query.tls(query, "127.0.0.1", WAIT_S, port, sock=secured)


def said(message: dns.message.Message) -> dict[str, object]:
    """All that has to be the same. TTLs may differ by the seconds between two caches, so they are told apart below."""
    cut = bool(message.flags & dns.flags.TC)  # then a server may leave out as much as it likes (RFC 2181 §9)
    negative = [rrset.name for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA]
    return {
        "id": message.id,
        "opcode": message.opcode(),
        "rcode": dns.rcode.to_text(message.rcode()),
        "flags": dns.flags.to_text(message.flags),
        "question": [rrset.to_text() for rrset in message.question],
        "answer": [] if cut else sorted(_rrset(rrset) for rrset in message.answer),
        "negative": [] if message.answer else negative,
        "edns": (message.edns, bool(message.ednsflags & dns.flags.DO)),
    }


def _rrset(rrset: dns.rrset.RRset) -> str:
    data = sorted(rdata.to_text() for rdata in rrset)
    return f"{rrset.name.to_text()} {dns.rdatatype.to_text(rrset.rdtype)} {data}"


def queries(transport: str) -> Iterator[dns.message.Message]:
    """Each pair once, in the ways that clients ask: without EDNS, with it, with DO, with CD, with AD."""
    first = {"udp": 0, "tcp": 1, "tls": 2}[transport]
    for number, (name, rtype) in enumerate(PAIRS[first::STEP]):
        query = dns.message.make_query(name, rtype, use_edns=None if number % 5 == 0 else 0, payload=1232)
        if number % 5 == 1:
            query.want_dnssec(True)
        if number % 7 == 2:
            query.flags |= dns.flags.CD
        if number % 7 == 3:
            query.flags |= dns.flags.AD
        yield query


@pytest.mark.timeout(180)
@pytest.mark.parametrize("transport", ["udp", "tcp", "tls"])
def test_allowed_names_are_answered_as_unbound_answers_them(
    servers: tuple[Server, Server, Path], transport: str
) -> None:
    ours, theirs, authority = servers
    different: list[tuple[str, dict[str, object], dict[str, object]]] = []
    count = 0
    with asking(ours, transport, authority) as ask_us, asking(theirs, transport, authority) as ask_them:
        for query in queries(transport):
            one, other = said(ask_us(query)), said(ask_them(query))
            count += 1
            if one != other:
                different.append((query.question[0].to_text(), one, other))
    assert count > 1_000
    assert different == [], f"{len(different)} of {count} differ; the first: {different[0]}"
