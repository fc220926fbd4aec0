"""Many clients, and bad ones: the others do not notice. Upstreams that lie: nobody believes them."""

import resource
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from tests.certificates import Authority
from tests.e2e.lan import PHONE, TABLET, Service, Unbound, dnsperf, free_port, question

NAME = "dns.test"
TLS_CLIENTS = 500
TCP_CLIENTS = min(9_500, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - TLS_CLIENTS - 500)  # as the system lets us
FILES = TCP_CLIENTS + TLS_CLIENTS + 500
MB = 1 << 20


def memory(service: Service, name: str = "dns-0") -> int:
    """Octets that a worker holds, its share of what it has in common with others (PSS)."""
    lines = Path(f"/proc/{service.pids()[name]}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))


@pytest.fixture(scope="module")
def crowded(upstream: Unbound, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Service, int, Path]]:
    """A service that takes as many connections as there are, its TLS port, and who signed its certificate."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, FILES), hard))
    folder = tmp_path_factory.mktemp("crowd")
    authority, tls = Authority(folder), free_port()
    pair = authority.pair("dns", NAME)
    with Service(folder / "own", upstream.url) as service:
        listeners = service.config["resolver"]["listeners"]
        listeners[0] |= {"tls": f"127.0.0.1:{tls}", "certificate": str(pair.certificate), "key": str(pair.key)}
        limits = {"per_client_qps": 0, "tcp_clients": 20_000, "tcp_per_client": 10_000, "tcp_idle_s": 120}
        service.change(**{"resolver.limits": limits})
        yield service.start(), tls, authority.pem
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def framed(name: str, qtype: int = 1, number: int = 7) -> bytes:
    wire = question(name, qtype, number=number)
    return len(wire).to_bytes(2) + wire


def answer(sock: socket.socket) -> bytes:
    """The next message of a stream."""

    def exactly(size: int) -> bytes:
        data = b""
        while len(data) < size:
            piece = sock.recv(size - len(data))
            assert piece, "the connection was closed"
            data += piece
        return data

    return exactly(int.from_bytes(exactly(2)))


@pytest.mark.timeout(180)
def test_t2_ten_thousand_idle_clients_keep_nobody_from_an_answer(crowded: tuple[Service, int, Path]) -> None:
    service, tls, authority = crowded
    context = ssl.create_default_context(cafile=authority)
    before = memory(service)
    with ExitStack() as stack:
        idle: list[socket.socket] = []
        for number in range(TCP_CLIENTS):
            source = (PHONE if number % 2 else TABLET, 0)
            idle.append(stack.enter_context(socket.create_connection(("127.0.0.1", service.port), 20, source)))
        for _ in range(TLS_CLIENTS):
            plain = stack.enter_context(socket.create_connection(("127.0.0.1", tls), 20))
            idle.append(stack.enter_context(context.wrap_socket(plain, server_hostname=NAME)))
        started = time.monotonic()
        for number in range(20):
            assert service.send(question(f"crowd{number}.ok.test"))[3] & 0xF == 0
        assert time.monotonic() - started < 10
        assert service.send(question("crowd.blocked.test"))[3] & 0xF == 3
        for sock in idle[::100]:
            sock.sendall(framed("www.test"))
            assert answer(sock)[3] & 0xF == 0
        taken = memory(service) - before
    assert taken < 200 * MB, f"{taken / len(idle):.0f} octets a client"
    assert service.send(question("after.blocked.test"))[3] & 0xF == 3


def test_t2_who_does_not_read_its_answers_costs_the_others_nothing(crowded: tuple[Service, int, Path]) -> None:
    service, _, _ = crowded
    assert service.send(question("big.test", 16))
    before = memory(service)
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        slow.connect(("127.0.0.1", service.port))
        slow.settimeout(0.5)
        counted = service.metric("enforcer_dns_responses_total", transport="tcp")
        asked = 20_000  # whose answers would be 50 MB
        with suppress(TimeoutError):
            for number in range(asked):
                slow.sendall(framed("big.test", 16, number))
        for number in range(20):
            assert service.send(question(f"slow{number}.ok.test"))[3] & 0xF == 0
        assert memory(service) - before < 10 * MB
        slow.settimeout(20)
        assert answer(slow)[3] & 0xF == 0, "what it was sent, it can still read"
        answered = service.metric("enforcer_dns_responses_total", transport="tcp") - counted
        assert answered < asked, "nobody reads the questions of who does not read the answers"


@pytest.mark.timeout(120)
def test_u7_a_retry_storm_of_one_device_takes_no_answer_from_the_others(own: Service) -> None:
    """One in a hundred devices asks as fast as it can; over its limit it gets nothing, never REFUSED."""
    own.change(**{"resolver.limits": {"per_client_qps": 200, "burst": 400}})
    own.start()
    storm, calm = ("127.0.0.100", ["www.blocked.test A", "www.test A"]), [f"calm{n}.ok.test A" for n in range(500)]
    with dnsperf(own, storm[1], "-a", storm[0], "-l", "6", "-Q", "8000", "-q", "20000", "-t", "1") as stormy:
        time.sleep(0.5)
        with dnsperf(own, calm, "-a", PHONE, "-l", "4", "-Q", "150", "-t", "3") as others:
            result = others()
        loud = stormy()
    assert result.sent > 300
    assert result.lost == 0
    assert loud.lost > loud.sent / 2 > 5_000
    assert loud.answered("REFUSED") == loud.answered("SERVFAIL") == 0
    dropped = own.metric("enforcer_dns_responses_total", outcome="dropped")
    assert dropped >= loud.lost
    blocked = own.metric("enforcer_dns_responses_total", outcome="blocked")
    assert sum(line["count"] for line in own.recorded(int(blocked), name="www.blocked.test")) == blocked


@pytest.mark.timeout(120)
def test_memory_is_flat_while_new_names_go_through_a_small_cache(own: Service) -> None:
    """The soak, shortened: the cache turns over many times."""
    own.change(**{"resolver.cache": {"max_bytes": "2MB"}})
    own.start()
    questions = [f"soak{number}.ok.test A" if number % 5 else "soak.blocked.test A" for number in range(40_000)]
    with dnsperf(own, questions, "-n", "1", "-Q", "3000", "-q", "500", "-c", "4", "-t", "4") as load:
        time.sleep(4)
        early = memory(own)
        result = load()
    late = memory(own)
    assert result.sent == 40_000
    assert result.lost == 0
    assert late - early < 6 * MB, f"{early / MB:.1f} MB became {late / MB:.1f} MB"
    assert own.metric("enforcer_cache_bytes") <= 2_000_000


# Upstreams that lie


def right(query: dns.message.Message) -> dns.message.Message:
    reply = dns.message.make_response(query, recursion_available=True)
    reply.answer.append(dns.rrset.from_text(query.question[0].name, 300, "IN", "A", "203.0.113.66"))
    return reply


def other_id(query: dns.message.Message) -> bytes:
    wire = right(query).to_wire()
    return bytes((wire[0] ^ 0xFF,)) + wire[1:]


def other_name(query: dns.message.Message) -> bytes:
    return right(dns.message.make_query("wrong.test", "A", id=query.id)).to_wire()


def cut(query: dns.message.Message) -> bytes:
    """Truncated; and there is no TCP."""
    reply = right(query)
    reply.answer.clear()
    reply.flags |= dns.flags.TC
    return reply.to_wire()


def huge(query: dns.message.Message) -> bytes:
    return right(query).to_wire() + bytes(60_000)


def garbage(query: dns.message.Message) -> bytes:
    return query.to_wire()[:2] + b"\x81\x80" + b"\xff" * 500


def broken_record(query: dns.message.Message) -> bytes:
    return right(query).to_wire()[:-3]


LIES: dict[str, Callable[[dns.message.Message], bytes]] = {
    "id": other_id,
    "name": other_name,
    "cut": cut,
    "garbage": garbage,
    "record": broken_record,
}


@contextmanager
def liar() -> Iterator[str]:
    """An upstream that lies as the first label of a name says, and echoes nothing else."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))

        def serve() -> None:
            while True:
                try:
                    wire, source = sock.recvfrom(4096)
                except OSError:
                    return
                query = dns.message.from_wire(wire)
                lie = LIES.get(query.question[0].name.labels[0].decode())
                if lie is not None:
                    sock.sendto(lie(query), source)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield f"udp://127.0.0.1:{sock.getsockname()[1]}"


def test_u1_an_upstream_that_lies_is_not_believed_and_the_next_one_asked(upstream: Unbound, tmp_path: Path) -> None:
    with liar() as first, Service(tmp_path / "own", first, upstream.url) as service:
        service.change(**{"resolver.strategy": "ordered", "resolver.timeouts": {"attempt_s": 0.3, "query_s": 3}})
        service.start()
        for lie in LIES:
            assert service.dig(f"{lie}.ok.test").data == ["192.0.2.20"], lie
        assert service.metric("enforcer_upstream_failures_total", upstream=first, reason="mismatch") >= 2
        assert service.metric("enforcer_upstream_failures_total", upstream=first, reason="malformed") >= 2


def test_an_answer_that_loops_or_never_ends_is_passed_on_or_refused_and_nothing_stops(tmp_path: Path) -> None:
    loop = "a.test. 300 IN CNAME b.test.", "b.test. 300 IN CNAME a.test."

    def looping(query: dns.message.Message) -> bytes:
        reply = dns.message.make_response(query, recursion_available=True)
        for line in loop:
            owner, ttl, rclass, rtype, data = line.split(maxsplit=4)
            reply.answer.append(dns.rrset.from_text(owner, int(ttl), rclass, rtype, data))
        return reply.to_wire()

    LIES["a"], LIES["huge"] = looping, huge
    try:
        with liar() as only, Service(tmp_path / "own", only) as service:
            service.change(**{"resolver.timeouts": {"attempt_s": 0.2, "query_s": 0.5}})
            service.start()
            assert service.dig("a.test").data == ["b.test.", "a.test."]
            assert service.dig("huge.test", "+ignore").status in ("NOERROR", "SERVFAIL")
            assert service.dig("b.blocked.test").status == "NXDOMAIN"
    finally:
        del LIES["a"], LIES["huge"]
