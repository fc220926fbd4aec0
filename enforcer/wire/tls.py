"""The first message of a TLS client (RFC 8446 §4.1.2), as far as it shows where the client wants to go.

It is read as leniently as any server reads it, so that what a server would take is never nonsense to us: every minor
version on a record, a message over many records, alerts and changes of cipher between them, names that are no names.
"""

import struct
from functools import lru_cache
from typing import NamedTuple

from enforcer.errors import Malformed

HELLO_MAX = 0x4000
"""Octets that we take for a ClientHello; those of browsers have 2,000, and servers take 16 KiB (OpenSSL: 131,396)."""

_CHANGE_CIPHER_SPEC, _ALERT, _HANDSHAKE = 20, 21, 22
_RECORD_MAX = 0x4000 + 0x100  # RFC 8446 §5.1, and what older versions let a record be longer
_CLIENT_HELLO = 1
_SERVER_NAME, _ALPN = 0, 16
ENCRYPTED = frozenset({0xFE0D, 0xFFCE})  # encrypted_client_hello (RFC 9849 §5), and ESNI, its draft
_READ = {_SERVER_NAME, _ALPN, *ENCRYPTED}

_START = struct.Struct(">BBxHI").unpack_from  # a record's type, major version and length; the start of its message
_LENGTH = struct.Struct(">H").unpack_from
_EXTENSION = struct.Struct(">HH").unpack_from  # type and length


class ClientHello(NamedTuple):
    """What a ClientHello shows in clear. One is made for each connection, and a tuple costs least.

    names: every entry of every server_name extension, as sent: in any letter case, perhaps with a final dot, perhaps
    no name at all (RFC 6066 §3 allows one, of A-labels). alpn: protocols, as sent. ech: there is an encrypted inner
    ClientHello, or what looks like one: browsers always send it (RFC 9849 §6.2), and the names are the outer ones.
    """

    names: tuple[bytes, ...] = ()
    alpn: tuple[bytes, ...] = ()
    ech: bool = False


def is_tls(data: bytes | bytearray) -> bool:
    """Whether a connection that begins with these octets, from one on, can be TLS."""
    return data[0] in (_HANDSHAKE, _ALERT, _CHANGE_CIPHER_SPEC) and (len(data) < 2 or data[1] == 3)


def read_client_hello(data: bytes) -> ClientHello | None:
    """Read the ClientHello that opens a TLS connection (RFC 8446 §4.1.2; records §5.1).

    data: the client's TCP payload from its first octet on; it may stop anywhere.

    Returns None while more is needed. Raises Malformed when nothing that follows could make a ClientHello of it.
    """
    hello = read_whole(data)
    if hello is not None:
        return hello
    message = bytearray()
    unwrap(data, 0, message)
    return read_message(message)


def read_whole(data: bytes) -> ClientHello | None:
    """The same for one that came whole and in one record, as most do, in place; None: it has to be unwrapped."""
    if len(data) < 9:
        return None
    kind, major, size, start = _START(data)
    end = 9 + (start & 0xFFFFFF)
    if kind != _HANDSHAKE or major != 3 or start >> 24 != _CLIENT_HELLO or not end <= 5 + size <= len(data):
        return None
    return _read_hello(data, 5, end) if end <= 9 + HELLO_MAX and size <= _RECORD_MAX else None


def unwrap(data: bytes | bytearray, at: int, message: bytearray) -> int:
    """Add to `message` what the whole records from octet `at` on carry of the handshake; returns where they end.

    So records are taken out once, however many pieces they come in, until the first message is whole: other records
    may follow that one, as early data does. Raises Malformed for what is no record.
    """
    size = len(data)
    while at < size and not _is_whole(message):
        kind = data[at]
        if kind not in (_HANDSHAKE, _ALERT, _CHANGE_CIPHER_SPEC) or (at + 1 < size and data[at + 1] != 3):
            raise Malformed(f"TLS record at octet {at}: neither handshake nor alert nor change of cipher")
        if at + 5 > size:
            break
        end = at + 5 + (data[at + 3] << 8 | data[at + 4])
        if end > at + 5 + _RECORD_MAX:
            raise Malformed(f"TLS record at octet {at}: longer than {_RECORD_MAX} octets")
        if end > size:
            break
        if kind == _HANDSHAKE:
            message += data[at + 5 : end]
        at = end
    return at


def read_message(message: bytes | bytearray) -> ClientHello | None:
    """Read a ClientHello without records, as QUIC carries it too; None and Malformed as `read_client_hello`.

    Octets behind it are of another message, and not looked at.
    """
    if not message:
        return None
    if message[0] != _CLIENT_HELLO:
        raise Malformed(f"TLS handshake: message type {message[0]} is not a ClientHello")
    if len(message) < 4:
        return None
    end = 4 + int.from_bytes(message[1:4])
    if end > 4 + HELLO_MAX:
        raise Malformed(f"ClientHello: says that it has {end - 4} octets, and we take {HELLO_MAX}")
    if len(message) < end:
        return None
    return _read_hello(message, 0, end)


def _is_whole(message: bytearray) -> bool:
    """Whether its first message is, or says that it is longer than we take one."""
    return len(message) >= 4 and len(message) >= 4 + min(int.from_bytes(message[1:4]), HELLO_MAX)


def _read_hello(data: bytes | bytearray, start: int, end: int) -> ClientHello:
    """The message between two octets of `data`. What goes on behind its end is seen by comparing, or behind `data`."""
    try:
        at = start + 38  # type, length, version, random
        at += 1 + data[at]  # session ID
        at += 2 + _LENGTH(data, at)[0]  # cipher suites
        at += 1 + data[at]  # compression methods
        if at == end:
            return ClientHello()  # no extensions (RFC 5246 §7.4.1.2)
        if at + 2 + _LENGTH(data, at)[0] != end:
            raise Malformed("ClientHello: its extensions do not end where it ends")
        return _read_extensions(data, at + 2, end)
    except (IndexError, struct.error):
        raise Malformed("ClientHello: ends inside a field") from None


def _read_extensions(data: bytes | bytearray, at: int, end: int) -> ClientHello:
    names: tuple[bytes, ...] = ()
    alpn: tuple[bytes, ...] = ()
    ech = False
    while at < end:
        kind, size = _EXTENSION(data, at)
        start = at + 4
        at = start + size
        if kind not in _READ:
            continue
        if at > end:
            break
        if kind == _SERVER_NAME:
            names += _names(data, start, at)
        elif kind == _ALPN:
            alpn += _protocols(bytes(data[start:at]))
        else:
            ech = True
    if at > end:
        raise Malformed("ClientHello: an extension goes on behind its end")
    return ClientHello(names, alpn, ech)


def _names(data: bytes | bytearray, at: int, end: int) -> tuple[bytes, ...]:
    """The server_name extension (RFC 6066 §3): every entry, whatever type it says it has."""
    if end - at < 5 or _LENGTH(data, at)[0] != end - at - 2:
        raise Malformed("server_name: its list is empty, or has not the length it says")
    at += 2
    found = []
    while at < end:
        start = at + 3
        at = start + int.from_bytes(data[at + 1 : start])
        if start >= at or at > end:
            raise Malformed("server_name: an empty name, or one that goes on behind the list")
        found.append(bytes(data[start:at]))
    return tuple(found)


@lru_cache(maxsize=256)  # there are few lists, and many connections that offer them
def _protocols(data: bytes) -> tuple[bytes, ...]:
    """The protocols of ALPN (RFC 7301 §3.1) but for GREASE (RFC 8701 §2), up to where it breaks off."""
    found = []
    at = 2
    while at < len(data):
        end = at + 1 + data[at]
        name = data[at + 1 : end]
        if not (len(name) == 2 and name[0] == name[1] and name[0] & 0x0F == 0x0A):
            found.append(name)
        at = end
    return tuple(found)
