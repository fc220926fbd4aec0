"""A phone, the gateway and a server, each in a network namespace of its own, with IPv4 and IPv6."""

import os
import subprocess
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.certificates import Authority
from tests.e2e.lan import wait_for
from tests.tools import need, need_namespaces

PHONE, PHONE6 = "192.0.2.7", "2001:db8:1::7"
GATEWAY, GATEWAY6 = "192.0.2.1", "2001:db8:1::1"
SERVER, SERVER6 = "198.51.100.10", "2001:db8:2::10"
BANNED_SERVER = "198.51.100.66"
ORIGIN = Path(__file__).with_name("origin.py")
REDIRECT = """
table inet gate {
  chain pre {
    type nat hook prerouting priority dstnat
    iifname "phone0" meta l4proto tcp tcp dport { 25, 80, 443, 8080 } redirect to :%d
  }
}
"""


class Net:
    """Three namespaces, joined as a phone's network is; a server that answers; an authority that it is signed by."""

    def __init__(self, folder: Path) -> None:
        need_namespaces()
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.authority = Authority(folder)
        self.pair = self.authority.pair("origin", "*.ok.test", "*.blocked.test", "ok.test")
        self._names = {each: f"{each}-{os.getpid()}" for each in ("phone", "gateway", "server")}
        self._asked = folder / "asked"
        self._origin: subprocess.Popen[bytes] | None = None

    def inside(self, where: str) -> tuple[str, ...]:
        """What a command is run with in one of the namespaces."""
        return (need("ip"), "netns", "exec", self._names[where])

    def run(self, where: str, *command: str, timeout_s: float = 30, given: bytes = b"") -> str:
        """Run a command to its end; all that it printed."""
        done = subprocess.run(
            [*self.inside(where), *command],
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=timeout_s,
        )
        return done.stdout.decode(errors="replace")

    def python(self, where: str, program: str, *arguments: str) -> str:
        """Run a few lines of Python."""
        return self.run(where, sys.executable, "-c", program, *arguments)

    def nft(self, rules: str) -> None:
        """Put rules in force on the gateway."""
        said = self.run("gateway", need("nft"), "-f", "-", given=rules.encode())
        assert not said, said

    @property
    def asked(self) -> list[str]:
        """What the server was asked so far."""
        return self._asked.read_text().splitlines()

    def __enter__(self) -> Self:
        ip = need("ip")
        phone, gateway, server = (self._names[each] for each in ("phone", "gateway", "server"))
        for name in self._names.values():
            _do(ip, "netns", "add", name)
            _do(ip, "-n", name, "link", "set", "lo", "up")
        for one, ours, other, theirs in (
            (phone, "up0", gateway, "phone0"),
            (server, "up0", gateway, "server0"),
        ):
            _do(ip, "link", "add", ours, "netns", one, "type", "veth", "peer", "name", theirs, "netns", other)
        for name, device, *addresses in (
            (phone, "up0", f"{PHONE}/24", f"{PHONE6}/64"),
            (gateway, "phone0", f"{GATEWAY}/24", f"{GATEWAY6}/64"),
            (gateway, "server0", "198.51.100.1/24", "2001:db8:2::1/64"),
            (server, "up0", f"{SERVER}/24", f"{BANNED_SERVER}/24", f"{SERVER6}/64"),
        ):
            _do(ip, "-n", name, "link", "set", device, "up")
            for address in addresses:
                more = ("nodad",) if ":" in address else ()
                _do(ip, "-n", name, "address", "add", address, "dev", device, *more)
        for name, via, via6 in ((phone, GATEWAY, GATEWAY6), (server, "198.51.100.1", "2001:db8:2::1")):
            _do(ip, "-n", name, "route", "add", "default", "via", via)
            _do(ip, "-n", name, "-6", "route", "add", "default", "via", via6)
        _do(*self.inside("gateway"), need("sysctl"), "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        command = [*self.inside("server"), sys.executable, str(ORIGIN), str(self.pair.certificate), str(self.pair.key)]
        with self._asked.open("wb") as out, (self.folder / "origin.log").open("wb") as log:
            self._origin = subprocess.Popen(command, stdout=out, stderr=log)
        wait_for(lambda: "ready" in self._asked.read_text(), "the server serves")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._origin is not None:
            self._origin.terminate()
            self._origin.wait()
        for name in self._names.values():
            _do(need("ip"), "netns", "delete", name)


def _do(*command: str) -> None:
    subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
