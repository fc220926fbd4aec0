import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.chain import GENESIS, body_after, link, seal, unseal
from enforcer.errors import Corrupt

# Computed apart from this code, from the definition: SHA-256 of 32 zero octets and `{"n":1}`; of that and `{"n":2}`.
VECTOR = [
    (b'{"n":1}', "29cecc91e68d3dffede939118bf4bbc6d970cf01aa0b9e6bde45692fabfdf661"),
    (b'{"n":2}', "343a24f5f805e0108039a562689b9d62b4be6072e783e4555b1eb109d4f92963"),
]


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


@given(
    body=st.binary().map(lambda data: b"{" + data + b"}"),
    head=st.binary(min_size=32, max_size=32),
    other=st.binary(min_size=32, max_size=32),
)
def test_a_body_is_read_behind_its_own_head_alone_and_as_it_was_written(body: bytes, head: bytes, other: bytes) -> None:
    line = seal(head, body)
    assert body_after(head, line) == body
    assert body_after(head, line[:-1]) is None
    assert body_after(other, line) == (body if other == head else None)
    if head.hex() != head.hex().upper():
        assert body_after(head, line[:-67] + line[-67:].upper()) is None


@given(line=st.binary())
def test_any_other_bytes_are_corrupt(line: bytes) -> None:
    with pytest.raises(Corrupt):
        unseal(line)
