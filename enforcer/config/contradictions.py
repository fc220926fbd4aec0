"""What must hold between the keys of a configuration, each of which is right by itself."""

from collections.abc import Collection, Iterator
from itertools import combinations

from enforcer.config.document import KeyPath
from enforcer.config.gateway import Connections, FailOpen
from enforcer.config.model import Config
from enforcer.config.pages import console_mistakes
from enforcer.config.proxy import endpoints, shared, transparent
from enforcer.config.resolver import Demand, Listener, UnknownToken
from enforcer.config.sinks import sink_mistakes
from enforcer.config.values import Endpoint, Upstream, instead, quoted, short
from enforcer.counters import UPSTREAMS_MAX
from enforcer.policy.rules import Answer

# What is wrong: the place to mend, and the text.
type Found = Iterator[tuple[KeyPath, str]]

# Bytes of EXTRA-TEXT: with it a blocked answer to a usual name fits into 512 octets, to the longest into 1,232.
_LONGEST_EDE_TEXT = 240


def contradictions(config: Config) -> Found:
    """Everything that cannot be meant together."""
    for check in (
        _lists,
        _realms,
        _networks,
        _anywhere,
        _listeners,
        _transports,
        _pages,
        _console,
        _proxy_modes,
        _proxy_addresses,
        _upstreams,
        _answers,
        _durations,
        _sinks,
        _gateway,
        _identity,
    ):
        yield from check(config)


def unknown_services(config: Config, known: Collection[str]) -> Found:
    """Exempted services that no list bans; known: the services of the lists in force."""
    for i, exemption in enumerate(config.policy.exemptions):
        for j, service in enumerate(exemption.services):
            if service not in known:
                yield (
                    ("policy", "exemptions", i, "services", j),
                    f"{quoted(service)} is not a service of the lists in force; {instead(service, known)}",
                )


def _lists(config: Config) -> Found:
    """Two lists of one name: no record would say which of them was meant."""
    names: set[str] = set()
    named: list[tuple[KeyPath, str]] = [
        (("policy", "lists", i), path.stem) for i, path in enumerate(config.policy.lists)
    ]
    named += [(("policy", "third_party", i), entry.list_name) for i, entry in enumerate(config.policy.third_party)]
    for path, name in named:
        if name in names:
            yield path, f"a second list is named {quoted(name)}; rename it, or leave it out"
        names.add(name)


def _realms(config: Config) -> Found:
    """Realms and listeners are joined by names."""
    known = [listener.name for listener in config.resolver.listeners]
    for i, realm in enumerate(config.realms):
        if any(realm.name == other.name for other in config.realms[:i]):
            yield ("realms", i, "name"), f"a second realm is named {quoted(realm.name)}; write another name"
        for j, name in enumerate(realm.listeners):
            if name not in known:
                yield (
                    ("realms", i, "listeners", j),
                    f"{quoted(name)} is not a listener of the resolver; {instead(name, known)}",
                )
    served = {name for realm in config.realms for name in realm.listeners}
    for i, name in enumerate(known):
        if name not in served:
            yield (
                ("resolver", "listeners", i),
                f"listener {quoted(name)} serves no realm; name it in the listeners of a realm, or leave it out",
            )


def _networks(config: Config) -> Found:
    """At one listener an address belongs to one realm."""
    for (_, first), (i, second) in combinations(enumerate(config.realms), 2):
        shared = next((name for name in second.listeners if name in first.listeners), None)
        for j, network in enumerate(second.networks):
            other = next((other for other in first.networks if other.overlaps(network)), None)
            if other is not None and shared is not None:
                theirs = f'"{short(other)}" of realm {quoted(first.name)}, which shares listener {quoted(shared)}'
                yield (
                    ("realms", i, "networks", j),
                    f'"{short(network)}" overlaps {theirs}; part the networks, or give each realm its own listener',
                )


def _listeners(config: Config) -> Found:
    """Each listener has a name and addresses of its own."""
    for (_, first), (i, second) in combinations(enumerate(config.resolver.listeners), 2):
        here = ("resolver", "listeners", i)
        if first.name == second.name:
            yield (*here, "name"), f"a second listener is named {quoted(second.name)}; write another name"
        for key, wanted in second.endpoints:
            if any(wanted.collides(taken) for other, taken in first.endpoints if (key == "udp") == (other == "udp")):
                yield (
                    (*here, key),
                    f'"{wanted}" is taken by listener {quoted(first.name)}; write another address or port',
                )
    for i, listener in enumerate(config.resolver.listeners):
        for (_, taken), (key, wanted) in combinations(listener.streams, 2):
            if wanted.collides(taken):
                yield (
                    ("resolver", "listeners", i, key),
                    f'"{wanted}" is taken by listener {quoted(listener.name)}; write another address or port',
                )


def _transports(config: Config) -> Found:
    """Each listener has what its transports need, and nothing that they cannot use."""
    for i, listener in enumerate(config.resolver.listeners):
        for key, text in (*_clear(listener), *_encrypted(listener), *_proof(listener)):
            yield (("resolver", "listeners", i, key) if key else ("resolver", "listeners", i)), text


def _clear(listener: Listener) -> Iterator[tuple[str, str]]:
    if not listener.endpoints:
        yield "", 'it listens nowhere; write "udp" and "tcp", "tls" or "https", each with an address and a port'
    for key, other in (("udp", "tcp"), ("tcp", "udp")):
        endpoint = getattr(listener, other)
        if getattr(listener, key) is None and endpoint is not None:
            yield key, f'missing; write it, as in {key}: "{endpoint}", since whoever asks over {other} may need both'
    if listener.demands_proof and listener.tcp is not None and listener.udp is not None:
        yield "udp", "no token or certificate can be shown in clear text; give udp and tcp a listener of their own"


def _encrypted(listener: Listener) -> Iterator[tuple[str, str]]:
    for key in ("certificate", "key"):
        if listener.is_encrypted and getattr(listener, key) is None:
            yield key, f'missing; TLS needs it: write it, as in {key}: "dns.{"pem" if key == "certificate" else "key"}"'
    if not listener.is_encrypted:
        for key in ("certificate", "key", "server_name", "client_ca", "tokens", "token_file"):
            if getattr(listener, key) is not None:
                yield key, 'it has a meaning over TLS alone; write "tls" or "https" too, or leave it out'


def _proof(listener: Listener) -> Iterator[tuple[str, str]]:
    if listener.client_certificates is Demand.OPTIONAL and listener.client_ca is None:
        yield "client_certificates", 'nobody says who signs them; write "client_ca", or leave it out'
    if listener.tokens is not None and listener.token_file is None:
        yield "token_file", 'missing; no token would be known: write it, as in token_file: "tokens.txt"'
    if listener.tokens is None:
        if listener.token_file is not None:
            yield (
                "token_file",
                'tokens are not looked at; write "tokens: required" or "tokens: optional", or leave it out',
            )
        if listener.unknown_token is not UnknownToken.REFUSE:
            yield (
                "unknown_token",
                'tokens are not looked at; write "tokens: required" or "tokens: optional", or leave it out',
            )
    elif listener.tls is not None and listener.server_name is None:
        yield "server_name", 'missing; tokens of DoT clients stand under it: write it, as in server_name: "dns.example"'


def _anywhere(config: Config) -> Found:
    """A realm without networks knows its clients by what they show, and is the only such at its listeners."""
    listeners = {listener.name: listener for listener in config.resolver.listeners}
    for i, realm in enumerate(config.realms):
        if realm.networks:
            continue
        for j, name in enumerate(realm.listeners):
            listener = listeners.get(name)
            if listener is not None and not listener.takes_proof:
                text = f"listener {quoted(name)} takes neither tokens nor client certificates, and the realm has no "
                text += "networks; write networks, or what the listener wants of its clients"
                yield ("realms", i, "listeners", j), text
            other = next((each for each in config.realms[:i] if not each.networks and name in each.listeners), None)
            if other is not None:
                text = f"realm {quoted(other.name)} has no networks either and shares listener {quoted(name)}; "
                yield ("realms", i, "listeners", j), text + "write networks for one of them"


def _pages(config: Config) -> Found:
    """Pages listen on TCP, as resolver listeners do; each has an address of its own."""
    taken = [
        (endpoint, f"listener {quoted(each.name)}")
        for each in config.resolver.listeners
        for _, endpoint in each.streams
    ]
    for name, wanted in _page_addresses(config):
        other = next((what for endpoint, what in taken if wanted.collides(endpoint)), None)
        if other is not None:
            yield (name, "listen"), f'"{wanted}" is taken by {other}; write another address or port'
        taken.append((wanted, name))


def _page_addresses(config: Config) -> Iterator[tuple[str, Endpoint]]:
    yield "metrics", config.metrics.listen
    if config.console is not None:
        yield "console", config.console.listen
    if config.block_page is not None:
        yield "block_page", config.block_page.listen


def _console(config: Config) -> Found:
    """The console is never open to a network, and has what its way of signing in needs."""
    if config.console is not None:
        for key, text in console_mistakes(config.console):
            yield ("console", key), text


def _proxy_modes(config: Config) -> Found:
    """Realms and modes of the proxy are joined by how the modes are written."""
    modes = config.proxy.modes
    for i, mode in enumerate(modes):
        if mode in modes[:i]:
            yield ("proxy", "modes", i), f"{quoted(mode)} is there twice; leave one out"
    for i, realm in enumerate(config.realms):
        for j, mode in enumerate(realm.proxy_modes):
            if mode not in modes:
                yield (
                    ("realms", i, "proxy_modes", j),
                    f"{quoted(mode)} is not a mode of the proxy; {instead(mode, modes)}",
                )
    for (_, first), (i, second) in combinations(enumerate(config.realms), 2):
        if not set(first.proxy_modes or modes) & set(second.proxy_modes or modes):
            continue
        for j, network in enumerate(second.networks):
            if any(other.overlaps(network) for other in first.networks):
                text = (
                    f'"{short(network)}" overlaps realm {quoted(first.name)}, and both connect through the same modes '
                )
                yield ("realms", i, "networks", j), text + "of the proxy; write proxy_modes for each of them"


def _proxy_addresses(config: Config) -> Found:
    """Modes listen on TCP, as resolver listeners and the metrics page do."""
    taken = [(f"listener {quoted(each.name)}", at) for each in config.resolver.listeners for _, at in each.streams]
    taken += [(f"{name}.listen", endpoint) for name, endpoint in _page_addresses(config)]
    for i, mode in enumerate(config.proxy.modes):
        wanted = endpoints(mode) if shared(mode) else ()
        for whose, endpoint in taken:
            if any(each.collides(endpoint) for each in wanted):
                yield (
                    ("proxy", "modes", i),
                    f'{quoted(mode)} wants "{endpoint}" of {whose}; write another address or port',
                )
        taken += [(f"mode {quoted(mode)}", each) for each in wanted]


def _upstreams(config: Config) -> Found:
    """A question that comes back to ourselves would go round for ever."""
    groups: list[tuple[KeyPath, tuple[Upstream, ...]]] = [(("resolver", "upstreams"), config.resolver.upstreams)]
    forward = config.resolver.local.forward
    groups += [(("resolver", "local", "forward", zone), upstreams) for zone, upstreams in forward.items()]
    for path, upstreams in groups:
        yield from _asked(config, path, upstreams)
    number = sum(len(upstreams) for _, upstreams in groups)
    if number > UPSTREAMS_MAX:
        yield ("resolver", "upstreams"), f"{number} upstreams are named in all; write at most {UPSTREAMS_MAX}"


def _asked(config: Config, path: KeyPath, upstreams: tuple[Upstream, ...]) -> Found:
    for i, upstream in enumerate(upstreams):
        for listener in config.resolver.listeners:
            if any(upstream.reaches(endpoint) for _, endpoint in listener.endpoints):
                yield (
                    (*path, i),
                    f'"{upstream}" is our own listener {quoted(listener.name)}; write the resolver that is to be asked',
                )
                break
        if upstream.label in [other.label for other in upstreams[:i]]:
            yield (*path, i), f'"{upstream.label}" is named twice; leave one out'


def _answers(config: Config) -> Found:
    """A blocked answer has what it needs, and fits."""
    if config.resolver.answer is Answer.SINKHOLE and not config.resolver.sinkhole:
        yield (
            ("resolver", "sinkhole"),
            'answer is "sinkhole" and no address is named; write one, as in sinkhole: ["192.0.2.80", "2001:db8::80"]',
        )
    size = len(config.ede_text.encode())
    if size > _LONGEST_EDE_TEXT:
        if config.resolver.ede.text is not None:
            path: KeyPath = ("resolver", "ede", "text")
        else:
            path = ("policy", "notice")
        yield (
            path,
            f"the text of a blocked answer has {size} bytes; write at most {_LONGEST_EDE_TEXT}, in both languages",
        )


def _durations(config: Config) -> Found:
    """One upstream may not take longer than all of them."""
    timeouts = config.resolver.timeouts
    if timeouts.attempt_s > timeouts.query_s:
        yield (
            ("resolver", "timeouts", "attempt_s"),
            f'"{timeouts.attempt_s:g}" is more than query_s; write at most "{timeouts.query_s:g}"',
        )


def _sinks(config: Config) -> Found:
    """What a sink of its type needs, and what means nothing to it."""
    yield from sink_mistakes(config.attempts.sinks, ("attempts", "sinks"))


def _gateway(config: Config) -> Found:
    """DNS of each realm has somewhere to go, and each client of the gateway one realm."""
    if not config.gateway.enabled:
        return
    wants_proxy = config.gateway.proxied or config.gateway.connections is Connections.PROXY
    if wants_proxy and transparent(config.proxy.modes) is None:
        text = "nothing takes what is redirected to the proxy; write transparent@5081 in proxy.modes, or proxied: []"
        yield ("gateway", "proxied"), text
    relief = [each for each in config.resolver.upstreams if each.plain and not each.address.is_loopback]
    if FailOpen.DNS in config.gateway.fail_open and not relief:
        text = '"dns" needs an upstream that devices themselves can ask; write one as "udp://192.0.2.1" in resolver.'
        yield ("gateway", "fail_open"), f"{text}upstreams"
    listeners = {listener.name: listener.udp for listener in config.resolver.listeners}
    for i, realm in enumerate(config.realms):
        reached = {
            endpoint.address.version
            for name in realm.listeners
            if (endpoint := listeners.get(name)) is not None and not endpoint.address.is_loopback
        }
        for version in sorted({network.version for network in realm.networks} - reached):
            text = f"the gateway redirects DNS over IPv{version} to none of them; name a listener with udp and an IPv"
            yield ("realms", i, "listeners"), text + f"{version} address of this machine that is not on loopback"
    for (_, first), (i, second) in combinations(enumerate(config.realms), 2):
        apart = first.interfaces and second.interfaces and not set(first.interfaces) & set(second.interfaces)
        for j, network in enumerate(second.networks):
            if not apart and any(network.overlaps(other) for other in first.networks):
                text = (
                    f'"{short(network)}" is also of realm {quoted(first.name)}, and the gateway cannot tell them apart'
                )
                yield ("realms", i, "networks", j), f'{text}; write "interfaces" for both'


def _identity(config: Config) -> Found:
    """Every source of identity is of a realm that there is, and listens where nobody else does."""
    realms = [realm.name for realm in config.realms]
    identity = config.identity
    for key in ("radius", "leases", "neighbours", "tunnels"):
        for i, source in enumerate(getattr(identity, key)):
            if source.realm not in realms:
                yield (
                    ("identity", key, i, "realm"),
                    f"{quoted(source.realm)} is not a realm; {instead(source.realm, realms)}",
                )
    for i, radius in enumerate(identity.radius):
        for other in identity.radius[:i]:
            for key in ("listen", "tls"):
                wanted, taken = getattr(radius, key), getattr(other, key)
                if wanted is not None and taken is not None and wanted.collides(taken):
                    text = f'"{wanted}" is taken by the accounting of realm {quoted(other.realm)}; write another port'
                    yield ("identity", "radius", i, key), text
    if identity.shared_password_file is not None and identity.shared is None:
        yield ("identity", "shared_password_file"), 'nothing is shared; write "shared" too, or leave it out'
