"""The servers that are compared: the same rules, the same upstream, one thread, a log of every block."""

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import dns.exception
import dns.message
import dns.query
import dns.rcode
import yaml

from tests.bench.process import MEASURED, OTHER, Running, enforcer, free_port, started

START_S = 30.0
CACHED = 20_000  # answers, where a cache is sized by their number
SOCKET_BUFFER = 4 << 20
UNLIMITED: Mapping[str, object] = {"per_client_qps": 0}  # all the load comes from one address


@dataclass(frozen=True, slots=True)
class Secure:
    """The ports of the encrypted transports, and what is shown there."""

    tls: int
    https: int
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Place:
    """What a server is given. folder: its own; upstream: the port to forward to, on 127.0.0.1, as is its own port.

    secure: None without encrypted transports.
    """

    folder: Path
    rules: Sequence[str]
    port: int
    upstream: int
    secure: Secure | None = None


@dataclass(frozen=True, slots=True)
class Peer:
    """A server that runs. log: where it writes blocks. hub, metrics: of Enforcer, the other process, and its page."""

    name: str
    port: int
    process: Running
    log: Path | None = None
    hub: Running | None = None
    metrics: int | None = None
    secure: Secure | None = None


@contextmanager
def forwarded_to(folder: Path) -> Iterator[int]:
    """The port of the upstream of all."""
    port = free_port()
    script = Path(__file__).with_name("upstream.py")
    with started([sys.executable, str(script), str(port)], folder / "upstream.output", OTHER):
        yield port


@contextmanager
def unbound(place: Place, program: str) -> Iterator[Peer]:
    """Unbound with the rules as a response policy zone, and rpz-log."""
    zone, log, config = (place.folder / name for name in ("rpz.zone", "unbound.log", "unbound.conf"))
    lines = ["$ORIGIN rpz.test.", "$TTL 60", "@ SOA localhost. root.localhost. 1 3600 600 86400 60", "@ NS localhost."]
    lines += [f"{owner} CNAME ." for rule in place.rules for owner in (rule, f"*.{rule}")]
    zone.write_text("\n".join(lines) + "\n")
    secure = place.secure
    encrypted = (
        ""
        if secure is None
        else f"""\
  interface: 127.0.0.1@{secure.tls}
  interface: 127.0.0.1@{secure.https}
  tls-port: {secure.tls}
  https-port: {secure.https}
  tls-service-pem: "{secure.certificate}"
  tls-service-key: "{secure.key}"
  incoming-num-tcp: 100
"""
    )
    config.write_text(f"""\
server:
  interface: 127.0.0.1@{place.port}
  num-threads: 1
  do-daemonize: no
  username: ""
  chroot: ""
  directory: "{place.folder}"
  pidfile: ""
  use-syslog: no
  logfile: "{log}"
  module-config: "respip iterator"
  do-not-query-localhost: no
  so-rcvbuf: {SOCKET_BUFFER}
  so-sndbuf: {SOCKET_BUFFER}
{encrypted}  msg-cache-size: 64m
  rrset-cache-size: 64m
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{place.upstream}
rpz:
  name: rpz.test
  zonefile: {zone}
  rpz-log: yes
remote-control:
  control-enable: no
""")
    with started([program, "-c", str(config)], place.folder / "output", MEASURED) as process:
        yield Peer("Unbound", place.port, process, log)


@contextmanager
def dnsdist(place: Place, program: str) -> Iterator[Peer]:
    """Dnsdist with the rules as a suffix match, a packet cache, and LogAction."""
    log, config = place.folder / "dnsdist.log", place.folder / "dnsdist.conf"
    rules = "\n".join(f'banned:add("{rule}")' for rule in place.rules)
    secure = place.secure
    encrypted = (
        ""
        if secure is None
        else f"""\
addTLSLocal("127.0.0.1:{secure.tls}", "{secure.certificate}", "{secure.key}", {{maxInFlight=1000}})
addDOHLocal("127.0.0.1:{secure.https}", "{secure.certificate}", "{secure.key}", "/dns-query")
"""
    )
    config.write_text(f"""\
setLocal("127.0.0.1:{place.port}", {{maxInFlight=1000}})
{encrypted}setUDPSocketBufferSizes({SOCKET_BUFFER}, {SOCKET_BUFFER})
newServer({{address="127.0.0.1:{place.upstream}", checkInterval=60}})
getPool(""):setCache(newPacketCache({CACHED}))
local banned = newSuffixMatchNode()
{rules}
addAction(SuffixMatchNodeRule(banned), LogAction("{log}", false, true, true))
addAction(SuffixMatchNodeRule(banned), RCodeAction(DNSRCode.NXDOMAIN))
""")
    with started([program, "--supervised", "-C", str(config)], place.folder / "output", MEASURED) as process:
        yield Peer("dnsdist", place.port, process, log)


@contextmanager
def dnsmasq(place: Place, program: str) -> Iterator[Peer]:
    """Dnsmasq with a line for each rule; its log-queries logs what is allowed as well."""
    log, config = place.folder / "dnsmasq.log", place.folder / "dnsmasq.conf"
    rules = "\n".join(f"address=/{rule}/" for rule in place.rules)
    config.write_text(f"""\
port={place.port}
listen-address=127.0.0.1
bind-interfaces
no-resolv
no-hosts
server=127.0.0.1#{place.upstream}
cache-size={CACHED}
dns-forward-max=1000
log-queries
log-facility={log}
user=
pid-file
{rules}
""")
    with started([program, "-k", "-C", str(config)], place.folder / "output", MEASURED) as process:
        yield Peer("dnsmasq", place.port, process, log)


PEERS = {"unbound": unbound, "dnsdist": dnsdist, "dnsmasq": dnsmasq}
"""By the name of the program."""


@contextmanager
def one_worker(place: Place) -> Iterator[Peer]:
    """Enforcer as two processes: one worker, which is measured, and beside it the hub, which makes the records."""
    metrics = free_port()
    config = str(write_config(place, workers=1, metrics=metrics))
    worker = enforcer("dns", "--worker", "0", "--config", config)
    with (
        started(enforcer("hub", "--config", config), place.folder / "hub.output", OTHER) as hub,
        started(worker, place.folder / "output", MEASURED) as process,
    ):
        yield Peer("Enforcer", place.port, process, hub=hub, metrics=metrics)


@contextmanager
def whole(place: Place, workers: int, limits: Mapping[str, object]) -> Iterator[Peer]:
    """Enforcer as `enforcer run` starts it, on any core. limits: of clients."""
    metrics = free_port()
    config = write_config(place, workers, metrics, limits)
    with started(enforcer("run", "--config", str(config)), place.folder / "output") as process:
        yield Peer("enforcer run", place.port, process, metrics=metrics)


def write_config(place: Place, workers: int, metrics: int, limits: Mapping[str, object] = UNLIMITED) -> Path:
    """A list of the rules, and the enforcer.yaml that names it; the path of the latter."""
    write_list(place.folder / "bench.yaml", place.rules)
    path = place.folder / "enforcer.yaml"
    endpoint = f"127.0.0.1:{place.port}"
    listener: dict[str, object] = {"name": "dns", "udp": endpoint, "tcp": endpoint}
    if place.secure is not None:
        listener |= {"tls": f"127.0.0.1:{place.secure.tls}", "https": f"127.0.0.1:{place.secure.https}"}
        listener |= {"certificate": str(place.secure.certificate), "key": str(place.secure.key)}
    config = {
        "node": "bench",
        "data_dir": "data",
        "policy": {"lists": ["bench.yaml"], "ban": "bench", "notice": {"monitoring_notice_acknowledged": True}},
        "realms": [{"name": "bench", "networks": ["127.0.0.0/8"], "listeners": ["dns"]}],
        "resolver": {
            "listeners": [listener],
            "upstreams": [f"udp://127.0.0.1:{place.upstream}"],
            "limits": dict(limits),
            "workers": workers,
        },
        "metrics": {"listen": f"127.0.0.1:{metrics}"},
    }
    path.write_text(yaml.safe_dump(config))
    return path


def write_list(path: Path, rules: Sequence[str]) -> None:
    """A block list of suffixes."""
    facts = {"part": "general", "evidence": "shared", "confidence": "official", "source": "own", "seen": 2026}
    document = {
        "service": "bench",
        "title": {"en": "Benchmark", "fr": "Mesure"},
        "vendor": "none",
        "version": "2026.11.1",
        "sources": {"own": "names to measure with"},
        "rules": [{"suffix": rule, **facts} for rule in rules],
    }
    path.write_text(yaml.safe_dump(document))


def wait_until_ready(peer: Peer) -> None:
    """Wait until a server refuses what is banned. Raises TimeoutError with what it printed."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if rcode(peer.port, "www.wechat.com", wait_s=0.2) == "NXDOMAIN":
            return
        time.sleep(0.1)
    said = (each.output.read_text()[-2000:] for each in (peer.process, peer.hub) if each is not None)
    raise TimeoutError(f"{peer.name}: no answer after {START_S:.0f} s; it says\n{'\n'.join(said)}")


def rcode(port: int, name: str, wait_s: float = 1.0) -> str | None:
    """The RCODE of an A question; None without an answer."""
    query = dns.message.make_query(name, "A")
    try:
        return dns.rcode.to_text(dns.query.udp(query, "127.0.0.1", timeout=wait_s, port=port).rcode())
    except (dns.exception.Timeout, OSError):
        return None


def recorded(peer: Peer) -> int:
    """How many attempts Enforcer has recorded, those of open summaries too; 0 for others, which do not say."""
    if peer.metrics is None:
        return 0
    with urlopen(f"http://127.0.0.1:{peer.metrics}/metrics") as page:
        lines = page.read().decode().splitlines()
    return sum(round(float(line.split()[-1])) for line in lines if line.startswith("enforcer_attempts_total{"))
