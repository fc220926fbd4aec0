"""A small network for tests: a real Unbound that knows names under .test, the installed service, and clients.

On loopback every address of 127.0.0.0/8 is a client of its own, so most tests need neither namespaces nor privileges.
Nothing leaves the machine: Unbound answers from a zone file, and refuses everything else.
"""

import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Self

from prometheus_client.parser import text_string_to_metric_families

from enforcer.counters import LAYOUT, read_counters, word
from tests.tools import need

type Record = dict[str, Any]
type Step = Callable[[int], None]
"""Sets the clock of a service: to so many seconds from now."""

ENFORCER = Path(sys.executable).with_name("enforcer")
READY_S, STOP_S, WAIT_S = 90.0, 20.0, 20.0

PHONE, TABLET, LAB, FORMER_LAB = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
UNKNOWN, WATCHED, PAUSED, OUTSIDE = "127.0.0.9", "127.0.1.1", "127.0.2.1", "127.9.9.9"

ZONE = """\
$ORIGIN test.
$TTL 300
@           SOA   ns hostmaster 1 3600 600 86400 60
@           NS    ns
ns          A     192.0.2.53
www         A     192.0.2.10
www         AAAA  2001:db8::10
brief   5   A     192.0.2.11
fleeting 5  A     192.0.2.16
*.ok        A     192.0.2.20
*.ok        AAAA  2001:db8::20
big         TXT   {big}
chat        A     192.0.2.12

; An unfiltered answer for a banned name would show one of these.
blocked     A     203.0.113.1
*.blocked   A     203.0.113.2
*.blocked   AAAA  2001:db8:bad::2
*.blocked   TXT   "unfiltered"
*.blocked   HTTPS 1 . alpn=h2 ipv4hint=203.0.113.2
only        A     203.0.113.3
below.only  A     192.0.2.13
*.later     A     192.0.2.14

alias       CNAME middle
middle      CNAME media.blocked
hosted      A     198.51.100.66
hosted      A     192.0.2.15
""".format(big=" ".join(f'"{number:03}{"x" * 200}"' for number in range(12)))

LIST = """\
service: chat
ban: dept-2026-04
title: {en: Chat, fr: Clavardage}
vendor: Example Ltd.
version: 2026.11.1
sources: {CAP: "our own capture"}
rules:
"""
RULE = "  - {%s, part: messaging, evidence: app, confidence: single, source: CAP, seen: 2026}\n"
BANNED = ("suffix: blocked.test", "exact: only.test", "cidr: 198.51.100.64/26", r"regex: '^im[0-9]+\.test$'")

DEVICES = f"""\
id,group,addresses,realm
phone,field,{PHONE} ::1,office
tablet,field,{TABLET},office
lab,laboratory,{LAB},office
former-lab,former,{FORMER_LAB},office
"""


def wait_for[T](what: Callable[[], T | None], why: str, timeout_s: float = WAIT_S) -> T:
    """Ask again and again until `what` gives something true."""
    until = time.monotonic() + timeout_s
    while True:
        found = what()
        if found:
            return found
        assert time.monotonic() < until, f"still not after {timeout_s:.0f} s: {why}"
        time.sleep(0.05)


def free_port() -> int:
    """A port that nobody has, over UDP and TCP, IPv4 and IPv6; below those that clients are given."""
    while True:
        port = random.randrange(20_000, 32_000)
        with suppress(OSError):
            for family, host in ((socket.AF_INET, "0.0.0.0"), (socket.AF_INET6, "::1")):
                for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                    with socket.socket(family, kind) as sock:
                        sock.bind((host, port))
            return port


@dataclass(frozen=True, slots=True)
class Answer:
    """What dig or kdig printed."""

    text: str

    @property
    def status(self) -> str:
        return self._first(r"status: (\w+)")

    @property
    def flags(self) -> set[str]:
        return set(self._first(r"[Ff]lags: ([\w ]*);").split())

    @property
    def ede(self) -> str:
        """As in `15 (Blocked)`; empty without one."""
        return self._first(r"EDE: (\d+ \([\w ]+\))")

    @property
    def edns(self) -> bool:
        return "EDNS" in self.text.partition("Got answer")[2]

    @property
    def answer(self) -> list[list[str]]:
        return self._section("ANSWER")

    @property
    def authority(self) -> list[list[str]]:
        return self._section("AUTHORITY")

    @property
    def data(self) -> list[str]:
        """The data of the answer's records."""
        return [" ".join(record[4:]) for record in self.answer]

    def _first(self, pattern: str) -> str:
        found = re.search(pattern, self.text)
        return found[1] if found else ""

    def _section(self, name: str) -> list[list[str]]:
        lines = self.text.partition(f";; {name} SECTION:\n")[2].partition("\n\n")[0].splitlines()
        return [line.split() for line in lines if not line.startswith(";")]


def dig(address: str, port: int, *question: str, source: str | None = None, inside: Sequence[str] = ()) -> Answer:
    """Ask once. source: the client's own address. inside: what to run dig with."""
    where = ["@" + address, "-p", str(port), *(["-b", source] if source else [])]
    command = [*inside, need("dig"), *where, "+tries=1", "+time=5", *question]
    return Answer(subprocess.run(command, capture_output=True, text=True, check=False).stdout)


def question(name: str, qtype: int = 1, *, number: int = 0x1234, edns: bool = True) -> bytes:
    """A query as octets, independently of the product's own writer."""
    labels = b"".join(bytes((len(label),)) + label.encode() for label in name.split(".") if label)
    header = number.to_bytes(2) + b"\x01\x00\x00\x01\x00\x00\x00\x00" + (b"\x00\x01" if edns else b"\x00\x00")
    opt = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00" if edns else b""
    return header + labels + b"\x00" + qtype.to_bytes(2) + b"\x00\x01" + opt


class Unbound:
    """A real upstream. asked: the names in its query log."""

    def __init__(
        self, folder: Path, *, inside: Sequence[str] = (), more: str = "", zone: str = ZONE, port: int | None = None
    ) -> None:
        folder.mkdir(parents=True)
        self.port = port or free_port()
        self.url = f"udp://127.0.0.1:{self.port}"
        self._log = folder / "unbound.log"
        (folder / "zone").write_text(zone)
        (folder / "unbound.conf").write_text(f"""\
server:
  interface: 127.0.0.1@{self.port}
  access-control: 0.0.0.0/0 allow
  username: ""
  chroot: ""
  directory: "{folder}"
  pidfile: ""
  use-syslog: no
  logfile: "{self._log}"
  log-queries: yes
  module-config: "iterator"
  num-threads: 1
  do-daemonize: no
  minimal-responses: yes
  local-zone: "." refuse
  local-zone: "test." transparent
  {more}
auth-zone:
  name: "test."
  zonefile: "{folder}/zone"
  for-upstream: no
remote-control:
  control-enable: no
""")
        self._process = subprocess.Popen([*inside, need("unbound"), "-d", "-c", str(folder / "unbound.conf")])
        wait_for(lambda: self._log.exists() and "start of service" in self._log.read_text(), "Unbound serves")

    @property
    def asked(self) -> list[str]:
        return re.findall(r"info: \S+ (\S+)\. \S+ IN", self._log.read_text())

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Service:
    """The installed service with a folder, a configuration and ports of its own.

    inside: what every command is run with, as in `ip netns exec gateway`. changes: dotted keys of the configuration.
    """

    def __init__(
        self,
        folder: Path,
        *upstreams: str,
        inside: Sequence[str] = (),
        environment: Mapping[str, str] | None = None,
        port: int | None = None,
        devices: str = DEVICES,
        **changes: object,
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.inside = folder, tuple(inside)
        self.path, self.data = folder / "enforcer.yaml", folder / "data"
        self.stderr_file = folder / "stderr"
        self.stderr_file.touch()
        self.port, self.metrics_port = port or free_port(), free_port()
        self.process: subprocess.Popen[bytes] | None = None
        self._parts: list[subprocess.Popen[bytes]] = []
        self._environment = {**os.environ, **(environment or {})}
        at = {"udp": f"127.0.0.1:{self.port}", "tcp": f"127.0.0.1:{self.port}"}
        at6 = {"udp": f"[::1]:{self.port}", "tcp": f"[::1]:{self.port}"}
        both = ["dns4", "dns6"]
        self.config: Record = {
            "node": "gw-1",
            "data_dir": "data",
            "policy": {
                "lists": ["chat.yaml"],
                "ban": "tbs-2023-10-30",
                "notice": {"monitoring_notice_acknowledged": True},
                "exemptions": [
                    exemption("lab", "2126-01-01"),
                    exemption("former-lab", "2026-01-01"),
                ],
            },
            "realms": [
                {"name": "office", "networks": ["127.0.0.0/24", "::1"], "listeners": both},
                {"name": "watched", "networks": ["127.0.1.0/24"], "listeners": ["dns4"], "mode": "monitor"},
                {"name": "pausable", "networks": ["127.0.2.0/24"], "listeners": ["dns4"]},
            ],
            "resolver": {
                "listeners": [{"name": "dns4", **at}, {"name": "dns6", **at6}],
                "upstreams": list(upstreams),
                "limits": {"per_client_qps": 0},  # everything comes from one address
                "workers": 1,
            },
            "identity": {"inventory": {"file": "devices.csv"}},
            "attempts": {"aggregate_s": 2, "checkpoint_s": 1},
            "metrics": {"listen": f"127.0.0.1:{self.metrics_port}", "probe_s": 0},  # counts are exact
        }
        (folder / "devices.csv").write_text(devices)
        self.ban(*BANNED)
        self.change(**changes)

    def change(self, **changes: object) -> None:
        """Write the configuration, with dotted keys changed: `change(**{"policy.mode": "monitor"})`."""
        for dotted, value in changes.items():
            *path, last = dotted.split(".")
            section = self.config
            for key in path:
                section = section.setdefault(key, {})
            section[last] = value
        self.path.write_text(json.dumps(self.config, indent=1))

    def ban(self, *triggers: str) -> None:
        """Write the list with these rules."""
        (self.folder / "chat.yaml").write_text(LIST + "".join(RULE % trigger for trigger in triggers))

    # Processes

    def start(self) -> Self:
        """Start it as its user would, and wait until it says on NOTIFY_SOCKET that it is ready."""
        self.process = self.spawn("run")
        return self

    def spawn(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command of ours, and wait until it is ready."""
        notify = self.folder / f"notify-{random.randrange(1 << 32):08x}"
        with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as sock, self.stderr_file.open("ab") as stderr:
            sock.bind(str(notify))
            sock.settimeout(0.1)
            process = subprocess.Popen(
                [*self.inside, ENFORCER, *command, "--config", self.path],
                env={**self._environment, "NOTIFY_SOCKET": str(notify)},
                stderr=stderr,
            )
            self._parts.append(process)
            wait_for(lambda: self._ready(process, sock), f"enforcer {' '.join(command)} is ready", READY_S)
        return process

    def _ready(self, process: subprocess.Popen[bytes], sock: socket.socket) -> bool:
        assert process.poll() is None, f"it ended with status {process.returncode}:\n{self.stderr}"
        with suppress(TimeoutError):
            return sock.recv(4096) == b"READY=1"
        return False

    def stop(self) -> int:
        """SIGTERM; returns the exit status."""
        assert self.process is not None
        self.process.terminate()
        return self.process.wait(STOP_S)

    def pids(self) -> dict[str, int]:
        """The process ids of what runs, by name: hub, dns-0, dns-1."""
        found = {}
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().decode().split("\0")[:-1]
                if "-m" in words and any(word.startswith(f"{self.folder}/") for word in words):
                    kind = words[words.index("-m") + 2]
                    found[f"{kind}-{words[-1]}" if "--worker" in words else kind] = int(folder.name)
        return found

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the hub, a worker, or `run`; returns the process id it had."""
        assert self.process is not None
        pid = self.process.pid if name == "run" else wait_for(lambda: self.pids().get(name), f"{name} runs")
        os.kill(pid, number)
        return pid

    def restarted(self, name: str, pid: int) -> int:
        """Wait until another process has taken the place of one; returns its process id."""

        def other() -> int | None:
            found = self.pids().get(name)
            return found if found != pid and f"event=ready name={name} pid={found}" in self.stderr else None

        return wait_for(other, f"{name} runs again")

    def close(self) -> None:
        """End whatever of it still runs."""
        for pid in self.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        for process in self._parts:
            if process.poll() is None:
                process.terminate()
        for process in self._parts:
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        for pid in self.pids().values():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, failed: object, *_: object) -> None:
        self.close()
        if failed is None:
            assert "Traceback" not in self.stderr, self.stderr

    # What it says

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text()

    def enforcer(self, *arguments: str, status: int | None = 0) -> str:
        """Run a command; returns what it printed, errors too. status: its exit status, None for any."""
        done = subprocess.run(
            [*self.inside, ENFORCER, *arguments, "--config", self.path],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert status in (None, done.returncode), done.stdout
        return done.stdout

    def dig(self, *words: str, source: str = PHONE) -> Answer:
        """Ask it over IPv4; source: who asks."""
        return dig("127.0.0.1", self.port, *words, source=source, inside=self.inside)

    def dig6(self, *words: str) -> Answer:
        """Ask it over IPv6."""
        return dig("::1", self.port, *words, inside=self.inside)

    def send(self, wire: bytes, source: str = PHONE, timeout_s: float = 5.0) -> bytes:
        """One datagram to it, from a fresh port; returns the answer. Raises TimeoutError."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((source, 0))
            sock.settimeout(timeout_s)
            sock.connect(("127.0.0.1", self.port))
            sock.send(wire)
            return sock.recv(65_536)

    def log(self) -> list[Record]:
        """Every whole line of the log."""
        files = sorted((self.data / "log").glob("*.ndjson"))
        return [json.loads(line) for file in files for line in file.read_text().splitlines(True) if line[-1] == "\n"]

    def attempts(self, **fields: object) -> list[Record]:
        """The attempts in the log with these members."""
        return [line for line in self.log() if line["type"] == "attempt" and _has(line, fields)]

    def events(self, event: str) -> list[Record]:
        """The details of the events of one kind."""
        return [line["detail"] for line in self.log() if line["type"] == "event" and line["event"] == event]

    def recorded(self, count: int, **fields: object) -> list[Record]:
        """The attempts with these members, as soon as their counts add up to `count` or more."""

        def found() -> list[Record] | None:
            lines = self.attempts(**fields)
            return lines if total(lines) >= count else None

        return wait_for(found, f"{count} attempts of {fields}")

    def page(self) -> str:
        """The metrics page."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=10) as page:
            text: str = page.read().decode()
            return text

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series with these labels."""
        families = text_string_to_metric_families(self.page())
        samples = [sample for family in families for sample in family.samples if sample.name == name]
        assert samples, f"no metric {name}"
        return sum(sample.value for sample in samples if labels.items() <= sample.labels.items())

    def counted(self, name: str, **labels: str) -> int:
        """The same from the counters in shared memory, for when no hub runs: all workers together."""
        family = next(family for family in LAYOUT if family.name == name)
        files = [read_counters(path) for path in sorted((self.data / "run" / "counters").iterdir())]
        return sum(
            words[word(name, *values)]
            for words in files
            if words is not None
            for values in family.combinations()
            if labels.items() <= dict(zip(family.labels, values, strict=True)).items()
        )


def _has(line: Record, fields: Mapping[str, object]) -> bool:
    return all(line[key] == value for key, value in fields.items())


def exemption(device: str, until: str) -> Record:
    """An exemption of the configuration."""
    return {"device": device, "services": ["chat"], "until": until, "reason": "tests", "approved_by": "Director"}


def total(lines: Iterable[Record]) -> int:
    """The attempts in these lines."""
    return sum(line["count"] for line in lines)


def assert_whole(service: Service) -> None:
    """No line altered or left out, and no attempt in two of them."""
    service.enforcer("attempts", "verify")
    lines = service.attempts()
    assert len({line["id"] for line in lines}) == len(lines)
    ranges: dict[tuple[str, int], list[tuple[int, int]]] = {}
    for line in lines:
        source = line["src"]
        assert source["to"] - source["from"] + 1 == line["count"]
        ranges.setdefault((source["worker"], source["epoch"]), []).append((source["from"], source["to"]))
    for each in ranges.values():
        each.sort()
        assert all(before[1] < after[0] for before, after in pairwise(each))


@dataclass(frozen=True, slots=True)
class Load:
    """What dnsperf counted."""

    text: str

    @property
    def sent(self) -> int:
        return self._number(r"Queries sent:\s+(\d+)")

    @property
    def lost(self) -> int:
        return self._number(r"Queries lost:\s+(\d+)")

    def answered(self, rcode: str) -> int:
        return self._number(rf"Response codes:.*\b{rcode} (\d+)")

    def _number(self, pattern: str) -> int:
        found = re.search(pattern, self.text)
        return int(found[1]) if found else 0


@contextmanager
def dnsperf(service: Service, questions: Iterable[str], *options: str) -> Iterator[Callable[..., Load]]:
    """Load while the block runs. What it gives waits for the load's end, or ends it `now`, and says what came of it."""
    file = service.folder / f"questions-{random.randrange(1 << 32):08x}"
    file.write_text("".join(f"{each}\n" for each in questions))
    command = [need("dnsperf"), "-s", "127.0.0.1", "-p", str(service.port), "-d", str(file), "-T", "1", *options]
    result = file.with_suffix(".result")
    with result.open("wb") as out:
        process = subprocess.Popen([*service.inside, *command], stdout=out, stderr=subprocess.STDOUT)

    def finish(*, now: bool = False) -> Load:
        if now:
            process.send_signal(signal.SIGINT)
        process.wait()
        return Load(result.read_text())

    try:
        yield finish
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
