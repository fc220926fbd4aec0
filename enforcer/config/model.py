"""The keys of enforcer.yaml: what each means, its default and its limits."""

import socket
from enum import StrEnum
from pathlib import Path
from typing import Annotated, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from enforcer.config.fields import (
    AnyPath,
    At,
    Chaos,
    Contact,
    Domain,
    EdeCode,
    File,
    Forwarded,
    Identifier,
    Line,
    Listen,
    ListFile,
    Local,
    Nat64,
    Size,
    Until,
    Upstreams,
    Within,
    Workers,
    choice,
)
from enforcer.config.values import Endpoint, is_identifier, quoted
from enforcer.decide.dns import Ech
from enforcer.policy.rules import Answer, Evidence, Mode
from enforcer.policy.thirdparty import Format


class Strategy(StrEnum):
    """Which upstream is asked first: the one named first, the one that answers soonest, or all of them at once."""

    ORDERED = "ordered"
    FASTEST = "fastest"
    PARALLEL = "parallel"


class Outside(StrEnum):
    """What a client outside of every realm gets: REFUSED with EDE 18, or nothing."""

    REFUSE = "refuse"
    DROP = "drop"


class Demand(StrEnum):
    """Whether a client must show something."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class UnknownToken(StrEnum):
    """What a client without a valid token gets: nothing, or answers without any exemption, pause or mere monitoring."""

    REFUSE = "refuse"
    STRICTEST = "strictest"


class Index(StrEnum):
    """Where the attempts are indexed for look-ups."""

    SQLITE = "sqlite"


class Section(BaseModel):
    """A mapping of enforcer.yaml. A key without a value (`cache:`) counts as not written; so does null as a default.

    later: keys that the design names and this version does not have yet.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    later: ClassVar[frozenset[str]] = frozenset()

    @model_validator(mode="before")
    @classmethod
    def _empty_is_absent(cls, values: object) -> object:
        if not isinstance(values, dict):
            return values
        written = dict(values)
        for key, field in cls.model_fields.items():
            if written.get(key) == "" or (field.default is None and written.get(key) in ("~", "null")):
                del written[key]
        return written


class ThirdParty(Section):
    """A list that somebody else keeps: names alone, all for one service."""

    file: AnyPath = Field(description="The list, relative to the folder of this file.", examples=["lists/tracking.txt"])
    format: Annotated[Format, choice(Format)] = Field(
        Format.AUTO, description="How the list is written; auto finds out."
    )
    service: Identifier = Field(description="The banned service that its names belong to.", examples=["wechat"])
    part: Identifier = Field("listed", description="The part of the service, for the record.")
    evidence: Annotated[Evidence, choice(Evidence)] = Field(
        Evidence.SHARED, description="What one match says about the device."
    )
    max_bad_lines: int = Field(
        100, ge=0, le=1_000_000, description="With more unreadable lines than this, the last good copy stays in force."
    )
    name: Identifier | None = Field(
        None, description="The list's name in rules; by default its file's, without the ending."
    )

    @property
    def list_name(self) -> str:
        """The name of the list in rules and records."""
        return self.name or self.file.stem

    @model_validator(mode="after")
    def _can_be_named(self) -> Self:
        if not is_identifier(self.list_name) or not self.list_name.strip("."):  # it is also the name of a file
            raise ValueError(f'{quoted(self.list_name)} cannot name a list; write its name, as in name: "tracking"')
        return self


class Notice(Section):
    """What users are told, in both languages."""

    en: Line = Field("Blocked by organization policy", description="Why something was refused, in English.")
    fr: Line = Field("Bloqué par la politique de l’organisation", description="Why something was refused, in French.")
    contact: Contact | None = Field(None, description="Whom to ask: a mailto: or tel: URI.")
    monitoring_notice_acknowledged: bool = Field(
        False,
        description="True states that the users of these devices have been told that attempts are recorded per device. "
        "Until then neither device nor client address is written down anywhere.",
    )


class Exemption(Section):
    """Who may reach a banned service, until when, why, and who says so."""

    device: Identifier | None = Field(None, description="The id of the exempt device; or `group`.")
    group: Identifier | None = Field(None, description="The group whose devices are exempt; or `device`.")
    services: tuple[Identifier, ...] = Field(min_length=1, description="The services.", examples=[["kaspersky"]])
    until: Until = Field(
        description="The moment at which it ends. A bare date ends at 00:00 UTC of that day, a time needs a zone.",
        examples=["2027-03-31"],
    )
    reason: Line = Field(description="Why, for the auditor.", examples=["malware laboratory"])
    approved_by: Line = Field(description="Who answers for it.", examples=["Director, IT Security"])

    @model_validator(mode="after")
    def _one_holder(self) -> Self:
        if (self.device is None) == (self.group is None):
            raise ValueError('an exemption is for one device or one group; write either "device" or "group"')
        return self


class Policy(Section):
    """What is banned, for whom not, and what users are told."""

    later = frozenset({"require_signature"})

    lists: tuple[ListFile, ...] = Field(
        min_length=1,
        description="The lists in force, relative to the folder of this file; a bare name also finds a shipped list.",
        examples=[["wechat.yaml"]],
    )
    third_party: tuple[ThirdParty, ...] = Field((), description="Large lists of names that somebody else keeps.")
    mode: Annotated[Mode, choice(Mode)] = Field(
        Mode.ENFORCE,
        description="enforce blocks; monitor forwards, and records what would have been blocked. Realms can differ.",
    )
    ban: Line = Field(
        description="The instrument of the ban; goes into every record whose list names none.",
        examples=["tbs-2023-10-30"],
    )
    notice: Notice = Field(Notice(), description="What users are told.")
    exemptions: tuple[Exemption, ...] = Field((), description="Who may reach a banned service for a while.")


class Realm(Section):
    """An addressing domain whose clients are served and held to the policy."""

    later = frozenset({"proxy_modes", "interfaces"})

    name: Identifier = Field(description="The realm's name in records.", examples=["apn-gov"])
    networks: tuple[Within, ...] = Field(
        (),
        description="Its clients' networks; none where every listener wants tokens or client certificates, "
        "and who shows one may be anywhere.",
        examples=[["10.20.0.0/16", "2001:db8:20::/48"]],
    )
    listeners: tuple[Identifier, ...] = Field(
        min_length=1,
        description="The resolver's listeners at which its clients ask.",
        examples=[["dns"]],
    )
    mode: Annotated[Mode, choice(Mode)] = Field(
        Mode.ENFORCE, description="enforce or monitor, in this realm; by default what policy.mode says."
    )
    ech: Annotated[Ech, choice(Ech)] | None = Field(
        None, description="pass, strip or drop_https, in this realm; by default what resolver.ech says."
    )


class Listener(Section):
    """Where the resolver is asked: in clear text over UDP and TCP, both as RFC 7766 §5 wants; over TLS; or all."""

    name: Identifier = Field(description="What realms call it.", examples=["dns"])
    udp: Listen | None = Field(None, description="Address and port for UDP.", examples=["127.0.0.1:5300"])
    tcp: Listen | None = Field(None, description="Address and port for TCP.", examples=["127.0.0.1:5300"])
    tls: Listen | None = Field(None, description="Address and port for DNS over TLS.", examples=["127.0.0.1:5853"])
    https: Listen | None = Field(
        None, description="Address and port for DNS over HTTPS, path /dns-query.", examples=["127.0.0.1:5443"]
    )
    certificate: File | None = Field(
        None, description="The certificate chain, PEM; read again when it changes.", examples=["dns.pem"]
    )
    key: File | None = Field(
        None, description="The certificate's key, PEM without a pass phrase.", examples=["dns.key"]
    )
    server_name: Domain | None = Field(
        None,
        description="The name in the certificate. Clients are told of it by discovery (RFC 9462), unless a token or a "
        "client certificate is required; a token stands right under it in a DoT client's server name.",
    )
    client_ca: File | None = Field(None, description="Certificates of those who sign client certificates, PEM.")
    client_certificates: Annotated[Demand, choice(Demand)] = Field(
        Demand.REQUIRED, description="With client_ca: whether a connection without a client certificate is refused."
    )
    tokens: Annotated[Demand, choice(Demand)] | None = Field(
        None, description="Device tokens, in the path /dns-query/TOKEN or the server name TOKEN.SERVER_NAME."
    )
    token_file: File | None = Field(
        None,
        description="A line for each token, DEVICE SHA256; the hash is of the token in lower case. Read again when it "
        "changes.",
    )
    unknown_token: Annotated[UnknownToken, choice(UnknownToken)] = Field(
        UnknownToken.REFUSE, description="What a client gets whose token is not known, or missing where it is required."
    )
    proxy_protocol_from: tuple[Within, ...] = Field(
        (),
        description="Front ends that begin each TCP or TLS connection with a PROXY protocol header of version 2; "
        "without one theirs are closed. Nobody else's header is believed.",
    )

    @property
    def streams(self) -> tuple[tuple[str, Endpoint], ...]:
        """What it listens on over TCP, each by its key."""
        found = (("tcp", self.tcp), ("tls", self.tls), ("https", self.https))
        return tuple((key, endpoint) for key, endpoint in found if endpoint is not None)

    @property
    def endpoints(self) -> tuple[tuple[str, Endpoint], ...]:
        """All that it listens on, each by its key."""
        return self.streams if self.udp is None else (("udp", self.udp), *self.streams)

    @property
    def is_encrypted(self) -> bool:
        """Whether it has a transport over TLS."""
        return self.tls is not None or self.https is not None

    @property
    def demands_proof(self) -> bool:
        """Whether nobody is served without a token or a client certificate."""
        certified = self.client_ca is not None and self.client_certificates is Demand.REQUIRED
        return certified or self.tokens is Demand.REQUIRED

    @property
    def takes_proof(self) -> bool:
        """Whether a client can show a token or a client certificate."""
        return self.client_ca is not None or self.tokens is not None


class Soa(Section):
    """The SOA record of a blocked answer (RFC 2308 §2)."""

    mname: Domain = Field("policy.invalid", description="The primary server's name.")
    rname: Domain = Field("hostmaster.invalid", description="The mailbox, as a name.")


class Ede(Section):
    """The Extended DNS Error of a blocked answer (RFC 8914)."""

    code: EdeCode = Field(
        15, description="15 Blocked: the operator's own policy. 17 Filtered: a provider filters for the organisation."
    )
    text: Line | None = Field(None, description="EXTRA-TEXT; by default the notice in both languages, and the contact.")


class Cache(Section):
    """Upstream answers that are kept."""

    later = frozenset({"prefetch"})

    max_bytes: Size = Field(256_000_000, description="The most bytes, of all workers of this node together.")
    max_ttl: int = Field(86_400, ge=1, le=86_400, description="The most seconds that an answer is kept.")
    serve_stale: bool = Field(
        False,
        description="Where no upstream answers, give what has expired within the last day (RFC 8767), for 30 seconds. "
        "A change needs a restart.",
    )


class OwnNames(Section):
    """Names that are asked for elsewhere, or answered here. Policy comes first for them too."""

    forward: dict[Domain, Forwarded] = Field(
        {},
        description="By domain, the upstreams that alone are asked for it and all below. A change needs a restart.",
        examples=[{"corp.example": ["udp://192.0.2.10"]}],
    )
    records: tuple[Local, ...] = Field(
        (),
        description="Records of your own: name, TTL, type (A, AAAA, CNAME, TXT, PTR), data. The target of a CNAME is "
        "followed among them alone.",
    )


class Limits(Section):
    """What one client, and all clients, may take. Each worker counts for itself, at each listener."""

    per_client_qps: int = Field(
        50,
        ge=0,
        le=1_000_000,
        description="UDP queries a second of one client address; above them they are dropped. 0 is no limit.",
    )
    burst: int = Field(200, ge=1, le=1_000_000, description="UDP queries that it may ask at once before that.")
    trusted_forwarders: tuple[Within, ...] = Field(
        (), description="Networks of forwarders that ask for many clients: no limit on their UDP queries."
    )
    tcp_per_client: int = Field(20, ge=1, le=10_000, description="TCP connections of one client address.")
    tcp_clients: int = Field(1_000, ge=1, le=100_000, description="TCP connections of all clients.")
    tcp_idle_s: float = Field(10.0, ge=1, le=300, description="Seconds until an idle TCP connection is closed.")


class Timeouts(Section):
    """How long upstreams may take."""

    attempt_s: float = Field(1.0, ge=0.1, le=10, description="Seconds until the next upstream is asked.")
    query_s: float = Field(5.0, ge=0.1, le=30, description="Seconds until a client is told SERVFAIL.")


class Resolver(Section):
    """The filtering DNS resolver."""

    listeners: tuple[Listener, ...] = Field(
        min_length=1,
        description="Where it is asked. A change needs a restart.",
        examples=[[{"name": "dns", "udp": "127.0.0.1:5300", "tcp": "127.0.0.1:5300"}]],
    )
    upstreams: Upstreams = Field(
        (),
        description="Who is asked: udp://ADDRESS[:PORT], tcp://…, tls://ADDRESS[:PORT]#NAME, "
        "https://ADDRESS[:PORT]/PATH#NAME; or auto, the name servers of this machine's resolv.conf. "
        "Certificates are verified, for the address where no name is given. A change needs a restart.",
    )
    upstream_ca: File | None = Field(
        None, description="The authorities, in PEM, of tls and https upstreams; by default the system's."
    )
    strategy: Annotated[Strategy, choice(Strategy)] = Field(
        Strategy.FASTEST, description="Which upstream is asked first."
    )
    answer: Annotated[Answer, choice(Answer)] = Field(
        Answer.NXDOMAIN, description="The answer to a blocked question, where the list does not say otherwise."
    )
    sinkhole: tuple[At, ...] = Field((), description="The addresses that a sinkhole answer gives.")
    block_ttl: int = Field(60, ge=10, le=300, description="Seconds for which clients may keep a blocked answer.")
    soa: Soa = Field(Soa(), description="The SOA of a blocked answer.")
    ede: Ede = Field(Ede(), description="The Extended DNS Error of a blocked answer.")
    ech: Annotated[Ech, choice(Ech)] = Field(
        Ech.STRIP,
        description="Keys for Encrypted ClientHello in answers: strip takes them out, but not for clients that ask for "
        "signatures (DO); drop_https also answers NODATA for HTTPS records; pass leaves them. Realms can differ.",
    )
    cache: Cache = Field(Cache(), description="The cache of upstream answers.")
    local: OwnNames = Field(OwnNames(), description="Names with upstreams of their own, and records of your own.")
    nat64: tuple[Nat64, ...] = Field(
        ("64:ff9b::/96",),
        validate_default=True,
        description="NAT64 prefixes: addresses inside are judged as IPv4 (RFC 6052).",
    )
    limits: Limits = Field(Limits(), description="What clients may take.")
    timeouts: Timeouts = Field(Timeouts(), description="How long upstreams may take.")
    outside: Annotated[Outside, choice(Outside)] = Field(
        Outside.REFUSE, description="What a client outside of every realm gets."
    )
    chaos: Chaos | None = Field(
        None, description="The TXT answer to version.bind and id.server in class CH; by default REFUSED."
    )
    workers: Workers = Field(None, description="Processes; auto is one for each CPU. A change needs a restart.")


class Inventory(Section):
    """The devices, in a file of one's own keeping."""

    file: File = Field(
        description="A CSV file with the columns id, group, addresses and realm.", examples=["devices.csv"]
    )


class Identity(Section):
    """How an address becomes a device."""

    later = frozenset({"radius", "leases"})

    inventory: Inventory | None = Field(None, description="The static inventory; without one every device is unknown.")


class Attempts(Section):
    """The record of what was blocked."""

    later = frozenset({"retention_days", "sinks"})

    aggregate_s: float = Field(
        60.0,
        ge=0,
        le=3600,
        description="Repeats within so many seconds become one summary with a count; 0 turns it off.",
    )
    fsync_s: float = Field(
        1.0,
        ge=0.01,
        le=60,
        description="The most seconds of records that a power cut can take; a killed process takes none.",
    )
    spool_max: Size = Field(
        2_000_000_000,
        description="The most bytes that wait for the hub; above it the newest are counted, and not kept.",
    )
    index: Annotated[Index, choice(Index, "postgresql")] = Field(Index.SQLITE, description="Where look-ups are made.")


class Metrics(Section):
    """The page that Prometheus reads."""

    listen: Listen = Field(
        "127.0.0.1:9310",
        validate_default=True,
        description="Address and port. A change needs a restart.",
    )
    devices: int = Field(50, ge=0, le=1000, description="How many devices have a series of their own; 0 for none.")


class Config(Section):
    """Enforcer's configuration: one file, enforcer.yaml."""

    later = frozenset({"proxy", "gateway", "console"})

    node: Identifier = Field(
        default_factory=socket.gethostname,
        validate_default=True,
        description="This machine's name in records; by default its host name. A change needs a restart.",
    )
    data_dir: AnyPath = Field(
        Path("/var/lib/enforcer"),
        description="Where everything is kept, relative to the folder of this file. A change needs a restart.",
    )
    policy: Policy = Field(
        description="What is banned.", examples=[{"lists": ["wechat.yaml"], "ban": "tbs-2023-10-30"}]
    )
    realms: tuple[Realm, ...] = Field(
        min_length=1,
        description="Who is served and held to the policy.",
        examples=[[{"name": "apn-gov", "networks": ["10.20.0.0/16"], "listeners": ["dns"]}]],
    )
    resolver: Resolver = Field(
        description="The filtering resolver.",
        examples=[{"listeners": [{"name": "dns", "udp": "127.0.0.1:5300", "tcp": "127.0.0.1:5300"}]}],
    )
    identity: Identity = Field(Identity(), description="How an address becomes a device.")
    attempts: Attempts = Field(Attempts(), description="The record of what was blocked.")
    metrics: Metrics = Field(Metrics(), description="The page that Prometheus reads.")

    @model_validator(mode="before")
    @classmethod
    def _realms_follow_the_policy(cls, values: object) -> object:
        """A realm without a mode has that of the policy, so that a realm's mode is the only one to ask for."""
        match values:
            case {"policy": {"mode": "enforce" | "monitor" as mode} as policy, "realms": list(realms), **others}:
                followed = [
                    {**realm, "mode": mode} if isinstance(realm, dict) and not realm.get("mode") else realm
                    for realm in realms
                ]
                return {**others, "policy": policy, "realms": followed}
            case _:
                return values

    @property
    def ede_text(self) -> str:
        """EXTRA-TEXT of a blocked answer: the configured one, or the notice in both languages and whom to ask."""
        if self.resolver.ede.text is not None:
            return self.resolver.ede.text
        notice = self.policy.notice
        contact = "" if notice.contact is None else f" ({notice.contact.partition(':')[2]})"
        return f"{notice.en} / {notice.fr}{contact}"


def upstream_labels(config: Config) -> tuple[str, ...]:
    """The upstreams' names in metrics, by their numbers: what is forwarded first, since `auto` has no names."""
    forwarded = tuple(
        f"{zone} {upstream.label}"
        for zone, upstreams in config.resolver.local.forward.items()
        for upstream in upstreams
    )
    return forwarded + tuple(upstream.label for upstream in config.resolver.upstreams)
