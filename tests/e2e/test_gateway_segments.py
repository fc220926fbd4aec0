"""What a phone that makes its own segments can show the gate, and what the server gets of it."""

import pytest

from tests.e2e.lab import SITE, SITE6, Lab
from tests.e2e.segments import connection
from tests.e2e.test_gateway import ALERT, BANNED, FINE, is_alone
from tests.wire.hellos import hello, of_ssl

ADDRESSES = {SITE: "192.0.2.7", SITE6: "2001:db8:20::7"}
HELLO = hello(BANNED.encode())
AT = HELLO.index(BANNED.encode())
HARMLESS = hello(b"allowed.example.com")  # as long, octet by octet, but for the name
SERVER_HELLO = b"\x16\x03\x03"

target = pytest.mark.parametrize("target", ADDRESSES)


def server_got_nothing(lab: Lab) -> bool:
    return not lab.internet.saw(HELLO[:20])


def server_got_nothing_of_either(lab: Lab) -> bool:
    """But for the half that came in order, which is no hello yet."""
    return not lab.internet.saw(BANNED.encode()) and not lab.internet.saw(b"allowed.example.com")


@target
def test_the_second_half_of_a_hello_that_comes_first_is_held_and_the_whole_is_refused(lab: Lab, target: str) -> None:
    with connection(lab.phone, ADDRESSES[target], target) as made:
        made.send(AT + 4, HELLO[AT + 4 :])
        made.send(0, HELLO[: AT + 4])
        assert made.read(until=ALERT) == ALERT
    assert server_got_nothing(lab)
    is_alone(lab, layer="tls", name=BANNED, response="alert", dest_ip=target)


@target
def test_segments_in_reverse_order_each_an_octet_longer_than_the_gap(lab: Lab, target: str) -> None:
    with connection(lab.phone, ADDRESSES[target], target) as made:
        for at in range(len(HELLO) - 8, -1, -8):
            made.send(at, HELLO[at : at + 9])
        made.send(0, HELLO[:9])
        assert made.read(until=ALERT) == ALERT
    assert server_got_nothing(lab)
    is_alone(lab, layer="tls", name=BANNED)


@target
@pytest.mark.parametrize("held", [True, False], ids=["banned half first", "harmless half first"])
def test_a_banned_half_that_contradicts_a_harmless_one_is_refused_and_an_attempt(
    lab: Lab, target: str, held: bool
) -> None:
    halves = [(0, HARMLESS[: AT + 10]), (AT - 4, HELLO[AT - 4 :])]
    with connection(lab.phone, ADDRESSES[target], target) as made:
        for offset, data in reversed(halves) if held else halves:
            made.send(offset, data)
        assert made.read(until=ALERT) == ALERT
    assert server_got_nothing_of_either(lab)
    is_alone(lab, layer="tls", name=BANNED, dest_ip=target)


@target
def test_a_harmless_half_that_contradicts_a_banned_one_ends_the_connection(lab: Lab, target: str) -> None:
    with connection(lab.phone, ADDRESSES[target], target) as made:
        made.send(0, HELLO[: AT + 10])
        made.send(AT - 4, HARMLESS[AT - 4 :])
        made.read()
        assert made.reset
    assert server_got_nothing_of_either(lab)


@target
def test_what_is_allowed_may_come_in_any_order_and_twice(lab: Lab, target: str) -> None:
    first = of_ssl(FINE)
    half = len(first) // 2
    with connection(lab.phone, ADDRESSES[target], target) as made:
        made.send(half, first[half:])
        made.send(half, first[half:])
        made.send(0, first[: half + 20])
        assert made.read(until=SERVER_HELLO).startswith(SERVER_HELLO)
    assert lab.internet.saw(first[:40])
    lab.phone.dig("8.8.8.8", BANNED)
    is_alone(lab, layer="dns")
