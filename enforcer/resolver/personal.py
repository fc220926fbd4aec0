"""What is one client's alone: its cookie in the answer, and the device that a forwarder of ours asks for."""

from typing import NamedTuple

from enforcer.decide.cookies import Cookies, read_cookie
from enforcer.errors import Malformed
from enforcer.policy.verdict import Address
from enforcer.resolver.conduct import Conduct
from enforcer.wire.dns import Query, is_query, read_query

SHOWN_MAX = 64  # octets of an option that tells of a device


class Baked(NamedTuple):
    """What comes of a query's cookie (RFC 7873). data: of the option in its answer. known: it has none but ours."""

    data: bytes
    known: bool


def baked(query: Query, address: Address, cookies: Cookies, seconds: int) -> Baked | None:
    """The cookie for a query that has one; None for one without. seconds: since 1970.

    Raises Malformed for a cookie that is none.
    """
    cookie = read_cookie(() if query.edns is None else query.edns.options)
    if cookie is None:
        return None
    known = not cookie.server or cookies.is_ours(cookie, address.packed, seconds)
    return Baked(cookies.answer(cookie, address.packed, seconds), known)


def told(wire: bytes, address: Address, conduct: Conduct) -> str | None:
    """For which device a forwarder of ours asks, as an `Entry` has it; None for all others, who can write anything."""
    if not any(address in network for network in conduct.forwarders) or not is_query(wire):
        return None
    try:
        edns = read_query(wire).edns
    except Malformed:
        return None
    options = () if edns is None else edns.options
    for wanted in conduct.device_options:
        data = next((data for code, data in options if code == wanted), b"")
        if 0 < len(data) <= SHOWN_MAX:
            return f"edns:{wanted}:{data.hex()}"
    return None
