"""The gateway's process: the rules in the kernel follow the policy, and what they reject becomes attempts."""

import asyncio
import logging
from collections.abc import Collection
from datetime import UTC, datetime
from functools import partial

from enforcer.attempts.ledger import Ledger
from enforcer.clients import Clients, Realm
from enforcer.config.gateway import Connections, FailOpen
from enforcer.config.model import Config
from enforcer.config.policy import Realm as RealmSettings
from enforcer.config.proxy import transparent
from enforcer.counters import OPENABLE, read_counters, word
from enforcer.errors import Malformed, Unavailable
from enforcer.gateway import nft
from enforcer.gateway.drops import read_taken, write_taken
from enforcer.gateway.elements import Elements, elements
from enforcer.gateway.failopen import Pulses, lease, opened
from enforcer.gateway.learn import Learned
from enforcer.gateway.marks import Order
from enforcer.gateway.rejections import Rejections
from enforcer.gateway.ruleset import Kernel, Settings, SteeredRealm
from enforcer.orders import Orders
from enforcer.policy.judge import Policy
from enforcer.policy.verdict import Address
from enforcer.processes.clock import CLOCK, utc_now, wall_ms
from enforcer.processes.plan import plan
from enforcer.processes.settings import gates_of, manner_of
from enforcer.processes.upstreams import upstreams_of
from enforcer.processes.worker import Kit, Worker
from enforcer.resolver.upstream import Answer, Failure, Question, Upstreams
from enforcer.wire.dns import Section, address
from enforcer.wire.dnscodes import RRClass, RRType
from enforcer.wire.name import Name

_KINDS = ("address4", "address6", "mmtls4", "mmtls6")
_REJECTED = {name: word("gateway_rejected", name) for name in ("unsteered", "unjudged", "predating")}
_OPEN = {part: word("gateway_open", part) for part in OPENABLE}
_HEARTBEAT = word("worker_heartbeat_milliseconds")
_DNS_PORT = 53
_LOOKED_S = 10  # how often somebody else's hand in the table is looked for

_log = logging.getLogger(__name__)


def gateway_worker(config: Config, number: int) -> Worker:
    """The gateway's process; there is one."""
    return Worker(config, "gateway", number, Rules)


class Rules:
    """Keeps the table as the policy wants it. It stays when the process ends, since without it nothing is enforced."""

    def __init__(self, config: Config, kit: Kit) -> None:
        self._kit = kit
        self._clients = Clients()
        ledger = Ledger(kit.spool)
        self._config, self._learned = config, Learned()
        self._asked: Upstreams | None = None
        taken = read_taken(kit.folders.drops, "")
        self._rejections = Rejections(self._clients, ledger, kit.words, taken, self._learned)
        self._settings = settings_of(config)
        self._kernel = Kernel(queue=False, order=Order())
        self._policy: Policy | None = None
        self._orders: Orders | None = None
        self._wanted: Elements | None = None
        self._made_of: tuple[object, ...] = ()
        self._failed = ""
        self._ticks = 0
        self._processes = {
            part: [f"{kind}-{number}" for kind, number in plan(config) if kind == part] for part in OPENABLE
        }
        self._pulses = Pulses()
        self._named: tuple[FailOpen, ...] = ()
        self._after_s = 0.0
        self._opened: frozenset[str] = frozenset()

    def bind(self, tasks: asyncio.TaskGroup) -> None:
        """See what the kernel can do."""
        self._kernel = nft.probe()
        if self._config.gateway.learn:
            loop, ca = asyncio.get_running_loop(), self._config.resolver.upstream_ca
            targets, manner = upstreams_of(self._config), manner_of(self._config)
            self._asked = Upstreams(targets, manner, self._kit.words, loop, tasks, ca=ca)

    def judge_by(self, policy: Policy, config: Config) -> None:
        """Another policy: what was rejected under the one before is taken over first."""
        self._count()
        self._policy, settings = policy, settings_of(config)
        self._named, self._after_s = config.gateway.fail_open, config.gateway.fail_open_after_s
        if settings != self._settings:
            self._settings, self._wanted = settings, None
        self._clients.serve(realms_of(config))
        self._rejections.judge_by(policy)
        self._learned.follow(policy, utc_now())
        self._rejections.name_clients = config.policy.notice.monitoring_notice_acknowledged

    def follow(self, orders: Orders) -> None:
        """Bring the sets up to new orders."""
        self._orders = orders
        self._clients.follow(orders)
        self._keep()

    async def listen(self, tasks: asyncio.TaskGroup) -> None:  # noqa: ARG002 (nothing waits)
        """The rules are there, or we do not say that we are ready. Raises Unavailable."""
        if self._wanted is None:
            raise Unavailable(self._failed)

    def tick(self, now_ms: int) -> None:
        """Take over what was rejected; mend the table."""
        self._kit.spool.tick(now_ms)
        self._ticks += 1
        if self._ticks % _LOOKED_S == 0 and self._wanted is not None and not nft.identity():
            _log.error("rules event=gone")
            self._wanted = None
        self._learn()
        self._keep()
        self._open()
        self._count()

    async def drain(self) -> None:
        """Take over the last of it; close what we have opened."""
        self._named = ()
        self._open()
        self._count()

    def release(self) -> None:
        """Close the connections to upstreams."""
        if self._asked is not None:
            self._asked.close()

    def close(self) -> None:
        """Nothing to let go of."""

    def _open(self) -> None:
        """Fail open the parts that are dead and may: for a moment, which each second makes a new one."""
        now_s = CLOCK.steady()
        if self._named:
            self._pulses.hear(self._heartbeats(), now_s)
        found = opened(self._named, self._processes, self._pulses, self._after_s, now_s)
        if found or self._opened:
            try:
                nft.load(lease(ports_of(found, self._settings)))
            except Unavailable:  # the table is gone: it is put back first
                self._wanted = None
                return
        for part, at in _OPEN.items():
            self._kit.words[at] = part in found
        for part in sorted(found ^ self._opened):
            _log.warning("fail_open event=%s part=%s", "opened" if part in found else "closed", part)
        self._opened = found

    def _heartbeats(self) -> dict[str, int]:
        """What the parts' processes last said, by their names."""
        names = [name for part in self._named for name in self._processes[part]]
        words = {name: read_counters(self._kit.folders.counters / name) for name in names}
        return {name: 0 if each is None else each[_HEARTBEAT] for name, each in words.items()}

    def _learn(self) -> None:
        """Ask for the addresses of names that serve a banned application alone."""
        if self._asked is not None:
            for name in self._learned.due(utc_now()):
                for qtype in (RRType.A, RRType.AAAA):
                    self._asked.ask(Question(name, qtype, RRClass.IN, do=False, cd=False), partial(self._heard, name))

    def _heard(self, name: Name, answer: Answer | Failure) -> None:
        if isinstance(answer, Failure):
            return
        records = [each for each in answer.response.records if each.section is Section.ANSWER and each.name == name]
        try:
            found = [(address(answer.wire, each), each.ttl) for each in records]
        except Malformed:
            return
        addresses = [each for each, _ in found if each is not None]
        if addresses:
            self._learned.heard(name, addresses, min(ttl for _, ttl in found), utc_now())

    def _keep(self) -> None:
        """Apply all, or change the sets; a failure is said once, and tried again each second."""
        if self._policy is None or self._orders is None:
            return
        now = utc_now()
        learned = self._learned.current(now)
        made_of = (self._policy.ruleset, self._orders, self._settings, now.astimezone(UTC).date(), dict(learned))
        if self._wanted is not None and made_of == self._made_of:
            return
        try:
            wanted = elements(self._settings, self._kernel, self._policy, self._orders, now, learned=learned)
            self._put(wanted, now)
        except Unavailable as error:
            if str(error) != self._failed:
                self._failed = str(error)
                _log.error("rules event=refused error=%s", error)
            self._wanted = None
            return
        self._wanted, self._made_of, self._failed = wanted, made_of, ""

    def _put(self, wanted: Elements, now: datetime) -> None:
        if self._wanted is None:
            nft.apply(self._settings, self._kernel, wanted, now)
            queue = "nft" if self._kernel.queue else "iptables"
            _log.info("rules event=applied sets=%d queue=%s", len(wanted), queue)
        else:
            text = nft.change(self._wanted, wanted, now)
            if text:
                nft.load(text)

    def _count(self) -> None:
        """Take over what the kernel has counted. Without a policy there is nothing to judge by."""
        if self._policy is None:
            return
        counters = nft.counters()
        if not counters:
            return
        taken = self._rejections.taken
        table = nft.identity()
        if table != taken.table:
            self._rejections.taken = taken = read_taken(self._kit.folders.drops, table)
        grown = taken.grown(counters)
        for name, at in _REJECTED.items():
            self._kit.words[at] += grown.get(name, 0)
        if not grown.get("counted"):
            return
        now, now_ms = utc_now(), wall_ms()
        for kind in _KINDS:
            self._rejections.take(kind, nft.drops(kind), now, now_ms)
        if grown.get("overflow"):
            _log.error("drops event=overflow packets=%d", grown["overflow"])
            self._rejections.lose(grown["overflow"])
        write_taken(self._kit.folders.drops, taken)


def settings_of(config: Config) -> Settings:
    """What the rules depend on in a configuration."""
    gateway = config.gateway
    gate = gateway.connections is Connections.GATE
    return Settings(
        realms=tuple(
            SteeredRealm(realm.name, realm.networks, realm.mode, dns_of(config, realm))
            for realm in config.realms
            if realm.networks
        ),
        interfaces=gateway.interfaces,
        proxied=gateway.proxied if gate else tuple(sorted({*gateway.proxied, 443})),
        proxy_port=transparent(config.proxy.modes) or 0,
        gate=gate,
        queues=(gateway.queue, gates_of(config)),
        bypass=FailOpen.GATE in gateway.fail_open,
        untouched=gateway.untouched,
        drops_max=gateway.drops_max,
        relief=relief_of(config) if FailOpen.DNS in gateway.fail_open else {},
        unproxied=FailOpen.PROXY in gateway.fail_open,
    )


def relief_of(config: Config) -> dict[int, Address]:
    """By IP version, where DNS of devices may go without us: the first upstream that anybody can ask."""
    found: dict[int, Address] = {}
    for upstream in upstreams_of(config):
        if upstream.plain and not upstream.address.is_loopback:
            found.setdefault(upstream.address.version, upstream.address)
    return found


def ports_of(parts: Collection[str], settings: Settings) -> set[int]:
    """The ports that are not steered while these parts are open. The gate has none: all others lead to it."""
    dns = {_DNS_PORT} if FailOpen.DNS in parts else set()
    return dns | (set(settings.proxied) if FailOpen.PROXY in parts else set())


def dns_of(config: Config, realm: RealmSettings) -> dict[int, tuple[Address | None, int]]:
    """By IP version, where DNS of a realm is redirected: the first of its listeners that is not on loopback."""
    found: dict[int, tuple[Address | None, int]] = {}
    for listener in config.resolver.listeners:
        endpoint = listener.udp
        if listener.name in realm.listeners and endpoint is not None and not endpoint.address.is_loopback:
            here = endpoint.address.is_unspecified
            found.setdefault(endpoint.address.version, (None if here else endpoint.address, endpoint.port))
    return found


def realms_of(config: Config) -> tuple[Realm, ...]:
    """The realms whose clients are known by their networks."""
    return tuple(Realm(each.name, each.networks, each.mode, each.interfaces) for each in config.realms)
