"""What identity costs: 100,000 sessions in memory, look-ups among them, and accounting packets over loopback."""

import asyncio
import json
import resource
import select
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from ipaddress import IPv4Address
from pathlib import Path
from statistics import median

from enforcer.devices.device import Device
from enforcer.devices.inventory import Inventory, Kind
from enforcer.devices.prefix import Prefix
from enforcer.devices.registry import Registry
from enforcer.devices.session import Report, Status
from enforcer.devices.sessions import SessionTable
from enforcer.devices.subject import Subject
from enforcer.identity.accounting import AccountingPart
from enforcer.identity.journal import Journal
from tests.identity.gateway import INTERIM, START, Bench, accounting
from tests.processes.site import free_port
from tests.records import NOON_MS, moment

SESSIONS = 100_000
RATE, SECONDS = 5_000, 5


def main() -> list[tuple[str, str]]:
    """Each figure with what it is."""
    with tempfile.TemporaryDirectory(prefix="enforcer-bench-") as folder:
        return [*sessions(Path(folder) / "sessions"), *packets(Path(folder) / "packets")]


def sessions(folder: Path) -> Iterator[tuple[str, str]]:
    """A table that is full: what it weighs, and what is asked of it."""
    devices = [Device(f"dev-{number}", "field") for number in range(SESSIONS)]
    inventory = Inventory(tuple(devices), {(Kind.IMEI, f"{35_000_000_000_000 + n}"): d for n, d in enumerate(devices)})
    before = _resident()
    table = SessionTable()
    registry = Registry(inventory, sessions=table)
    begin = time.process_time()
    for number in range(SESSIONS):
        registry.report(_report(number))
    spent = time.process_time() - begin
    yield f"{SESSIONS:,} sessions, each with IPv4 and a /64", f"{(_resident() - before) / 1e6:.0f} MB"
    yield "Starts taken in", f"{SESSIONS / spent:,.0f}/s"
    address, at = IPv4Address("10.1.2.3"), moment(NOON_MS + 1000)
    begin = time.process_time()
    for number in range(SESSIONS):
        registry.owner("apn", IPv4Address(int(address) + number % 60_000), at)
    yield "look-ups of an owner", f"{SESSIONS / (time.process_time() - begin):,.0f}/s"
    journal = Journal(folder)
    begin = time.perf_counter()
    asyncio.run(journal.snapshot(table))
    yield "a snapshot of all, with others served meanwhile", f"{time.perf_counter() - begin:.1f} s"
    begin = time.perf_counter()
    Journal(folder).load(SessionTable())
    yield "a start from it", f"{time.perf_counter() - begin:.1f} s"


def packets(folder: Path) -> Iterator[tuple[str, str]]:
    """Accounting at a rate, from a process of its own, to the hub's part with its journal."""
    port = free_port()
    folder.mkdir(parents=True)
    client = {"network": "127.0.0.1", "secret_file": str(folder / "secret")}
    bench = Bench(folder, {"radius": [{"realm": "lab", "listen": f"127.0.0.1:{port}", "clients": [client]}]})
    part = AccountingPart(bench.means)
    command = [sys.executable, "-m", "tests.bench.identity", str(port)]

    async def run() -> tuple[bytes, float]:
        task = asyncio.get_running_loop().create_task(part.run())
        begin = time.process_time()
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        printed, _ = await process.communicate()
        task.cancel()
        return printed, time.process_time() - begin

    printed, spent = asyncio.run(run())
    part.close()
    found = json.loads(printed)
    sent, rtts = found["sent"], sorted(found["rtts"])
    yield f"accounting packets sent at {RATE:,}/s for {SECONDS} s, answered", f"{len(rtts):,} of {sent:,}"
    yield "answer after, median and p99", f"{median(rtts) * 1e3:.1f} and {rtts[len(rtts) * 99 // 100] * 1e3:.1f} ms"
    yield "of one core", f"{spent / found['seconds']:.0%}"
    yield "packets a second of one core", f"{len(rtts) / spent:,.0f}"


def send(port: int) -> None:
    """The gateway: a Start and an Interim of each session, at the rate; prints what came back."""
    wanted = RATE * SECONDS
    made = [
        accounting(
            START if number % 2 else INTERIM,
            f"s{number // 2}",
            number=number % 256,
            address=str(IPv4Address("10.0.0.0") + number // 2),
            imsi=f"00101{number // 2:010}",
        )
        for number in range(wanted)
    ]
    socks = [
        socket.socket(type=socket.SOCK_DGRAM) for _ in range(-(-wanted // 256))
    ]  # an identifier each, never reused
    rtts: list[float] = []
    waiting: dict[tuple[int, int], float] = {}
    poll = select.epoll()
    by_fd = {}
    for sock in socks:
        sock.connect(("127.0.0.1", port))
        sock.setblocking(False)
        poll.register(sock.fileno(), select.EPOLLIN)
        by_fd[sock.fileno()] = sock
    begin = time.perf_counter()
    sent = 0
    while sent < wanted or (waiting and time.perf_counter() - begin < SECONDS + 2):
        due = min(wanted, int((time.perf_counter() - begin) * RATE))
        while sent < due:
            sock = socks[sent // 256]
            waiting[sock.fileno(), sent % 256] = time.perf_counter()
            sock.send(made[sent])
            sent += 1
        for fd, _ in poll.poll(0.001):
            octets = by_fd[fd].recv(4096)
            rtts.append(time.perf_counter() - waiting.pop((fd, octets[1])))
    print(json.dumps({"sent": sent, "rtts": rtts, "seconds": time.perf_counter() - begin}))


def _report(number: int) -> Report:
    prefixes = (Prefix(4, 32, 0x0A010203 + number), Prefix(6, 64, 0x20010DB800000000 + number))
    who = Subject(f"{35_000_000_000_000 + number}", f"30272{number:010}", f"1613{number:07}")
    return Report("apn", "pgw1", Status.START, NOON_MS, f"C0{number:014}", NOON_MS, prefixes=prefixes, subject=who)


def _resident() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize()


if __name__ == "__main__":
    send(int(sys.argv[1]))
