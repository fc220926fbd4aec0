import pytest

from enforcer.gateway.endings import ALERT, endings
from enforcer.gateway.packets import ACK, FIN, PSH, RST, SYN, Packet, read_packet, segment
from tests.gateway.test_packets import BOTH


def sent(source: bytes, target: bytes, flags: int = PSH | ACK, data: bytes = b"hello") -> Packet:
    return read_packet(
        segment(source, target, 40_000, 443, sequence=0xFFFFFFFE, acknowledged=900, flags=flags, data=data)
    )


def ends(packet: Packet, given_on: int = 0, *, alert: bool) -> list[Packet]:
    return [read_packet(raw) for raw in endings(packet, given_on, alert=alert)]


@BOTH
@pytest.mark.parametrize("alert", [True, False])
def test_the_server_is_reset_and_the_client_is_told_why_where_it_can_be(
    source: bytes, target: bytes, alert: bool
) -> None:
    to_server, to_client = ends(sent(source, target), alert=alert)
    assert (to_server.source, to_server.target, to_server.target_port) == (source, target, 443)
    assert (to_server.sequence, to_server.flags, to_server.data) == (0xFFFFFFFE, RST | ACK, b"")
    assert (to_client.source, to_client.target, to_client.target_port) == (target, source, 40_000)
    assert (to_client.sequence, to_client.acknowledged) == (900, 3)  # behind what the client has sent
    assert (to_client.flags, to_client.data) == ((PSH | FIN | ACK, ALERT) if alert else (RST | ACK, b""))


@BOTH
@pytest.mark.parametrize(("given_on", "sequence"), [(4, 2), (-4, 0xFFFFFFFA)])
def test_the_reset_has_the_number_that_the_server_waits_for(
    source: bytes, target: bytes, given_on: int, sequence: int
) -> None:
    assert ends(sent(source, target), given_on, alert=True)[0].sequence == sequence


@BOTH
def test_the_end_of_a_syn_is_for_the_client_alone(source: bytes, target: bytes) -> None:
    [to_client] = ends(sent(source, target, SYN), alert=True)
    assert (to_client.flags, to_client.acknowledged) == (RST | ACK, 4)


@BOTH
def test_a_fin_counts_as_an_octet(source: bytes, target: bytes) -> None:
    assert ends(sent(source, target, PSH | FIN | ACK), alert=True)[1].acknowledged == 4
