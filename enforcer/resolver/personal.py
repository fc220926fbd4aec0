"""What is one client's alone: its cookie in the answer, and what it, or a forwarder for it, has shown of the device."""

from typing import NamedTuple

from enforcer.decide.cookies import read_cookie
from enforcer.policy.verdict import Address
from enforcer.resolver.conduct import Conduct
from enforcer.wire.dns import Query

SHOWN_MAX = 64  # octets of an option that tells of a device


class Personal(NamedTuple):
    """What belongs to one query's client.

    cookie: the data of the option that its answer has (RFC 7873); None without. known: it has shown no cookie that is
    not ours. shown: as an `Entry` has it; None for nothing.
    """

    cookie: bytes | None
    known: bool
    shown: str | None


def personal(query: Query, address: Address, conduct: Conduct, seconds: int, shown: str | None) -> Personal:
    """Read a query's options for one client. shown: what its connection has shown. seconds: since 1970.

    Raises Malformed for a cookie that is none.
    """
    options = () if query.edns is None else query.edns.options
    shown = _told_by_forwarder(options, address, conduct) or shown
    cookie = read_cookie(options) if conduct.cookies is not None else None
    if cookie is None or conduct.cookies is None:
        return Personal(None, known=True, shown=shown)
    known = not cookie.server or conduct.cookies.is_ours(cookie, address.packed, seconds)
    return Personal(conduct.cookies.answer(cookie, address.packed, seconds), known, shown)


def _told_by_forwarder(options: tuple[tuple[int, bytes], ...], address: Address, conduct: Conduct) -> str | None:
    """For which device a forwarder of ours asks; None for everybody else, who can write anything there."""
    for wanted in conduct.device_options:
        data = next((data for code, data in options if code == wanted), b"")
        if 0 < len(data) <= SHOWN_MAX:
            trusted = any(address in network for network in conduct.forwarders)
            return f"edns:{wanted}:{data.hex()}" if trusted else None
    return None
