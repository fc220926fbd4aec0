"""Settings of the pages: what Prometheus, reviewers and users read."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Annotated
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, field_validator

from enforcer.config.fields import AnyPath, File, Line, Listen, Within, choice
from enforcer.config.section import Section
from enforcer.config.values import quoted


class Metrics(Section):
    """The page that Prometheus reads."""

    listen: Listen = Field(
        "127.0.0.1:9310",
        validate_default=True,
        description="Address and port. A change needs a restart.",
    )
    networks: tuple[Within, ...] = Field(
        (), description="Who may read it, beside this machine itself; none: whoever reaches the address."
    )
    devices: int = Field(50, ge=0, le=1000, description="How many devices have a series of their own; 0 for none.")
    probe_s: float = Field(
        60,
        ge=0,
        le=3600,
        description="Seconds between questions to our own resolver for a banned name of each service; 0 for none.",
    )


class Auth(StrEnum):
    """How the console knows who asks: not at all, on loopback; by a password; by a provider; by a front proxy."""

    OPEN = "open"
    LOCAL = "local"
    OIDC = "oidc"
    PROXY = "proxy"


class Role(StrEnum):
    """What somebody is here for: to read; also to mark and export; to reload and pause; to audit and export."""

    VIEWER = "viewer"
    REVIEWER = "reviewer"
    OPERATOR = "operator"
    AUDITOR = "auditor"


def _url(text: str) -> str:
    parts = urlsplit(text)
    try:
        sound = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        sound = False
    if not sound or parts.path.strip("/") or parts.query or parts.fragment or parts.username:
        raise ValueError(f'{quoted(text)} is not an address of pages; write one, as in "https://enforcer.dept.example"')
    return f"{parts.scheme}://{parts.netloc.lower()}"


def _issuer(text: str) -> str:
    parts = urlsplit(text)
    local = parts.scheme == "http" and parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or (parts.scheme != "https" and not local) or parts.query or parts.fragment:
        raise ValueError(f'{quoted(text)} is not an issuer; write its https URL, as in "https://login.dept.example"')
    return text.rstrip("/")


def _header(text: str) -> str:
    if not text.isascii() or not all(letter.isalnum() or letter == "-" for letter in text) or not 0 < len(text) <= 64:
        raise ValueError(f'{quoted(text)} is not the name of a header; write one, as in "X-Forwarded-User"')
    return text


Roles = dict[str, Annotated[Role, choice(Role)]]
Url = Annotated[str, AfterValidator(_url)]
Issuer = Annotated[str, AfterValidator(_issuer)]
Header = Annotated[str, AfterValidator(_header)]


class Oidc(Section):
    """An OpenID Connect provider (authorization code with PKCE)."""

    issuer: Issuer = Field(
        description="Its issuer URL, below which discovery is found.", examples=["https://login.dept.example"]
    )
    client_id: Line = Field(
        description="Our client id there. The redirect URI is URL/sign-in/back.", examples=["enforcer"]
    )
    client_secret_file: File = Field(description="A file with the client secret alone.", examples=["oidc-secret"])
    scopes: Line = Field("openid profile", description="The scopes to ask for.")
    name_claim: Line = Field("sub", description="The claim that names somebody in the audit record.")
    roles_claim: Line = Field("groups", description="The claim whose values stand for roles.")
    roles: Roles = Field(
        description="What a value of that claim stands for; nobody without any of them gets in.",
        examples=[{"enforcer-reviewers": "reviewer"}],
    )
    ca: File | None = Field(None, description="The authorities, in PEM, of its certificate; by default the system's.")


class FrontProxy(Section):
    """A proxy that has signed people in, and says who they are in headers."""

    networks: tuple[Within, ...] = Field(
        min_length=1, description="Where it asks from; from elsewhere nobody is let in.", examples=[["192.0.2.10"]]
    )
    user_header: Header = Field("X-Forwarded-User", description="The header that names somebody.")
    roles_header: Header = Field(
        "X-Forwarded-Groups", description="The header whose values, parted by commas, stand for roles."
    )
    roles: Roles = Field(
        description="What a value of that header stands for; nobody without any of them gets in.",
        examples=[{"enforcer-reviewers": "reviewer"}],
    )


class Console(Section):
    """Pages and an API for those who review."""

    listen: Listen = Field(
        "127.0.0.1:9311",
        validate_default=True,
        description="Address and port. Beyond loopback it needs a certificate, a url and people to sign in.",
    )
    url: Url | None = Field(
        None,
        description="What browsers write to reach it; requests for any other host are refused. "
        "By default the address itself, or localhost.",
        examples=["https://enforcer.dept.example"],
    )
    certificate: File | None = Field(
        None, description="The certificate chain, PEM; read again when it changes.", examples=["console.pem"]
    )
    key: File | None = Field(
        None, description="The certificate's key, PEM without a pass phrase.", examples=["console.key"]
    )
    auth: Annotated[Auth, choice(Auth)] = Field(
        Auth.LOCAL,
        description="Who is let in: local users with passwords, people of an oidc provider, whoever a front proxy "
        "names; or, on loopback alone, open: everybody on this machine.",
    )
    open_roles: tuple[Annotated[Role, choice(Role)], ...] = Field(
        (Role.VIEWER,), description="The roles of everybody, with auth: open."
    )
    users: AnyPath | None = Field(
        None,
        description="The file of local users and API tokens, which enforcer console user add writes; by default "
        "console/users in data_dir. Read again when it changes.",
    )
    oidc: Oidc | None = Field(None, description="The provider, with auth: oidc.")
    proxy: FrontProxy | None = Field(None, description="The front proxy, with auth: proxy.")
    idle_minutes: int = Field(30, ge=1, le=1440, description="Minutes without a request after which one is signed out.")
    session_hours: int = Field(10, ge=1, le=72, description="Hours after which one has to sign in again in any case.")
    time_zone: str = Field(
        "UTC", description="The zone in which times are shown, as in America/Toronto. Records and exports stay in UTC."
    )

    @field_validator("time_zone")
    @classmethod
    def _is_a_zone(cls, text: str) -> str:
        try:
            ZoneInfo(text)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(f'{quoted(text)} is not a time zone; write one, as in "America/Toronto"') from None
        return text

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return self.listen.address.is_loopback

    @property
    def origin(self) -> str:
        """Scheme, host and port that browsers write."""
        return self.url or f"{'http' if self.certificate is None else 'https'}://{self.listen}"


class BlockPage(Section):
    """What a browser sees that was led to the sinkhole: plain HTTP, in both languages, status 403."""

    listen: Listen = Field(
        "127.0.0.1:5082", validate_default=True, description="Address and port; resolver.sinkhole names the address."
    )


def console_mistakes(console: Console) -> Iterator[tuple[str, str]]:
    """What cannot be meant together, each with its key: a console is never open to a network."""
    if (console.certificate is None) != (console.key is None):
        key = "key" if console.key is None else "certificate"
        yield key, f'missing; write it, as in {key}: "console.{"key" if key == "key" else "pem"}"'
    for key, auth in (("oidc", Auth.OIDC), ("proxy", Auth.PROXY)):
        if console.auth is auth and getattr(console, key) is None:
            yield key, f'missing; auth is "{auth}": write the section, which config schema describes'
    if console.auth is Auth.OIDC and console.url is None:
        text = "missing; the provider sends people back to it: write it, as in "
        yield "url", f'{text}url: "https://enforcer.dept.example"'
    if console.is_local:
        return
    beyond = f'"{console.listen}" is not loopback'
    if console.auth is Auth.OPEN:
        text = "auth: local, and add people with enforcer console user add; or auth: oidc, or auth: proxy"
        yield "auth", f"{beyond}, and would be open to everybody there; write {text}"
    if console.certificate is None:
        yield "certificate", f'{beyond}; write "certificate" and "key", as in certificate: "console.pem"'
    if console.url is None:
        yield "url", f'{beyond}; write what browsers reach it by, as in url: "https://enforcer.dept.example"'
    elif console.url.startswith("http:"):
        yield "url", f'{quoted(console.url)} has no TLS; write it with "https"'
