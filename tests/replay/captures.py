"""Captures made with dpkt, which is another hand than the one that reads them."""

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address

import dpkt

from enforcer.replay.capture import Frame
from enforcer.replay.packets import TCP, UDP

RAW, ETHERNET, COOKED, COOKED_2, NULL, PPP = 101, 1, 113, 276, 0, 9
NOON_NS = 1_780_315_200 * 1_000_000_000
PHONE, SERVER = "10.20.0.5", "192.0.2.80"
SYN, ACK = dpkt.tcp.TH_SYN, dpkt.tcp.TH_ACK


def ip(source: str, destination: str, protocol: int, payload: bytes, **fields: int) -> bytes:
    """An IP packet of either version."""
    a, b = ip_address(source).packed, ip_address(destination).packed
    if len(a) == 4:
        return bytes(dpkt.ip.IP(src=a, dst=b, p=protocol, data=payload, len=20 + len(payload), **fields))
    return bytes(dpkt.ip6.IP6(src=a, dst=b, nxt=protocol, plen=len(payload), hlim=64, data=payload))


def tcp(data: bytes, sport: int = 40_000, dport: int = 443, seq: int = 1001, flags: int = ACK) -> bytes:
    return bytes(dpkt.tcp.TCP(sport=sport, dport=dport, seq=seq & 0xFFFFFFFF, flags=flags, data=data))


def udp(data: bytes, sport: int = 40_000, dport: int = 443) -> bytes:
    return bytes(dpkt.udp.UDP(sport=sport, dport=dport, ulen=8 + len(data), data=data))


@dataclass(slots=True)
class Conversation:
    """Packets between one phone and one server, as raw IP."""

    client: str = PHONE
    server: str = SERVER
    port: int = 443
    client_port: int = 40_000
    start: int = 1000
    packets: list[bytes] = field(default_factory=list)

    def opened(self) -> "Conversation":
        self.packets.append(ip(self.client, self.server, TCP, self._segment(b"", self.start, SYN)))
        reply = tcp(b"", self.port, self.client_port, 5000, SYN | ACK)
        self.packets.append(ip(self.server, self.client, TCP, reply))
        return self

    def sends(self, data: bytes, at: int = 0) -> "Conversation":
        """at: where in the client's stream these octets are."""
        self.packets.append(ip(self.client, self.server, TCP, self._segment(data, self.start + 1 + at, ACK)))
        return self

    def gets(self, data: bytes, at: int = 0) -> "Conversation":
        reply = tcp(data, self.port, self.client_port, 5001 + at)
        self.packets.append(ip(self.server, self.client, TCP, reply))
        return self

    def datagram(self, data: bytes) -> "Conversation":
        self.packets.append(ip(self.client, self.server, UDP, udp(data, self.client_port, self.port)))
        return self

    def answered(self, data: bytes) -> "Conversation":
        self.packets.append(ip(self.server, self.client, UDP, udp(data, self.port, self.client_port)))
        return self

    def _segment(self, data: bytes, seq: int, flags: int) -> bytes:
        return tcp(data, self.client_port, self.port, seq, flags)


def as_frames(packets: Iterable[bytes], link: int = RAW) -> list[Frame]:
    return [Frame(NOON_NS + number * 1_000_000, link, data, len(data)) for number, data in enumerate(packets)]


def pcap(packets: Sequence[bytes], link: int = RAW) -> bytes:
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file, linktype=link, snaplen=262_144)
    for number, data in enumerate(packets):
        writer.writepkt(data, NOON_NS / 1e9 + number / 1000)
    return file.getvalue()


def ethernet(packet: bytes, *tags: int) -> bytes:
    """tags: EtherTypes of VLAN tags in front of the packet."""
    kind = 0x0800 if packet[0] >> 4 == 4 else 0x86DD
    frame = b"\x02\0\0\0\0\x01\x02\0\0\0\0\x02"
    for tag in tags:
        frame += tag.to_bytes(2) + b"\x00\x07"
    return frame + kind.to_bytes(2) + packet
