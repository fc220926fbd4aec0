"""Settings of the filtering resolver."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from enforcer.config.fields import (
    At,
    Chaos,
    DeviceOption,
    Domain,
    EdeCode,
    File,
    Forwarded,
    Identifier,
    Line,
    Listen,
    Local,
    Nat64,
    Size,
    Upstreams,
    Url,
    Within,
    Workers,
    choice,
)
from enforcer.config.section import Section
from enforcer.config.values import Endpoint
from enforcer.decide.dns import Ech
from enforcer.policy.rules import Answer


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


class Language(StrEnum):
    """The language of a structured error."""

    ENGLISH = "en"
    FRENCH = "fr"


class Structured(Section):
    """The error for programs, for clients that ask for it by an EDNS option (draft-ietf-dnsop-structured-dns-error)."""

    option: int | None = Field(
        None,
        ge=1,
        le=65_534,
        description="The code of the option; by default nobody gets structured errors, since none is assigned yet.",
    )
    sub_error: int = Field(
        5, ge=5, le=6, description="5: the policy of the network's operator. 6: of the resolver's, for roaming devices."
    )
    language: Annotated[Language, choice(Language)] = Field(Language.ENGLISH, description="en or fr.")
    organization: Line | None = Field(None, description="Who refuses.", examples=["Department of Examples"])


class Ede(Section):
    """The Extended DNS Error of a blocked answer (RFC 8914)."""

    code: EdeCode = Field(
        15, description="15 Blocked: the operator's own policy. 17 Filtered: a provider filters for the organisation."
    )
    text: Line | None = Field(None, description="EXTRA-TEXT; by default the notice in both languages, and the contact.")
    structured: Structured = Field(Structured(), description="The same for programs.")


class Cache(Section):
    """Upstream answers that are kept."""

    max_bytes: Size = Field(256_000_000, description="The most bytes, of all workers of this node together.")
    max_ttl: int = Field(86_400, ge=1, le=86_400, description="The most seconds that an answer is kept.")
    serve_stale: bool = Field(
        False,
        description="Where no upstream answers, give what has expired within the last day (RFC 8767), for 30 seconds. "
        "A change needs a restart.",
    )
    prefetch: bool = Field(
        True,
        description="Ask again for popular answers in the last tenth of their time, so that nobody waits for them.",
    )


class Cookies(Section):
    """DNS cookies (RFC 7873, made as RFC 9018 says)."""

    secret_file: File | None = Field(
        None,
        description="The secrets, 32 hexadecimal digits a line, the one in use first; every server of one address has "
        "the same. Without it cookies are off. Read again at a reload.",
        examples=["cookie.secret"],
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
    device_options: tuple[DeviceOption, ...] = Field(
        (),
        description="EDNS options in which these forwarders, and nobody else, say for which device they ask: 65001 "
        "(MAC), 65073, 65074 (CPE id), 20292 (Umbrella). The first one that a query has counts.",
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
    mixed_case: bool = Field(
        False,
        description="Ask over UDP in letters of random case, which an answer has to repeat: harder to forge. An "
        "upstream that does not repeat them is asked in lower case.",
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
    cookies: Cookies = Field(Cookies(), description="DNS cookies.")
    info_url: Url | None = Field(
        None,
        description="Where clients can read about this resolver (RFC 9606, RESINFO).",
        examples=["https://it.dept.example/dns"],
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
