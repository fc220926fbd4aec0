"""From the policy and the gateway's settings to one nftables table, `inet enforcer`: chains as text, sets as values.

A packet of a client on its way through:

    steer    (nat prerouting)  DNS to our resolver whoever was asked, HTTP to our proxy
    judge    (forward)         allowed under the policy in force: on. Else `client`
    client                     refused, not steered, a banned address, MMTLS: rejected. Else `look`
    spared                     of those who may reach some of it for now, the SYN too: to `ask`
    look                       SYN: remember its sequence number. First data, and what an older policy allowed: `ask`
    ask                        into the queue of the gate; nft's own, or iptables' where the kernel has no other
    settle   (forward)         the gate's verdict to the connection; what nobody has judged is dropped

Everything fails closed: what should have been redirected and comes to `client` all the same is rejected there, and a
queue without a reader drops. What the policy decides is in sets, so that a reload touches no chain; the marks of
connections (marks.py) are in conntrack, so that not even another table loses an allowed connection.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    collapse_addresses,
    ip_address,
    ip_network,
)
from types import MappingProxyType

from enforcer.gateway import marks
from enforcer.orders import Orders
from enforcer.policy.judge import BYPASS, Policy
from enforcer.policy.rules import Kind, Mode, Port, Rule
from enforcer.policy.verdict import Address

TABLE = "enforcer"

type Network = IPv4Network | IPv6Network
type Elements = Mapping[str, Mapping[str, datetime | None]]
"""By set, its elements as nft writes them, each with the moment at which it ends; None: it stays."""

MMTLS_STARTS = ("0x15f103", "0x15f104", "0x16f103", "0x16f104", "0x17f103", "0x17f104", "0x19f103", "0x19f104")
"""First three octets of an MMTLS record: its kind, and a version (seen in captures of 2023)."""

_FAMILIES = ((4, "ip", "ipv4_addr"), (6, "ip6", "ipv6_addr"))
_DROPS = ("address", "mmtls")
_NONE: Mapping[Address, datetime] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class SteeredRealm:
    """One realm as the gateway sees it. dns: by IP version, where our resolver listens for it; (None, port): here."""

    name: str
    networks: tuple[Network, ...]
    mode: Mode
    dns: Mapping[int, tuple[Address | None, int]]


@dataclass(frozen=True, slots=True)
class Settings:
    """What the rules depend on beside the policy.

    interfaces: where clients come from; none: from anywhere. proxied: TCP ports that the proxy gets. proxy_port: where.
    gate: whether first packets are queued; queues: the first and the number of them. bypass: let through what no
    gate reads. untouched: destinations that are left alone. drops_max: how many different drops are told apart.
    """

    realms: tuple[SteeredRealm, ...]
    interfaces: tuple[str, ...] = ()
    proxied: tuple[int, ...] = (80, 8080)
    proxy_port: int = 5081
    gate: bool = True
    queues: tuple[int, int] = (53, 1)
    bypass: bool = False
    untouched: tuple[Network, ...] = ()
    drops_max: int = 65_536


@dataclass(frozen=True, slots=True)
class Kernel:
    """What this machine's nft and kernel can do. queue: nft's `queue`; order: how it stores sequence numbers."""

    queue: bool
    order: marks.Order


def table(settings: Settings, kernel: Kernel, name: str = TABLE, *, hooks: bool = True) -> str:
    """The table without elements, to be loaded into an empty or a flushed one. hooks: False: nothing comes to it."""
    lines = [f"table inet {name} {{"]
    lines += (f"\t{line}" for line in _sets(settings))
    for chain, hook, rules in _chains(settings, kernel):
        lines.append(f"\tchain {chain} {{")
        if hooks and hook:
            lines.append(f"\t\ttype {hook}; policy accept;")
        lines += (f"\t\t{rule}" for rule in rules)
        lines.append("\t}")
    lines.append("}")
    return "\n".join(lines) + "\n"


def names_of_sets(settings: Settings) -> tuple[str, ...]:
    """The sets whose elements come from the policy and the configuration; not those that the kernel fills."""
    found = [line.split()[1] for line in _sets(settings) if line.startswith("set ")]
    return tuple(name for name in found if not name.startswith("drops"))


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
        for version, _, _ in _FAMILIES:
            found[f"realm{number}_{version}"] = _networks(realm.networks, version)
    for version, _, _ in _FAMILIES:
        found[f"clients{version}"] = _networks((each for realm in settings.realms for each in realm.networks), version)
        found[f"untouched{version}"] = _networks(settings.untouched, version)
        observed = (each for realm in settings.realms if realm.mode is Mode.MONITOR for each in realm.networks)
        found[f"observed{version}"] = _networks(observed, version)
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


def _sets(settings: Settings) -> Iterator[str]:
    """One line a set or counter; `realm0_4` and so on decide who is steered where, the rest what is done with it."""
    yield "set current { type mark; }"
    yield "set interfaces { type ifname; }"
    yield "set proxied { type inet_service; }"
    yield "set mmtls { typeof @ih,0,24; }"
    for version, ip, address in _FAMILIES:
        for number, _ in enumerate(settings.realms):
            yield f"set realm{number}_{version} {{ type {address}; flags interval; }}"
        yield f"set clients{version} {{ type {address}; flags interval; }}"
        yield f"set untouched{version} {{ type {address}; flags interval; }}"
        yield f"set observed{version} {{ type {address}; flags interval; }}"
        yield f"set paused{version} {{ type {address}; flags interval, timeout; }}"
        yield f"set exempt{version} {{ type {address}; flags interval, timeout; }}"
        yield f"set banned{version} {{ type {address}; flags interval; }}"
        yield f"set ports{version} {{ typeof {ip} daddr . meta l4proto . th dport; flags interval; }}"
        yield f"set learned{version} {{ type {address}; flags timeout; }}"
        for what in _DROPS:
            yield (
                f"set drops_{what}{version} {{ typeof iifname . {ip} saddr . {ip} daddr . meta l4proto . th dport; "
                f"size {settings.drops_max}; flags dynamic, timeout; timeout 1h; }}"
            )
    for counter in ("counted", "overflow", "unsteered", "unjudged", "predating"):
        yield f"counter {counter} {{ }}"


type _Chain = tuple[str, str, Sequence[str]]
type _Number = Callable[[int], str]


def _chains(settings: Settings, kernel: Kernel) -> Iterator[_Chain]:
    """Name, hook (empty without one) and rules of each, those first that others go to."""

    def number(word: int) -> str:
        return f"0x{kernel.order.number(word):08x}"

    state = f"ct mark & {number(marks.STATE)} =="
    syn = "tcp flags & (fin | syn | rst | ack) == syn"
    begun = f"tcp sequence & 0x{marks.SEQUENCE:08x} | 0x{marks.PENDING:08x}"  # nft takes these as it takes the sequence
    yield "rejected", "", ("meta l4proto tcp reject with tcp reset", "reject with icmpx type admin-prohibited")
    for what in _DROPS:
        yield f"refuse_{what}", "", tuple(_counted(what))
    yield "unsteered", "", ("counter name unsteered goto rejected",)
    yield "predating", "", ("counter name predating goto rejected",)
    yield (
        "refused",
        "",
        (
            "meta l4proto != tcp goto rejected",
            "tcp flags & (fin | rst) == fin goto rejected",
            "@ih,0,8 0-255 goto rejected",
            "drop",
        ),
    )
    yield "ask", "", tuple(_ask(settings, kernel))
    yield (
        "look",
        "",
        (
            "meta l4proto != { tcp, udp } accept",
            f"{syn} ct mark set {begun}",
            f"meta l4proto udp ct state new {state} 0 ct mark set {number(marks.PENDING)}",
            f"{state} 0 goto predating",
            f"{state} {number(marks.ALLOWED)} goto ask",
            "@ih,0,8 0-255 goto ask",
            "accept",
        ),
    )
    yield "spared", "", (f"{syn} ct mark set {begun} goto ask", "goto look")
    yield "client", "", tuple(_client(settings, state, number))
    yield "steer_client", "", tuple(_steer(settings))
    yield "steer", "nat hook prerouting priority dstnat - 10", tuple(_of_clients(settings, "steer_client"))
    yield (
        "judge",
        "filter hook forward priority mangle - 10",
        (
            f"ct mark & {number(marks.CURRENT)} @current accept",
            f"ct direction reply {state} {number(marks.REFUSED)} drop",
            "ct direction reply accept",
            *_of_clients(settings, "client"),
        ),
    )
    yield "settle", "filter hook forward priority mangle + 10", tuple(_settle(settings, number))


def _of_clients(settings: Settings, chain: str) -> Iterator[str]:
    if settings.interfaces:
        yield "iifname != @interfaces accept"
    yield f"ip saddr @clients4 goto {chain}"
    yield f"ip6 saddr @clients6 goto {chain}"


def _steer(settings: Settings) -> Iterator[str]:
    yield "ip daddr @untouched4 accept"
    yield "ip6 daddr @untouched6 accept"
    for number, realm in enumerate(settings.realms):
        for version, ip, _ in _FAMILIES:
            if version in realm.dns:
                address, port = realm.dns[version]
                shown = f"[{address}]" if version == 6 else f"{address}"
                to = f"redirect to :{port}" if address is None else f"dnat {ip} to {shown}:{port}"
                yield f"{ip} saddr @realm{number}_{version} meta l4proto {{ tcp, udp }} th dport 53 {to}"
    yield "fib daddr type local accept"
    yield f"tcp dport @proxied redirect to :{settings.proxy_port}"


def _client(settings: Settings, state: str, number: _Number) -> Iterator[str]:
    yield f"{state} {number(marks.REFUSED)} goto refused"
    yield "ip daddr @untouched4 accept"
    yield "ip6 daddr @untouched6 accept"
    yield "meta l4proto { tcp, udp } th dport 53 goto unsteered"
    yield "tcp dport @proxied goto unsteered"
    if not settings.gate:
        yield "udp dport 443 goto rejected"
    for version, ip, _ in _FAMILIES:
        for spared in ("observed", "paused", "exempt"):
            yield f"{ip} saddr @{spared}{version} goto spared"
    for version, ip, _ in _FAMILIES:
        yield f"{ip} daddr @banned{version} goto refuse_address"
        yield f"{ip} daddr @learned{version} goto refuse_address"
        yield f"{ip} daddr . meta l4proto . th dport @ports{version} goto refuse_address"
    yield f"{state} {number(marks.PENDING)} meta l4proto tcp @ih,0,24 @mmtls goto refuse_mmtls"
    yield "goto look"


def _counted(what: str) -> Iterator[str]:
    """A rule ends where a full set takes no more: the next one counts what could not be told apart."""
    yield "counter name counted"
    for version, ip, _ in _FAMILIES:
        key = f"iifname . {ip} saddr . {ip} daddr . meta l4proto . th dport"
        yield f"meta l4proto {{ tcp, udp }} update @drops_{what}{version} {{ {key} counter }} goto rejected"
    if what == "address":  # other protocols have no ports
        for version, ip, _ in _FAMILIES:
            key = f"iifname . {ip} saddr . {ip} daddr . meta l4proto . 0"
            yield f"meta l4proto != {{ tcp, udp }} update @drops_{what}{version} {{ {key} counter }} goto rejected"
    yield "counter name overflow goto rejected"


def _ask(settings: Settings, kernel: Kernel) -> Iterator[str]:
    """Without the gate there is no more to look at than the first data, which was no MMTLS."""
    if not settings.gate:
        yield f"ct mark set 0x{kernel.order.number(marks.ALLOWED):08x} accept"
        return
    yield "meta mark set ct mark"
    if kernel.queue:
        first, count = settings.queues
        flags = " flags bypass" if settings.bypass else ""
        yield f"queue{flags} to {first}" if count == 1 else f"queue{flags} to {first}-{first + count - 1}"


def _settle(settings: Settings, number: _Number) -> Iterator[str]:
    state = f"& {number(marks.STATE)} =="
    yield f"meta mark {state} 0 accept"
    yield f"ct mark {state} 0 accept"
    yield (
        f"meta mark & {number(marks.VERDICT)} == {number(marks.VERDICT)} "
        f"ct mark set meta mark & {number(0xFFFFFFFF ^ marks.VERDICT)} | {number(marks.ALLOWED)} meta mark set 0 accept"
    )
    yield f"meta mark {number(marks.PASS)} meta mark set 0 accept"
    yield (f"meta mark {number(marks.REFUSE)} meta l4proto tcp ct mark set {number(marks.REFUSED)} drop")
    yield f"meta mark {number(marks.REFUSE)} ct mark set {number(marks.REFUSED)} goto rejected"
    yield f"ct mark & {number(marks.CURRENT)} @current meta mark set 0 accept"
    if settings.gate and not settings.bypass:
        yield "counter name unjudged drop"


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
            networks = _without(network, spared) if rule.service == BYPASS else [network]
            networks += [_through(nat, part) for nat in policy.settings.nat64 for part in networks if part.version == 4]
            for port in rule.ports:
                by_port.setdefault(port, []).extend(networks)
            if not rule.ports:
                anything += networks
    found: dict[str, dict[str, datetime | None]] = {}
    for version, _, _ in _FAMILIES:
        found[f"banned{version}"] = _networks(anything, version)
        found[f"ports{version}"] = {
            f"{_range(network)} . {port.transport} . {port.number}": None
            for port, networks in by_port.items()
            for network in _collapsed(networks, version)
        }
    return found


def _in_force(rule: Rule, now: datetime) -> bool:
    return rule.mode is Mode.ENFORCE and (rule.expires is None or rule.expires > now.astimezone(UTC).date())


def _networks(networks: Iterable[Network], version: int) -> dict[str, datetime | None]:
    return {str(network): None for network in _collapsed(networks, version)}


def _collapsed(networks: Iterable[Network], version: int) -> Iterator[Network]:
    """Without overlaps, which sets of intervals refuse."""
    if version == 4:
        yield from collapse_addresses(each for each in networks if isinstance(each, IPv4Network))
    else:
        yield from collapse_addresses(each for each in networks if isinstance(each, IPv6Network))


def _range(network: Network) -> str:
    """As a set of intervals with ports takes it: a prefix of length 0 is a range there."""
    return str(network) if network.prefixlen else f"{network[0]}-{network[-1]}"


def _without(network: Network, addresses: Sequence[Address]) -> list[Network]:
    """The network but for these addresses."""
    parts: list[Network] = [network]
    for address in addresses:
        for part in parts:
            if address in part:
                parts.remove(part)
                parts += _around(part, address)
                break
    return parts


def _around(network: Network, address: Address) -> Iterator[Network]:
    if isinstance(network, IPv4Network) and isinstance(address, IPv4Address):
        yield from network.address_exclude(IPv4Network(address))
    elif isinstance(network, IPv6Network) and isinstance(address, IPv6Address):
        yield from network.address_exclude(IPv6Network(address))


def _through(nat64: IPv6Network, network: Network) -> IPv6Network:
    """An IPv4 network inside of a NAT64 prefix (RFC 6052 §2.2): its bits follow the prefix, but leave out octet 8."""
    bits = int(network.network_address)
    at, length = nat64.prefixlen, network.prefixlen
    if at == 96:
        return IPv6Network((int(nat64.network_address) | bits, 96 + length))
    octets = bytearray(nat64.network_address.packed)
    places = [place for place in range(at // 8, 16) if place != 8][:4]
    for place, octet in zip(places, bits.to_bytes(4), strict=True):
        octets[place] = octet
    whole, rest = divmod(length, 8)
    prefix = 8 * places[whole] + rest if whole < 4 else 8 * (places[3] + 1)
    return IPv6Network((bytes(octets), prefix))
