"""The Initial packets of a QUIC client, versions 1 and 2 (RFC 9000 §17.2.2, RFC 9001 §5, RFC 9369).

Their keys follow from what they say in clear, so that anybody on the path can read the ClientHello in them: here it is
done without any of QUIC's state. A browser's ClientHello takes two datagrams, its frames in any order.
"""

import hmac
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from enforcer.errors import Malformed
from enforcer.wire.tls import HELLO_MAX, ClientHello, read_message

FRAMES_MAX = 2048
"""Pieces of a ClientHello that are held."""

_LONG, _FIXED = 0x80, 0x40
_ID_MAX = 20  # RFC 9000 §17.2
_CLIENT_MIN = 1200  # octets of a datagram with a client's Initial (RFC 9000 §14.1)
_SAMPLE = 16
_CONTRADICTION = "QUIC CRYPTO frames: two say different things of the same octets"
_PADDING, _PING, _ACK, _ACK_ECN, _CRYPTO, _CLOSE = 0, 1, 2, 3, 6, 0x1C


@dataclass(frozen=True, slots=True)
class _Version:
    """What a version derives keys with (RFC 9001 §5.2, RFC 9369 §3.3), and its type of Initial packets."""

    salt: bytes
    prefix: bytes
    initial: int


_VERSIONS = {
    0x00000001: _Version(bytes.fromhex("38762cf7f55934b34d179ae6a4c80cadccbb7f0a"), b"quic", 0),
    0x6B3343CF: _Version(bytes.fromhex("0dede3def700a6db819381be6e269dcbf9bd2ed9"), b"quicv2", 1),
}


@dataclass(frozen=True, slots=True)
class _Packet:
    """An Initial packet in place. number: where its packet number begins; end: where it ends in the datagram."""

    version: _Version
    to: bytes
    start: int
    number: int
    end: int


class _Keys:
    """A client's keys for Initial packets, which follow from the connection ID that it wrote to first."""

    __slots__ = ("_aead", "_iv", "_mask")

    def __init__(self, version: _Version, to: bytes) -> None:
        secret = _expand(hmac.digest(version.salt, to, sha256), b"client in", 32)
        self._aead = AESGCM(_expand(secret, version.prefix + b" key", 16))
        self._iv = int.from_bytes(_expand(secret, version.prefix + b" iv", 12))
        self._mask = Cipher(algorithms.AES(_expand(secret, version.prefix + b" hp", 16)), modes.ECB())  # noqa: S305 (RFC 9001 §5.4.3)

    def open(self, datagram: bytes, packet: _Packet) -> bytes | None:
        """The frames of a packet; None when it was not made with these keys."""
        sample = datagram[packet.number + 4 : packet.number + 4 + _SAMPLE]
        mask = self._mask.encryptor().update(sample)
        first = datagram[packet.start] ^ mask[0] & 0x0F
        body = packet.number + (first & 0x03) + 1
        number = bytes(a ^ b for a, b in zip(datagram[packet.number : body], mask[1:], strict=False))
        nonce = (self._iv ^ int.from_bytes(number)).to_bytes(12)
        header = bytes((first,)) + datagram[packet.start + 1 : packet.number] + number
        try:
            return self._aead.decrypt(nonce, datagram[body : packet.end], header)
        except InvalidTag:
            return None


class Initials:
    """The ClientHello of one client, out of its datagrams as they come; bounded."""

    __slots__ = ("_keys", "_pieces")

    def __init__(self) -> None:
        self._keys: _Keys | None = None
        self._pieces: dict[int, bytes] = {}

    def add(self, datagram: bytes) -> ClientHello | None:
        """Take the next datagram; None while the ClientHello is not whole.

        Packets that nobody could decrypt are passed over, as a server does. Raises Malformed for a packet whose
        frames are none, and for a ClientHello that no server could read.
        """
        found = False
        for packet in _packets(datagram):
            frames = self._open(datagram, packet)
            if frames is not None:
                self._take(frames)
                found = True
        return read_message(self._stream()) if found else None

    def is_other(self, datagram: bytes) -> bool:
        """Whether a later datagram opens another connection than the one whose ClientHello was read.

        So does one of a version that we do not read, and one that says something else under the same connection ID.
        What the same client says again, and what it acknowledges, does not.
        """
        known = is_quic(datagram)
        if not known:
            return known is None
        for packet in _packets(datagram):
            frames = self._keys.open(datagram, packet) if self._keys else None
            if frames is None:
                if _Keys(packet.version, packet.to).open(datagram, packet) is not None:
                    return True
                continue
            try:
                self._take(frames)
                self._stream()
            except Malformed:
                return True
        return False

    def _open(self, datagram: bytes, packet: _Packet) -> bytes | None:
        """With the keys so far, else with those of the packet's own ID: the first packet, and one after a Retry."""
        frames = self._keys.open(datagram, packet) if self._keys else None
        if frames is None:
            keys = _Keys(packet.version, packet.to)
            frames = keys.open(datagram, packet)
            if frames is not None:
                self._keys, self._pieces = keys, {}
        return frames

    def _take(self, frames: bytes) -> None:
        for offset, data in _crypto(frames):
            if offset + len(data) > HELLO_MAX + 4 or len(self._pieces) >= FRAMES_MAX:
                raise Malformed(f"QUIC CRYPTO frames: more than {HELLO_MAX} octets or {FRAMES_MAX} pieces")
            known = self._pieces.get(offset, b"")
            both = min(len(known), len(data))
            if known[:both] != data[:both]:
                raise Malformed(_CONTRADICTION)
            if len(data) > len(known):
                self._pieces[offset] = data

    def _stream(self) -> bytes:
        """What there is from the beginning on. Raises Malformed where pieces contradict each other (RFC 9000 §2.2)."""
        stream = bytearray()
        for offset in sorted(self._pieces):
            piece = self._pieces[offset]
            both = min(len(stream) - offset, len(piece))
            if both < 0:
                break
            if stream[offset : offset + both] != piece[:both]:
                raise Malformed(_CONTRADICTION)
            stream += piece[both:]
        return bytes(stream)


def is_quic(datagram: bytes) -> bool | None:
    """Whether a client's first datagram opens QUIC of a version that we read; None: of one that we do not.

    Without a version that we know it is only taken for QUIC with the form and the size that every version has in
    common with version 1 (RFC 8999 §5.1, RFC 9000 §14.1), as other protocols begin with the same bits.
    """
    if len(datagram) < 7 or datagram[0] & (_LONG | _FIXED) != _LONG | _FIXED:
        return False
    if int.from_bytes(datagram[1:5]) in _VERSIONS:
        return True
    ids = datagram[5], datagram[6 + datagram[5]] if 6 + datagram[5] < len(datagram) else _ID_MAX + 1
    return None if len(datagram) >= _CLIENT_MIN and max(ids) <= _ID_MAX and any(datagram[1:5]) else False


def _packets(datagram: bytes) -> Iterator[_Packet]:
    """The Initial packets in a datagram, which may hold several, and others beside them (RFC 9000 §12.2)."""
    start = 0
    while start + 7 < len(datagram) and datagram[start] & _LONG:
        version = _VERSIONS.get(int.from_bytes(datagram[start + 1 : start + 5]))
        if version is None:
            return
        initial = datagram[start] >> 4 & 3 == version.initial
        try:
            at = start + 6 + datagram[start + 5]
            to = datagram[start + 6 : at]
            at += 1 + datagram[at]
            if initial:
                size, at = _varint(datagram, at)  # of the token
                at += size
            size, number = _varint(datagram, at)
        except IndexError:
            return
        end = number + size
        if len(to) > _ID_MAX or end > len(datagram):
            return
        if initial and size >= 4 + _SAMPLE:
            yield _Packet(version, to, start, number, end)
        start = end


def _crypto(frames: bytes) -> Iterator[tuple[int, bytes]]:
    """The CRYPTO frames of an Initial packet, each with its offset. Raises Malformed for what may not be in one."""
    at = 0
    try:
        while at < len(frames):
            kind = frames[at]
            at += 1
            if kind in (_PADDING, _PING):
                continue
            if kind == _CRYPTO:
                offset, at = _varint(frames, at)
                size, at = _varint(frames, at)
                data = frames[at : at + size]
                at += size
                if at > len(frames):
                    raise Malformed("QUIC CRYPTO frame: ends behind its packet")
                yield offset, data
            elif kind in (_ACK, _ACK_ECN):
                at = _skip_ack(frames, at, counts=3 if kind == _ACK_ECN else 0)
            elif kind == _CLOSE:
                return
            else:
                raise Malformed(f"QUIC Initial packet: a frame of type {kind} may not be in it")
    except IndexError:
        raise Malformed("QUIC Initial packet: ends inside a frame") from None


def _skip_ack(frames: bytes, at: int, *, counts: int) -> int:
    """Behind an ACK frame (RFC 9000 §19.3). counts: of ECN, how many there are."""
    _, at = _varint(frames, at)
    _, at = _varint(frames, at)
    ranges, at = _varint(frames, at)
    _, at = _varint(frames, at)
    for _ in range(2 * min(ranges, len(frames)) + counts):
        _, at = _varint(frames, at)
    return at


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """A number of 1, 2, 4 or 8 octets (RFC 9000 §16), and where it ends. IndexError where the data ends in it."""
    end = at + (1 << (data[at] >> 6))
    if end > len(data):
        raise IndexError
    return int.from_bytes(data[at:end]) & (1 << 8 * (end - at) - 2) - 1, end


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    """HKDF-Expand-Label (RFC 8446 §7.1), of at most one block of SHA-256."""
    full = b"tls13 " + label
    info = size.to_bytes(2) + bytes((len(full),)) + full + b"\0"
    return hmac.digest(secret, info + b"\x01", sha256)[:size]
