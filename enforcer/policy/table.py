"""A million names in one piece of memory that every worker maps and none reads in: build it, look a name up.

Two parts. The heap holds records, each a wire name and 7 octets: what the name is there for (1), the number of a list
(2) and a line (4). `slots` is an open-addressing hash table with linear probing: a power of two of slots, at least
twice the records, each a 64-bit word in the byte order of the machine: the CRC-32 of the name in the upper half, where
its record begins in the lower one; 0 is an empty slot. A name may have several records.

So that a look-up need not try every suffix of a long name, each name above another one has a slot as well, without a
record: who walks from the right stops at the first name without such a slot. One that is there by an accident of the
CRC only makes the walk longer.
"""

from array import array
from collections.abc import Buffer, Iterable, Mapping, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final, Protocol
from zlib import crc32

from enforcer.errors import Corrupt, Mistake, Mistakes
from enforcer.wire.name import Name, parents

# What a name is in the table for. Plain numbers: an enum's `&` would take longer than the look-up.
SUFFIX: Final = 1  # it and everything below are in a third-party list
EXACT: Final = 2  # it alone is in a third-party list
PASS: Final = 4  # a third-party list lets it and everything below through
OWN: Final = 8  # a rule or protection of our own hangs on it; which, the policy knows
HOLED: Final = 16  # beside SUFFIX: something below it stays reachable, so NXDOMAIN would deny too much

type Hit = tuple[int, int, int, int]
"""One record of a name: where the name begins in the one that was looked up, what it is for, its list, its line."""

_DETAILS = Struct("<BHI")
_BELOW = 0xFFFFFFFF  # in place of a record: there are names below this one in the table
_LONGEST_PROBE = 2000  # a table that is half full has probes of some 50 slots


@dataclass(frozen=True, slots=True)
class Entries:
    """Names, each with its line, that are in the table for one reason and from one list."""

    names: Mapping[Name, int]
    what: int
    list: int = 0


@dataclass(frozen=True, slots=True)
class Parts:
    """The table as it is stored. widest: how many labels the shortest name has, 1 or 2 (which stands for more, too)."""

    heap: Buffer
    slots: Buffer
    widest: int


class Mapped(Buffer, Protocol):
    """A file that is mapped, or read: an mmap or bytes. A slice of either is bytes."""

    def __getitem__(self, part: slice, /) -> bytes: ...


def build(entries: Sequence[Entries], reachable: Iterable[Name]) -> Parts:
    """The table of all entries; the same entries in the same order give the same bytes.

    reachable: names that stay reachable although a third-party list may block one above them.
    Raises Mistakes when so many names share a place in the table that only intent explains it.
    """
    above, widest = _above(entries)
    holed = frozenset(parent for name in reachable for parent in parents(name))
    builder = _Builder(sum(len(each.names) for each in entries) + len(above))
    for each in entries:
        split = holed & each.names.keys() if each.what == SUFFIX else frozenset()
        names = each.names.items()
        builder.put([pair for pair in names if pair[0] not in split] if split else names, each.what, each.list)
        builder.put([pair for pair in names if pair[0] in split] if split else (), each.what | HOLED, each.list)
    builder.put_above(above)
    return Parts(builder.heap, builder.words, widest)


class Table:
    """The stored parts, to look names up in place."""

    __slots__ = ("_parts",)

    def __init__(self, data: Mapped, heap: int, slots: slice, widest: int) -> None:
        """data: a file with the heap from octet `heap` on, and the slots. Raises Corrupt for what cannot be slots."""
        view = memoryview(data)[slots]
        count = len(view) // 8
        if count == 0 or count & count - 1 or len(view) % 8:
            raise Corrupt("the policy's table of names has a wrong size; compile it again")
        # One attribute that is taken apart is quicker than six.
        self._parts = (data, heap, view.cast("Q"), count - 1, widest == 1, _DETAILS.unpack_from)

    def find(self, name: Name) -> list[Hit]:
        """The records of the name and of the names above it, the shortest name first."""
        data, heap, words, mask, widest, details = self._parts
        start = last = at = 0
        while size := name[at]:
            start = last
            last = at
            at += size + 1
        if widest:
            start = last
        hits: list[Hit] = []
        longer: list[int] | None = None  # where the names begin that are longer than the one looked at, once asked for
        while True:
            key = name[start:]
            tag = crc32(key)
            slot = tag & mask
            below = False
            while word := words[slot]:
                if word >> 32 == tag:
                    place = word & 0xFFFFFFFF
                    if place == _BELOW:
                        below = True
                    elif data[(place := place + heap) : (end := place + len(key))] == key:
                        what, number, line = details(data, end)
                        hits.append((start, what, number, line))
                slot = slot + 1 & mask
            if longer is None and below:
                longer = _starts(name, start)
            if not (below and longer):
                return hits
            start = longer.pop()


def _starts(name: Name, end: int) -> list[int]:
    """Where the labels before octet `end` begin."""
    starts = []
    at = 0
    while at < end:
        starts.append(at)
        at += name[at] + 1
    return starts


class _Builder:
    """Puts names in. heap, words: as stored."""

    def __init__(self, names: int) -> None:
        slots = 1 << max(4, (2 * names - 1).bit_length())
        self.heap = bytearray(1)  # no record begins at 0, so no word is 0
        self.words = array("Q", bytes(8 * slots))
        self.mask = slots - 1

    def put(self, names: Iterable[tuple[Name, int]], what: int, list_number: int) -> None:
        words, heap, mask = self.words, self.heap, self.mask
        pack = _DETAILS.pack
        for name, line in names:
            tag = crc32(name)
            slot = tag & mask
            if words[slot]:
                slot = self.free(slot)
            words[slot] = tag << 32 | len(heap)
            heap += name
            heap += pack(what, list_number, line)

    def put_above(self, names: Iterable[Name]) -> None:
        words, mask = self.words, self.mask
        for name in names:
            tag = crc32(name)
            slot = tag & mask
            if words[slot]:
                slot = self.free(slot)
            words[slot] = tag << 32 | _BELOW

    def free(self, slot: int) -> int:
        """The next free slot; CRC-32 is no secret, so a list can be made to collide, and must not stop the hub."""
        words, mask = self.words, self.mask
        for _ in range(_LONGEST_PROBE):
            slot = slot + 1 & mask
            if not words[slot]:
                return slot
        raise Mistakes([Mistake("third-party lists", None, "names made to collide; drop the list that was added last")])


def _above(entries: Sequence[Entries]) -> tuple[dict[Name, int], int]:
    """Every name above one of the entries', and how many labels the shortest of the entries' has.

    A dict for its order, which a set of bytes has not.
    """
    above: dict[Name, int] = {}
    widest = 2
    for each in entries:
        for name in each.names:
            parent = name[name[0] + 1 :]
            if len(parent) == 1:
                widest = 1
            while len(parent) > 1 and parent not in above:
                above[parent] = 0
                parent = parent[parent[0] + 1 :]
    return above, widest
