"""DHCP leases: the lease file of dnsmasq, and the memfile and the control socket of Kea."""

import csv
import json
import re
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

from enforcer.devices.claims import Claim
from enforcer.devices.prefix import host_prefix
from enforcer.devices.subject import Subject, mac_of
from enforcer.errors import Unavailable

_TRIES = 5
_PAGE = 1000
_ANSWER_MAX = 16 << 20
_ESCAPED = re.compile(r"&#x([0-9A-Fa-f]{2})")
_ASSIGNED = "0"


class LeaseFile:
    """A lease file that is read again when it has changed."""

    def __init__(self, path: Path, *, kea: bool) -> None:
        self._path = path
        self._kea = kea
        self._seen: object = None
        self._number = 0

    def read(self) -> list[Claim] | None:
        """All leases; None while they are as they were. Raises Unavailable.

        dnsmasq rewrites its file in place, so a reader can see half of it: what has become shorter is believed when it
        is so at the next reading too.
        """
        stamp = self._stamp()
        if stamp == self._seen:
            return None
        claims = self._read_kea() if self._kea else self._read_dnsmasq()
        if len(claims) < self._number and not self._kea:
            self._number = len(claims)
            return None
        self._seen, self._number = stamp, len(claims)
        return claims

    def _read_dnsmasq(self) -> list[Claim]:
        for _ in range(_TRIES):
            before = self._stamp()
            text = _text(self._path)
            if (not text or text.endswith("\n")) and before == self._stamp():
                return list(parse_dnsmasq(text))
        raise Unavailable(f"{self._path}: changes all the time; it was not read")

    def _read_kea(self) -> list[Claim]:
        """While Kea tidies up, what is not in the file itself is in those beside it, as its manual says."""
        path = self._path
        done = path.with_name(path.name + ".completed")
        before = [done] if done.exists() else [path.with_name(f"{path.name}.{number}") for number in (2, 1)]
        return list(parse_kea([_text(each) for each in before if each.exists()] + [_text(path)]))

    def _stamp(self) -> tuple[int, int, int]:
        try:
            found = self._path.stat()
        except OSError as error:
            raise Unavailable(f"{self._path}: cannot be read ({error.strerror})") from error
        return found.st_ino, found.st_mtime_ns, found.st_size


def parse_dnsmasq(text: str) -> Iterator[Claim]:
    """`expiry mac ip hostname clientid` a line; behind `duid` those of DHCPv6, whose client id tells the MAC or not."""
    six = False
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["duid"]:
            six = True
        elif len(words) >= 5 and words[0].isdigit():
            mac = _mac_of_duid(words[-1]) if six else mac_of(words[1])
            claim = _claim(words[2], mac, None, int(words[0]))
            if claim is not None:
                yield claim


def parse_kea(texts: Iterable[str]) -> Iterator[Claim]:
    """Kea's journal, the older parts first: of each address the last line counts, columns are found by their names."""
    last: dict[str, dict[str, str]] = {}
    for text in texts:
        with suppress(csv.Error):  # what is no CSV ends there
            for row in csv.DictReader(text.splitlines()):
                address = row.get("address")
                if address:
                    last[address] = {key: _plain(value) for key, value in row.items() if isinstance(value, str)}
    for address, row in last.items():
        lifetime, expire = row.get("valid_lifetime", ""), row.get("expire", "")
        if lifetime.isdigit() and expire.isdigit() and int(lifetime) and row.get("state", "0") == _ASSIGNED:
            mac = mac_of(row.get("hwaddr", "")) or _mac_of_duid(row.get("duid", ""))
            claim = _claim(address, mac, int(expire) - int(lifetime), int(expire))
            if claim is not None:
                yield claim


class KeaSocket:
    """A Kea server's control socket, which is asked for all leases, page by page."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._version: int | None = None

    def read(self) -> list[Claim]:
        """All leases. Raises Unavailable."""
        if self._version is None:
            self._version = 4 if self._ask("lease4-get-page", "start") is not None else 6
        claims: list[Claim] = []
        begin = "start"
        while True:
            leases = self._ask(f"lease{self._version}-get-page", begin)
            if leases is None:
                raise Unavailable(f"{self._path}: Kea knows no lease commands; load its hook library lease_cmds")
            claims += filter(None, map(_of_kea, leases))
            if len(leases) < _PAGE:
                return claims
            begin = str(leases[-1].get("ip-address"))

    def _ask(self, command: str, begin: str) -> list[Mapping[str, object]] | None:
        """One page; None where the server does not know the command."""
        request = {"command": command, "arguments": {"from": begin, "limit": _PAGE}}
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
                sock.settimeout(5.0)
                sock.connect(str(self._path))
                sock.sendall(json.dumps(request).encode())
                with sock.makefile("rb") as file:
                    answer = json.loads(file.read(_ANSWER_MAX))
        except (OSError, ValueError) as error:
            raise Unavailable(f"{self._path}: Kea does not answer ({error})") from error
        if isinstance(answer, list) and answer:
            answer = answer[0]
        result = answer.get("result") if isinstance(answer, dict) else None
        if result == 2:
            return None
        if result not in (0, 3):  # 3: there are none
            raise Unavailable(f"{self._path}: Kea refuses {command} with result {result}")
        leases = answer.get("arguments", {}).get("leases", [])
        return [each for each in leases if isinstance(each, dict)]


def _of_kea(lease: Mapping[str, object]) -> Claim | None:
    begun, lifetime = lease.get("cltt"), lease.get("valid-lft")
    if lease.get("state", 0) != 0 or not isinstance(begun, int) or not isinstance(lifetime, int):
        return None
    mac = mac_of(str(lease.get("hw-address", ""))) or _mac_of_duid(str(lease.get("duid", "")))
    return _claim(str(lease.get("ip-address")), mac, begun, begun + lifetime)


def _claim(address: str, mac: str | None, since_s: int | None, until_s: int) -> Claim | None:
    """until_s: 0 and the largest numbers are for ever."""
    try:
        prefix = host_prefix(ip_address(address))
    except ValueError:
        return None
    if mac is None:
        return None
    until_ms = until_s * 1000 if 0 < until_s < 0xFFFFFFFF else None
    return Claim(prefix, Subject(mac=mac), None if since_s is None else since_s * 1000, until_ms)


def _mac_of_duid(text: str) -> str | None:
    """The MAC in a DUID of an Ethernet device (RFC 8415 §11.2, §11.4); others do not tell it."""
    duid = text.replace(":", "").lower()
    if duid.startswith("00010001") and len(duid) == 28:
        return mac_of(duid[16:])
    return mac_of(duid[8:]) if duid.startswith("00030001") and len(duid) == 20 else None


def _plain(text: str) -> str:
    return _ESCAPED.sub(lambda match: chr(int(match[1], 16)), text)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror})") from error
