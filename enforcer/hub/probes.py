"""The hub's part that asks our own resolver for what is banned, and sees that it is refused."""

import asyncio
import logging
import secrets
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import product
from typing import override

from prometheus_client import Metric
from prometheus_client.core import GaugeMetricFamily

from enforcer.blocklists import open_policy
from enforcer.config.model import Config
from enforcer.errors import EnforcerError, Malformed
from enforcer.hub.asking import Door, ask, doors_of
from enforcer.orders import decode_orders
from enforcer.part import Means, Part
from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.policy.rules import Kind
from enforcer.policy.verdict import Action, Client, Destination, Layer
from enforcer.wire import dns, dnswrite
from enforcer.wire.dnscodes import RRClass, RRType
from enforcer.wire.name import Name

FIRST_S = 5.0  # after the start, and after a failure
GRACE_S = 30.0  # after the start, within which workers may not answer yet
TIMEOUT_S = 3.0

_EDE = 15  # the option (RFC 8914 §2)
_PAYLOAD = 1232

_log = logging.getLogger(__name__)


class Probes(Part):
    """Asks for one name of each service over each transport, as a client of the machine itself.

    A probe that succeeds says that a worker answers and that its policy has the ban in force. The workers leave no
    trace of what the probe asks (`orders.PROBE`); they count it like any question.
    """

    def __init__(self, means: Means) -> None:
        self._means = means
        self._policy: tuple[str, Mapping[str, Name]] = ("", {})
        self._last: dict[tuple[str, str], float] = {}
        self._success: dict[tuple[str, str], bool] = {}
        self._configure(means.config)

    @override
    async def run(self) -> None:
        """Probe at the interval."""
        await asyncio.sleep(FIRST_S)
        while True:
            if self._every_s:
                await self.probe()
            well = self._every_s and self._success and all(self._success.values())
            await asyncio.sleep(self._every_s if well else FIRST_S)

    @override
    def follow(self, config: Config) -> None:
        """Another interval, another way to answer; listeners need a restart."""
        self._every_s = config.metrics.probe_s
        self._ede = int(config.resolver.ede.code)

    @override
    def metrics(self) -> Iterable[Metric]:
        """Success by transport and service, and when it was last; a transport that several listeners have is one."""
        success = GaugeMetricFamily(
            "enforcer_probe_success",
            "1 when our own resolver refused a banned name at the last probe, 0 when it did not, or before the first",
            labels=("transport", "service"),
        )
        last = GaugeMetricFamily(
            "enforcer_probe_last_success_timestamp_seconds",
            "When it last refused one, in seconds since 1970; the start of the hub before it ever did",
            labels=("transport", "service"),
        )
        transports = dict.fromkeys(door.transport.word for door in self._doors)
        for key in product(transports, self._names()) if self._every_s else ():
            success.add_metric(key, self._success.get(key, False))
            last.add_metric(key, self._last.get(key, self._begun_s))
        return success, last

    @override
    def problems(self) -> Iterable[str]:
        """What the last probe found."""
        for (transport, service), success in sorted(self._success.items()):
            if not success:
                yield f"{service} is not refused over {transport}"

    async def probe(self) -> None:
        """Ask once over every transport for a name of every service."""
        names = await asyncio.to_thread(self._names)
        keys = [(door, service, name) for door in self._doors for service, name in names.items()]
        found = await asyncio.gather(*(self._is_refused(door, name) for door, _, name in keys))
        results: dict[tuple[str, str], bool] = {}
        for (door, service, _), refused in zip(keys, found, strict=True):
            key = door.transport.word, service
            results[key] = results.get(key, True) and refused
        now_s = self._now().timestamp()
        if not self._success and not all(results.values()) and now_s - self._begun_s < GRACE_S:
            return
        for key, success in results.items():
            if success:
                self._last[key] = now_s
            if success != self._success.get(key, True):
                level = logging.INFO if success else logging.WARNING
                _log.log(level, "probe event=%s transport=%s service=%s", "passed" if success else "failed", *key)
        self._success = results

    async def _is_refused(self, door: Door, name: Name) -> bool:
        """Whether the answer carries the reason that our own blocks carry."""
        number = secrets.randbits(16)
        query = dnswrite.query(
            number, name, RRType.A, RRClass.IN, rd=True, cd=False, ad=False, do=False, payload=_PAYLOAD
        )
        try:
            async with asyncio.timeout(TIMEOUT_S):
                response = dns.read_response(await ask(door, query))
        except (OSError, EOFError, TimeoutError, Malformed):
            return False
        options = () if response.opt is None else response.opt.edns.options
        return any(code == _EDE and int.from_bytes(data[:2]) == self._ede for code, data in options)

    def _configure(self, config: Config) -> None:
        self.follow(config)
        self._doors = doors_of(config)
        self._begun_s = self._now().timestamp()

    def _names(self) -> Mapping[str, Name]:
        """A banned name of each service, under the policy in force."""
        folders = self._means.folders
        try:
            named = decode_orders(folders.orders.read_bytes()).policy
            if named != self._policy[0]:
                policy = open_policy(folders.policy / named, verify=False)
                self._policy = named, names_of(policy, self._now())
        except (OSError, EnforcerError):  # before the first order, or between two
            return self._policy[1]
        return self._policy[1]

    def _now(self) -> datetime:
        return self._means.clock()


def names_of(policy: Policy, now: datetime) -> dict[str, Name]:
    """For each service of our own lists the first name that is blocked for everybody, where there is one."""
    found: dict[str, Name] = {}
    for rule in (rule for each in policy.lists for rule in each.rules):
        if rule.service not in found and rule.kind in (Kind.SUFFIX, Kind.EXACT):
            name = parse(rule.trigger)
            verdict = policy.judge(Destination(Layer.DNS, name=name), Client(realm=""), now)
            if verdict.action is Action.BLOCK and verdict.rule is not None and verdict.rule.service == rule.service:
                found[rule.service] = name
    return found
