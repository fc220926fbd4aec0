"""The gate beside HAProxy, plain forwarding and the proxy, on the way of forwarded connections.

Clients, gateway and server are network namespaces joined by cables. What is measured has one core (the gate with two
queues both), the clients and the server have the other.
"""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.connections import CLIENTS, LIST, NAMES, SERVER, SOURCE, client_hello, haproxy
from tests.bench.process import MEASURED, OTHER, Running, enforcer, find, pinned, started
from tests.bench.tables import print_table

ROUNDS = 3
ROUND_S = 1.5
INFLIGHT = 64
IDLE = 500
GATEWAY = "192.0.2.1"
COLUMNS = ("passed/s", "CPU µs", "p99 ms", "banned/s", "CPU µs", "blocked", "MB/s", "MB", "MB/1,000 idle")
_PORT, _DNS = 5081, 53

REDIRECT = f"""\
table ip bench
delete table ip bench
table ip bench {{
  chain pre {{
    type nat hook prerouting priority dstnat
    iifname "lan" tcp dport 443 redirect to :{_PORT}
  }}
}}
"""


@dataclass(slots=True)
class Box:
    """What lies between for a while. processes: of what its CPU and memory are; none: the kernel alone."""

    name: str
    processes: Sequence[Running] = ()
    a_second: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in NAMES})
    cpu_us: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in NAMES})
    p99_ms: list[float] = field(default_factory=list)
    bulk: list[float] = field(default_factory=list)
    let_through: int = 0
    memory: float = 0.0
    idle: float = 0.0

    def cpu_s(self) -> float:
        return sum(process.cpu_s() for process in self.processes)

    def bytes(self) -> int:
        return sum(process.memory() for process in self.processes)


class Bench:
    """The namespaces, the program that loads, and what it sends."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.phone, self.gateway, self.internet = (f"bench{os.getpid()}-{each}" for each in ("phone", "gw", "net"))
        self.program = folder / "connections"
        subprocess.run(["gcc", "-O2", "-o", self.program, SOURCE], check=True)
        self.hellos = {kind: folder / kind for kind in NAMES}
        for kind, name in NAMES.items():
            self.hellos[kind].write_bytes(client_hello(name))

    def inside(self, host: str, *words: str) -> list[str]:
        return ["ip", "netns", "exec", host, *words]

    def connections(self, what: str, *words: str) -> list[str]:
        return self.inside(self.phone, *pinned([str(self.program), what, SERVER, "443", CLIENTS, *words], OTHER))

    def run(self, what: str, *words: str) -> list[float]:
        done = subprocess.run(self.connections(what, *words), capture_output=True, text=True, check=False)
        if done.returncode:
            raise RuntimeError(done.stderr)
        return [float(number) for number in done.stdout.split()]


def main() -> None:
    """Measure, and print a table."""
    missing = [tool for tool in ("gcc", "nft", "ip", "sysctl") if find(tool) is None]
    if missing or os.geteuid() != 0:
        print(f"left out: it needs root, and {', '.join(missing) or 'nothing else'}")
        return
    with TemporaryDirectory(prefix="enforcer-bench-") as name, ExitStack() as stack:
        bench = Bench(Path(name))
        stack.enter_context(_networks(bench))
        serve = bench.inside(bench.internet, str(bench.program), "serve", SERVER, "443")
        server = stack.enter_context(started(serve, bench.folder / "server", OTHER))
        _wait(lambda: "ready" in server.output.read_text(), "the server")
        boxes = []
        for make in (_forwarding, _conntrack, _haproxy, _proxy, _gate, _gates):
            with ExitStack() as own:
                box = make(bench, own)
                if box is None:
                    continue
                _measure(bench, box)
                boxes.append(box)
    print(
        f"The middle of {ROUNDS} rounds of {ROUND_S:g} s, {INFLIGHT} connections at once, 1,200 octets back, no "
        f"cryptography; what is measured on core {MEASURED}, clients and server on core {OTHER}"
    )
    print_table(("", *COLUMNS), [_row(box) for box in boxes])
    _compare(boxes)


def _compare(boxes: Sequence[Box]) -> None:
    cpu = {box.name: median(box.cpu_us["passed"]) for box in boxes if box.processes}
    if "HAProxy" in cpu and "gate" in cpu:
        print(
            f"CPU for a passed connection: the gate's is {cpu['gate'] / cpu['HAProxy']:.2f} of HAProxy's (target 0.5)"
        )


def _row(box: Box) -> Sequence[str]:
    cells = [box.name]
    for kind in NAMES:
        if not box.a_second[kind]:
            cells += ["-", "-"]
        else:
            cells += [f"{median(box.a_second[kind]):,.0f}", f"{median(box.cpu_us[kind]):.1f}" if box.processes else "-"]
        if kind == "passed":
            cells.append(f"{median(box.p99_ms):.1f}")
    blocked = "all" if not box.let_through else f"not {box.let_through:,}"
    return (
        *cells,
        blocked if box.processes else "-",
        f"{median(box.bulk):,.0f}",
        f"{box.memory:.0f}" if box.processes else "-",
        f"{box.idle:.1f}" if box.processes else "-",
    )


def _measure(bench: Bench, box: Box) -> None:
    box.memory = box.bytes() / 1e6
    for number in range(ROUNDS + 1):
        for kind, hello in bench.hellos.items():
            if kind == "banned" and not box.processes:
                continue
            seconds = ROUND_S if number else 0.5
            cpu = box.cpu_s()
            passed, alerts, others, took, _, p99 = bench.run("load", str(hello), f"{seconds}", f"{INFLIGHT}")
            cpu = box.cpu_s() - cpu
            over = passed + alerts + others
            if not number:
                continue
            box.a_second[kind].append(over / took)
            box.cpu_us[kind].append(cpu / max(over, 1) * 1e6)
            if kind == "banned":
                box.let_through += round(passed)
            else:
                box.p99_ms.append(p99 / 1000)
                if alerts or others:
                    print(f"{box.name}: {alerts + others:.0f} of {over:.0f} allowed connections did not pass")
        if number:
            octets, took = bench.run("bulk", str(bench.hellos["passed"]), "1")
            box.bulk.append(octets / took / 1e6)
    _hold(bench, box)


def _hold(bench: Bench, box: Box) -> None:
    """What connections cost in memory on which nothing is said."""
    before = box.bytes()
    command = bench.connections("hold", str(bench.hellos["passed"]), f"{IDLE}")
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holding:
        assert holding.stdin is not None
        assert holding.stdout is not None
        held = int(holding.stdout.readline())
        time.sleep(0.5)
        box.idle = max(0.0, (box.bytes() - before) / max(held, 1) / 1000)
        holding.stdin.close()


# What lies between


def _forwarding(bench: Bench, own: ExitStack) -> Box:
    return Box("forwarding")


def _conntrack(bench: Bench, own: ExitStack) -> Box:
    _nft(bench, own, "table ip bench { chain f { type filter hook forward priority 0; ct state invalid drop; }; }\n")
    return Box("forwarding, conntrack")


def _haproxy(bench: Bench, own: ExitStack) -> Box | None:
    path = find("haproxy")
    if path is None:
        print("HAProxy: not installed, left out")
        return None
    config = bench.folder / "haproxy.cfg"
    config.write_text(haproxy(f"0.0.0.0:{_PORT}"))
    process = _start(bench, own, [path, "-db", "-f", str(config)], "haproxy")
    _nft(bench, own, REDIRECT)
    time.sleep(1.0)
    return Box("HAProxy", [process])


def _proxy(bench: Bench, own: ExitStack) -> Box:
    config = _enforcer(
        bench, own, "proxied", {"proxy": {"modes": [f"transparent@{_PORT}"], "workers": 1, "drain_s": 0}}
    )
    process = _start(bench, own, [*enforcer("proxy"), "--config", str(config)], "proxy")
    _nft(bench, own, REDIRECT)
    _wait(lambda: _listens(bench), "the proxy")
    return Box("proxy", [process])


def _gate(bench: Bench, own: ExitStack) -> Box:
    return _gate_of(bench, own, 1)


def _gates(bench: Bench, own: ExitStack) -> Box:
    return _gate_of(bench, own, 2)


def _gate_of(bench: Bench, own: ExitStack, queues: int) -> Box:
    settings = {"enabled": True, "interfaces": ["lan"], "proxied": [], "workers": queues}
    config = _enforcer(bench, own, f"gated{queues}", {"gateway": settings})
    processes = []
    for number in range(queues):
        command = [*enforcer("gate"), "--config", str(config), "--worker", str(number)]
        processes.append(_start(bench, own, command, f"gate{queues}-{number}", OTHER if number else MEASURED))
    _start(bench, own, [*enforcer("gateway"), "--config", str(config)], f"gateway{queues}", OTHER)
    own.callback(subprocess.run, bench.inside(bench.gateway, *enforcer("gateway", "remove")), check=True, stdout=-3)
    _wait(lambda: "event=applied" in (bench.folder / f"gateway{queues}.out").read_text(), "the rules")
    _wait(lambda: all("in_force" in each.output.read_text() for each in processes), "the gate")
    time.sleep(1.0)
    return Box("gate" if queues == 1 else "gate, two queues", processes)


def _enforcer(bench: Bench, own: ExitStack, name: str, more: dict[str, object]) -> Path:
    """A hub with a policy; returns the configuration."""
    folder = bench.folder / name
    folder.mkdir()
    (folder / "bench.yaml").write_text(LIST)
    at = f"{GATEWAY}:{_DNS}"
    config = {
        "data_dir": "data",
        "policy": {"lists": ["bench.yaml"], "ban": "bench", "notice": {"monitoring_notice_acknowledged": True}},
        "realms": [{"name": "bench", "networks": ["192.0.2.0/24"], "listeners": ["dns"]}],
        "resolver": {
            "listeners": [{"name": "dns", "udp": at, "tcp": at}],
            "upstreams": ["udp://198.51.100.53"],
            "workers": 1,
        },
        "metrics": {"listen": "127.0.0.1:9310"},
        **more,
    }
    path = folder / "enforcer.yaml"
    path.write_text(json.dumps(config))
    _start(bench, own, [*enforcer("hub"), "--config", str(path)], f"hub-{name}", OTHER)
    return path


# Means


@contextmanager
def _networks(bench: Bench) -> Iterator[None]:
    hosts = (bench.phone, bench.gateway, bench.internet)
    try:
        for host in hosts:
            _ip("netns", "add", host)
            _ip("-n", host, "link", "set", "lo", "up")
        for device, host in (("lan", bench.phone), ("wan", bench.internet)):
            _ip("-n", bench.gateway, "link", "add", device, "type", "veth", "peer", "name", "eth0", "netns", host)
            _ip("-n", bench.gateway, "link", "set", device, "up")
            _ip("-n", host, "link", "set", "eth0", "up")
        _ip("-n", bench.gateway, "address", "add", f"{GATEWAY}/24", "dev", "lan")
        _ip("-n", bench.gateway, "address", "add", "198.51.100.1/24", "dev", "wan")
        for last in range(8, 16):
            _ip("-n", bench.phone, "address", "add", f"192.0.2.{last}/24", "dev", "eth0")
        _ip("-n", bench.internet, "address", "add", f"{SERVER}/24", "dev", "eth0")
        _ip("-n", bench.phone, "route", "add", "default", "via", GATEWAY)
        _ip("-n", bench.internet, "route", "add", "default", "via", "198.51.100.1")
        ports = "net.ipv4.ip_local_port_range=1024 65535"
        for host in (bench.phone, bench.gateway, bench.internet):
            settings = (ports, "net.ipv4.tcp_tw_reuse=1", "net.core.somaxconn=8192", "net.ipv4.tcp_timestamps=2")
            subprocess.run(bench.inside(host, "sysctl", "-qw", *settings), check=True)
        subprocess.run(bench.inside(bench.gateway, "sysctl", "-qw", "net.ipv4.ip_forward=1"), check=True)
        _nft(
            bench,
            ExitStack(),
            "table ip warm { chain f { type filter hook forward priority 0; ct state invalid drop; }; }\n",
        )
        states = ("time_wait", "close", "last_ack", "fin_wait", "close_wait")
        short = [f"net.netfilter.nf_conntrack_tcp_timeout_{state}=1" for state in states]
        subprocess.run(bench.inside(bench.gateway, "sysctl", "-qw", *short), check=True)
        subprocess.run(bench.inside(bench.gateway, "nft", "delete", "table", "ip", "warm"), check=True)
        yield
    finally:
        for host in hosts:
            subprocess.run(["ip", "netns", "delete", host], check=False, stderr=subprocess.DEVNULL)


def _start(bench: Bench, own: ExitStack, command: Sequence[str], name: str, core: int = MEASURED) -> Running:
    inside = bench.inside(bench.gateway, *command)
    return own.enter_context(started(inside, bench.folder / f"{name}.out", core))


def _nft(bench: Bench, own: ExitStack, text: str) -> None:
    subprocess.run(bench.inside(bench.gateway, "nft", "-f", "-"), input=text, text=True, check=True)
    own.callback(subprocess.run, bench.inside(bench.gateway, "nft", "delete", "table", "ip", "bench"), check=True)


def _listens(bench: Bench) -> bool:
    listed = subprocess.run(
        bench.inside(bench.gateway, "cat", "/proc/net/tcp"), capture_output=True, text=True, check=True
    )
    return any(f":{_PORT:04X} " in line and line.split()[3] == "0A" for line in listed.stdout.splitlines())


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True)


def _wait(what: Callable[[], bool], whom: str) -> None:
    until = time.monotonic() + 60
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(f"{whom} is not ready")
        time.sleep(0.05)
