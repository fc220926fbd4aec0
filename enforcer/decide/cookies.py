"""DNS cookies (RFC 7873) as RFC 9018 §4 has all servers make them, so that those of one address agree.

A server's cookie is version, time and a hash of them, of the client's cookie and of its address, under a secret. A
secret is changed in three stages on all servers (RFC 9018 §5): the new one is added behind the old, then put before
it, then the old one is taken away. The first makes cookies; every one is accepted.
"""

from typing import NamedTuple

from siphash24 import siphash24

from enforcer.errors import Malformed

COOKIE = 10  # the option's code
SECRET_OCTETS = 16
_CLIENT = 8
_LENGTHS = (_CLIENT, *range(16, 41))  # RFC 7873 §4
_HEAD = b"\1\0\0\0"  # version 1, and what is reserved
_OLDEST_S, _AHEAD_S = 3600, 300  # RFC 9018 §4.3
_RENEW_S = 1800


class Cookie(NamedTuple):
    """What a client has shown. client: its own eight octets. server: what it says that it had of us; or nothing."""

    client: bytes
    server: bytes


def read_cookie(options: tuple[tuple[int, bytes], ...]) -> Cookie | None:
    """The first cookie in a query's options; None without one.

    Raises Malformed for another length (RFC 7873 §5.2.2).
    """
    data = next((data for code, data in options if code == COOKIE), None)
    if data is None:
        return None
    if len(data) not in _LENGTHS:
        raise Malformed(f"COOKIE option: {len(data)} octets; 8, or 16 to 40, make one")
    return Cookie(data[:_CLIENT], data[_CLIENT:])


class Cookies:
    """The cookies of servers that share these secrets. secrets: of 16 octets each, at least one."""

    def __init__(self, secrets: tuple[bytes, ...]) -> None:
        self._secrets = secrets

    def is_ours(self, cookie: Cookie, address: bytes, now: int) -> bool:
        """Whether the client got this from one of us, at this address, within the last hour.

        address: of the client, 4 or 16 octets. now: seconds since 1970.
        """
        server = cookie.server
        if len(server) != 16 or server[:1] != _HEAD[:1]:  # what is reserved is hashed, not looked at (RFC 9018 §4.2)
            return False
        age = _age(server, now)
        if not -_AHEAD_S <= age <= _OLDEST_S:
            return False
        return any(_hash(secret, cookie.client + server[:8], address) == server[8:] for secret in self._secrets)

    def answer(self, cookie: Cookie, address: bytes, now: int) -> bytes:
        """The option's data for the reply: the client's cookie, and ours: the same again for half an hour, else new."""
        if (
            self.is_ours(cookie, address, now)
            and _age(cookie.server, now) <= _RENEW_S
            and self._is_first(cookie, address)
        ):
            return cookie.client + cookie.server
        head = _HEAD + (now & 0xFFFFFFFF).to_bytes(4)
        return cookie.client + head + _hash(self._secrets[0], cookie.client + head, address)

    def _is_first(self, cookie: Cookie, address: bytes) -> bool:
        return _hash(self._secrets[0], cookie.client + cookie.server[:8], address) == cookie.server[8:]


def read_secrets(text: str) -> tuple[bytes, ...]:
    """The secrets in a file: 32 hexadecimal digits a line, the one that makes cookies first; `#` begins a comment.

    Raises ValueError for a line that is none, without quoting it, and for a file without any.
    """
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        written = line.partition("#")[0].strip()
        if not written:
            continue
        try:
            secret = bytes.fromhex(written)
        except ValueError:
            secret = b""
        if len(secret) != SECRET_OCTETS:
            raise ValueError(f'line {number} is no secret; write 32 hexadecimal digits, as "openssl rand -hex 16" does')
        found.append(secret)
    if not found:
        raise ValueError('it has no secret; write 32 hexadecimal digits, as "openssl rand -hex 16" does')
    return tuple(found)


def _age(server: bytes, now: int) -> int:
    """Seconds since the cookie was made, by serial number arithmetic (RFC 1982), since 32 bits end in 2106."""
    age = (now - int.from_bytes(server[4:8])) & 0xFFFFFFFF
    return age - (1 << 32) if age >> 31 else age


def _hash(secret: bytes, said: bytes, address: bytes) -> bytes:
    """SipHash-2-4 of eight octets over client cookie, version, reserved, time and address."""
    digest: bytes = siphash24(said + address, key=secret).digest()
    return digest
