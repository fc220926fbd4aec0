"""TCP by hand, over IPv4 or IPv6: segments go out in the order, and with the content, that a test wants.

The kernel of the namespace knows nothing of the connection and would reset it, so a rule drops what it sends for these
ports; what we send ourselves bears a mark that spares it.
"""

import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from ipaddress import ip_address

from enforcer.gateway.packets import ACK, PSH, RST, SYN, TCP, segment
from tests.e2e.lab import Host
from tests.tools import need

FIRST_PORT, LAST_PORT = 61_000, 61_999
ISN = 0xFFFF_FF00  # the numbers go round while the test runs
_OURS = 7
_RULES = f"""\
table inet by_hand {{
  chain out {{
    type filter hook output priority 0;
    tcp sport {FIRST_PORT}-{LAST_PORT} tcp flags rst meta mark != {_OURS} drop
  }}
}}
"""
_SO_MARK = 36
_WAIT_S = 5.0


@dataclass(slots=True)
class Connection:
    """One connection after its handshake. data: what came of it. reset: whether the other side has ended it so."""

    source: str
    target: str
    target_port: int
    source_port: int
    out: socket.socket
    incoming: socket.socket
    acknowledged: int = 0
    data: bytes = b""
    reset: bool = False
    _seen: set[int] = field(default_factory=set)

    def send(self, offset: int, data: bytes, flags: int = PSH | ACK) -> None:
        """One segment, with these octets at this place of the stream."""
        self._send(ISN + 1 + offset, flags, data)

    def read(self, *, until: bytes = b"", timeout_s: float = _WAIT_S) -> bytes:
        """What has come when the data begins with something, the connection is reset, or the time is over."""
        end = time.monotonic() + timeout_s
        while not self.reset and not (until and self.data.startswith(until)):
            found = self._next(end)
            if found is None:
                break
            sequence, _, flags, data = found
            self.reset |= bool(flags & RST)
            if data and sequence not in self._seen:
                self._seen.add(sequence)
                self.data += data
        return self.data

    def _open(self) -> None:
        self._send(ISN, SYN)
        found = self._next(time.monotonic() + _WAIT_S)
        assert found is not None, "nobody answers"
        sequence, acknowledged, flags, _ = found
        assert flags == SYN | ACK, flags
        assert acknowledged == ISN + 1
        self.acknowledged = sequence + 1
        self.send(0, b"", ACK)

    def _send(self, sequence: int, flags: int, data: bytes = b"") -> None:
        packet = segment(
            ip_address(self.source).packed,
            ip_address(self.target).packed,
            self.source_port,
            self.target_port,
            sequence=sequence,
            acknowledged=self.acknowledged,
            flags=flags,
            data=data,
        )
        self.out.sendto(packet, (self.target, 0))

    def _next(self, end: float) -> tuple[int, int, int, bytes] | None:
        """Sequence number, acknowledgement, flags and data of the next segment for us."""
        while (left := end - time.monotonic()) > 0:
            self.incoming.settimeout(left)
            try:
                raw, address = self.incoming.recvfrom(65_536)
            except TimeoutError:
                return None
            if self.incoming.family == socket.AF_INET:
                raw = raw[(raw[0] & 15) * 4 :]
            ports = struct.unpack_from("!HH", raw)
            if ports == (self.target_port, self.source_port) and address[0] == self.target:
                sequence, acknowledged, offset, flags = struct.unpack_from("!IIBB", raw, 4)
                return sequence, acknowledged, flags, raw[(offset >> 4) * 4 :]
        return None


_ports = iter(range(FIRST_PORT, LAST_PORT))


@contextmanager
def connection(host: Host, source: str, target: str, port: int = 443) -> Iterator[Connection]:
    """A connection of the host's, its handshake done; reset at the end."""
    family = socket.AF_INET6 if ":" in target else socket.AF_INET
    nft = need("nft")
    host.run(nft, "add table inet by_hand; delete table inet by_hand; " + _RULES, status=0)
    with host.open(family, socket.SOCK_RAW, socket.IPPROTO_RAW) as out, host.open(family, socket.SOCK_RAW, TCP) as back:
        out.setsockopt(socket.SOL_SOCKET, _SO_MARK, _OURS)
        opened = Connection(source, target, port, next(_ports), out, back)
        opened._open()
        yield opened
        if not opened.reset:
            opened.send(len(opened.data) and 1, b"", RST | ACK)
    host.run(nft, "delete table inet by_hand", status=0)
