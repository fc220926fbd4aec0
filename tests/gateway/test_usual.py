from dataclasses import replace

import pytest

from enforcer.gateway.packets import ACK, PSH, Packet, read_packet, segment
from enforcer.gateway.usual import Group
from enforcer.policy.verdict import Client
from tests.gateway.test_packets import PHONE, SITE, datagram
from tests.records import BLOCK, NOON_MS, moment
from tests.wire.hellos import ECH, alpn, extension, hello


def packet(data: bytes, *, target: bytes = SITE, port: int = 443) -> Packet:
    return read_packet(segment(PHONE, target, 40_000, port, sequence=1, acknowledged=1, flags=PSH | ACK, data=data))


def test_what_was_allowed_is_known_by_name_address_and_port_whatever_else_is_offered() -> None:
    group = Group(Client("office"))
    group.learn(packet(hello(b"www.test")), 7)
    assert group.usual(packet(hello(b"www.test"))) == 7
    assert group.usual(packet(hello(b"www.test", more=(alpn(b"h2"),)))) == 7
    others = (hello(b"WWW.test"), hello(b"mail.test"), hello(), hello(b"www.test")[:-1], b"\0\1")
    assert [group.usual(packet(data)) for data in others] == [None] * len(others)
    assert group.usual(packet(hello(b"www.test"), port=8443)) is None
    assert group.usual(packet(hello(b"www.test"), target=PHONE)) is None


@pytest.mark.parametrize("more", [(alpn(b"h2"),), (extension(ECH, b""),)], ids=["alpn", "ech"])
def test_what_was_refused_is_known_by_all_that_the_record_tells(more: tuple[bytes, ...]) -> None:
    group = Group(Client("office"))
    group.learn(packet(hello(b"chat.test")), BLOCK)
    assert group.usual(packet(hello(b"chat.test"))) == BLOCK
    assert group.usual(packet(hello(b"chat.test", more=more))) is None
    other = replace(BLOCK, ech=True)
    group.learn(packet(hello(b"chat.test", more=more)), other)
    assert group.usual(packet(hello(b"chat.test", more=more))) == other
    assert group.usual(packet(hello(b"chat.test"))) == BLOCK


def test_nothing_is_kept_of_the_exempt_and_of_what_is_no_hello() -> None:
    exempt = Group(Client("office", exempt={"chat": moment(NOON_MS)}))
    exempt.learn(packet(hello(b"www.test")), 7)
    assert exempt.usual(packet(hello(b"www.test"))) is None
    group = Group(Client("office"))
    for each in (packet(b"\0\1"), read_packet(datagram(hello(b"www.test")))):
        group.learn(each, 7)
        assert group.usual(each) is None


def test_it_is_emptied_rather_than_let_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.gateway.usual.KEPT_MAX", 2)
    group = Group(Client("office"))
    for name in (b"a.test", b"b.test", b"c.test"):
        group.learn(packet(hello(name)), 7)
    assert [group.usual(packet(hello(name))) for name in (b"a.test", b"b.test", b"c.test")] == [None, None, 7]
