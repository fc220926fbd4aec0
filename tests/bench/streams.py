"""One DNS worker beside Unbound and dnsdist over TCP, TLS and HTTPS: queries per CPU-second."""

import re
import subprocess
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import dns.message

from tests.bench import peers, questions
from tests.bench.compare import REFERENCE, agreeing, warm_up
from tests.bench.load import load
from tests.bench.peers import Peer, Place, Secure
from tests.bench.process import OTHER, find, free_port, pinned
from tests.bench.tables import print_table
from tests.certificates import Authority

ROUNDS = 3
ROUND_S = 1.5
CONNECTIONS = 8
HTTP_REQUESTS, HTTP_STREAMS = 6_000, 16
NAME = "dns.test"
SETS = {
    "tcp": "TCP, 80 % cached, 20 % blocked",
    "dot": "DNS over TLS, the same",
    "doh": "DNS over HTTPS (HTTP/2), one cached answer",
}


def main() -> None:
    """Measure, and print a table for each transport."""
    rules = questions.banned()
    print(f"{CONNECTIONS} connections that stay, the middle one of {ROUNDS} rounds; dnsperf, for HTTPS h2load")
    with TemporaryDirectory(prefix="enforcer-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        pair = Authority(folder).pair("dns", NAME)
        upstream = stack.enter_context(peers.forwarded_to(folder))
        running: list[Peer] = []
        for program in ("unbound", "dnsdist", "enforcer"):
            own = folder / program
            own.mkdir()
            secure = Secure(free_port(), free_port(), pair.certificate, pair.key)
            place = Place(own, rules, free_port(), upstream, secure)
            path = find(program) if program in peers.PEERS else ""
            if path is None:
                print(f"{program}: not installed, left out")
                continue
            made = peers.PEERS[program](place, path) if path else peers.one_worker(place)
            running.append(replace(agreeing(stack.enter_context(made), rules), secure=secure))
        for peer in running:
            list(warm_up("mixed", peer, rules, folder))
        for transport, title in SETS.items():
            if transport == "doh" and find("h2load") is None:
                print("h2load: not installed, HTTPS left out")
                continue
            print()
            print_set(title, {peer.name: rounds(transport, peer, rules, folder) for peer in running})


def rounds(transport: str, peer: Peer, rules: Sequence[str], folder: Path) -> list[tuple[float, float, int]]:
    """Of each round: answers a second, answers for each second of CPU, queries that were lost."""
    found = []
    for _ in range(ROUNDS):
        cpu_s = peer.process.cpu_s()
        completed, seconds, lost = (https if transport == "doh" else stream)(transport, peer, rules, folder)
        found.append((completed / seconds, completed / max(peer.process.cpu_s() - cpu_s, 0.01), lost))
    return found


def stream(transport: str, peer: Peer, rules: Sequence[str], folder: Path) -> tuple[int, float, int]:
    """As many questions as are answered, over connections of dnsperf."""
    path = questions.write(folder / "mixed", questions.mixed(rules), questions.QUERIES)
    port = peer.port if transport == "tcp" else peer.secure.tls if peer.secure else 0
    result = load(port, path, ROUND_S, OTHER, "-m", transport)
    return result.completed, result.seconds, result.lost


def https(_: str, peer: Peer, __: Sequence[str], folder: Path) -> tuple[int, float, int]:
    """So many requests of h2load; dnsperf does not read all answers that come in one TLS record."""
    query = folder / "query"
    query.write_bytes(dns.message.make_query("host1.site1-allowed.net", "A", id=0).to_wire())
    url = f"https://127.0.0.1:{peer.secure.https if peer.secure else 0}/dns-query"
    command = ["h2load", "-n", str(HTTP_REQUESTS), "-c", str(CONNECTIONS), "-m", str(HTTP_STREAMS), "-d", str(query)]
    command += ["-H", "content-type: application/dns-message", "-H", "accept: application/dns-message", url]
    said = subprocess.run(pinned(command, OTHER), capture_output=True, text=True, check=True).stdout
    rate, done = re.search(r"([\d.]+) req/s", said), re.search(r"(\d+) 2xx", said)
    completed = int(done[1]) if done else 0
    return completed, HTTP_REQUESTS / float(rate[1]) if rate else 1.0, HTTP_REQUESTS - completed


def print_set(title: str, found: dict[str, list[tuple[float, float, int]]]) -> None:
    """A table of one transport."""
    per_cpu = {name: median(each[1] for each in measured) for name, measured in found.items()}
    reference = per_cpu.get(REFERENCE)
    rows = [
        (
            name,
            f"{median(each[0] for each in measured):,.0f}",
            f"{per_cpu[name]:,.0f}",
            f"{per_cpu[name] / reference:.2f}" if reference else "-",
            f"{sum(each[2] for each in measured)}",
        )
        for name, measured in found.items()
    ]
    print_table((title, "queries/s", "per CPU-s", f"of {REFERENCE}", "lost"), rows)
