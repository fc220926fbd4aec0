"""DNS over HTTPS: the message in a request, and what to say of a reply (RFC 8484)."""

import binascii
import re
from base64 import urlsafe_b64decode
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import parse_qsl

from enforcer.errors import Malformed
from enforcer.wire.dns import Section, is_query, read_response
from enforcer.wire.dnscodes import RRType

PATH = "/dns-query"
MEDIA_TYPE = "application/dns-message"
QUERY_MAX = 16_384  # octets of a query; a usual one has fewer than 512
_BASE64URL = re.compile(r"[A-Za-z0-9_-]+")


class Asked(NamedTuple):
    """A DNS message that was asked over HTTP. token: of the path `/dns-query/{token}`; None without one."""

    wire: bytes
    token: str | None


def asked(method: str, target: str, content_type: str | None, body: bytes) -> Asked | int:
    """The message of a request, or the status of the error to answer with.

    404 for another path, 405 for another method, 400 where there is no DNS query, 413 for one of more than
    `QUERY_MAX` octets, 415 for a body of another media type.
    """
    path, _, parameters = target.partition("?")
    token = path.removeprefix(PATH + "/") if path.startswith(PATH + "/") else None
    if path != PATH and (not token or "/" in token):
        return 404
    if method == "GET":
        wire = _parameter(parameters)
    elif method != "POST":
        return 405
    elif (content_type or "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        return 415
    else:
        wire = body
    if len(wire) > QUERY_MAX:
        return 413
    return Asked(wire, token) if is_query(wire) else 400


def _parameter(parameters: str) -> bytes:
    """The `dns` parameter, base64url without padding (RFC 8484 §6); nothing where there is none of that form."""
    found = [value for key, value in parse_qsl(parameters, keep_blank_values=True) if key == "dns"]
    if len(found) != 1 or not _BASE64URL.fullmatch(found[0]):
        return b""
    try:
        return urlsafe_b64decode(found[0] + "=" * (-len(found[0]) % 4))
    except binascii.Error:
        return b""


def max_age(reply: bytes) -> int:
    """Seconds for which a reply may be kept: its smallest TTL, and not above what a SOA allows (RFC 8484 §5.1)."""
    return _max_age(reply[2:])


@lru_cache(maxsize=4096)
def _max_age(unnumbered: bytes) -> int:
    """The same of a reply without its ID, since the same replies are given again and again."""
    reply = b"\0\0" + unnumbered
    try:
        response = read_response(reply)
    except Malformed:
        return 0
    ages = [record.ttl for record in response.records if record.section is Section.ANSWER]
    for record in response.records:
        if record.section is Section.AUTHORITY and record.type == RRType.SOA:
            ages += (record.ttl, int.from_bytes(reply[record.data_end - 4 : record.data_end]))
    return min(ages, default=0)
