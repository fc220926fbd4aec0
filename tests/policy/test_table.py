from zlib import crc32

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enforcer.errors import Corrupt, Mistakes
from enforcer.policy.names import parse
from enforcer.policy.protections import covers
from enforcer.policy.rules import Kind
from enforcer.policy.table import EXACT, HOLED, PASS, SUFFIX, Entries, Hit, Parts, Table, build
from enforcer.wire.name import Name

LABELS = st.sampled_from([b"a", b"b", b"ab", b"c", b"test", b"\x01a", b"x" * 63])
NAMES = (
    st.lists(LABELS, min_size=1, max_size=5)
    .map(lambda labels: b"".join(bytes([len(label)]) + label for label in labels) + b"\0")
    .filter(lambda name: len(name) <= 255)
)


def table(parts: Parts) -> Table:
    heap, slots = bytes(parts.heap), bytes(parts.slots)
    data = b"head" + heap + slots
    return Table(data, 4, slice(4 + len(heap), len(data)), parts.widest)


def found(entries: list[Entries], name: Name) -> list[Hit]:
    return table(build(entries, ())).find(name)


@given(st.dictionaries(NAMES, st.integers(1, 2**32 - 1), max_size=40), st.lists(NAMES, max_size=20))
def test_a_name_is_found_at_and_below_exactly_what_is_in_the_table(names: dict[Name, int], asked: list[Name]) -> None:
    built = table(build([Entries(names, SUFFIX, 3)], ()))
    for name in [*names, *asked]:
        expected = sorted(
            (
                (len(name) - len(each), SUFFIX, 3, line)
                for each, line in names.items()
                if covers(Kind.SUFFIX, each, name)
            ),
            reverse=True,
        )
        assert built.find(name) == expected


def test_a_name_may_be_there_for_several_reasons() -> None:
    name = parse("a.test")
    entries = [Entries({name: 1}, SUFFIX, 0), Entries({name: 2}, EXACT, 1), Entries({name: 3}, PASS, 1)]
    assert sorted(found(entries, name)) == [(0, SUFFIX, 0, 1), (0, EXACT, 1, 2), (0, PASS, 1, 3)]


def test_names_of_one_label_are_found_too() -> None:
    entries = [Entries({parse("test"): 1, parse("a.b.test"): 2}, SUFFIX)]
    assert [hit[3] for hit in found(entries, parse("x.a.b.test"))] == [1, 2]
    assert [hit[3] for hit in found(entries, parse("test"))] == [1]


def test_an_empty_table_finds_nothing() -> None:
    assert found([], parse("a.test")) == []
    assert found([], b"\0") == []


def test_a_suffix_above_a_reachable_name_is_holed() -> None:
    names = {parse("qq.test"): 1, parse("other.test"): 2, parse("mail.qq.test"): 3}
    built = table(build([Entries(names, SUFFIX)], [parse("mail.qq.test")]))
    assert [hit[1] for hit in built.find(parse("mail.qq.test"))] == [SUFFIX | HOLED, SUFFIX]
    assert [hit[1] for hit in built.find(parse("other.test"))] == [SUFFIX]


def test_the_same_entries_give_the_same_octets() -> None:
    names = {parse(f"n{number}.a.test"): number for number in range(1, 500)}
    once, again = build([Entries(names, SUFFIX)], ()), build([Entries(dict(names), SUFFIX)], ())
    assert (bytes(once.heap), bytes(once.slots)) == (bytes(again.heap), bytes(again.slots))


def test_names_that_were_made_to_collide_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enforcer.policy.table._LONGEST_PROBE", 20)
    some = (b"\x04%04x\x04test\0" % number for number in range(1 << 16))
    names = {name: 1 for name in some if crc32(name) & 0x1FF == 7}
    with pytest.raises(Mistakes, match="made to collide"):
        build([Entries(names, SUFFIX)], ())


@pytest.mark.parametrize("size", [0, 8 * 3, 7])
def test_slots_of_a_wrong_size_are_corrupt(size: int) -> None:
    with pytest.raises(Corrupt):
        Table(bytes(size), 0, slice(0, size), 2)
