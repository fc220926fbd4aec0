"""Addresses of names that serve a banned application alone: rules marked `dedicated`, asked for by us.

A phone that has an address in its cache, or built in, asks for no name. What such a name resolves to is rejected while
the TTL lasts, and asked for again before it ends. Only addresses of the name itself: one behind an alias may be shared.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from enforcer.policy.judge import Policy
from enforcer.policy.names import parse
from enforcer.policy.rules import Mode, Rule
from enforcer.policy.verdict import Address
from enforcer.wire.name import Name

NAMES_MAX = 1024
ADDRESSES_MAX = 4096
TTL_MIN_S, TTL_MAX_S = 60, 86_400
AGAIN_S = 60.0
"""Until a name is asked for again that had no answer."""


class Learned:
    """What is known of every dedicated name. rules: by address, the rule that it was learned for, lapsed ones too."""

    def __init__(self) -> None:
        self.rules: dict[Address, Rule] = {}
        self._names: dict[Name, Rule] = {}
        self._due: dict[Name, datetime] = {}
        self._until: dict[Address, datetime] = {}

    def follow(self, policy: Policy, now: datetime) -> None:
        """Ask for the names of this policy from now on; forget what others have led to."""
        found: dict[Name, Rule] = {}
        for each in policy.lists:
            for rule in each.rules:
                ended = rule.expires is not None and rule.expires <= now.astimezone(UTC).date()
                if rule.dedicated and rule.mode is Mode.ENFORCE and not ended and len(found) < NAMES_MAX:
                    found[parse(rule.trigger)] = rule
        self._due = {name: self._due.get(name, now) for name in found}
        self._names = found
        kept = {rule.id for rule in found.values()}
        self._until = {each: until for each, until in self._until.items() if self.rules[each].id in kept}

    def due(self, now: datetime) -> list[Name]:
        """The names to be asked for now; each is named again when it has been `heard`, or a minute later."""
        names = [name for name, moment in self._due.items() if moment <= now]
        for name in names:
            self._due[name] = now + timedelta(seconds=AGAIN_S)
        return names

    def heard(self, name: Name, addresses: Iterable[Address], ttl: int, now: datetime) -> None:
        """An answer about a name: its own addresses, and how many seconds they may be kept."""
        rule = self._names.get(name)
        if rule is None:
            return
        kept = timedelta(seconds=min(max(ttl, TTL_MIN_S), TTL_MAX_S))
        self._due[name] = now + kept / 2
        for address in addresses:
            if address.is_loopback or address.is_unspecified or address.is_link_local or address.is_multicast:
                continue
            if address in self.rules or len(self.rules) < ADDRESSES_MAX:
                self.rules[address], self._until[address] = rule, now + kept

    def current(self, now: datetime) -> Mapping[Address, datetime]:
        """Every address that is to be rejected, with the moment at which that ends."""
        self._until = {address: until for address, until in self._until.items() if until > now}
        if len(self.rules) >= ADDRESSES_MAX:  # make room: nobody has been rejected for these of late
            self.rules = {address: rule for address, rule in self.rules.items() if address in self._until}
        return self._until
