import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.chain import GENESIS, link, seal, unseal
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


@given(line=st.binary())
def test_any_other_bytes_are_corrupt(line: bytes) -> None:
    with pytest.raises(Corrupt):
        unseal(line)
