"""What becomes of a queued packet: the gate's decision, without its sockets.

Allowed: a mark, and the kernel forwards all that follows. Banned: a TLS alert or a reset to the client, a reset to the
server, a mark that ends whatever else comes, and one attempt. Not yet clear: given on or held (`flows`).

A connection that may pass only for a while (its client is exempt, or its realm observed) is not marked for good: each
packet of its client is judged by what it showed at first, so that it ends with the exemption.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from ipaddress import IPv4Address, IPv6Address

from enforcer.attempts.block import Block, Response
from enforcer.attempts.ledger import Ledger
from enforcer.clients import Clients
from enforcer.counters import CONNECTIONS, DROPS, VERDICTS, word
from enforcer.decide.flow import UNKNOWN, Judged, Seen, Shows, judge_flow
from enforcer.errors import Malformed
from enforcer.gateway import marks
from enforcer.gateway.endings import endings
from enforcer.gateway.flows import Flows, Looked, Step
from enforcer.gateway.nfqueue import Queued
from enforcer.gateway.packets import SYN, TCP, Packet, read_packet
from enforcer.gateway.remembered import Remembered
from enforcer.gateway.usual import Group
from enforcer.policy.judge import Policy
from enforcer.policy.rules import Kind, Mode, Port, Transport
from enforcer.policy.verdict import Action, Client, Layer

_TALLY = {(layer, verdict): word("proxy_connections", layer, verdict) for layer in CONNECTIONS for verdict in VERDICTS}
_ALLOWED_TLS = _TALLY["tls", "allowed"]
_HELLO, _WHOLE = Seen(Layer.TLS, Shows.NAME), Looked(Step.REFUSE)
_DROPPED = {reason: word("attempts_dropped", reason) for reason in DROPS}


@dataclass(frozen=True, slots=True)
class Manner:
    """How the configuration wants the gate to behave. name_clients: whether attempts may say whose they are."""

    refuse_unknown: bool = False
    name_clients: bool = False


@dataclass(frozen=True, slots=True)
class Moment:
    """One reading of the clocks: the time, the same in milliseconds since 1970, steady seconds."""

    now: datetime
    now_ms: int
    now_s: float


class FirstPackets:
    """Decides on the packets of one queue.

    answers: (number in the queue, mark word) of each packet that has its verdict; packets: whole IP packets to send.
    Whoever carries them takes them out after each batch.
    """

    def __init__(self, clients: Clients, ledger: Ledger, words: memoryview, order: marks.Order) -> None:
        self.answers: list[tuple[int, int]] = []
        self.packets: list[bytes] = []
        self._clients, self._ledger, self._words, self._order = clients, ledger, words, order
        self._flows = Flows()
        self._remembered = Remembered()
        self._known: dict[tuple[bytes, int], Group | None] = {}
        self._groups: dict[tuple[str, Mode], Group] = {}
        self._manner = Manner()
        self._policy: Policy | None = None
        self._generation = 0
        self._interface: Callable[[int], str] = str

    def judge_by(self, policy: Policy, generation: int, manner: Manner, interface: Callable[[int], str]) -> None:
        """Decide so from now on. interface: the name of an interface by its index."""
        self._policy, self._generation, self._manner = policy, marks.generation_of(generation), manner
        self._interface = interface
        self._known.clear()
        self._groups.clear()

    def tick(self, now_s: float) -> None:
        """Once a second, and when clients may have changed."""
        self._known.clear()
        self.answers += ((ident, marks.REFUSE) for ident in self._flows.sweep(now_s))

    def take(self, queued: Queued, moment: Moment) -> None:
        """Decide on one packet."""
        try:
            packet = read_packet(queued.packet)
        except Malformed:
            self.answers.append((queued.ident, marks.REFUSE))
            self._count("other", "failed")
            return
        mark = self._order.message(queued.mark)
        state = mark & marks.STATE
        start = (mark + (packet.protocol == TCP)) & marks.SEQUENCE
        if state == marks.PENDING:
            if packet.sequence & marks.SEQUENCE == start and self._is_usual(packet, queued, mark, moment):
                return
        elif state != marks.ALLOWED:  # no rule of ours has sent it
            self.answers.append((queued.ident, marks.REFUSE))
            return
        case = _Case(packet, queued, mark, moment, start)
        if state == marks.ALLOWED:
            self._again(case)
        else:
            self._unjudged(case)

    def _is_usual(self, packet: Packet, queued: Queued, mark: int, moment: Moment) -> bool:
        """Answer at once what is like a packet that such a client has sent before."""
        group = self._known.get((packet.source, queued.incoming))
        if group is None or self._flows.knows(packet.key):
            return False
        found = group.usual(packet)
        if found is None:
            return False
        start = (mark + 1) & marks.SEQUENCE
        if isinstance(found, int):
            self._flows.decide(packet.key, start, found)
            self.answers.append((queued.ident, found))
            self._words[_ALLOWED_TLS] += 1
        elif self._flows.decided(packet.key, start) is None:
            case = _Case(packet, queued, mark, moment, start)
            self._keep(case, found)
            self._count("tls", "blocked")
            self._refuse(case, _HELLO, _WHOLE)
        else:
            return False
        return True

    def _unjudged(self, case: "_Case") -> None:
        """Something of a connection that nobody has judged."""
        packet, queued = case.packet, case.queued
        decided = self._flows.decided(packet.key, case.start)
        if decided is not None:
            self.answers.append((queued.ident, decided))
            return
        if packet.protocol != TCP and self._flows.is_refused(packet.key):
            self.answers.append((queued.ident, marks.REFUSE))
            return
        if packet.flags & SYN and not packet.data:
            self._begin(case)
            return
        if packet.protocol == TCP:
            case.offset = (packet.sequence + (packet.flags >> 1 & 1) - case.start) & marks.SEQUENCE
            looked = self._flows.segment(packet.key, case.offset, packet.data, queued.ident, case.moment.now_s)
        else:
            looked = self._flows.datagram(packet.key, packet.data, case.moment.now_s)
        if isinstance(looked.what, Seen):
            self._decide(case, looked.what, looked)
        else:
            self._undecided(case, looked)

    def _begin(self, case: "_Case") -> None:
        """A SYN, which comes to us where the kernel does not reject addresses: its client is exempt, or observed."""
        client = self._client(case)
        judged = None if client is None else self._judge(client, case, UNKNOWN)
        if judged is None or judged.verdict.action is Action.ALLOW:
            self._answer(case, marks.PASS)
        else:
            self._decide(case, UNKNOWN, Looked(UNKNOWN))

    def _undecided(self, case: "_Case", looked: Looked) -> None:
        match looked.what:
            case Step.PASS:
                self._answer(case, marks.PASS, looked.released)
            case Step.STRAY:
                self.answers.append((case.queued.ident, case.mark))
            case Step.REFUSE:
                self._contradicted(case, looked)

    def _contradicted(self, case: "_Case", looked: Looked) -> None:
        """Two versions of one stream: refused, and an attempt if the later one shows what is banned."""
        client = self._client(case)
        if looked.other is not None and client is not None:
            judged = self._judge(client, case, looked.other)
            if judged.verdict.action is Action.BLOCK:
                self._record(case, looked.other, judged, client)
                self._count(looked.other.layer.value, "blocked")
                self._refuse(case, looked.other, looked)
                return
        self._count("other", "failed")
        self._refuse(case, UNKNOWN, looked)

    def _decide(self, case: "_Case", seen: Seen, looked: Looked) -> None:
        """The connection has shown where it goes."""
        client = self._client(case)
        if client is None:  # the rules know a realm that we do not, for a moment
            self._allow(case, seen, looked, marks.NEVER_CURRENT)
            return
        judged = self._judge(client, case, seen)
        layer = seen.layer.value
        if seen.shows is Shows.UNKNOWN and judged.verdict.action is Action.ALLOW:
            layer = "other"
        match judged.verdict.action:
            case Action.BLOCK:
                block, rule = self._record(case, seen, judged, client), judged.verdict.rule
                if block is not None and rule is not None and rule.expires is None:  # nothing ends it by itself
                    self._learn(case, block)
                self._count(layer, "blocked")
                self._refuse(case, seen, looked)
            case Action.OBSERVE:
                self._record(case, seen, judged, client)
                self._count(layer, "observed")
                self._allow(case, seen, looked, marks.NEVER_CURRENT)
            case Action.ALLOW if self._unfit(seen):
                self._count(layer, "failed")
                self._refuse(case, seen, looked)
            case Action.ALLOW:
                self._count(layer, "allowed")
                self._learn(case, self._allow(case, seen, looked, self._lasting(case, seen, client)))

    def _again(self, case: "_Case") -> None:
        """A packet of a connection that was allowed under another policy, or for a while."""
        case.start = case.mark
        seen = self._remembered.seen(case.mark & marks.NUMBER)
        if seen is None:  # another process allowed it: what it showed is not known, so it cannot be judged
            self._count("other", "failed")
            self._refuse(case, UNKNOWN, Looked(Step.REFUSE))
            return
        client = self._client(case)
        if client is None:
            self.answers.append((case.queued.ident, marks.allow(marks.NEVER_CURRENT, case.mark & marks.NUMBER)))
            return
        judged = self._judge(client, case, seen)
        if judged.verdict.action is Action.BLOCK:
            self._record(case, seen, judged, client)
            self._count(seen.layer.value, "blocked")
            self._refuse(case, UNKNOWN, Looked(Step.REFUSE))
            return
        generation = self._lasting(case, seen, client)
        if judged.verdict.action is Action.OBSERVE:
            generation = marks.NEVER_CURRENT
            if case.mark & marks.GENERATION:  # it was allowed for good: nobody has recorded it
                self._record(case, seen, judged, client)
        self.answers.append((case.queued.ident, marks.allow(generation, case.mark & marks.NUMBER)))

    def _judge(self, client: Client, case: "_Case", seen: Seen) -> Judged:
        assert self._policy is not None  # noqa: S101 (nothing is read from the queue before there is one)
        packet = case.packet
        port = Port(Transport.TCP if packet.protocol == TCP else Transport.UDP, packet.target_port)
        return judge_flow(seen, _address(packet.target), port, policy=self._policy, client=client, now=case.moment.now)

    def _client(self, case: "_Case") -> Client | None:
        group = self._group(case)
        return None if group is None else group.client

    def _group(self, case: "_Case") -> Group | None:
        key = case.packet.source, case.queued.incoming
        if key not in self._known:
            way = self._interface(case.queued.interface)
            client = self._clients.client(_address(case.packet.source), way, case.moment.now)
            group = None if client is None else Group(client)
            if client is not None and not client.exempt:
                group = self._groups.setdefault((client.realm, client.mode), Group(client))
            self._known[key] = group
        return self._known[key]

    def _lasting(self, case: "_Case", seen: Seen, client: Client) -> int:
        """The generation under which a connection that is allowed now stays so: none, for one that owes it to time."""
        if client.exempt:
            strict = Client(client.realm, client.mode)
            if self._judge(strict, case, seen).verdict.action is not Action.ALLOW:
                return marks.NEVER_CURRENT
        return self._generation

    def _unfit(self, seen: Seen) -> bool:
        return not seen.readable or (seen.shows is Shows.UNKNOWN and self._manner.refuse_unknown)

    def _allow(self, case: "_Case", seen: Seen, looked: Looked, generation: int) -> int:
        kept = seen._replace(alpn=(), ech=None, languages=None)  # what a later policy may ask about
        verdict = marks.allow(generation, self._remembered.number(kept))
        self._settle(case, verdict, looked)
        return verdict

    def _learn(self, case: "_Case", found: int | Block) -> None:
        """Answer the same at once from now on."""
        group = self._group(case)
        if group is not None and not case.offset:
            group.learn(case.packet, found)

    def _refuse(self, case: "_Case", seen: Seen, looked: Looked) -> None:
        """End it at both ends; the packet goes no further, and nothing after it."""
        self._settle(case, marks.REFUSE, looked)
        packet = case.packet
        if packet.protocol != TCP:  # the rules reject it
            self._flows.refuse(packet.key, case.moment.now_s)
            return
        given_on = looked.given_on - _signed(case.offset)
        self.packets += endings(packet, given_on, alert=seen.layer is Layer.TLS)

    def _settle(self, case: "_Case", verdict: int, looked: Looked) -> None:
        self._flows.decide(case.packet.key, case.start, verdict)
        self._answer(case, verdict, looked.released)

    def _answer(self, case: "_Case", verdict: int, released: Sequence[int] = ()) -> None:
        self.answers.append((case.queued.ident, verdict))
        self.answers += ((ident, verdict) for ident in released)

    def _record(self, case: "_Case", seen: Seen, judged: Judged, client: Client) -> Block | None:
        """Record one attempt; returns what all attempts like it share."""
        packet, policy = case.packet, self._policy
        assert policy is not None  # noqa: S101
        tcp = packet.protocol == TCP
        response = Response.REJECT
        if tcp:
            alert = seen.layer is Layer.TLS and case.mark & marks.STATE != marks.ALLOWED
            response = Response.ALERT if alert else Response.RESET
        target, rule = str(_address(packet.target)), judged.verdict.rule
        via = target if rule is not None and rule.kind is Kind.CIDR and judged.destination.name is not None else None
        block = Block.of(
            judged.verdict,
            ruleset=policy.ruleset,
            layer=seen.layer,
            name=judged.destination.name,
            via=via,
            alpn=seen.alpn or None,
            ech=seen.ech,
            response=response,
            transport="tcp" if tcp else "udp",
            dest_ip=target,
            dest_port=packet.target_port,
            realm=client.realm,
        )
        if block is not None:
            self._keep(case, block)
        return block

    def _keep(self, case: "_Case", block: Block) -> None:
        packet = case.packet
        source = str(_address(packet.source)) if self._manner.name_clients else None
        port = packet.source_port if self._manner.name_clients else None
        if not self._ledger.record(block, source, port, case.moment.now_ms):
            self._words[_DROPPED[self._ledger.full or DROPS[0]]] += 1

    def _count(self, layer: str, verdict: str) -> None:
        self._words[_TALLY[layer, verdict]] += 1


@dataclass(slots=True)
class _Case:
    """One packet on its way through. mark: as a word. start, offset: where its stream begins, and it in the stream."""

    packet: Packet
    queued: Queued
    mark: int
    moment: Moment
    start: int
    offset: int = 0


def _address(packed: bytes) -> IPv4Address | IPv6Address:
    return IPv4Address(packed) if len(packed) == 4 else IPv6Address(packed)


def _signed(offset: int) -> int:
    return offset if offset <= marks.SEQUENCE // 2 else offset - marks.SEQUENCE - 1
