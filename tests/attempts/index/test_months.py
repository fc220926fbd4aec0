from enforcer.attempts.index.months import bounds, month_of
from tests.records import NOON_MS


def test_a_month_is_from_its_first_moment_to_that_of_the_next() -> None:
    for month, following in (("2026-11", "2026-12"), ("2026-12", "2027-01"), ("2028-02", "2028-03")):
        first, end = bounds(month)
        assert (month_of(first), month_of(end - 1), month_of(end)) == (month, month, following)
        assert bounds(following)[0] == end
    assert month_of(NOON_MS) == "2026-11"
