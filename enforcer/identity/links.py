"""What the kernel knows of devices on this machine's links and tunnels, as `ip` and `wg` tell it."""

import json
import shutil
import subprocess
from collections.abc import Collection, Iterator
from ipaddress import ip_address, ip_network

from enforcer.devices.claims import Claim
from enforcer.devices.prefix import host_prefix
from enforcer.devices.subject import Subject, mac_of
from enforcer.errors import Unavailable

_TIMEOUT_S = 5.0
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin:/usr/local/sbin:/usr/local/bin"
_KNOWN = frozenset(("REACHABLE", "STALE", "DELAY", "PROBE", "PERMANENT"))  # states in which the MAC is known


class NeighbourTable:
    """The neighbours on some interfaces."""

    def __init__(self, interfaces: Collection[str]) -> None:
        self._interfaces = tuple(interfaces)

    def read(self) -> list[Claim]:
        """All whose MAC is known. Raises Unavailable."""
        return [
            claim
            for name in self._interfaces
            for claim in neighbours(_output("ip", "-json", "neighbour", "show", "dev", name))
        ]


def neighbours(text: str) -> Iterator[Claim]:
    """The claims in what `ip -json neighbour` prints."""
    for entry in json.loads(text or "[]"):
        mac = mac_of(str(entry.get("lladdr", "")))
        if mac is not None and _KNOWN.intersection(entry.get("state", ())):
            host = ip_address(str(entry["dst"]))
            if not host.is_multicast:
                yield Claim(host_prefix(host), Subject(mac=mac))


class TunnelPeers:
    """The peers of one WireGuard interface."""

    def __init__(self, interface: str) -> None:
        self._interface = interface

    def read(self) -> list[Claim]:
        """All peers, whatever the age of their last handshake: an address is bound to its key. Raises Unavailable."""
        return list(peers(_output("wg", "show", self._interface, "allowed-ips")))


def peers(text: str) -> Iterator[Claim]:
    """The claims in what `wg show … allowed-ips` prints: key, tab, addresses; a network is not one device's."""
    for line in text.splitlines():
        key, _, allowed = line.partition("\t")
        for word in allowed.split():
            if word != "(none)":
                network = ip_network(word)
                if network.num_addresses == 1:
                    yield Claim(host_prefix(network.network_address), Subject(tunnel=key))


def _output(tool: str, *arguments: str) -> str:
    path = shutil.which(tool, path=_PATH)
    if path is None:
        raise Unavailable(f"{tool} is not installed; install iproute2 and wireguard-tools")
    try:
        done = subprocess.run([path, *arguments], capture_output=True, timeout=_TIMEOUT_S, check=False, text=True)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"{tool} {' '.join(arguments)}: does not work ({error})") from error
    if done.returncode:
        raise Unavailable(f"{tool} {' '.join(arguments)}: {done.stderr.strip() or 'failed'}")
    return done.stdout
