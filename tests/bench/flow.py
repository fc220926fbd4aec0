"""The decision core of connections: what reading and judging the first octets of one costs.

    python -m tests.bench.flow

Each time is CPU time, the best of several rounds. The last rows are what a client could make us spend.
"""

import time
import timeit
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from ipaddress import ip_address
from pathlib import Path
from tempfile import TemporaryDirectory

from enforcer.blocklists import compile_to, load_lists, open_policy, shipped_folder
from enforcer.decide.flow import BYTES_MAX, SEGMENTS_MAX, Datagrams, Opening, inspect, judge_flow
from enforcer.policy.compiled import PolicySettings
from enforcer.policy.rules import Port, Transport
from enforcer.policy.verdict import Client
from tests.wire.hellos import big, hello, of_ssl, records
from tests.wire.initials import crypto, of_aioquic, seal

ROUNDS = 5
NOW = datetime(2026, 11, 26, tzinfo=UTC)
CLIENT = Client("bench")
ADDRESS, PORT = ip_address("192.0.2.1"), Port(Transport.TCP, 443)
GET = b"GET /index.html HTTP/1.1\r\nHost: www.canada.ca\r\n" + b"X-Field: value of it\r\n" * 8 + b"\r\n"


def main() -> list[tuple[str, str, str]]:
    """What is read, its octets, and the time."""
    return [*honest(), *hostile()]


def honest() -> Iterator[tuple[str, str, str]]:
    """What clients send, read and judged with the shipped lists."""
    with TemporaryDirectory() as folder:
        own = load_lists(sorted(shipped_folder().glob("*.yaml")), NOW.date())
        policy = open_policy(compile_to(Path(folder), own, [], PolicySettings()))
    streams = {
        "TLS, OpenSSL": of_ssl("www.canada.ca"),
        "TLS, as large as a browser's": big(b"www.canada.ca"),
        "TLS, in records of one octet": hello(b"www.canada.ca", size=1),
        "HTTP": GET,
        "MMTLS": bytes.fromhex("19f10400a10000009d0104f10100a8"),
        "unknown": b"\x00\x00\x00\x08\x04\xd2\x16\x2f",
    }
    for name, data in streams.items():
        seen = inspect(data, transport=Transport.TCP)
        if seen is None:
            raise AssertionError(name)
        read = partial(inspect, data, transport=Transport.TCP)
        judge = partial(judge_flow, seen, ADDRESS, PORT, policy=policy, client=CLIENT, now=NOW)
        yield f"read: {name}", f"{len(data)}", us(read)
        yield f"judge: {name}", "", us(judge)
    (one,) = of_aioquic("www.canada.ca")
    large = big(b"www.canada.ca")[5:]
    two = seal(crypto(large[:1100])), seal(crypto(large[1100:], 1100), number=3)
    yield "read: QUIC, one datagram", f"{len(one)}", us(lambda: Datagrams().add(one))
    yield "read: QUIC, two datagrams", f"{sum(map(len, two))}", us(lambda: feed(Datagrams(), two))


def hostile() -> Iterator[tuple[str, str, str]]:
    """What costs most, up to where we give up."""
    endless = records(b"\x01\xef\xff\xff" + bytes(0x3000)) + records(bytes(15_000_000))
    yield "15 MB of ClientHello, by 1,400 octets", f"{len(endless)}", us(lambda: feed(Opening(), cut(endless, 1400)), 5)
    single = hello(b"www.canada.ca", size=1) * 20
    yield "records of one octet, by single octets", f"{SEGMENTS_MAX}", us(lambda: feed(Opening(), cut(single, 1)), 5)
    head = b"GET / HTTP/1.1\r\n" + b"a: b\r\n" * BYTES_MAX
    yield "a head without end, by 8 octets", f"{BYTES_MAX}", us(lambda: feed(Opening(), cut(head, 8)), 5)
    hosts = b"GET / HTTP/1.1\r\nHost: " + b"\xff," * 10_000 + b"\r\n\r\n"
    yield "a head of ten thousand hosts", f"{len(hosts)}", us(lambda: inspect(hosts, transport=Transport.TCP), 5)


def cut(data: bytes, size: int) -> Iterator[bytes]:
    """Pieces of that size."""
    return (data[at : at + size] for at in range(0, len(data), size))


def feed(taker: Opening | Datagrams, pieces: Iterator[bytes] | tuple[bytes, ...]) -> None:
    """Until it is seen."""
    for piece in pieces:
        if taker.add(piece) is not None:
            return


def us(work: Callable[[], object], times: int = 2000) -> str:
    """Microseconds of CPU that one run takes, whatever else the machine does."""
    return f"{min(timeit.repeat(work, timer=time.process_time, number=times, repeat=ROUNDS)) / times * 1e6:,.1f}"


if __name__ == "__main__":
    for row in main():
        print(*row, sep="\t")
