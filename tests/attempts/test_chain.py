import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.chain import GENESIS, link, seal, unseal, verify
from enforcer.errors import Corrupt

# Computed apart from this code, from the definition: SHA-256 of 32 zero octets and `{"n":1}`; of that and `{"n":2}`.
VECTOR = [
    (b'{"n":1}', "29cecc91e68d3dffede939118bf4bbc6d970cf01aa0b9e6bde45692fabfdf661"),
    (b'{"n":2}', "343a24f5f805e0108039a562689b9d62b4be6072e783e4555b1eb109d4f92963"),
]


def chained(count: int) -> list[bytes]:
    lines, head = [], GENESIS
    for number in range(1, count + 1):
        body = b'{"seq":%d,"x":"y"}' % number
        lines.append(seal(head, body).removesuffix(b"\n"))
        head = link(head, body)
    return lines


def test_the_published_vector() -> None:
    head = GENESIS
    for body, digest in VECTOR:
        head = link(head, body)
        assert head.hex() == digest


def test_a_line_names_the_hash_of_all_before_it() -> None:
    assert seal(GENESIS, b'{"n":1}') == b'{"n":1,"prev":"' + b"0" * 64 + b'"}\n'


@given(body=st.binary().map(lambda data: b"{" + data + b"}"), head=st.binary(min_size=32, max_size=32))
def test_unseal_undoes_seal(body: bytes, head: bytes) -> None:
    assert unseal(seal(head, body).removesuffix(b"\n")) == (body, head)


@given(line=st.binary())
def test_any_other_bytes_are_corrupt(line: bytes) -> None:
    with pytest.raises(Corrupt):
        unseal(line)


def test_a_whole_chain_verifies_and_gives_the_last_hash_and_number() -> None:
    lines = chained(3)
    head, seq = verify(lines)
    assert seq == 3
    assert head == link(*reversed(unseal(lines[2])))


def test_a_chain_can_be_verified_from_any_line_on() -> None:
    lines = chained(5)
    assert verify(lines[2:]) == verify(lines)
    assert verify(lines[2:], *verify(lines[:2])) == verify(lines)


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda lines: [*lines[:1], *lines[2:]], "line 2: number 3 follows number 1"),
        (lambda lines: [*lines[:1], lines[1].replace(b"y", b"z"), *lines[2:]], "line 3 (number 3): the line before"),
        (lambda lines: [lines[1], lines[0], *lines[2:]], "line 2: number 1 follows number 2"),
        (lambda lines: [*lines[:2], lines[1], *lines[2:]], "line 3: number 2 follows number 2"),
        (lambda lines: [lines[0], b'{"seq":2}', *lines[2:]], "line 2: a line does not end in"),
        (lambda lines: [seal(bytes(range(32)), b'{"seq":1}')[:-1]], "line 1 (number 1): the line before"),
        (lambda lines: [seal(GENESIS, b'{"n":1}')[:-1]], "line 1: there is no sequence number"),
    ],
    ids=["deleted", "edited", "swapped", "repeated", "unsealed", "no-beginning", "no-number"],
)
def test_the_first_wrong_line_is_named(change, what: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(Corrupt) as caught:
        verify(change(chained(4)))
    assert what in str(caught.value)
