import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.decide.flow import Opening, Seen
from enforcer.gateway.flows import AHEAD_MAX, DECIDED_S, HELD_MAX, REFUSED_S, UNDECIDED_S, Flows, Step
from enforcer.gateway.marks import SEQUENCE
from tests.wire.hellos import big, hello
from tests.wire.initials import of_aioquic

HELLO = hello(b"chat.test")
KEY = b"key"


def parts(data: bytes, *cuts: int) -> list[tuple[int, bytes]]:
    """The segments between the cuts, each with its offset."""
    edges = [0, *cuts, len(data)]
    return [(start, data[start:end]) for start, end in itertools.pairwise(edges)]


def name(what: Seen | Step) -> bytes:
    assert isinstance(what, Seen)
    return b"".join(what.names)


def test_a_hello_in_one_segment_is_seen_at_once_and_leaves_nothing() -> None:
    flows = Flows()
    assert name(flows.segment(KEY, 0, HELLO, 1, 0.0).what) == b"\4chat\4test\0"
    assert len(flows) == 0


@given(st.lists(st.integers(1, len(HELLO) - 1), max_size=6, unique=True), st.randoms())
def test_a_hello_is_seen_whatever_the_segments_and_their_order(cuts: list[int], chance: object) -> None:
    flows = Flows()
    pieces = parts(HELLO, *sorted(cuts))
    chance.shuffle(pieces)  # type: ignore[attr-defined]
    waiting: set[int] = set()
    looked = None
    for ident, (offset, data) in enumerate(pieces):
        looked = flows.segment(KEY, offset, data, ident, 0.0)
        assert waiting >= set(looked.released)
        waiting -= set(looked.released)
        if isinstance(looked.what, Seen):
            assert ident == len(pieces) - 1
            assert name(looked.what) == b"\4chat\4test\0"
        elif looked.what is Step.HOLD:
            waiting.add(ident)
        else:
            assert looked.what is Step.PASS
    assert looked is not None
    assert isinstance(looked.what, Seen)
    assert not waiting
    assert len(flows) == 0


GIVEN_ON: dict[tuple[int, ...], int] = {
    (0, 1, 2): 20,
    (0, 2, 1): 10,
    (1, 0, 2): 20,
    (1, 2, 0): 0,
    (2, 0, 1): 10,
    (2, 1, 0): 0,
}


@pytest.mark.parametrize("order", GIVEN_ON, ids=str)
def test_what_is_given_on_is_what_the_server_may_have(order: tuple[int, ...]) -> None:
    """Not what is held, nor what is behind a gap."""
    flows, pieces = Flows(), parts(HELLO, 10, 20)
    *_, last = (flows.segment(KEY, *pieces[ident], ident, 0.0) for ident in order)
    assert last.given_on == GIVEN_ON[order]


def test_a_segment_again_is_given_on_again() -> None:
    flows = Flows()
    assert flows.segment(KEY, 0, HELLO[:50], 1, 0.0).what is Step.PASS
    assert flows.segment(KEY, 0, HELLO[:50], 2, 0.0).what is Step.PASS
    assert flows.segment(KEY, 10, HELLO[10:20], 3, 0.0).what is Step.PASS
    assert isinstance(flows.segment(KEY, 30, HELLO[30:], 4, 0.0).what, Seen)  # over what is known, and on


def test_two_versions_of_the_same_octets_are_refused_with_all_that_waits() -> None:
    flows = Flows()
    other = hello(b"work.test")
    assert flows.segment(KEY, 0, HELLO[:60], 1, 0.0).what is Step.PASS
    assert flows.segment(KEY, len(HELLO) - 1, HELLO[-1:], 2, 0.0).what is Step.HOLD
    at = next(at for at, (a, b) in enumerate(zip(HELLO, other, strict=True)) if a != b)
    assert at < len(HELLO)
    flows.segment(KEY, 60, HELLO[60 : at + 1], 3, 0.0)
    looked = flows.segment(KEY, at - 1, other[at - 1 : at + 1], 4, 0.0)
    assert (looked.what, set(looked.released), looked.other) == (Step.REFUSE, {2}, None)
    assert len(flows) == 0


def test_of_two_versions_it_is_told_what_the_later_one_shows() -> None:
    flows, other = Flows(), hello(b"work.test")
    at = other.index(b"work.test")
    mine = hello(b"else.test")
    assert flows.segment(KEY, 0, mine[: at + 5], 1, 0.0).what is Step.PASS
    looked = flows.segment(KEY, at, other[at:], 2, 0.0)
    assert looked.what is Step.REFUSE
    assert looked.other == Opening().add(other)


def test_a_held_segment_that_contradicts_is_refused_too() -> None:
    flows = Flows()
    assert flows.segment(KEY, 40, b"\xff" * 30, 1, 0.0).what is Step.HOLD
    looked = flows.segment(KEY, 0, HELLO[:60], 2, 0.0)
    assert (looked.what, list(looked.released)) == (Step.REFUSE, [1])


def test_what_is_far_ahead_or_too_much_or_before_the_beginning_is_not_held() -> None:
    flows = Flows()
    assert flows.segment(KEY, AHEAD_MAX + 1, b"x", 1, 0.0).what is Step.STRAY
    assert flows.segment(KEY, -5 & SEQUENCE, b"x", 2, 0.0).what is Step.STRAY
    for number in range(HELD_MAX):
        assert flows.segment(KEY, 100 + number, b"x", number, 0.0).what is Step.HOLD
    assert flows.segment(KEY, 50, b"x", 99, 0.0).what is Step.STRAY
    assert flows.segment(KEY, 100, b"x", 100, 0.0).what is Step.STRAY


def test_what_takes_too_long_is_forgotten_and_what_was_held_of_it_given_back() -> None:
    flows = Flows()
    flows.segment(KEY, 10, b"x", 7, 0.0)
    flows.segment(b"later", 0, HELLO[:5], 8, 1.0)
    flows.datagram(b"udp", of_aioquic("a" * 200 + ".test", alpn=["x" * 200] * 6)[0], 0.0)
    assert flows.sweep(UNDECIDED_S - 1) == []
    assert flows.sweep(UNDECIDED_S) == [7]
    assert len(flows) == 1
    assert flows.segment(b"later", 20, HELLO[20:], 9, UNDECIDED_S).what is Step.HOLD


def test_the_oldest_makes_room() -> None:
    flows = Flows(flows_max=2)
    for number in range(3):
        flows.segment(b"%d" % number, 10, b"x", number, 0.0)
    assert len(flows) == 2
    assert flows.sweep(0.0) == [0]


def test_a_verdict_is_remembered_for_a_moment_for_that_connection_alone() -> None:
    flows = Flows()
    flows.sweep(10.0)
    flows.decide(KEY, 5, 77)
    assert flows.decided(KEY, 5) == 77
    assert flows.decided(KEY, 6) is None
    assert flows.decided(b"other", 5) is None
    flows.sweep(10.0 + DECIDED_S)
    assert flows.decided(KEY, 5) == 77
    flows.sweep(10.0 + 2 * DECIDED_S)
    assert flows.decided(KEY, 5) is None


def test_a_refused_udp_connection_stays_so_for_a_while() -> None:
    flows = Flows(flows_max=2)
    for key in (b"one", b"two", b"three"):
        flows.refuse(key, 0.0)
    assert [flows.is_refused(key) for key in (b"one", b"two", b"three")] == [False, True, True]
    flows.sweep(REFUSED_S)
    assert not flows.is_refused(b"two")


def test_initials_over_several_datagrams() -> None:
    flows = Flows()
    datagrams = of_aioquic("chat.test", alpn=[f"{number}{'x' * 200}" for number in range(8)])
    assert len(datagrams) > 1
    assert flows.datagram(KEY, datagrams[0], 0.0).what is Step.PASS
    assert name(flows.datagram(KEY, datagrams[1], 0.0).what) == b"\4chat\4test\0"
    assert len(flows) == 0


def test_datagrams_that_never_end_make_room() -> None:
    flows = Flows(flows_max=2)
    first = of_aioquic("chat.test", alpn=[f"{number}{'x' * 200}" for number in range(8)])[0]
    for number in range(3):
        flows.datagram(b"%d" % number, first, 0.0)
    assert len(flows) == 2


def test_a_browsers_hello_of_two_segments_in_either_order() -> None:
    data = big(b"chat.test")
    for order in ((0, 1), (1, 0)):
        flows, pieces = Flows(), parts(data, 1400)
        *_, last = (flows.segment(KEY, *pieces[ident], ident, 0.0) for ident in order)
        assert name(last.what) == b"\4chat\4test\0"
