"""Settings of the gateway: the rules in the kernel, and the gate for first packets."""

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from enforcer.config.fields import Identifier, Port, Within, Workers, choice
from enforcer.config.section import Section


class Connections(StrEnum):
    """Who decides on connections that show a name: the gate on their first packets, or the proxy."""

    GATE = "gate"
    PROXY = "proxy"


class FailOpen(StrEnum):
    """A part without which what it should see is let through."""

    DNS = "dns"
    PROXY = "proxy"
    GATE = "gate"


class Gateway(Section):
    """The rules in the kernel of a Linux gateway, and the gate."""

    enabled: bool = Field(
        False, description="Whether `enforcer run` applies the rules and starts the gate. A change needs a restart."
    )
    interfaces: tuple[Identifier, ...] = Field(
        (), description="Interfaces by which clients come; none: any.", examples=[["lan0", "wlan0"]]
    )
    connections: Annotated[Connections, choice(Connections)] = Field(
        Connections.GATE,
        description="gate: first packets are queued and judged, the kernel forwards what follows. proxy: TCP 443 goes "
        "to the proxy too, and QUIC is rejected, so that clients fall back to TCP.",
    )
    proxied: tuple[Port, ...] = Field(
        (80, 8080),
        description="TCP ports that are redirected to the proxy (its mode transparent), so that whoever is refused "
        "gets the page; none: the gate judges them as well, without a page.",
    )
    queue: int = Field(53, ge=0, le=65_000, description="The first NFQUEUE number. A change needs a restart.")
    workers: Workers = Field(
        1, description="Processes of the gate, each with a queue of its own; auto: one a CPU. A change needs a restart."
    )
    queue_length: int = Field(
        8192, ge=64, le=1_000_000, description="First packets that wait for one process; more are dropped, and counted."
    )
    fail_open: tuple[Annotated[FailOpen, choice(FailOpen)], ...] = Field(
        (),
        description="What passes when a part is dead; by default nothing does. dns: DNS on port 53 goes to the first "
        "upstream of the form udp://ADDRESS, unfiltered. proxy: HTTP is judged by the gate, without a page; with "
        "connections: proxy, TCP 443 passes unjudged too. gate: connections pass unjudged. Banned addresses and MMTLS "
        "are rejected all the same.",
    )
    fail_open_after_s: float = Field(
        10,
        ge=3,
        le=3600,
        description="How long every process of the resolver or the proxy must have been dead before it is failed open. "
        "Without the gate, connections pass at once.",
    )
    untouched: tuple[Within, ...] = Field(
        (), description="Destinations that are left alone: management, the resolvers of other nodes.", examples=[[]]
    )
    learn: bool = Field(
        False,
        description="Resolve the names of rules marked dedicated, and reject their addresses while their TTL lasts, so "
        "that cached and built-in addresses are covered. A change needs a restart.",
    )
    drops_max: int = Field(
        65_536,
        ge=16,
        le=1_000_000,
        description="Rejected (client, destination, port) that the kernel tells apart; what is beyond is counted only.",
    )
