"""Signatures of lists, as minisign makes them (jedisct1.github.io/minisign, Ed25519).

A public key is 42 octets in base64: `Ed`, eight octets that name the key, the key. A signature's file has four lines: a
comment, the signature (`Ed` over the file, or `ED` over its BLAKE2b-512; the key's name; 64 octets), a trusted comment,
and a second signature over the first one's octets and that comment.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from enforcer.errors import Malformed

SUFFIX = ".minisig"
"""What a signature's file is called behind the name of the list's."""

_PLAIN, _HASHED = b"Ed", b"ED"
_KEY, _SIGNATURE, _GLOBAL = 42, 74, 64
_UNTRUSTED, _TRUSTED = "untrusted comment: ", "trusted comment: "


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key whose signatures count. number: the eight octets that name it."""

    number: bytes
    key: Ed25519PublicKey

    @property
    def name(self) -> str:
        """As minisign prints it: 16 hexadecimal digits."""
        return self.number[::-1].hex().upper()

    def text(self) -> str:
        """The file of the public key."""
        raw = self.key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return f"{_UNTRUSTED}minisign public key {self.name}\n{_base64(_PLAIN + self.number + raw)}\n"


def read_key(text: str) -> SigningKey:
    """A public key, from its file or its line alone. Raises Malformed."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_UNTRUSTED)]
    octets = _octets(lines[0] if len(lines) == 1 else "")
    if len(octets) != _KEY or octets[:2] != _PLAIN:
        raise Malformed('this is no public key of minisign; write the file that "minisign -G" has made, minisign.pub')
    return SigningKey(octets[2:10], Ed25519PublicKey.from_public_bytes(octets[10:]))


def key_of(private: Ed25519PrivateKey) -> SigningKey:
    """The public key that belongs to a private one; it is named by the BLAKE2b of its octets."""
    public = private.public_key()
    return SigningKey(blake2b(public.public_bytes(Encoding.Raw, PublicFormat.Raw), digest_size=8).digest(), public)


def sign(data: bytes, private: Ed25519PrivateKey, comment: str) -> str:
    """The file of a signature, which minisign reads too. comment: one line that is signed with it."""
    key = key_of(private)
    signature = private.sign(blake2b(data).digest())
    both = private.sign(signature + comment.encode())
    head = f"{_UNTRUSTED}signature from key {key.name}"
    return f"{head}\n{_base64(_HASHED + key.number + signature)}\n{_TRUSTED}{comment}\n{_base64(both)}\n"


def check(data: bytes, signature: str, keys: Iterable[SigningKey]) -> str:
    """The trusted comment of a good signature by one of these keys. Raises Malformed, saying what is not good."""
    lines = signature.splitlines()
    if len(lines) != 4 or not lines[0].startswith(_UNTRUSTED) or not lines[2].startswith(_TRUSTED):
        raise Malformed("this is no signature of minisign; sign the list again")
    first, both, comment = _octets(lines[1]), _octets(lines[3]), lines[2].removeprefix(_TRUSTED)
    if len(first) != _SIGNATURE or len(both) != _GLOBAL or first[:2] not in (_PLAIN, _HASHED):
        raise Malformed("this is no signature of minisign; sign the list again")
    key = next((each for each in keys if each.number == first[2:10]), None)
    if key is None:
        raise Malformed(f"signed with the key {first[2:10][::-1].hex().upper()}, which is not among those that count")
    try:
        key.key.verify(first[10:], blake2b(data).digest() if first[:2] == _HASHED else data)
        key.key.verify(both, first[10:] + comment.encode())
    except InvalidSignature:
        raise Malformed("the signature is not that of this list; the list or the signature was changed") from None
    return comment


def _octets(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""


def _base64(octets: bytes) -> str:
    return b64encode(octets).decode("ascii")
