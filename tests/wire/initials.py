"""QUIC's Initial packets: sealed here, as RFC 9001 §5 says, and as aioquic sends them."""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256

from aioquic.quic.configuration import QuicConfiguration
from aioquic.quic.connection import QuicConnection
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

V1, V2 = 1, 0x6B3343CF
TO = bytes.fromhex("8394c8f03e515708")  # the connection ID of RFC 9001 appendix A and RFC 9369 appendix A
_SALTS = {V1: "38762cf7f55934b34d179ae6a4c80cadccbb7f0a", V2: "0dede3def700a6db819381be6e269dcbf9bd2ed9"}
_PREFIXES = {V1: b"quic", V2: b"quicv2"}
_INITIAL = {V1: 0, V2: 1}


def varint(value: int) -> bytes:
    if value < 0x40:
        return bytes((value,))
    return (value | 0x4000).to_bytes(2) if value < 0x4000 else (value | 0x8000_0000).to_bytes(4)


def crypto(data: bytes, offset: int = 0) -> bytes:
    return b"\x06" + varint(offset) + varint(len(data)) + data


def seal(
    frames: bytes,
    version: int = V1,
    to: bytes = TO,
    number: int = 2,
    *,
    keys_of: bytes | None = None,
    token: bytes = b"",
    size: int = 1200,
) -> bytes:
    """One Initial packet, padded until it has `size` octets. keys_of: another connection ID that its keys are of."""
    head = version.to_bytes(4) + bytes((len(to),)) + to + b"\0" + varint(len(token)) + token
    frames += bytes(max(size - len(head) - 1 - 2 - 4 - 16 - len(frames), 4))
    head = bytes((0xC0 | _INITIAL[version] << 4 | 3,)) + head + (len(frames) + 20 | 0x4000).to_bytes(2)
    key, iv, mask_key = _keys(version, to if keys_of is None else keys_of)
    plain = head + number.to_bytes(4)
    nonce = (int.from_bytes(iv) ^ number).to_bytes(12)
    sealed = AESGCM(key).encrypt(nonce, frames, plain)
    mask = Cipher(algorithms.AES(mask_key), modes.ECB()).encryptor().update(sealed[:16])
    masked = bytes(a ^ b for a, b in zip(number.to_bytes(4), mask[1:], strict=False))
    return bytes((plain[0] ^ mask[0] & 0x0F,)) + plain[1:-4] + masked + sealed


def of_aioquic(name: str | None, *, alpn: Sequence[str] = ("h3",), version: int = V1, size: int = 1200) -> list[bytes]:
    """The datagrams that aioquic's client sends first."""
    settings = QuicConfiguration(is_client=True, server_name=name, alpn_protocols=list(alpn), max_datagram_size=size)
    settings.original_version = version
    settings.supported_versions = [version]
    connection = QuicConnection(configuration=settings)
    connection.connect(("192.0.2.1", 443), now=0.0)
    return [data for data, _ in connection.datagrams_to_send(now=0.0)]


@dataclass(frozen=True, slots=True)
class Sample:
    """A packet that an RFC shows. begins, tag: its first octets and its last, which authenticate all between them."""

    version: int
    begins: str
    tag: str


HELLO = bytes.fromhex(  # RFC 9001 §A.2 and RFC 9369 §A.2 carry the same one
    "010000ed0303ebf8fa56f12939b9584a3896472ec40bb863cfd3e86804fe3a47f06a2b69484c"
    "00000413011302010000c000000010000e00000b6578616d706c652e636f6dff01000100000a"
    "00080006001d0017001800100007000504616c706e000500050100000000003300260024001d"
    "00209370b2c9caa47fbabaf4559fedba753de171fa71f50f1ce15d43e994ec74d748002b0003"
    "020304000d0010000e0403050306030203080408050806002d00020101001c00024001003900"
    "320408ffffffffffffffff05048000ffff07048000ffff0801100104800075300901100f0883"
    "94c8f03e51570806048000ffff"
)
SAMPLES = (
    Sample(
        V1,
        "c000000001088394c8f03e5157080000449e7b9aec34d1b1c98dd7689fb8ec11",
        "e221af44860018ab0856972e194cd934",
    ),
    Sample(
        V2,
        "d76b3343cf088394c8f03e5157080000449ea0c95e82ffe67b6abcdb4298b485",
        "a18b2faa745b6fe189cf772a9f84cbfc",
    ),
)


def _keys(version: int, to: bytes) -> tuple[bytes, bytes, bytes]:
    extract = HMAC(bytes.fromhex(_SALTS[version]), SHA256())
    extract.update(to)
    secret = _expand(extract.finalize(), b"client in", sha256().digest_size)
    prefix = _PREFIXES[version]
    key, iv, mask = ((b" key", 16), (b" iv", 12), (b" hp", 16))
    return (
        _expand(secret, prefix + key[0], 16),
        _expand(secret, prefix + iv[0], 12),
        _expand(secret, prefix + mask[0], 16),
    )


def _expand(secret: bytes, label: bytes, size: int) -> bytes:
    full = b"tls13 " + label
    info = size.to_bytes(2) + bytes((len(full),)) + full + b"\0"
    return HKDFExpand(SHA256(), size, info).derive(secret)
