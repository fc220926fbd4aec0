"""Settings of the proxy: where it is reached, and what becomes of connections that no rule is about."""

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Annotated

from pydantic import AfterValidator, Field, PlainSerializer, WithJsonSchema

from enforcer.config.fields import AnyPath, Workers, choice
from enforcer.config.section import Section
from enforcer.config.values import Endpoint, parse_endpoint, quoted

_MODE = re.compile(
    r"(?P<kind>regular|transparent|upstream|socks5|wireguard|tun|dns|local)(?::(?P<data>[^@\s]+))?"
    r"(?:@(?:(?P<host>\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?(?P<port>[0-9]{1,5}))?"
)
_SHARED = ("regular", "transparent", "upstream")
_LISTENING = (*_SHARED, "socks5", "wireguard", "dns")


class Unjudged(StrEnum):
    """What becomes of a connection that no rule can be about."""

    PASS = "pass"  # noqa: S105 (no password)
    REFUSE = "refuse"


def _mode(text: str) -> str:
    found = _MODE.fullmatch(text)
    hint = 'write one, as in "regular@127.0.0.1:5080", "transparent@5081" or "wireguard@51820"'
    if found is None or (found["port"] and not 0 < int(found["port"]) < 65_536):
        raise ValueError(f"{quoted(text)} is not a mode; {hint}")
    kind, data = found["kind"], found["data"]
    if kind == "upstream" and not (data or "").startswith(("http://", "https://")):
        raise ValueError(
            f'{quoted(text)} names no proxy; write one, as in "upstream:http://192.0.2.8:3128@127.0.0.1:5080"'
        )
    if kind in _LISTENING and not found["port"]:
        raise ValueError(f"{quoted(text)} has no port; {hint}")
    if kind in ("regular", "transparent", "socks5", "dns") and data:
        raise ValueError(f"{quoted(text)} takes nothing behind {kind!r} but @ and where it listens; {hint}")
    if kind in _SHARED:
        for endpoint in endpoints(text):
            parse_endpoint(str(endpoint))
    return text


def shared(mode: str) -> bool:
    """Whether all workers listen for a mode; else the first one alone does."""
    return mode.startswith(_SHARED)


def endpoints(mode: str) -> tuple[Endpoint, ...]:
    """Where a mode that workers share listens; without a host, everywhere."""
    at = mode.rpartition("@")[2]
    hosts = (at,) if ":" in at else (f"0.0.0.0:{at}", f"[::]:{at}")
    return tuple(map(parse_endpoint, hosts))


def transparent(modes: Iterable[str]) -> int | None:
    """The port at which the proxy takes what is redirected to it, from anywhere; None where it does not."""
    ports = (mode.rpartition("@")[2] for mode in modes if mode.startswith("transparent"))
    return next((int(port) for port in ports if port.isdecimal()), None)


Mode = Annotated[str, AfterValidator(_mode), PlainSerializer(str), WithJsonSchema({"type": "string"})]


class Limits(Section):
    """What clients may take. Each worker counts for itself."""

    connections: int = Field(20_000, ge=1, le=1_000_000, description="Connections of all clients.")
    per_client: int = Field(1_000, ge=1, le=1_000_000, description="Connections of one client address.")


class Proxy(Section):
    """The proxy: mitmproxy as a gate that sees where connections go, and decrypts nothing."""

    modes: tuple[Mode, ...] = Field(
        (),
        description="Where it is reached, as mitmproxy writes it: regular@ADDRESS:PORT for clients that know their "
        "proxy, transparent@PORT for what the gateway redirects, upstream:http://PROXY:PORT@PORT (or https://) before "
        "another proxy, socks5@PORT, wireguard@PORT, tun:NAME, dns@ADDRESS:PORT, local:PROGRAM. None: no proxy. A "
        "change needs a restart.",
        examples=[["regular@127.0.0.1:5080"]],
    )
    workers: Workers = Field(None, description="Processes; auto is one for each CPU. A change needs a restart.")
    unknown: Annotated[Unjudged, choice(Unjudged)] = Field(
        Unjudged.PASS, description="pass or refuse connections of a protocol that we do not know; neither is recorded."
    )
    outside: Annotated[Unjudged, choice(Unjudged)] = Field(
        Unjudged.REFUSE,
        description="pass or refuse clients outside of every realm; they are never recorded.",
    )
    limits: Limits = Field(Limits(), description="What clients may take.")
    idle_s: int = Field(
        7200,
        ge=3600,
        le=604_800,
        description="Seconds until a connection on which nothing is said is closed; push connections are silent long. "
        "A change needs a restart.",
    )
    drain_s: float = Field(
        5.0, ge=0, le=300, description="Seconds that connections have to end when the proxy is stopped."
    )
    intercept_for_block_page: bool = Field(
        False,
        description="Show the block page for HTTPS too: banned names, and they alone, are answered with a certificate "
        "of our own authority, which the devices must trust. A change needs a restart.",
    )
    ca_dir: AnyPath | None = Field(
        None,
        description="With intercept_for_block_page: the folder of that authority, made at the first start; by default "
        "proxy-ca in data_dir. A change needs a restart.",
        examples=["/etc/enforcer/proxy-ca"],
    )
