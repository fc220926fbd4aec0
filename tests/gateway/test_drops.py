from dataclasses import replace
from pathlib import Path

import pytest

from enforcer.gateway.drops import Taken, read_taken, totals, write_taken
from enforcer.gateway.nft import Dropped

SEEN = Dropped("lan", "192.0.2.7", "203.0.113.5", "tcp", 443, 3, 3599)


def new(taken: Taken, *dropped: Dropped) -> list[int]:
    return [count for _, count in taken.fresh("address4", dropped)]


@pytest.fixture
def taken() -> Taken:
    return Taken("made_1", {}, {})


def test_what_is_new_is_taken_over_once(taken: Taken) -> None:
    assert new(taken, SEEN) == [3]
    assert new(taken, replace(SEEN, expires_s=3598)) == []
    assert new(taken, replace(SEEN, packets=10)) == [7]


def test_clients_destinations_ports_and_sets_count_for_themselves(taken: Taken) -> None:
    others = [replace(SEEN, source="192.0.2.8"), replace(SEEN, target="203.0.113.6"), replace(SEEN, port=80)]
    assert new(taken, SEEN, *others, replace(SEEN, protocol="udp"), replace(SEEN, interface="wlan")) == [3] * 6
    assert [count for _, count in taken.fresh("address6", [SEEN])] == [3]


def test_an_element_that_lapsed_and_came_back_counts_from_zero(taken: Taken) -> None:
    assert new(taken, SEEN) == [3]
    assert new(taken) == []
    assert new(taken, replace(SEEN, packets=2)) == [2]
    assert new(taken, replace(SEEN, packets=1)) == [1]  # seen again before anybody had missed it
    assert new(taken, replace(SEEN, packets=1, expires_s=10)) == []
    assert new(taken, replace(SEEN, packets=1)) == [1]  # as many as before, but made anew


def test_named_counters_grow(taken: Taken) -> None:
    assert taken.grown({"counted": 5, "overflow": 1}) == {"counted": 5, "overflow": 1}
    assert taken.grown({"counted": 7, "overflow": 1}) == {"counted": 2, "overflow": 0}


def test_a_process_that_is_replaced_counts_on(taken: Taken, tmp_path: Path) -> None:
    path = tmp_path / "drops.json"
    new(taken, SEEN)
    taken.grown({"counted": 3})
    taken.add("chat", "ip", 3)
    write_taken(path, taken)
    again = read_taken(path, "made_1")
    assert again == taken
    assert new(again, SEEN) == []
    assert totals(path) == {("chat", "ip"): 3}


def test_another_table_begins_at_zero_and_the_totals_go_on(taken: Taken, tmp_path: Path) -> None:
    path = tmp_path / "drops.json"
    new(taken, SEEN)
    taken.grown({"counted": 3})
    taken.add("chat", "ip", 3)
    write_taken(path, taken)
    other = read_taken(path, "made_2")
    assert (other.counts, other.counters, other.totals) == ({}, {}, {("chat", "ip"): 3})


@pytest.mark.parametrize("text", ["", "[]", "{", '{"table": "made_1"}', '{"table": "made_1", "counts": 5}'])
def test_a_damaged_file_is_none(text: str, tmp_path: Path) -> None:
    path = tmp_path / "drops.json"
    path.write_text(text)
    assert read_taken(path, "made_1") == Taken("made_1", {}, {})
    assert read_taken(tmp_path / "none", "made_1") == Taken("made_1", {}, {})
