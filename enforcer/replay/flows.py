"""Packets to flows to verdicts, as the resolver, the gateway and the proxy would have given them."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from enforcer.decide.dns import judge_answer
from enforcer.decide.flow import Judged, Seen, Shows, judge_address, judge_flow
from enforcer.errors import Malformed
from enforcer.policy.judge import Policy
from enforcer.policy.rules import Port, Rule, Transport
from enforcer.policy.verdict import Action, Address, Client, Destination, Layer, Verdict
from enforcer.replay.capture import Frame
from enforcer.replay.frames import ip_in
from enforcer.replay.packets import TCP, UDP, Packet, Packets
from enforcer.replay.shown import ShownByDatagrams, ShownByStream
from enforcer.replay.streams import Stream
from enforcer.wire import dns
from enforcer.wire.name import Name

DNS_PORT = 53

FLOWS_MAX = 50_000
"""Flows that are known at a time, told ones too; the one that was quiet for longest is forgotten."""

QUESTIONS_MAX = 10_000
"""Questions that wait for their answer; the oldest is told without."""

_SYN, _ACK = 2, 16
_ICMP = (1, 2, 58)  # and IGMP: they carry no application


class Fate(StrEnum):
    """What would have become of a flow. REFUSED: no rule matched; it is a protocol that we know and cannot read."""

    BLOCKED = "block"
    OBSERVED = "observe"
    ALLOWED = "allow"
    REFUSED = "refuse"


@dataclass(frozen=True, slots=True)
class Ends:
    """The 5-tuple, from the client's side. port: 0 where the protocol has none."""

    protocol: int
    client: Address
    client_port: int
    server: Address
    server_port: int

    @property
    def port(self) -> Port | None:
        """The server's, as rules have it."""
        transport = {TCP: Transport.TCP, UDP: Transport.UDP}.get(self.protocol)
        return None if transport is None else Port(transport, self.server_port)


@dataclass(frozen=True, slots=True)
class Flow:
    """One flow or DNS question with its verdict. name: what it asks for or shows; None where it shows no name.

    shows: what its first octets are; None for DNS, and for a flow that ends before they tell.
    """

    time_ns: int
    ends: Ends
    layer: Layer
    name: Name | None
    fate: Fate
    rule: Rule | None
    shows: Shows | None = None
    via: str | None = None


@dataclass(slots=True)
class _Known:
    """A flow that has begun. shown: what takes its client's octets; None: nothing more is told of it, or it is DNS.

    told: a verdict on it has been given. first: the sequence number of the client's first octet, where the capture has
    its SYN.
    """

    ends: Ends
    time_ns: int
    shown: ShownByStream | ShownByDatagrams | None = None
    told: bool = False
    first: int | None = None
    streams: dict[bool, Stream] = field(default_factory=dict)  # by whether it is the client's
    messages: dict[bool, bytearray] = field(default_factory=dict)  # DNS over TCP, not whole yet


@dataclass(frozen=True, slots=True)
class _Question:
    """A DNS question that waits for its answer."""

    time_ns: int
    ends: Ends
    name: Name
    judged: Judged


class Replay:
    """One capture, judged on behalf of one client. cut, other: packets that were cut short, that are not IP."""

    def __init__(self, policy: Policy, client: Client, now: datetime, dns_ports: Iterable[int] = (DNS_PORT,)) -> None:
        self.packets = self.cut = self.other = 0
        self._policy = policy
        self._client = client
        self._now = now
        self._dns_ports = frozenset(dns_ports)
        self._whole = Packets()
        self._flows: OrderedDict[Ends, _Known] = OrderedDict()
        self._questions: OrderedDict[tuple[Ends, int, Name], _Question] = OrderedDict()

    def add(self, frame: Frame) -> Iterator[Flow]:
        """Take the next packet; gives the flows that it decides."""
        self.packets += 1
        self.cut += frame.size > len(frame.data)
        data = ip_in(frame.link, frame.data)
        if data is None:
            self.other += 1
            return
        packet = self._whole.read(data)
        if packet is None or packet.protocol in _ICMP or packet.destination.is_multicast:
            return
        if packet.protocol == TCP:
            yield from self._tcp(frame.time_ns, packet)
        elif packet.protocol == UDP:
            yield from self._udp(frame.time_ns, packet)
        else:
            ends, _ = self._ends(packet, 0, 0)
            yield from self._begin(ends, frame.time_ns)

    def end(self) -> Iterator[Flow]:
        """The flows that the capture's end leaves undecided, by their addresses, and questions without an answer."""
        for known in self._flows.values():
            yield from self._unfinished(known)
        for question in self._questions.values():
            yield _asked(question, question.judged)
        self._flows.clear()
        self._questions.clear()

    def _tcp(self, time_ns: int, packet: Packet) -> Iterator[Flow]:
        head = packet.payload
        if len(head) < 20:
            return
        source, destination, number = int.from_bytes(head[0:2]), int.from_bytes(head[2:4]), int.from_bytes(head[4:8])
        flags, data = head[13], head[(head[12] >> 4) * 4 :]
        opens = flags & (_SYN | _ACK) == _SYN
        ends, from_client = self._ends(packet, source, destination, opens=opens)
        number = number + 1 & 0xFFFFFFFF if flags & _SYN else number
        known = self._flows.get(ends)
        if known is not None and opens and known.first not in (None, number):  # the ports are used again
            yield from self._unfinished(self._flows.pop(ends))
        yield from self._begin(ends, time_ns)
        known = self._flows[ends]
        asks = ends.server_port in self._dns_ports
        if opens:
            known.first = number
        if known.shown is None and not asks:
            return
        stream = known.streams.get(from_client)
        if stream is None:
            stream = known.streams[from_client] = Stream(number)
        octets = stream.add(number, data) if data else b""
        if octets and asks:
            yield from self._messages(known, octets, time_ns, from_client=from_client)
        elif octets and from_client:
            yield from self._look(known, octets, time_ns)

    def _udp(self, time_ns: int, packet: Packet) -> Iterator[Flow]:
        head = packet.payload
        if len(head) < 8:
            return
        source, destination = int.from_bytes(head[0:2]), int.from_bytes(head[2:4])
        data = head[8 : int.from_bytes(head[4:6]) or None]
        ends, from_client = self._ends(packet, source, destination)
        if ends.server_port in self._dns_ports:
            yield from self._message(ends, data, time_ns, from_client=from_client)
            return
        yield from self._begin(ends, time_ns)
        known = self._flows[ends]
        if from_client:
            yield from self._look(known, data, time_ns)

    def _ends(self, packet: Packet, source: int, destination: int, *, opens: bool = False) -> tuple[Ends, bool]:
        """The flow, and whether this packet is the client's: who began it, else whose port is not one of a server."""
        there = Ends(packet.protocol, packet.source, source, packet.destination, destination)
        back = Ends(packet.protocol, packet.destination, destination, packet.source, source)
        if opens or there in self._flows:
            return there, True
        if back in self._flows:
            return back, False
        if (source in self._dns_ports) != (destination in self._dns_ports):
            from_client = destination in self._dns_ports
        else:
            from_client = not source < 1024 <= destination
        return (there, True) if from_client else (back, False)

    def _begin(self, ends: Ends, time_ns: int) -> Iterator[Flow]:
        """Know the flow; a banned address decides it at its first packet."""
        if ends in self._flows:
            self._flows.move_to_end(ends)
            return
        known = self._flows[ends] = _Known(ends, time_ns)
        if ends.server_port not in self._dns_ports:
            judged = self._address(ends)
            if ends.protocol in (TCP, UDP) and judged.verdict.action is not Action.BLOCK:
                known.shown = ShownByStream() if ends.protocol == TCP else ShownByDatagrams()
            else:
                yield _flow(known, judged, None, time_ns)
        if len(self._flows) > FLOWS_MAX:
            yield from self._unfinished(self._flows.popitem(last=False)[1])

    def _look(self, known: _Known, data: bytes, time_ns: int) -> Iterator[Flow]:
        """The verdict on what it begins with; of what follows, those by which it would not have gone on in silence."""
        if known.shown is None:
            return
        for seen in known.shown.add(data):
            judged = judge_flow(
                seen, known.ends.server, known.ends.port, policy=self._policy, client=self._client, now=self._now
            )
            flow = _flow(known, judged, seen, time_ns if known.told else known.time_ns)
            if not known.told or flow.fate is not Fate.ALLOWED:
                yield flow
            known.told = True
            if flow.fate in (Fate.BLOCKED, Fate.REFUSED):
                known.shown = None
                break
        if known.shown is None or known.shown.over:
            known.shown = None
            known.streams.clear()

    def _unfinished(self, known: _Known) -> Iterator[Flow]:
        if known.shown is not None and not known.told:
            yield _flow(known, self._address(known.ends), None, known.time_ns)

    def _address(self, ends: Ends) -> Judged:
        return judge_address(ends.server, ends.port, policy=self._policy, client=self._client, now=self._now)

    def _messages(self, known: _Known, octets: bytes, time_ns: int, *, from_client: bool) -> Iterator[Flow]:
        """DNS over TCP: messages, each behind its length (RFC 1035 §4.2.2)."""
        held = known.messages.setdefault(from_client, bytearray())
        held += octets
        while len(held) >= 2 and len(held) >= 2 + (size := int.from_bytes(held[:2])):
            message = bytes(held[2 : 2 + size])
            del held[: 2 + size]
            yield from self._message(known.ends, message, time_ns, from_client=from_client)

    def _message(self, ends: Ends, wire: bytes, time_ns: int, *, from_client: bool) -> Iterator[Flow]:
        try:
            if from_client and dns.is_query(wire):
                yield from self._ask(ends, dns.read_query(wire), time_ns)
            elif not from_client:
                yield from self._answer(ends, wire)
        except Malformed:
            return  # the resolver answers FORMERR, and asks again elsewhere

    def _ask(self, ends: Ends, query: dns.Query, time_ns: int) -> Iterator[Flow]:
        """A banned name, or a resolver that may not be asked, decides at once; else the answer may."""
        destination = Destination(Layer.DNS, name=query.qname)
        judged = Judged(self._policy.judge(destination, self._client, self._now), destination)
        if judged.verdict.action is not Action.BLOCK:
            there = self._address(ends)
            judged = there if there.verdict.action is Action.BLOCK else judged
        question = _Question(time_ns, ends, query.qname, judged)
        if judged.verdict.action is Action.BLOCK:
            yield _asked(question, judged)
            return
        self._questions.setdefault((ends, query.id, query.qname), question)
        if len(self._questions) > QUESTIONS_MAX:
            oldest = self._questions.popitem(last=False)[1]
            yield _asked(oldest, oldest.judged)

    def _answer(self, ends: Ends, wire: bytes) -> Iterator[Flow]:
        response = dns.read_response(wire)
        if response.qname is None:
            return
        question = self._questions.pop((ends, response.id, response.qname), None)
        if question is None:
            return
        found = judge_answer(wire, response, self._client, self._policy, self._now)
        if found is None or (found.verdict.action, question.judged.verdict.action) == (Action.OBSERVE, Action.OBSERVE):
            yield _asked(question, question.judged)
        else:
            yield _asked(question, Judged(found.verdict, question.judged.destination), found.via)


def _asked(question: _Question, judged: Judged, via: str | None = None) -> Flow:
    verdict = judged.verdict
    layer = judged.destination.layer
    return Flow(question.time_ns, question.ends, layer, question.name, _fate(verdict), verdict.rule, None, via)


def _flow(known: _Known, judged: Judged, seen: Seen | None, time_ns: int) -> Flow:
    verdict = judged.verdict
    name = judged.destination.name
    fate = _fate(verdict)
    if seen is not None and not seen.readable and fate is Fate.ALLOWED:
        fate = Fate.REFUSED
    shows = None if seen is None else seen.shows
    return Flow(time_ns, known.ends, judged.destination.layer, name, fate, verdict.rule, shows)


def _fate(verdict: Verdict) -> Fate:
    return Fate(verdict.action.value)
