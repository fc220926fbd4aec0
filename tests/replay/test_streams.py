from itertools import pairwise, permutations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.replay.streams import WAITING_MAX, Stream

DATA = bytes(range(200))


@given(st.data(), st.integers(0, 0xFFFFFFFF))
def test_any_order_with_overlaps_and_repeats_gives_the_stream(data: st.DataObject, first: int) -> None:
    cuts = sorted({0, len(DATA), *data.draw(st.lists(st.integers(0, len(DATA)), max_size=6))})
    pieces = [(a, DATA[a : b + data.draw(st.integers(0, 9))]) for a, b in pairwise(cuts)]
    pieces = data.draw(st.permutations(pieces + data.draw(st.lists(st.sampled_from(pieces), max_size=3))))
    stream = Stream(first)
    assert b"".join(stream.add(first + at & 0xFFFFFFFF, part) for at, part in pieces) == DATA


def test_each_octet_is_given_out_once_and_the_first_that_came_counts() -> None:
    stream = Stream(100)
    assert stream.add(100, b"abc") == b"abc"
    assert stream.add(100, b"XYZd") == b"d"
    assert stream.add(98, b"old") == b""
    assert stream.add(105, b"f") == b""
    assert stream.add(104, b"e") == b"ef"


@pytest.mark.parametrize("order", list(permutations(range(3))))
def test_numbers_wrap_around(order: tuple[int, ...]) -> None:
    first = 0xFFFFFFFE
    stream = Stream(first)
    parts = [(first, b"ab"), (0, b"cd"), (2, b"ef")]
    assert b"".join(stream.add(*parts[number]) for number in order) == b"abcdef"


def test_no_more_is_held_behind_a_gap_than_a_little() -> None:
    stream = Stream(0)
    for at in range(1, 2 * WAITING_MAX, 1000):
        stream.add(at, bytes(1000))
    assert len(stream.add(0, b"x")) <= 1 + WAITING_MAX
    assert stream._held == 0
