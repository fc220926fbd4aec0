"""Who may pass: one judgement for each connection, each later request, and each again when the policy changes."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, auto
from types import MappingProxyType

from enforcer import blockpage
from enforcer.attempts.block import Block, Response
from enforcer.attempts.ledger import Ledger
from enforcer.blockpage import Blocked, Notice
from enforcer.clients import Clients, Realm
from enforcer.counters import CONNECTIONS, DECISION_BUCKETS, VERDICTS, observe, word
from enforcer.decide.dns import Manners
from enforcer.decide.flow import UNKNOWN, Judged, Seen, Shows, judge_address, judge_flow
from enforcer.orders import Orders
from enforcer.policy.judge import Policy
from enforcer.policy.lists import Title
from enforcer.policy.names import display
from enforcer.policy.rules import Kind, Port, Transport
from enforcer.policy.verdict import Action, Address, Client, Layer, Verdict

ALERT = bytes.fromhex("15030300020270")
"""A TLS record with the fatal alert unrecognized_name (RFC 6066 §3): browsers say so, and do not try again."""


NOTICE = Notice("Blocked by organization policy", "Bloqué par la politique de l’organisation")


class How(Enum):
    """What becomes of a connection. SILENCE: what comes is swallowed, as a UDP client is refused."""

    PASS = auto()
    ALERT = auto()
    PAGE = auto()
    RESET = auto()
    SILENCE = auto()


@dataclass(frozen=True, slots=True)
class Decision:
    """What a layer has to do. octets: what the client is sent before the connection ends.

    page: of a banned name whose client may be shown it inside of its TLS: the page for the languages that it asks for.
    """

    how: How
    octets: bytes = b""
    page: Callable[[str | None], bytes] | None = None


PASS = Decision(How.PASS)
_RESET = Decision(How.RESET)
_SILENCE = Decision(How.SILENCE)
_ALERT = Decision(How.ALERT, ALERT)


@dataclass(frozen=True, slots=True)
class Rules:
    """What the configuration says of proxied connections; all of it can change while connections live.

    unknown, outside: whether a protocol that is not known, and a client outside of every realm, may pass.
    name_clients: whether a client's address may be written down. intercept: show the page inside of TLS.
    manners: how questions of DNS are answered; None: they are not.
    """

    realms: tuple[Realm, ...] = ()
    unknown: bool = True
    outside: bool = False
    name_clients: bool = False
    intercept: bool = False
    manners: Manners | None = None
    clients_max: int = 20_000
    per_client: int = 500
    notice: Notice = NOTICE
    node: str = "gate"


@dataclass(slots=True, eq=False)
class Flow:
    """One connection of a client. mode: the proxy mode, as configured, that it came through.

    address, port: where it goes; None while only a name, or nothing, is known of it. asked: the host that its client
    asked for by name before it said anything, as SOCKS does, which is judged with what the client says. seen: what it
    showed when it was let through; None before. reached: the address that its name led to. refused: why it was not
    connected there. end: closes it at once. reset: makes the close that follows one by RST. wake: tells its layer that
    time has passed.
    """

    ip: Address
    source_port: int
    mode: str
    transport: Transport
    address: Address | None = None
    port: int = 0
    asked: Seen | None = None
    seen: Seen | None = None
    reached: Address | None = None
    refused: Decision | None = None
    end: Callable[[], None] | None = field(default=None, repr=False)
    reset: Callable[[], None] | None = field(default=None, repr=False)
    wake: Callable[[], None] | None = field(default=None, repr=False)


class Door:
    """Judges, records, counts, and remembers whom it let through."""

    def __init__(
        self, ledger: Ledger, words: memoryview, now: Callable[[], datetime], steady: Callable[[], float]
    ) -> None:
        """now: the moment, in UTC. steady: seconds that only grow."""
        self._ledger, self._words, self._now, self._steady = ledger, words, now, steady
        self._policy: Policy | None = None
        self._titles: Mapping[str, Title] = MappingProxyType({})
        self._clients = Clients()
        self._inside: set[Flow] = set()
        self._waiting: dict[Flow, float] = {}
        self._by_client: Counter[Address] = Counter()
        self._counts = {
            (layer, verdict): word("proxy_connections", layer, verdict) for layer in CONNECTIONS for verdict in VERDICTS
        }
        self._active = word("proxy_active_connections")
        self._duration = word("proxy_decision_duration_seconds")
        self.rules = Rules()

    # What is in force

    def judge_by(self, policy: Policy, rules: Rules) -> None:
        """Put a policy and the configuration's rules in force; `again` is to be called after the orders' `follow`."""
        self._policy, self.rules, self._titles = policy, rules, policy.titles
        self._clients.serve(rules.realms)

    def follow(self, orders: Orders) -> None:
        """Take new pauses and grants."""
        self._clients.follow(orders)

    def changes(self, before: datetime, now: datetime) -> bool:
        """Whether a pause or a grant has ended between two moments."""
        return self._clients.changes(before, now)

    # Coming and going

    @property
    def inside(self) -> tuple[Flow, ...]:
        """Every connection there is."""
        return tuple(self._inside)

    def enter(self, flow: Flow) -> bool:
        """Take a connection in; False, and it must be closed, where that would be one too many."""
        rules = self.rules
        if len(self._inside) >= rules.clients_max or self._by_client[flow.ip] >= rules.per_client:
            self._count("other", "failed")
            return False
        self._inside.add(flow)
        self._by_client[flow.ip] += 1
        self._words[self._active] = len(self._inside)
        return True

    def leave(self, flow: Flow) -> None:
        """A connection has ended."""
        if flow not in self._inside:
            return
        self._inside.discard(flow)
        self._waiting.pop(flow, None)
        self._by_client[flow.ip] -= 1
        if not self._by_client[flow.ip]:
            del self._by_client[flow.ip]
        self._words[self._active] = len(self._inside)

    def wait(self, flow: Flow, seconds: float) -> None:
        """Wake the flow's layer when so many seconds have passed, unless it is judged before."""
        self._waiting[flow] = self._steady() + seconds

    def wake(self) -> None:
        """Once a second: wake whom the time has come for."""
        now = self._steady()
        for flow in [flow for flow, due in self._waiting.items() if due <= now]:
            if flow.wake is not None:
                flow.wake()

    def woken(self, flow: Flow) -> bool:
        """Whether a flow still waits, and from now on no more."""
        return self._waiting.pop(flow, None) is not None

    # Judging

    def first(self, flow: Flow, seen: Seen) -> Decision:
        """What becomes of a connection that shows this. Each block and each observed one is recorded, once."""
        began = self._steady()
        self._waiting.pop(flow, None)
        decision, verdict = self._decide(flow, seen)
        if decision.how is How.PASS:
            flow.seen = seen
        layer = "other" if seen.shows is Shows.UNKNOWN and verdict in ("allowed", "failed") else seen.layer.value
        self._count(layer, verdict)
        observe(self._words, self._duration, DECISION_BUCKETS, self._steady() - began)
        return decision

    def request(self, flow: Flow, seen: Seen) -> Decision:
        """The same for a further request on a connection that passed; it is counted only if it does not pass."""
        self._waiting.pop(flow, None)
        decision, verdict = self._decide(flow, seen)
        if verdict != "allowed":
            self._count(seen.layer.value, verdict)
        if decision.how is How.PASS:
            flow.seen = seen
        return decision

    def resolved(self, flow: Flow, address: Address, port: int) -> Decision:
        """Whether a connection may be made to this address, which its client has named, or which was there before."""
        if address == flow.address:
            return PASS  # judged with what the connection showed, or about to be
        flow.reached = address
        client = self.client(flow)
        if client is None:
            return PASS
        judged = judge_address(address, Port(flow.transport, port), policy=self.policy, client=client, now=self._now())
        if judged.verdict.action is Action.ALLOW:
            return PASS
        flow.refused = self._refuse(flow, flow.seen or UNKNOWN, judged, client)
        return flow.refused

    def failed(self, flow: Flow | None) -> None:
        """A connection was closed because something went wrong with it."""
        self._count("other", "failed")
        if flow is not None:
            flow.seen = None

    def again(self, flows: Iterable[Flow]) -> int:
        """Judge what passed once more, and end what may not go on; returns how many that were."""
        ended = 0
        for flow in flows:
            seen = flow.seen
            if seen is None or flow not in self._inside:
                continue
            client = self.client(flow)
            if client is None:
                continue
            judged = self._judge(flow, seen, client, flow.address or flow.reached, self._now())
            if judged.verdict.action is Action.BLOCK:
                response = Response.RESET if flow.transport is Transport.TCP else Response.REJECT
                self._record(flow, seen, judged, client, response)
                self._count(seen.layer.value, "blocked")
                flow.seen = None
                ended += 1
                if flow.end is not None:
                    flow.end()
        return ended

    @property
    def policy(self) -> Policy:
        """What is in force. Raises LookupError before there is any."""
        if self._policy is None:
            raise LookupError("no policy is in force")  # caught where hooks are guarded: nothing passes
        return self._policy

    def client(self, flow: Flow) -> Client | None:
        """Who connects; None: from outside of every realm."""
        return self._clients.client(flow.ip, flow.mode, self._now())

    def now(self) -> datetime:
        """The moment, in UTC."""
        return self._now()

    def _judge(self, flow: Flow, seen: Seen, client: Client, address: Address | None, now: datetime) -> Judged:
        port = Port(flow.transport, flow.port)
        if flow.asked is not None:
            names = (*seen.names, *(each for each in flow.asked.names if each not in seen.names))
            seen = seen._replace(names=names, addresses=seen.addresses + flow.asked.addresses)
        return judge_flow(seen, address, port, policy=self.policy, client=client, now=now)

    def _decide(self, flow: Flow, seen: Seen) -> tuple[Decision, str]:
        """The decision, and its word in the counters."""
        now = self._now()
        client = self._clients.client(flow.ip, flow.mode, now)
        if client is None:
            return (PASS, "allowed") if self.rules.outside else (self._closed(flow, seen), "failed")
        judged = self._judge(flow, seen, client, flow.address, now)
        if judged.verdict.action is Action.BLOCK:
            return self._refuse(flow, seen, judged, client), "blocked"
        if judged.verdict.action is Action.OBSERVE:
            self._record(flow, seen, judged, client, Response.RESET)
            return PASS, "observed"
        if not seen.readable or (seen.shows is Shows.UNKNOWN and not self.rules.unknown):
            return self._closed(flow, seen), "failed"
        return PASS, "allowed"

    def _closed(self, flow: Flow, seen: Seen) -> Decision:
        """How a connection ends that no rule bans."""
        if flow.transport is Transport.UDP:
            return _SILENCE
        return _ALERT if seen.layer is Layer.TLS else _RESET

    def _refuse(self, flow: Flow, seen: Seen, judged: Judged, client: Client) -> Decision:
        if judged.verdict.action is Action.OBSERVE:
            self._record(flow, seen, judged, client, Response.RESET)
            return PASS
        if flow.transport is Transport.UDP:
            self._record(flow, seen, judged, client, Response.REJECT)
            return _SILENCE
        if seen.layer is Layer.HTTP and not seen.alpn:
            self._record(flow, seen, judged, client, Response.PAGE)
            return Decision(How.PAGE, self._page(judged)(seen.languages))
        if seen.layer is Layer.TLS and self.rules.intercept and judged.destination.name is not None:
            self._record(flow, seen, judged, client, Response.PAGE)
            return Decision(How.PAGE, page=self._page(judged))
        if seen.layer is Layer.TLS:
            self._record(flow, seen, judged, client, Response.ALERT)
            return _ALERT
        self._record(flow, seen, judged, client, Response.RESET)
        return _RESET

    def _record(self, flow: Flow, seen: Seen, judged: Judged, client: Client, response: Response) -> None:
        """Write one attempt, before it is refused or let through."""
        verdict, destination = judged.verdict, judged.destination
        address = destination.address or flow.address
        on_address = _kind(verdict) is Kind.CIDR and destination.name is not None
        is_tls = seen.layer in (Layer.TLS, Layer.QUIC)
        block = Block.of(
            verdict,
            ruleset=self.policy.ruleset,
            layer=seen.layer,
            name=destination.name,
            via=str(address) if on_address else None,
            alpn=seen.alpn if is_tls or seen.alpn else None,
            ech=seen.ech,
            response=response,
            transport=flow.transport.value,
            dest_ip=None if address is None else str(address),
            dest_port=flow.port or None,
            realm=client.realm,
        )
        if block is not None:
            self.write(flow, block)

    def write(self, flow: Flow, block: Block) -> None:
        """Count one attempt of the flow's client, before it is answered."""
        ip, port = (str(flow.ip), flow.source_port) if self.rules.name_clients else (None, None)
        if not self._ledger.record(block, ip, port, round(self._now().timestamp() * 1000)):
            self._words[word("attempts_dropped", self._ledger.full or "disk_full")] += 1

    def _page(self, judged: Judged) -> Callable[[str | None], bytes]:
        """The page about one refusal, which is written when it is known what languages its reader asks for."""
        rule, destination = judged.verdict.rule, judged.destination
        service = rule.service if rule is not None else ""
        title = self._titles.get(service, Title(service, service))
        blocked = Blocked(
            what=display(destination.name) if destination.name is not None else str(destination.address or ""),
            en=title.en,
            fr=title.fr,
            ban=None if rule is None else rule.ban,
            reference=f"{self.rules.node} {self._now():%Y-%m-%dT%H:%M:%SZ} {self.policy.ruleset}",
        )
        notice = self.rules.notice
        return lambda languages: blockpage.response(blockpage.page(notice, blocked, languages))

    def _count(self, layer: str, verdict: str) -> None:
        self._words[self._counts[layer, verdict]] += 1


def _kind(verdict: Verdict) -> Kind | None:
    return None if verdict.rule is None else verdict.rule.kind
