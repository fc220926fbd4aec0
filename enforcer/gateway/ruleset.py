"""The rules of the gateway's settings, as the text of one nftables table, `inet enforcer`; `elements` fills its sets.

A packet of a client on its way through:

    steer    (nat prerouting)  DNS to our resolver whoever was asked, HTTP to our proxy
    judge    (forward)         allowed under the policy in force: on. Else `client`
    client                     refused, not steered, a banned address, MMTLS: rejected. Else `look`
    spared                     of those who may reach some of it for now, the SYN too: to `ask`
    look                       SYN: remember its sequence number. First data, and what an older policy allowed: `ask`
    ask                        into the queue of the gate; nft's own, or iptables' where the kernel has no other
    settle   (forward)         the gate's verdict to the connection; what nobody has judged is dropped

Everything fails closed: what should have been redirected and comes to `client` all the same is rejected there, and a
queue without a reader drops. Where the configuration lets a part fail open, the rules that lead to it ask the set
`opened` first. What the policy decides is in sets, so that a reload touches no chain; the marks of connections
(marks.py) are in conntrack, so that not even another table loses an allowed connection.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from enforcer.gateway import marks
from enforcer.gateway.networks import Network
from enforcer.policy.rules import Mode
from enforcer.policy.verdict import Address

TABLE = "enforcer"
OPENED = "opened"
"""The set of ports that are not steered for now, since what they lead to is dead; see `failopen`."""

FAMILIES = ((4, "ip", "ipv4_addr"), (6, "ip6", "ipv6_addr"))
_DROPS = ("address", "mmtls")
_DNS = "meta l4proto { tcp, udp } th dport 53"


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
    gate: whether first packets are queued; queues: the first and the number of them. untouched: destinations that are
    left alone. drops_max: how many different drops are told apart.

    What may fail open: bypass: what no gate reads passes. relief: by IP version, whom DNS may go to instead of a dead
    resolver of ours; none: to nobody. unproxied: what a dead proxy should get may go on to the gate.
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
    relief: Mapping[int, Address] = field(default_factory=dict)
    unproxied: bool = False


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
    return tuple(name for name in found if not name.startswith("drops") and name != OPENED)


def _sets(settings: Settings) -> Iterator[str]:
    """One line a set or counter; `realm0_4` and so on decide who is steered where, the rest what is done with it."""
    yield "set current { type mark; }"
    yield "set interfaces { type ifname; }"
    yield "set proxied { type inet_service; }"
    yield "set mmtls { typeof @ih,0,24; }"
    yield f"set {OPENED} {{ type inet_service; flags timeout; }}"
    for version, ip, address in FAMILIES:
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
    for version, relief in settings.relief.items():
        ip, shown = ("ip", f"{relief}") if version == 4 else ("ip6", f"[{relief}]")
        yield f"meta nfproto ipv{version} {_DNS} th dport @{OPENED} dnat {ip} to {shown}:53"
    for number, realm in enumerate(settings.realms):
        for version, ip, _ in FAMILIES:
            if version in realm.dns:
                address, port = realm.dns[version]
                shown = f"[{address}]" if version == 6 else f"{address}"
                to = f"redirect to :{port}" if address is None else f"dnat {ip} to {shown}:{port}"
                yield f"{ip} saddr @realm{number}_{version} {_DNS} {to}"
    yield "fib daddr type local accept"
    yield f"{_proxied(settings)} redirect to :{settings.proxy_port}"


def _proxied(settings: Settings) -> str:
    """What matches the packets that the proxy gets, while they are steered to it."""
    return f"tcp dport @proxied{f' tcp dport != @{OPENED}' if settings.unproxied else ''}"


def _client(settings: Settings, state: str, number: _Number) -> Iterator[str]:
    yield f"{state} {number(marks.REFUSED)} goto refused"
    yield "ip daddr @untouched4 accept"
    yield "ip6 daddr @untouched6 accept"
    for version, relief in settings.relief.items():  # without a mark, so that it ends when our resolver lives again
        yield f"{'ip' if version == 4 else 'ip6'} daddr {relief} {_DNS} th dport @{OPENED} accept"
    yield f"{_DNS} goto unsteered"
    yield f"{_proxied(settings)} goto unsteered"
    if not settings.gate:
        yield "udp dport 443 goto rejected"
    for version, ip, _ in FAMILIES:
        for spared in ("observed", "paused", "exempt"):
            yield f"{ip} saddr @{spared}{version} goto spared"
    for version, ip, _ in FAMILIES:
        yield f"{ip} daddr @banned{version} goto refuse_address"
        yield f"{ip} daddr @learned{version} goto refuse_address"
        yield f"{ip} daddr . meta l4proto . th dport @ports{version} goto refuse_address"
    yield f"{state} {number(marks.PENDING)} meta l4proto tcp @ih,0,24 @mmtls goto refuse_mmtls"
    yield "goto look"


def _counted(what: str) -> Iterator[str]:
    """A rule ends where a full set takes no more: the next one counts what could not be told apart."""
    yield "counter name counted"
    for version, ip, _ in FAMILIES:
        key = f"iifname . {ip} saddr . {ip} daddr . meta l4proto . th dport"
        yield f"meta l4proto {{ tcp, udp }} update @drops_{what}{version} {{ {key} counter }} goto rejected"
    if what == "address":  # other protocols have no ports
        for version, ip, _ in FAMILIES:
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
    if settings.gate:  # what a full queue could not hold is here too
        yield f"counter name unjudged {'meta mark set 0 accept' if settings.bypass else 'drop'}"
