"""The first request of HTTP/2 without TLS, with prior knowledge (RFC 9113 §3.3), as far as it shows where it goes."""

from hpack import Decoder, HPACKError

from enforcer.errors import Malformed
from enforcer.wire.http import HEAD_MAX, Request, hosts_in

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What opens the connection (RFC 9113 §3.4); the last eight octets follow what looks like a head of HTTP/1."""

_HEADERS, _CONTINUATION = 1, 9
_PRIORITY, _PADDED, _END_HEADERS = 0x20, 0x08, 0x04


def read_request(data: bytes) -> Request | None:
    """Read the head of the first request; `data` begins with the preface and may stop anywhere.

    hosts are `:authority` and every `host` field. Returns None while more is needed. Raises Malformed when nothing that
    follows could make a request of it.
    """
    if not PREFACE.startswith(data[: len(PREFACE)]):
        raise Malformed("HTTP/2: the preface is another one")
    at = len(PREFACE)
    block: bytes | None = None
    while at + 9 <= len(data):
        kind, flags = data[at + 3], data[at + 4]
        start, at = at + 9, at + 9 + int.from_bytes(data[at : at + 3])
        if at > HEAD_MAX:
            raise Malformed(f"HTTP/2: the first head does not end within {HEAD_MAX} octets")
        if at > len(data):
            return None
        if kind == _HEADERS and block is None:
            block = _fragment(data[start:at], flags)
        elif block is not None:
            if kind != _CONTINUATION:
                raise Malformed("HTTP/2: another frame inside a head")
            block += data[start:at]
        if block is not None and flags & _END_HEADERS:
            return _request(block, at)
    return None


def _fragment(payload: bytes, flags: int) -> bytes:
    """The part of a HEADERS frame that is fields (RFC 9113 §6.2)."""
    end = len(payload)
    start = 0
    if flags & _PADDED:
        end -= payload[0] if payload else 1
        start = 1
    if flags & _PRIORITY:
        start += 5
    if start > end:
        raise Malformed("HTTP/2: a HEADERS frame shorter than its padding and priority")
    return payload[start:end]


def _request(block: bytes, size: int) -> Request:
    try:
        fields = tuple((bytes(name), bytes(value)) for name, value in Decoder(HEAD_MAX).decode(block, raw=True))
    except HPACKError as error:
        raise Malformed(f"HTTP/2: a head that cannot be decompressed: {error}") from None
    told = {name: value for name, value in fields if name.startswith(b":")}
    hosts = tuple(host for name, value in fields if name in (b":authority", b"host") for host in hosts_in(value))
    path = told.get(b":path", b"")
    return Request(
        method=told.get(b":method", b""),
        target=path,
        hosts=tuple(dict.fromkeys(hosts)),
        path=path if path.startswith(b"/") else None,
        fields=fields,
        size=size,
    )
