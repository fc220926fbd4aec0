"""The requests of HTTP/2 without TLS, with prior knowledge (RFC 9113 §3.3), as far as they show where they go."""

from collections.abc import Iterator

from hpack import Decoder, HPACKError

from enforcer.errors import Malformed
from enforcer.wire.http import HEAD_MAX, Request, hosts_in

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
"""What opens the connection (RFC 9113 §3.4); the last eight octets follow what looks like a head of HTTP/1."""

TABLE_MAX = 0x10000
"""Octets of the table that fields are compressed with: 4,096 unless the server has said that it takes more."""

_HEAD = 9
_HEADERS, _CONTINUATION = 1, 9
_PRIORITY, _PADDED, _END_HEADERS = 0x20, 0x08, 0x04


class Requests:
    """What the client of one connection sends, as it comes: the head of every request, in order; bounded.

    A block of fields can be read only by who has read all before it (RFC 7541 §2.2), so nothing may be left out.
    """

    def __init__(self) -> None:
        self._waiting = bytearray()  # of the preface, or of a frame that is not whole
        self._begun = False
        self._skip = 0  # octets to come of a frame that is not looked at
        self._block: bytes | None = None  # the fields of a head that goes on in the next frame
        self._fields = Decoder(HEAD_MAX)
        self._fields.max_allowed_table_size = TABLE_MAX

    def add(self, data: bytes) -> Iterator[Request]:
        """Take what came next; the requests whose heads end in it, each of which is to be taken.

        hosts are `:authority` and every `host` field; a trailer section is no request. size is that of the block.
        Raises Malformed when nothing that follows could make a request of it; then no more can be read.
        """
        if self._skip:
            skipped = min(self._skip, len(data))
            self._skip -= skipped
            data = data[skipped:]
        self._waiting += data
        at = self._preface()
        while self._begun and at + _HEAD <= len(self._waiting):
            size = int.from_bytes(self._waiting[at : at + 3])
            kind, flags = self._waiting[at + 3], self._waiting[at + 4]
            end = at + _HEAD + size
            if self._is_read(kind, size):
                if end > len(self._waiting):
                    break
                request = self._read(kind, flags, bytes(self._waiting[at + _HEAD : end]))
                if request is not None:
                    yield request
            self._skip = max(end - len(self._waiting), 0)
            at = end
        del self._waiting[:at]

    def _preface(self) -> int:
        """Where frames begin in what waits."""
        if self._begun:
            return 0
        if not PREFACE.startswith(self._waiting[: len(PREFACE)]):
            raise Malformed("HTTP/2: the preface is another one")
        self._begun = len(self._waiting) >= len(PREFACE)
        return len(PREFACE) if self._begun else 0

    def _is_read(self, kind: int, size: int) -> bool:
        """Whether a frame belongs to a head, which may have HEAD_MAX octets in all of its frames."""
        if self._block is None and kind != _HEADERS:
            return False
        if kind != (_HEADERS if self._block is None else _CONTINUATION):
            raise Malformed("HTTP/2: another frame inside a head")
        if size + len(self._block or b"") > HEAD_MAX:
            raise Malformed(f"HTTP/2: a head has more than {HEAD_MAX} octets")
        return True

    def _read(self, kind: int, flags: int, payload: bytes) -> Request | None:
        block = (self._block or b"") + (_fragment(payload, flags) if kind == _HEADERS else payload)
        if not flags & _END_HEADERS:
            self._block = block
            return None
        self._block = None
        try:
            fields = tuple((bytes(name), bytes(value)) for name, value in self._fields.decode(block, raw=True))
        except HPACKError as error:
            raise Malformed(f"HTTP/2: a head that cannot be decompressed: {error}") from None
        return _request(fields, len(block))


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


def _request(fields: tuple[tuple[bytes, bytes], ...], size: int) -> Request | None:
    """None for trailers, which name neither method nor host."""
    told = {name: value for name, value in fields if name.startswith(b":")}
    hosts = tuple(host for name, value in fields if name in (b":authority", b"host") for host in hosts_in(value))
    if not told and not hosts:
        return None
    path = told.get(b":path", b"")
    return Request(
        method=told.get(b":method", b""),
        target=path,
        hosts=tuple(dict.fromkeys(hosts)),
        path=path if path.startswith(b"/") else None,
        fields=fields,
        size=size,
    )
