"""What is in the sets of the rules at a moment: from the policy, the orders, and the gateway's settings."""

from collections.abc import Mapping
from datetime import UTC, datetime
from ipaddress import ip_address, ip_network
from types import MappingProxyType

from enforcer.gateway import marks
from enforcer.gateway.networks import Network, as_range, collapsed, members, through, without
from enforcer.gateway.ruleset import FAMILIES, Kernel, Settings, names_of_sets
from enforcer.orders import Orders
from enforcer.policy.judge import BYPASS, Policy
from enforcer.policy.rules import Kind, Mode, Port, Rule
from enforcer.policy.verdict import Address

type Elements = Mapping[str, Mapping[str, datetime | None]]
"""By set, its elements as nft writes them, each with the moment at which it ends; None: it stays."""

MMTLS_STARTS = ("0x15f103", "0x15f104", "0x16f103", "0x16f104", "0x17f103", "0x17f104", "0x19f103", "0x19f104")
"""First three octets of an MMTLS record: its kind, and a version (seen in captures of 2023)."""

_NONE: Mapping[Address, datetime] = MappingProxyType({})


def elements(
    settings: Settings,
    kernel: Kernel,
    policy: Policy,
    orders: Orders,
    now: datetime,
    *,
    learned: Mapping[Address, datetime] = _NONE,
) -> Elements:
    """What is in each set at this moment. learned: addresses that rules do not name, with the moment of their end."""
    found: dict[str, dict[str, datetime | None]] = {name: {} for name in names_of_sets(settings)}
    generation = marks.current(marks.generation_of(orders.generation))
    found["current"] = {f"0x{kernel.order.number(generation):08x}": None}
    found["interfaces"] = {f'"{name}"': None for name in settings.interfaces}
    found["proxied"] = {str(port): None for port in settings.proxied}
    for number, realm in enumerate(settings.realms):
        for version, _, _ in FAMILIES:
            found[f"realm{number}_{version}"] = members(realm.networks, version)
    for version, _, _ in FAMILIES:
        found[f"clients{version}"] = members((each for realm in settings.realms for each in realm.networks), version)
        found[f"untouched{version}"] = members(settings.untouched, version)
        observed = (each for realm in settings.realms if realm.mode is Mode.MONITOR for each in realm.networks)
        found[f"observed{version}"] = members(observed, version)
        found[f"paused{version}"] = _paused(settings, orders, now, version)
        found[f"exempt{version}"] = _exempt(orders, now, version)
        found[f"learned{version}"] = {
            str(address): until for address, until in learned.items() if address.version == version and until > now
        }
    found |= _banned(policy, now)
    rules = [rule for each in policy.lists for rule in each.rules if rule.kind is Kind.FINGERPRINT]
    if any(_in_force(rule, now) and not rule.ports for rule in rules):
        found["mmtls"] = dict.fromkeys(MMTLS_STARTS)
    return found


def _exempt(orders: Orders, now: datetime, version: int) -> dict[str, datetime | None]:
    """Whose packets the kernel does not reject by itself: who is exempt from something, or observed."""
    granted: dict[Network, datetime] = {}
    for grant in orders.grants:
        if grant.address.version == version and grant.until > now:
            length = grant.address.max_prefixlen if grant.length is None else grant.length
            network = ip_network((grant.address, length))
            granted[network] = max(grant.until, granted.get(network, grant.until))
    kept: dict[str, datetime | None] = {}
    outer: list[Network] = []
    for network, until in sorted(granted.items(), key=lambda pair: pair[0].prefixlen):  # intervals may not overlap
        if not any(network.network_address in each for each in outer):
            outer.append(network)
            kept[str(network.network_address if network.num_addresses == 1 else network)] = until
    return kept


def _paused(settings: Settings, orders: Orders, now: datetime, version: int) -> dict[str, datetime | None]:
    """Networks of paused realms: the gate judges their clients, and the kernel rejects nothing.

    A set takes no overlaps: a network inside of another paused one ends with that.
    """
    until = {pause.realm: pause.until for pause in orders.pauses if pause.until > now}
    pairs = [(each, until[realm.name]) for realm in settings.realms if realm.name in until for each in realm.networks]
    taken: list[Network] = []
    found: dict[str, datetime | None] = {}
    for network, end in sorted(pairs, key=lambda pair: pair[0].prefixlen):
        if network.version == version and not any(network.overlaps(other) for other in taken):
            taken.append(network)
            found[str(network)] = end
    return found


def _banned(policy: Policy, now: datetime) -> dict[str, dict[str, datetime | None]]:
    """Addresses that enforced `cidr` rules ban, of IPv4 also as NAT64 shows them; our upstreams are no bypass."""
    anything: list[Network] = []
    by_port: dict[Port, list[Network]] = {}
    spared = [ip_address(text) for text in policy.settings.upstreams]
    for each in policy.lists:
        for rule in each.rules:
            if rule.kind is not Kind.CIDR or not _in_force(rule, now):
                continue
            network = ip_network(rule.trigger)
            networks = without(network, spared) if rule.service == BYPASS else [network]
            networks += [through(nat, part) for nat in policy.settings.nat64 for part in networks if part.version == 4]
            for port in rule.ports:
                by_port.setdefault(port, []).extend(networks)
            if not rule.ports:
                anything += networks
    found: dict[str, dict[str, datetime | None]] = {}
    for version, _, _ in FAMILIES:
        found[f"banned{version}"] = members(anything, version)
        found[f"ports{version}"] = {
            f"{as_range(network)} . {port.transport} . {port.number}": None
            for port, networks in by_port.items()
            for network in collapsed(networks, version)
        }
    return found


def _in_force(rule: Rule, now: datetime) -> bool:
    return rule.mode is Mode.ENFORCE and (rule.expires is None or rule.expires > now.astimezone(UTC).date())
