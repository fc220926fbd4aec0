"""One proxy worker beside HAProxy, Squid and mitmdump: connections a second, CPU for each, throughput, idle memory.

All of them get what the kernel redirects to them, judge by the name in the ClientHello, and run on one core; the
clients and the server have the other. Everything happens in a network namespace that this makes.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from tests.bench.connections import CLIENTS, LIST, NAMES, SERVER, SOURCE, client_hello, haproxy
from tests.bench.process import MEASURED, OTHER, Running, enforcer, find, free_port, pinned, started
from tests.bench.tables import print_table

ROUNDS = 3
ROUND_S = 1.0
INFLIGHT = 64
IDLE = 500
REFERENCE = "mitmdump"
COLUMNS = ("passed/s", "CPU µs", "p99 ms", "times", "banned/s", "CPU µs", "times", "blocked", "MB/s", "MB/1,000 idle")
_INSIDE = "ENFORCER_BENCH_INSIDE"

ADDON = """\
kill = set()


def tls_clienthello(data):
    data.ignore_connection = True
    if (data.client_hello.sni or "").endswith(".banned.example"):
        kill.add(data.context.client.id)


def server_connect(data):
    if data.client.id in kill:
        kill.discard(data.client.id)
        data.server.error = "banned"
"""
SQUID = """\
https_port 127.0.0.1:{port} intercept ssl-bump tls-cert={folder}/ca.pem tls-key={folder}/ca.key
http_port 127.0.0.1:{other}
acl banned ssl::server_name .banned.example
acl step1 at_step SslBump1
ssl_bump peek step1
ssl_bump terminate banned
ssl_bump splice all
http_access allow all
hosts_file {folder}/hosts
cache deny all
cache_mem 8 MB
memory_pools off
access_log none
cache_log {folder}/cache.log
cache_store_log none
pid_filename {folder}/squid.pid
coredump_dir {folder}
sslcrtd_program {helper} -s {folder}/ssl_db -M 4MB
sslcrtd_children 1 startup=1
pinger_enable off
max_filedescriptors 16384
shutdown_lifetime 0 seconds
"""


@dataclass(slots=True)
class Peer:
    """A proxy that runs; port: 0 for none. a_second, cpu_us: of each kind of connection, the CPU for one of them."""

    name: str
    port: int
    process: Running
    a_second: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in NAMES})
    cpu_us: dict[str, list[float]] = field(default_factory=lambda: {kind: [] for kind in NAMES})
    p99_ms: list[float] = field(default_factory=list)
    let_through: int = 0
    bulk: list[float] = field(default_factory=list)
    idle: float = 0.0


def main() -> None:
    """Measure, and print a table; in a network namespace of its own."""
    missing = [tool for tool in ("gcc", "nft", "ip", "unshare", "sysctl") if find(tool) is None]
    if missing or os.geteuid() != 0:
        print(f"left out: it needs root, and {', '.join(missing) or 'nothing else'}")
    elif os.environ.get(_INSIDE):
        _measured()
    else:
        command = ["unshare", "--net", sys.executable, "-m", "tests.bench.run", "proxy"]
        done = subprocess.run(command, env={**os.environ, _INSIDE: "1"}, stdout=subprocess.PIPE, text=True, check=False)
        print(done.stdout.partition("== proxy\n")[2].strip() or "it could not be measured")


def _measured() -> None:
    _network()
    with TemporaryDirectory(prefix="enforcer-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        program = folder / "connections"
        subprocess.run(["gcc", "-O2", "-o", program, SOURCE], check=True)
        hellos = {kind: _hello(folder / kind, host) for kind, host in NAMES.items()}
        server = stack.enter_context(started([str(program), "serve", SERVER, "443"], folder / "server", OTHER))
        _wait(lambda: "ready" in server.output.read_text(), "the server")
        direct = Peer("no proxy", 0, server)
        running = [direct, *_start(folder, stack)]
        for number in range(ROUNDS + 1):
            for peer in running:
                _round(peer, program, hellos, warm=number == 0)
        for peer in running:
            _hold(peer, program, hellos["passed"])
    print(
        f"The middle of {ROUNDS} rounds of {ROUND_S:g} s, {INFLIGHT} connections at once, ClientHello of "
        f"{len(client_hello(NAMES['passed']))} octets, 1,200 octets back, no cryptography; proxies on core {MEASURED}, "
        f"clients and server on core {OTHER}; times: connections for each second of CPU, {REFERENCE} is 1"
    )
    reference = next((peer for peer in running if peer.name == REFERENCE), None)
    print_table(("", *COLUMNS), [_row(peer, reference) for peer in running])


def _row(peer: Peer, reference: Peer | None) -> Sequence[str]:
    cells = [peer.name]
    for kind in NAMES:
        if not peer.port and kind == "banned":
            cells += ["-"] * 3
            continue
        cpu = median(peer.cpu_us[kind])
        cells += [f"{median(peer.a_second[kind]):,.0f}", f"{cpu:,.0f}" if peer.port else "-"]
        if kind == "passed":
            cells.append(f"{median(peer.p99_ms):.1f}")
        cells.append(f"{median(reference.cpu_us[kind]) / cpu:.1f}" if reference and peer.port else "-")
    blocked = "all" if not peer.let_through else f"not {peer.let_through:,}"
    return (
        *cells,
        blocked if peer.port else "-",
        f"{median(peer.bulk):,.0f}",
        f"{peer.idle:.1f}" if peer.port else "-",
    )


def _network() -> None:
    """Addresses of documentation on loopback; short memories for what was closed."""
    addresses = [SERVER, *(f"192.0.2.{last}" for last in range(8, 16))]
    for command in (
        ("ip", "link", "set", "lo", "up"),
        *(("ip", "address", "add", f"{address}/32", "dev", "lo") for address in addresses),
        (
            "sysctl",
            "-qw",
            "net.ipv4.ip_local_port_range=1024 65535",
            "net.ipv4.tcp_tw_reuse=1",
            "net.core.somaxconn=8192",
        ),
    ):
        subprocess.run(command, check=True)
    _redirect(0)
    for state in ("time_wait", "close", "last_ack", "fin_wait", "close_wait"):
        path = Path(f"/proc/sys/net/netfilter/nf_conntrack_tcp_timeout_{state}")
        if path.exists():
            path.write_text("1")


def _redirect(port: int) -> None:
    """Redirect what the clients send to a port of loopback; 0: nowhere."""
    rule = f"ip saddr 192.0.2.8/29 tcp dport 443 redirect to :{port}" if port else ""
    text = (
        "table ip bench\ndelete table ip bench\n"
        f"table ip bench {{\n chain out {{\n type nat hook output priority -100\n {rule}\n }}\n}}\n"
    )
    subprocess.run(["nft", "-f", "-"], input=text, text=True, check=True)


def _start(folder: Path, stack: ExitStack) -> Iterator[Peer]:
    """Every proxy that is installed, and then ours."""
    for name, tool, make in (
        ("HAProxy", "haproxy", _haproxy),
        ("Squid", "squid", _squid),
        (REFERENCE, str(Path(sys.executable).with_name("mitmdump")), _mitmdump),
        ("mitmdump, lazy", str(Path(sys.executable).with_name("mitmdump")), _mitmdump_lazy),
    ):
        path = find(tool)
        if path is None:
            print(f"{name}: not installed, left out")
            continue
        own = folder / name.replace(", ", "-")
        own.mkdir()
        own.chmod(0o755)
        port = free_port()
        try:
            process = stack.enter_context(started(make(own, path, port), own / "output", MEASURED))
            _wait(lambda port=port: _listens(port), name)  # type: ignore[misc]
        except (TimeoutError, subprocess.CalledProcessError) as error:
            print(f"{name}: left out ({error})")
            continue
        yield Peer(name, port, process)
    yield _enforcer(folder / "enforcer", stack)


def _haproxy(folder: Path, path: str, port: int) -> list[str]:
    (folder / "haproxy.cfg").write_text(haproxy(f"127.0.0.1:{port}"))
    return [path, "-db", "-f", str(folder / "haproxy.cfg")]


def _squid(folder: Path, path: str, port: int) -> list[str]:
    subprocess.run(
        f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=bench -keyout {folder}/ca.key "
        f"-out {folder}/ca.pem".split(),
        check=True,
        stderr=subprocess.DEVNULL,
    )
    helper = next(Path("/usr").glob("lib*/squid/security_file_certgen"))
    subprocess.run([helper, "-c", "-s", folder / "ssl_db", "-M", "4MB"], check=True, stdout=subprocess.DEVNULL)
    (folder / "hosts").write_text("".join(f"{SERVER} {name}\n" for name in NAMES.values()))
    (folder / "squid.conf").write_text(SQUID.format(port=port, other=free_port(), folder=folder, helper=helper))
    for each in (folder.parent, folder, *folder.rglob("*")):
        each.chmod(0o777)  # it gives up root
    return [path, "-N", "-f", str(folder / "squid.conf")]


def _mitmdump(folder: Path, path: str, port: int, *more: str) -> list[str]:
    (folder / "addon.py").write_text(ADDON)
    options = ["--mode", f"transparent@127.0.0.1:{port}", "-s", str(folder / "addon.py")]
    return [path, *options, "--set", f"confdir={folder}", *more]


def _mitmdump_lazy(folder: Path, path: str, port: int) -> list[str]:
    return _mitmdump(folder, path, port, "-q", "--set", "connection_strategy=lazy")


def _enforcer(folder: Path, stack: ExitStack) -> Peer:
    folder.mkdir()
    port, dns = free_port(), free_port()
    (folder / "bench.yaml").write_text(LIST)
    config = {
        "data_dir": "data",
        "policy": {"lists": ["bench.yaml"], "ban": "bench", "notice": {"monitoring_notice_acknowledged": True}},
        "realms": [{"name": "bench", "networks": ["192.0.2.0/24"], "listeners": ["dns"]}],
        "resolver": {
            "listeners": [{"name": "dns", "udp": f"127.0.0.1:{dns}", "tcp": f"127.0.0.1:{dns}"}],
            "workers": 1,
        },
        "proxy": {"modes": [f"transparent@127.0.0.1:{port}"], "workers": 1, "drain_s": 0},
        "metrics": {"listen": f"127.0.0.1:{free_port()}"},
    }
    path = folder / "enforcer.yaml"
    path.write_text(json.dumps(config))
    stack.enter_context(started([*enforcer("hub"), "--config", str(path)], folder / "hub", OTHER))
    process = stack.enter_context(started([*enforcer("proxy"), "--config", str(path)], folder / "proxy", MEASURED))
    _wait(lambda: _listens(port), "enforcer")
    return Peer("enforcer", port, process)


def _round(peer: Peer, program: Path, hellos: dict[str, Path], *, warm: bool) -> None:
    """As many connections as a proxy takes of each kind, and one that is as fast as can be."""
    _redirect(peer.port)
    seconds = 0.5 if warm else ROUND_S
    for kind, hello in hellos.items():
        if kind == "banned" and not peer.port:
            continue
        cpu = peer.process.cpu_s()
        passed, alerts, others, took, _, p99 = _run(program, "load", hello, f"{seconds}", f"{INFLIGHT}")
        cpu = peer.process.cpu_s() - cpu
        if warm:
            continue
        over = passed + alerts + others
        peer.a_second[kind].append(over / took)
        peer.cpu_us[kind].append(cpu / max(over, 1) * 1e6)
        if kind == "banned":
            peer.let_through += round(passed)
            continue
        peer.p99_ms.append(p99 / 1000)
        if alerts or others:
            print(f"{peer.name}: {alerts + others:.0f} of {over:.0f} allowed connections did not pass")
    if not warm:
        try:
            octets, took = _run(program, "bulk", hellos["passed"], "1")
        except RuntimeError as error:
            print(f"{peer.name}: the long transfer broke off ({error})")
            octets, took = 0.0, 1.0
        peer.bulk.append(octets / took / 1e6)


def _hold(peer: Peer, program: Path, hello: Path) -> None:
    """What connections cost in memory on which nothing is said."""
    if not peer.port:
        return
    _redirect(peer.port)
    before = peer.process.memory()
    command = pinned([str(program), "hold", SERVER, "443", CLIENTS, str(hello), f"{IDLE}"], OTHER)
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holding:
        assert holding.stdin is not None
        assert holding.stdout is not None
        held = int(holding.stdout.readline())
        time.sleep(0.5)
        peer.idle = (peer.process.memory() - before) / max(held, 1) / 1000
        holding.stdin.close()


def _run(program: Path, what: str, hello: Path, *more: str) -> list[float]:
    command = pinned([str(program), what, SERVER, "443", CLIENTS, str(hello), *more], OTHER)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    return [float(number) for number in done.stdout.split()]


def _hello(path: Path, name: str) -> Path:
    path.write_bytes(client_hello(name))
    return path


def _listens(port: int) -> bool:
    """Whether somebody listens on a port, without connecting to it."""
    wanted = f":{port:04X} "
    return any(wanted in line and line.split()[3] == "0A" for line in Path("/proc/net/tcp").read_text().splitlines())


def _wait(what: Callable[[], bool], whom: str) -> None:
    until = time.monotonic() + 90
    while not what():
        if time.monotonic() > until:
            raise TimeoutError(f"{whom} is not ready")
        time.sleep(0.05)
