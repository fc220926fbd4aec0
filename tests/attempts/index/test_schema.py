import sqlite3

import pytest

from enforcer.attempts.index.schema import BESIDE, EVENTS, KINDS, MARKS, Table


@pytest.mark.parametrize("table", BESIDE)
def test_a_row_is_added_to_what_is_there_of_its_key(table: Table) -> None:
    db = sqlite3.connect(":memory:")
    db.execute(table.create())
    for number in (5, 3):
        db.execute(table.upsert(), [1] * len(table.keys) + [number] * len(table.numbers))
    (row,) = db.execute(f"SELECT * FROM {table.name}")
    numbers = dict(zip(table.numbers, map(int, row[len(table.keys) :]), strict=True))
    db.close()
    expected = {
        "totals": {"attempts": 8},
        "spans": {"attempts": 8, "lines": 8},
        "singles": {"attempts": 8, "lines": 8},
        "pairs": {"group": 5, "first": 3, "last": 5},
        "folds": {"attempts": 8, "lines": 8, "first": 3, "last": 5},
        "marks": dict.fromkeys(MARKS.numbers, 3),
        "events": {**dict.fromkeys(EVENTS.numbers, 5), "id": 3},
    }
    assert numbers == expected[table.name]


def test_a_kind_that_is_there_stays_as_it_is_and_rows_can_come_from_a_query() -> None:
    db = sqlite3.connect(":memory:")
    db.execute(KINDS.create())
    for value in ("a", "b"):
        db.execute(KINDS.upsert(f"SELECT 7, {', '.join([f"'{value}'"] * len(KINDS.numbers))} WHERE true"))
    assert db.execute("SELECT kind, layer FROM kinds").fetchall() == [(7, "a")]
    db.close()
