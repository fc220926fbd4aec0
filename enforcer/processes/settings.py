"""From the configuration to what the resolver is made of."""

import json
import os

from enforcer.config.model import Config
from enforcer.config.resolver import Demand, Language, Listener, Outside, Strategy, UnknownToken
from enforcer.decide.cookies import Cookies, read_secrets
from enforcer.decide.dns import Manners, Structured
from enforcer.decide.local import LocalRecords
from enforcer.errors import Unavailable
from enforcer.policy.names import parse
from enforcer.resolver.admission import Admission
from enforcer.resolver.clients import Realm
from enforcer.resolver.conduct import Conduct
from enforcer.resolver.credentials import Credentials, TlsFiles
from enforcer.resolver.pace import Pace
from enforcer.resolver.upstream import Manner
from enforcer.wire.doh import PATH as DOH_PATH
from enforcer.wire.svcb import service


def conduct_of(config: Config) -> Conduct:
    """How the configuration wants the resolver to behave."""
    resolver = config.resolver
    return Conduct(
        manners=Manners(
            block_ttl=resolver.block_ttl,
            ede_code=resolver.ede.code,
            ede_text=config.ede_text,
            mname=parse(resolver.soa.mname),
            rname=parse(resolver.soa.rname),
            sinkhole=resolver.sinkhole,
            chaos=resolver.chaos,
            designated=designated_of(config),
            names=frozenset(
                parse(listener.server_name) for listener in resolver.listeners if listener.server_name is not None
            ),
            information=information_of(config),
            structured=structured_of(config),
        ),
        drop_outside=resolver.outside is Outside.DROP,
        name_clients=config.policy.notice.monitoring_notice_acknowledged,
        max_ttl=resolver.cache.max_ttl,
        local=LocalRecords(resolver.local.records),
        cookies=cookies_of(config),
        forwarders=resolver.limits.trusted_forwarders,
        device_options=resolver.limits.device_options,
        prefetch=resolver.cache.prefetch,
    )


def cookies_of(config: Config) -> Cookies | None:
    """DNS cookies, where there is a secret for them. Raises Unavailable for a file that has none."""
    path = config.resolver.cookies.secret_file
    if path is None:
        return None
    try:
        return Cookies(read_secrets(path.read_text(encoding="ascii")))
    except (OSError, ValueError) as error:
        said = error.strerror if isinstance(error, OSError) else error
        raise Unavailable(f"{path}: no cookie secrets ({said})") from None


def information_of(config: Config) -> bytes | None:
    """The RDATA of our RESINFO record (RFC 9606): which errors clients may be told, and where to read more."""
    resolver = config.resolver
    if resolver.info_url is None:
        return None
    errors = ",".join(map(str, sorted({resolver.ede.code, 18, 22, 23})))
    return b"".join(
        bytes((len(each),)) + each.encode() for each in (f"exterr={errors}", f"infourl={resolver.info_url}")
    )


def structured_of(config: Config) -> Structured | None:
    """The error for programs, where an option asks for it. Its keys are those of the draft, in the order of use."""
    wanted, notice = config.resolver.ede.structured, config.policy.notice
    if wanted.option is None:
        return None
    justification = notice.fr if wanted.language is Language.FRENCH else notice.en
    short: dict[str, object] = {} if notice.contact is None else {"c": [notice.contact]}
    short["s"] = wanted.sub_error
    full = {**short, "l": str(wanted.language), "j": justification}
    if wanted.organization is not None:
        full["o"] = wanted.organization
    return Structured(wanted.option, _json(full), _json(short if notice.contact else full))


def _json(values: dict[str, object]) -> str:
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def realms_of(config: Config, listener: Listener) -> tuple[Realm, ...]:
    """The realms that ask at a listener."""
    return tuple(
        Realm(realm.name, realm.networks, realm.mode, realm.ech or config.resolver.ech)
        for realm in config.realms
        if listener.name in realm.listeners
    )


def credentials_of(listener: Listener) -> Credentials | None:
    """The TLS side of a listener; None where it has none. Raises Unavailable when its files cannot be used."""
    if listener.certificate is None or listener.key is None:
        return None
    files = TlsFiles(
        certificate=listener.certificate,
        key=listener.key,
        client_ca=listener.client_ca,
        client_required=listener.client_certificates is Demand.REQUIRED,
        tokens=listener.token_file,
    )
    admission = Admission(
        tokens=listener.tokens is not None,
        required=listener.tokens is Demand.REQUIRED,
        strictest=listener.unknown_token is UnknownToken.STRICTEST,
        name=listener.server_name,
    )
    return Credentials(listener.name, files, admission)


def designated_of(config: Config) -> dict[str, tuple[bytes, ...]]:
    """By realm, the encrypted ways to ask us that anybody there may take (RFC 9462 §4): DoH first, then DoT."""
    found: dict[str, tuple[bytes, ...]] = {}
    for realm in config.realms:
        ways: list[bytes] = []
        for listener in config.resolver.listeners:
            if listener.name not in realm.listeners or listener.server_name is None or listener.demands_proof:
                continue
            target = parse(listener.server_name)
            for endpoint, alpn, path in (
                (listener.https, ("h2", "http/1.1"), f"{DOH_PATH}{{?dns}}"),
                (listener.tls, ("dot",), None),
            ):
                if endpoint is not None:
                    hints = () if endpoint.address.is_unspecified else (endpoint.address,)
                    data = service(len(ways) + 1, target, alpn=alpn, port=endpoint.port, addresses=hints, dohpath=path)
                    ways.append(data)
        found[realm.name] = tuple(ways)
    return found


def pace_of(config: Config) -> Pace:
    """How fast the configuration lets one client ask."""
    limits = config.resolver.limits
    return Pace(limits.per_client_qps, limits.burst, limits.trusted_forwarders)


def proxies_of(config: Config) -> int:
    """How many proxy processes a configuration asks for."""
    return (config.proxy.workers or len(os.sched_getaffinity(0))) if config.proxy.modes else 0


def workers_of(config: Config) -> int:
    """How many DNS workers a configuration asks for."""
    return config.resolver.workers or cpus()


def cpus() -> int:
    """How many CPUs we may use."""
    return len(os.sched_getaffinity(0))


def gates_of(config: Config) -> int:
    """How many processes of the gate a configuration asks for."""
    return config.gateway.workers or cpus()


def manner_of(config: Config) -> Manner:
    """How the configuration wants upstreams asked."""
    resolver = config.resolver
    timeouts = resolver.timeouts
    strategy = resolver.strategy
    return Manner(
        fastest=strategy is Strategy.FASTEST,
        parallel=strategy is Strategy.PARALLEL,
        attempt_s=timeouts.attempt_s,
        query_s=timeouts.query_s,
        mixed_case=resolver.mixed_case,
    )
