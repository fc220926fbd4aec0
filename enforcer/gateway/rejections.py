"""What the rules have rejected becomes attempts: judged by the policy under which the rules were made, and recorded."""

from collections.abc import Iterable
from datetime import datetime
from ipaddress import ip_address

from enforcer.attempts.block import Block, Response
from enforcer.attempts.ledger import Ledger
from enforcer.clients import Clients
from enforcer.counters import DROPS, word
from enforcer.decide.flow import MMTLS
from enforcer.gateway.drops import Taken
from enforcer.gateway.learn import Learned
from enforcer.gateway.nft import Dropped
from enforcer.policy.judge import Policy
from enforcer.policy.rules import Port, Transport
from enforcer.policy.verdict import Action, Address, Client, Destination, Layer, Verdict

_DROPPED = {reason: word("attempts_dropped", reason) for reason in DROPS}


class Rejections:
    """Takes over the kernel's counts. name_clients: whether attempts may say whose they are."""

    def __init__(
        self, clients: Clients, ledger: Ledger, words: memoryview, taken: Taken, learned: Learned | None = None
    ) -> None:
        self.taken = taken
        self._learned = learned or Learned()
        self.name_clients = False
        self._clients, self._ledger, self._words = clients, ledger, words
        self._policies: list[Policy] = []  # the newest first: a packet may have met the rules of the one before

    def judge_by(self, policy: Policy) -> None:
        """Judge so from now on."""
        self._policies = [policy, *self._policies[:1]]

    def take(self, kind: str, dropped: Iterable[Dropped], now: datetime, now_ms: int) -> bool:
        """Record what is new in one set of drops, as in `address4`; whether anything was."""
        layer = Layer.MMTLS if kind.startswith("mmtls") else Layer.IP
        changed = False
        for each, times in self.taken.fresh(kind, dropped):
            self._record(each, times, layer, now, now_ms)
            changed = True
        return changed

    def lose(self, count: int) -> None:
        """Count what the kernel could not tell apart, or no rule accounts for; the hub says so in the log."""
        self._words[_DROPPED["untold"]] += count

    def _record(self, each: Dropped, times: int, layer: Layer, now: datetime, now_ms: int) -> None:
        source = ip_address(each.source)
        client = self._clients.client(source, each.interface, now)
        realm = "" if client is None else client.realm
        target = ip_address(each.target)
        transport = {"tcp": Transport.TCP, "udp": Transport.UDP}.get(each.protocol)
        port = None if transport is None else Port(transport, each.port)
        found = self._rule(layer, target, port, realm, now)
        if found is None:
            self.lose(times)
            return
        policy, verdict = found
        block = Block.of(
            verdict,
            ruleset=policy.ruleset,
            layer=layer,
            name=None,
            response=Response.RESET if transport is Transport.TCP else Response.REJECT,
            transport=each.protocol,
            dest_ip=each.target,
            dest_port=None if port is None else port.number,
            realm=realm,
        )
        if block is None:
            self.lose(times)
            return
        self.taken.add(block.service, layer.value, times)
        named = str(source) if self.name_clients else None
        if not self._ledger.record(block, named, None, now_ms, times=times):
            self._words[_DROPPED[self._ledger.full or DROPS[0]]] += times

    def _rule(
        self, layer: Layer, target: Address, port: Port | None, realm: str, now: datetime
    ) -> tuple[Policy, Verdict] | None:
        """The rule for which the kernel rejected it: under the newest policy, else the one before.

        Who was exempt or watched then is not asked: the kernel rejects nothing of theirs.
        """
        fingerprint = MMTLS if layer is Layer.MMTLS else None
        destination = Destination(layer, address=target, port=port, fingerprint=fingerprint)
        for policy in self._policies:
            verdict = policy.judge(destination, Client(realm), now)
            if verdict.rule is not None:
                return policy, verdict
        rule = self._learned.rules.get(target)
        return None if rule is None else (self._policies[0], Verdict(Action.BLOCK, rule))
