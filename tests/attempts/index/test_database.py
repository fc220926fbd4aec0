import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager

from enforcer.attempts.index import EVERYTHING, Filter
from enforcer.attempts.index.database import Ask, equal, names_below, narrowing, where


@contextmanager
def asking(*names: str) -> Iterator[Ask]:
    """A part with these names and nothing else."""
    with closing(sqlite3.connect(":memory:")) as db:
        db.execute("CREATE TABLE names (name TEXT)")
        db.executemany("INSERT INTO names VALUES (?)", [(name,) for name in names])
        yield lambda sql, values: db.execute(sql, values).fetchall()


def test_a_condition_says_what_a_filter_says() -> None:
    assert where(EVERYTHING) == ("1 = 1", ())
    condition, values = where(Filter(since_ms=1, device="dev-1", name="a_b.test", layer="dns", group="team"))
    assert condition == (
        "1 = 1 AND time >= ? AND device = ? AND (name = ? OR name LIKE ? ESCAPE '!')"
        ' AND kind IN (SELECT kind FROM kinds WHERE 1 = 1 AND "layer" = ? AND "group" = ?)'
    )
    assert values == (1, "dev-1", "a_b.test", "%.a!_b.test", "dns", "team")


def test_what_narrows_kinds_is_what_they_have() -> None:
    which = Filter(device="dev-1", client_ip="192.0.2.1", name="x.test", service="chat", rule="r")
    assert narrowing(which) == {"service": "chat", "rule": "r"}
    assert equal({"service": "chat"}, "p.") == ('1 = 1 AND p."service" = ?', ("chat",))


def test_names_below_one_are_chosen_unless_there_are_too_many() -> None:
    with asking("b.test", "a.b.test", "xb.test", "c.test") as part:
        assert sorted(names_below(part, "b.test") or ()) == ["a.b.test", "b.test"]
        assert names_below(part, "d.test") == []
    with asking(*(f"n{i}.b.test" for i in range(101))) as part:
        assert names_below(part, "b.test") is None, "too many"
