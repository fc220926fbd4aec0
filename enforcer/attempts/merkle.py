"""The Merkle tree of a day's lines (RFC 9162 §2.1): one line is proven to be in the day without showing the others.

Leaves are the lines of a file as they stand there, without the newline. A tree grows in memory that is logarithmic
in its lines; proofs for some of them need, beside these lines' own, only the nodes on their paths.
"""

from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256

EMPTY = sha256().digest()
"""The root of no lines at all (§2.1.1)."""


def leaf_hash(line: bytes) -> bytes:
    """The hash of one leaf: SHA-256(0x00 || line)."""
    return sha256(b"\x00" + line).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    return sha256(b"\x01" + left + right).digest()


class Tree:
    """A tree that grows by one leaf at a time. count: how many leaves it has."""

    def __init__(self) -> None:
        self.count = 0
        self._peaks: list[bytes] = []  # of the complete subtrees, the largest first: one for each 1 in `count`

    def add(self, leaf: bytes) -> None:
        """Append a leaf, by its hash."""
        count, peaks = self.count, self._peaks
        while count & 1:
            leaf = node_hash(peaks.pop(), leaf)
            count >>= 1
        peaks.append(leaf)
        self.count += 1

    def root(self) -> bytes:
        """The Merkle Tree Hash of all leaves so far."""
        if not self._peaks:
            return EMPTY
        *rest, root = self._peaks
        for peak in reversed(rest):
            root = node_hash(peak, root)
        return root


class Prover:
    """Inclusion proofs (§2.1.3.1) for some leaves of a tree of known size, whose leaves go by once, in order."""

    def __init__(self, indices: Iterable[int], count: int) -> None:
        """Prepare for the leaves with these numbers, from 0; count: of all leaves."""
        self._count = count
        self._paths = {index: _path(index, count) for index in indices}
        self._nodes: dict[tuple[int, int], bytes] = {}
        self._wanted = {
            node for path in self._paths.values() for begin, end in path for node in _complete_within(begin, end)
        }
        self._peaks: list[bytes] = []
        self._seen = 0

    def add(self, leaf: bytes) -> None:
        """The next leaf, by its hash."""
        count, size = self._seen, 1
        self._seen += 1
        self._keep(leaf, size)
        while count & 1:
            leaf = node_hash(self._peaks.pop(), leaf)
            count >>= 1
            size *= 2
            self._keep(leaf, size)
        self._peaks.append(leaf)

    def proof(self, index: int) -> tuple[bytes, ...]:
        """The path of one of the leaves, from its sibling up to the root's child, once all leaves have gone by."""
        return tuple(self._hash(begin, end) for begin, end in self._paths[index])

    def _keep(self, node: bytes, size: int) -> None:
        place = self._seen - size, size
        if place in self._wanted:
            self._nodes[place] = node

    def _hash(self, begin: int, end: int) -> bytes:
        nodes = [self._nodes[place] for place in _complete_within(begin, end)]
        root = nodes.pop()
        while nodes:
            root = node_hash(nodes.pop(), root)
        return root


def included(leaf: bytes, index: int, count: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows that leaf number `index` of `count` has this hash (§2.1.3.2). root: the tree's."""
    if not 0 <= index < count:
        return False
    number, last = index, count - 1
    for sibling in proof:
        if not last:
            return False
        if number & 1 or number == last:
            leaf = node_hash(sibling, leaf)
            while not number & 1 and number:
                number >>= 1
                last >>= 1
        else:
            leaf = node_hash(leaf, sibling)
        number >>= 1
        last >>= 1
    return not last and leaf == root


def _path(index: int, count: int) -> list[tuple[int, int]]:
    """The leaves below each sibling on the way up, as [begin, end), the nearest first."""
    begin, end = 0, count
    path = []
    while end - begin > 1:
        middle = begin + _left(end - begin)
        if index < middle:
            path.append((middle, end))
            end = middle
        else:
            path.append((begin, middle))
            begin = middle
    return path[::-1]


def _complete_within(begin: int, end: int) -> Iterator[tuple[int, int]]:
    """The complete subtrees that a range of leaves consists of, as first leaf and size."""
    while begin < end:
        size = 1 << ((end - begin).bit_length() - 1)
        yield begin, size
        begin += size


def _left(count: int) -> int:
    """The largest power of two below `count`: how many leaves are to the left of a tree's root."""
    return 1 << ((count - 1).bit_length() - 1)
