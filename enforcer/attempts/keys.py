"""The hub's key on the disk: the private half for the hub alone, the public half beside the log for everybody."""

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from enforcer.attempts.checkpoint import Notary, PublicKeys, merged, read_public_keys
from enforcer.attempts.durable import replace_file
from enforcer.errors import Malformed, Unavailable


def open_notary(node: str, path: Path) -> Notary:
    """The notary with the key of a file, which is made, readable by its owner only, where there is none.

    Raises Unavailable when it cannot be read or made, is no Ed25519 key, or others may read it.
    """
    try:
        if not path.exists():
            _make(path)
        if path.stat().st_mode & 0o077:
            raise Unavailable(f"{path}: others may read this key; set its mode to 0600")
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise Unavailable(f"{path}: the key that signs the log cannot be read or made ({error.strerror})") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise Unavailable(f"{path}: this is no private key in PEM without a passphrase") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise Unavailable(f"{path}: this key is not of Ed25519; make one with openssl genpkey -algorithm ed25519")
    return Notary.of(node, key)


def publish(notary: Notary, folder: Path) -> None:
    """Put the public key into the log's folder, where those of older keys stay. Raises OSError."""
    path = public_path(folder, notary.name)
    if not path.exists():
        path.write_text(notary.public_pem)


def public_path(folder: Path, name: str) -> Path:
    """Where the public key of a name is published in a log's folder."""
    return folder / f"key-{name}.pem"


def published(folder: Path) -> PublicKeys:
    """The public keys in a log's folder, under the names that their contents have. Raises Malformed."""
    return merged(read_key_file(path) for path in sorted(folder.glob("key-*.pem")))


def read_key_file(path: Path) -> PublicKeys:
    """The public keys of a file. Raises Malformed, and Unavailable when it cannot be read."""
    try:
        return read_public_keys(path.read_bytes())
    except OSError as error:
        raise Unavailable(f"{path}: cannot be read ({error.strerror})") from error
    except Malformed as error:
        raise Malformed(f"{path}: {error.what}") from error


def _make(path: Path) -> None:
    """A new key; the hub's lock keeps two hubs from making one."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    replace_file(path, pem)
