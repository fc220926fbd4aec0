"""What most first packets are, and what became of the last one like it: answered at once, without being judged again.

A whole ClientHello with one name, to the same address and port, from clients that no verdict tells apart, is decided
alike until the policy changes: nothing else has a say. Whoever is exempt is judged each time.
"""

from enforcer.attempts.block import Block
from enforcer.gateway.packets import TCP, Packet
from enforcer.gateway.plain import plain_hello
from enforcer.policy.verdict import Client

KEPT_MAX = 65_536


class Group:
    """Clients that no verdict can tell apart, and what holds for all of them."""

    __slots__ = ("_allowed", "_refused", "client")

    def __init__(self, client: Client) -> None:
        self.client = client
        self._allowed: dict[tuple[bytes, bytes, int], int] = {}
        self._refused: dict[tuple[bytes, bytes | None, bool, bytes, int], Block] = {}

    def usual(self, packet: Packet) -> int | Block | None:
        """The verdict that allows a packet, or what to record of it when it is refused; None: it must be judged."""
        if packet.protocol != TCP:
            return None
        plain = plain_hello(packet.data)
        if plain is None:
            return None
        verdict = self._allowed.get((plain.name, packet.target, packet.target_port))
        if verdict is not None:
            return verdict
        return self._refused.get((*plain, packet.target, packet.target_port))

    def learn(self, packet: Packet, found: int | Block) -> None:
        """What became of a packet, with which its connection begins; see `usual`."""
        plain = plain_hello(packet.data)
        if self.client.exempt or packet.protocol != TCP or plain is None:
            return
        if len(self._allowed) + len(self._refused) >= KEPT_MAX:
            self._allowed.clear()
            self._refused.clear()
        if isinstance(found, int):
            self._allowed[plain.name, packet.target, packet.target_port] = found
        else:
            self._refused[(*plain, packet.target, packet.target_port)] = found
