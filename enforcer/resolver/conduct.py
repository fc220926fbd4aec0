"""What a worker is told: the time, and how its resolver behaves."""

from collections.abc import Callable
from dataclasses import dataclass, field

from enforcer.decide.cookies import Cookies
from enforcer.decide.dns import Manners
from enforcer.decide.local import LocalRecords
from enforcer.resolver.clients import Network


@dataclass(frozen=True, slots=True)
class Clock:
    """The time, as it is handed to a worker. wall_ms: since 1970. steady: seconds that only grow."""

    wall_ms: Callable[[], int]
    steady: Callable[[], float]


@dataclass(frozen=True, slots=True)
class Conduct:
    """How the resolver behaves; a reload may change all of it.

    drop_outside: a client that no realm serves gets nothing, instead of REFUSED. name_clients: the users have been
    told, so a client's address may be written down. max_ttl: the most seconds that an answer is kept. local: names that
    are answered here, behind policy. cookies: None where there are none (RFC 7873). device_options: the EDNS options in
    which forwarders say for which device they ask. prefetch: popular answers are asked for again before they expire.
    """

    manners: Manners
    drop_outside: bool
    name_clients: bool
    max_ttl: int
    local: LocalRecords = field(default_factory=lambda: LocalRecords(()))
    cookies: Cookies | None = None
    forwarders: tuple[Network, ...] = ()
    device_options: tuple[int, ...] = ()
    prefetch: bool = False
