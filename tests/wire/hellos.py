"""What clients send first: ClientHellos, built octet by octet and as Python's ssl sends them; HTTP/2."""

import ssl
from collections.abc import Iterable, Sequence

from hpack import Encoder

SNI, ALPN, ECH, PADDING = 0, 16, 0xFE0D, 21
GREASE = 0x5A5A


def extension(kind: int, data: bytes) -> bytes:
    return kind.to_bytes(2) + len(data).to_bytes(2) + data


def sni(*names: bytes, kind: int = 0) -> bytes:
    entries = b"".join(bytes((kind,)) + len(each).to_bytes(2) + each for each in names)
    return extension(SNI, len(entries).to_bytes(2) + entries)


def alpn(*protocols: bytes) -> bytes:
    entries = b"".join(bytes((len(each),)) + each for each in protocols)
    return extension(ALPN, len(entries).to_bytes(2) + entries)


def message(*extensions: bytes, session: bytes = bytes(32), suites: bytes = b"\x13\x01\x13\x02") -> bytes:
    """The handshake message, without a record."""
    body = b"\x03\x03" + bytes(range(32)) + bytes((len(session),)) + session
    body += len(suites).to_bytes(2) + suites + b"\x01\x00"
    listed = b"".join(extensions)
    body += len(listed).to_bytes(2) + listed
    return b"\x01" + len(body).to_bytes(3) + body


def records(handshake: bytes, size: int = 0x4000, version: int = 1, kind: int = 22) -> bytes:
    """The message in records of at most `size` octets. version: the minor one."""
    parts = [handshake[at : at + size] for at in range(0, len(handshake), size)]
    return b"".join(bytes((kind, 3, version)) + len(part).to_bytes(2) + part for part in parts)


def hello(*names: bytes, more: Iterable[bytes] = (), **how: int) -> bytes:
    """A ClientHello for these names, about as large as a browser's when `more` has its key share."""
    return records(message(sni(*names), *more) if names else message(*more), **how)


def big(name: bytes) -> bytes:
    """As Chromium's: GREASE around, a key share of 1,263 octets, an ECH that is none, the name behind them."""
    share = extension(51, bytes(1263))
    ech = extension(ECH, bytes(280))
    return hello(name, more=(extension(GREASE, b""), share, alpn(b"h2", b"http/1.1"), ech, extension(GREASE, b"\0")))


def of_ssl(name: str | None, protocols: Sequence[str] = ("h2", "http/1.1")) -> bytes:
    """What Python's ssl, so OpenSSL, sends first."""
    context = ssl.create_default_context()
    context.check_hostname = name is not None
    if protocols:
        context.set_alpn_protocols(list(protocols))
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    side = context.wrap_bio(incoming, outgoing, server_hostname=name)
    try:
        side.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake that waits for nobody")


def frame(kind: int, payload: bytes = b"", flags: int = 0, stream: int = 1) -> bytes:
    """One frame of HTTP/2."""
    return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload


END_HEADERS = 4
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, b"\0\3\0\0\0\x64", stream=0)
BLOCK = Encoder().encode(
    [(":method", "GET"), (":scheme", "http"), (":authority", "chat.test:80"), (":path", "/a?b"), ("host", "other.test")]
)
PRIOR_KNOWLEDGE = PREFACE + frame(8, bytes(4), stream=0) + frame(1, BLOCK, END_HEADERS)
