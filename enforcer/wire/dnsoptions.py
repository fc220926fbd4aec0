"""EDNS options that a reply is given last: cookies; of a stream padding (RFC 7830, 8467) and keepalive (RFC 7828)."""

from typing import NamedTuple

from enforcer.errors import Malformed
from enforcer.wire.dns import read_query, read_response
from enforcer.wire.dnswrite import opt, with_opt

BLOCK = 468  # octets that a padded reply is a multiple of (RFC 8467 §4.1)
_KEEPALIVE, _PADDING = 11, 12
_OPT = b"\0\0\x29"
_OPTION_HEAD = 4
_MESSAGE_MAX = 0xFFFF


class Wishes(NamedTuple):
    """What a query asks of the way its reply is sent."""

    padding: bool
    keepalive: bool


NONE = Wishes(padding=False, keepalive=False)


def wishes(wire: bytes) -> Wishes:
    """What the options of a query ask for; a keepalive with a value in it is none (RFC 7828 §3.2.1)."""
    if wire[10:12] == b"\0\0" or (wire[10:12] == b"\0\1" and wire[-11:-8] == _OPT and wire.endswith(b"\0\0")):
        return NONE  # no record, or an OPT without options
    try:
        edns = read_query(wire).edns
    except Malformed:
        return NONE
    if edns is None or not edns.options:
        return NONE
    codes = {code for code, data in edns.options if code != _KEEPALIVE or not data}
    return Wishes(_PADDING in codes, _KEEPALIVE in codes)


def with_option(reply: bytes, code: int, data: bytes) -> bytes:
    """A reply of ours with one option more; unchanged without EDNS."""
    found = read_response(reply).opt
    if found is None or found.end != len(reply):
        return reply
    before = reply[:10] + (int.from_bytes(reply[10:12]) - 1).to_bytes(2) + reply[12 : found.at]
    options = (*found.edns.options, (code, data))
    return with_opt(before, opt(found.edns.payload, do=found.edns.do, rcode_high=found.rcode_high, options=options))


def with_options(reply: bytes, *, keepalive_s: float | None, padded: bool) -> bytes:
    """A reply of ours with options more; unchanged without EDNS.

    keepalive_s: seconds for which an idle connection is kept; None: nothing is said of it. padded: up to a multiple
    of 468 octets, with the padding as the last option (RFC 7830 §4), or as far as a message can grow.
    """
    response = read_response(reply)
    found = response.opt
    if found is None or found.end != len(reply):
        return reply
    options = list(found.edns.options)
    if keepalive_s is not None:
        options.append((_KEEPALIVE, min(round(keepalive_s * 10), 0xFFFF).to_bytes(2)))
    before = reply[:10] + (int.from_bytes(reply[10:12]) - 1).to_bytes(2) + reply[12 : found.at]

    def whole() -> bytes:
        extra = opt(found.edns.payload, do=found.edns.do, rcode_high=found.rcode_high, options=options)
        return with_opt(before, extra)

    message = whole()
    if padded and len(message) + _OPTION_HEAD <= _MESSAGE_MAX:
        size = len(message) + _OPTION_HEAD
        options.append((_PADDING, bytes(min(-size % BLOCK, _MESSAGE_MAX - size))))
        message = whole()
    return message if len(message) <= _MESSAGE_MAX else reply
