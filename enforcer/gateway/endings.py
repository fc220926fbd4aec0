"""The segments that end a refused connection at both ends, each as if the other end had sent it."""

from collections.abc import Iterator

from enforcer.gateway.packets import ACK, FIN, PSH, RST, Packet, segment

ALERT = bytes.fromhex("15030300020270")
"""TLS record: a fatal alert, unrecognized_name (RFC 8446 §6.2): browsers give up at once, and say so."""


def endings(packet: Packet, given_on: int, *, alert: bool) -> Iterator[bytes]:
    """A reset to the server, an alert or a reset to the client, as whole IP packets.

    packet: the client's, which goes no further. given_on: how many octets behind its first one the server has got
    already, less than 0 where it lacks some before it. alert: whether the client speaks TLS.
    """
    syn, fin = packet.flags >> 1 & 1, packet.flags & FIN
    if not syn:  # whose server knows of nothing yet
        yield segment(
            packet.source,
            packet.target,
            packet.source_port,
            packet.target_port,
            sequence=packet.sequence + given_on,
            acknowledged=packet.acknowledged,
            flags=RST | ACK,
        )
    alert = alert and not syn
    yield segment(
        packet.target,
        packet.source,
        packet.target_port,
        packet.source_port,
        sequence=packet.acknowledged,
        acknowledged=packet.sequence + syn + len(packet.data) + fin,
        flags=(PSH | FIN | ACK) if alert else (RST | ACK),
        data=ALERT if alert else b"",
    )
