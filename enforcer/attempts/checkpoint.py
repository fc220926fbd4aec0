"""Signatures over the log: whoever holds the disk can write a new chain, but not sign it.

A checkpoint is a line like any other, so the chain covers it too. Its signature (Ed25519, RFC 8032) is over the line's
own octets up to `signature`, so that it can be checked with nothing but the line and the public key. What it says of
the lines before it (`hash`, `root`, `count`) is checked against them by `attempts.verify`.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from hashlib import sha256

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key

from enforcer.attempts.attempt import Checkpoint, Closes
from enforcer.errors import Malformed

_SIGNATURE = b',"signature":"'
_END_PEM = b"-----END PUBLIC KEY-----"

type PublicKeys = Mapping[str, Ed25519PublicKey]
"""Public keys by their names."""


@dataclass(frozen=True, slots=True)
class Notary:
    """Whoever signs checkpoints: a node with its private key."""

    node: str
    key: Ed25519PrivateKey
    name: str

    @classmethod
    def of(cls, node: str, key: Ed25519PrivateKey) -> "Notary":
        """A node with its key."""
        return cls(node, key, key_name(key.public_key()))

    @property
    def public_pem(self) -> str:
        """The public key as PEM, for whoever checks."""
        return self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode("ascii")

    @property
    def public_text(self) -> str:
        """The 32 octets of the public key in base64, as the log's `start` events show it."""
        return b64encode(self.key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode("ascii")

    def attest(
        self,
        *,
        seq: int,
        now: datetime,
        day: str,
        first: int,
        count: int,
        head: bytes,
        root: bytes,
        closes: Closes | None,
    ) -> Checkpoint:
        """The checkpoint that becomes line `seq`, logged now, signed. The rest as in `Checkpoint`."""
        now_ms = int(now.timestamp() * 1000)
        plain = Checkpoint(now_ms, self.node, day, first, count, head.hex(), root.hex(), closes, self.name)
        signature = self.key.sign(plain.statement(seq, now_ms))
        return replace(plain, signature=b64encode(signature).decode("ascii"))


def key_name(key: Ed25519PublicKey) -> str:
    """The name of a public key: the first 16 hexadecimal digits of the SHA-256 of its 32 octets."""
    return sha256(key.public_bytes(Encoding.Raw, PublicFormat.Raw)).hexdigest()[:16]


def read_public_keys(pem: bytes) -> dict[str, Ed25519PublicKey]:
    """The public keys of a PEM file, one or several. Raises Malformed where one is no Ed25519 key, or there is none."""
    found: dict[str, Ed25519PublicKey] = {}
    *blocks, _ = pem.split(_END_PEM)
    for block in blocks:
        try:
            key = load_pem_public_key(block + _END_PEM)
        except ValueError as error:
            raise Malformed(f"a public key cannot be read: {error}") from error
        if not isinstance(key, Ed25519PublicKey):
            raise Malformed("a public key is not of Ed25519")
        found[key_name(key)] = key
    if not found:
        raise Malformed("there is no public key; write one in PEM, as `enforcer attempts key` prints it")
    return found


def is_signed(body: bytes, checkpoint: Checkpoint, keys: PublicKeys) -> bool:
    """Whether a checkpoint's line (without `prev` and newline) has a signature of one of these keys."""
    key = keys.get(checkpoint.key)
    statement, _, _ = body.rpartition(_SIGNATURE)
    if key is None:
        return False
    try:
        signature = b64decode(checkpoint.signature, validate=True)
        if b64encode(signature).decode("ascii") != checkpoint.signature:  # its last digit has bits that say nothing
            return False
        key.verify(signature, statement + b"}")
    except (InvalidSignature, ValueError):
        return False
    return True


def merged(keys: Iterable[PublicKeys]) -> dict[str, Ed25519PublicKey]:
    """All of several sets of keys."""
    return {name: key for each in keys for name, key in each.items()}
