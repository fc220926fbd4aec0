"""Who may ask at a listener that wants proof: a device's token, in the server name or the path, or a certificate.

A token identifies, it never lowers the policy: who has one is served, under the policy of the realm (RFC 9462 §7).
"""

from collections.abc import Set
from dataclasses import dataclass, field
from enum import Enum

from enforcer.devices.tokens import token_hash


class Standing(Enum):
    """What a client has shown, and what it gets for that."""

    BY_ADDRESS = "nothing shown and nothing demanded: its address says who it is"
    PROVEN = "a valid token or certificate: served wherever it is"
    STRICTEST = "no valid token: served everywhere, without a pause, an exemption or monitoring alone"
    REFUSED = "no valid token: not served"


@dataclass(slots=True)
class Admission:
    """What a listener demands.

    tokens: they are looked at; required: none may be missing. strictest: who has no valid one is served under the
    strictest policy, instead of not at all. name: the server's name, right under which a token may stand in the
    ClientHello. hashes: of the tokens that are known.
    """

    tokens: bool = False
    required: bool = False
    strictest: bool = False
    name: str | None = None
    hashes: Set[bytes] = field(default=frozenset(), repr=False)

    def token_of(self, server_name: str | None) -> str | None:
        """The token in a server name: the one label before our own name; None without one."""
        if not self.tokens or self.name is None or server_name is None:
            return None
        token, _, rest = server_name.lower().removesuffix(".").partition(".")
        return token if rest == self.name else None

    def standing(self, token: str | None, *, certified: bool) -> Standing:
        """What a client gets for what it shows. certified: its certificate was verified."""
        if token is not None and not self.tokens:
            return Standing.REFUSED
        if token is None and not self.required:
            return Standing.PROVEN if certified else Standing.BY_ADDRESS
        if token is not None and token_hash(token) in self.hashes:
            return Standing.PROVEN
        return Standing.STRICTEST if self.strictest else Standing.REFUSED


def shown(standing: Standing, token: str | None, certificate: bytes | None) -> str | None:
    """What a client has shown of itself, as a record's `Entry` has it; None where it has shown nothing that counts.

    certificate: SHA-256 of its verified certificate, which says more than a token that anybody may have copied.
    """
    if certificate is not None:
        return f"certificate:{certificate.hex()}"
    if token is None or standing is not Standing.PROVEN:
        return None
    hashed = token_hash(token)
    return None if hashed is None else f"token:{hashed.hex()}"
