import sys

from hypothesis import given
from hypothesis import strategies as st

from enforcer.gateway.marks import (
    ALLOWED,
    CURRENT,
    GENERATION,
    NUMBER,
    PASS,
    PENDING,
    REFUSE,
    REFUSED,
    SEQUENCE,
    STATE,
    VERDICT,
    Order,
    allow,
    current,
    generation_of,
)


@given(st.integers(0, 255), st.integers(0, NUMBER))
def test_a_verdict_becomes_the_mark_of_an_allowed_connection_as_the_rules_make_it(generation: int, number: int) -> None:
    verdict = allow(generation, number)
    assert verdict & VERDICT == VERDICT
    kept = verdict & (0xFFFFFFFF ^ VERDICT) | ALLOWED  # `settle`
    assert kept & STATE == ALLOWED
    assert kept & CURRENT == current(generation)
    assert kept & NUMBER == number


def test_no_state_and_no_verdict_looks_like_another() -> None:
    assert len({state & STATE for state in (0, PENDING, ALLOWED, REFUSED)}) == 4
    assert PENDING & SEQUENCE == 0
    for verdict in (PASS, REFUSE):
        assert verdict & STATE == REFUSED
        assert verdict & VERDICT != VERDICT


@given(st.integers(0, 1 << 40))
def test_a_generation_is_never_that_of_what_is_never_current(generation: int) -> None:
    assert 1 <= generation_of(generation) <= 255
    assert generation_of(generation) != generation_of(generation + 1)
    assert current(generation_of(generation)) & GENERATION


@given(st.integers(0, 0xFFFFFFFF))
def test_a_number_of_the_kernel_is_a_word_again(word: int) -> None:
    for order in (Order(), Order(turned=True)):
        assert order.number(order.number(word)) == word
        assert order.message(order.message(word)) == word
        assert order.message(word).to_bytes(4, sys.byteorder) == order.number(word).to_bytes(4)  # as the kernel has it


def test_a_word_lies_in_memory_as_a_sequence_number_in_a_packet() -> None:
    assert Order().number(0x40000001).to_bytes(4, sys.byteorder) == bytes.fromhex("40000001")
    assert Order(turned=True).number(0x40000001) == 0x40000001
