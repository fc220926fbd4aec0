"""RFC 9162 §2.1: the tree, inclusion proofs and how they are checked."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.attempts.merkle import EMPTY, Prover, Tree, included, leaf_hash, node_hash

# Computed apart from this code: leaf `a`, and the root of a, b, c.
LEAF_A = "022a6979e6dab7aa5ae4c3e5e45f7e977112a7e63593820dbec1ec738a24f93c"
ROOT_ABC = "36642e73c2540ab121e3a6bf9545b0a24982cd830eb13d3cd19de3ce6c021ec1"


def leaves(count: int) -> list[bytes]:
    return [leaf_hash(b"%d" % number) for number in range(count)]


def tree_of(hashes: list[bytes]) -> Tree:
    tree = Tree()
    for each in hashes:
        tree.add(each)
    return tree


def root_by_definition(hashes: list[bytes]) -> bytes:
    """§2.1.1, word for word."""
    if not hashes:
        return sha256().digest()
    if len(hashes) == 1:
        return hashes[0]
    k = 1
    while k * 2 < len(hashes):
        k *= 2
    return node_hash(root_by_definition(hashes[:k]), root_by_definition(hashes[k:]))


def test_the_published_vectors() -> None:
    assert leaf_hash(b"a").hex() == LEAF_A
    assert tree_of([leaf_hash(each) for each in (b"a", b"b", b"c")]).root().hex() == ROOT_ABC
    assert Tree().root() == EMPTY == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")


@given(count=st.integers(0, 70))
def test_the_root_is_that_of_the_definition(count: int) -> None:
    tree = tree_of(leaves(count))
    assert tree.count == count
    assert tree.root() == root_by_definition(leaves(count))


@given(count=st.integers(1, 70), data=st.data())
def test_every_leaf_can_be_proven_and_nothing_else(count: int, data: st.DataObject) -> None:
    hashes = leaves(count)
    root = tree_of(hashes).root()
    wanted = data.draw(st.sets(st.integers(0, count - 1), min_size=1))
    prover = Prover(wanted, count)
    for each in hashes:
        prover.add(each)
    for index in wanted:
        proof = prover.proof(index)
        assert included(hashes[index], index, count, proof, root)
        assert not included(leaf_hash(b"another"), index, count, proof, root)
        assert not included(hashes[index], (index + 1) % count, count, proof, root) or count == 1
        assert not included(hashes[index], index, count, [*proof, bytes(32)], root)
        if proof:
            assert not included(hashes[index], index, count, proof[:-1], root)
            assert not included(hashes[index], index, count, [bytes(32), *proof[1:]], root)


def test_proofs_of_the_tree_of_seven_that_the_rfc_draws() -> None:
    """§2.1.5: the leaves d0 to d6, and the proofs that the text names by their nodes."""
    a, b, c, d, e, f, j = leaves(7)
    g, h, i = node_hash(a, b), node_hash(c, d), node_hash(e, f)
    k, l_ = node_hash(g, h), node_hash(i, j)
    prover = Prover((0, 3, 4, 6), 7)
    for each in (a, b, c, d, e, f, j):
        prover.add(each)
    assert prover.proof(0) == (b, h, l_)
    assert prover.proof(3) == (c, g, l_)
    assert prover.proof(4) == (f, j, k)
    assert prover.proof(6) == (i, k)


@pytest.mark.parametrize(("index", "count"), [(-1, 3), (3, 3), (0, 0)])
def test_a_number_outside_of_the_tree_is_not_included(index: int, count: int) -> None:
    assert not included(leaves(1)[0], index, count, (), leaves(1)[0])
