"""Device tokens, as their hashes: what a file says of them, and whether one is known.

A token is a bearer secret in a path or a server name. Only its hash is kept, so that no file here lets anybody in.
"""

import hashlib
import re

from enforcer.errors import Mistake, Mistakes

_LINE = re.compile(r"(?P<device>[A-Za-z0-9._-]{1,64})\s+(?P<hash>[0-9a-f]{64})")
_TOKEN = re.compile(r"[a-z2-7]{16,63}")  # base32 of 80 bits at least; one label of a name at most


def token_hash(token: str) -> bytes | None:
    """The SHA-256 of a token, whatever its letter case; None for what cannot be a token."""
    folded = token.lower()
    return hashlib.sha256(folded.encode("ascii")).digest() if _TOKEN.fullmatch(folded) else None


def read_token_hashes(text: str, where: str) -> frozenset[bytes]:
    """The hashes in a token file: a line for each token, `DEVICE HASH`; `#` begins a comment.

    HASH: of SHA-256 over the token in lower case, 64 hexadecimal digits. where: the file's name, for mistakes.
    Raises Mistakes with every line that is none of that.
    """
    found: set[bytes] = set()
    wrong: list[Mistake] = []
    for number, line in enumerate(text.splitlines(), 1):
        written = line.partition("#")[0].strip()
        match = _LINE.fullmatch(written)
        if match is not None:
            found.add(bytes.fromhex(match["hash"]))
        elif written:  # what stands there may be a token: it is not quoted
            wrong.append(
                Mistake(where, number, 'not a device and a hash; write "DEVICE SHA256", the hash in lower case')
            )
    if wrong:
        raise Mistakes(wrong)
    return frozenset(found)
