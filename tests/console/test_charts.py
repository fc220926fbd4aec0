import itertools

from hypothesis import given
from hypothesis import strategies as st

from enforcer.console.charts import HEAT, HEIGHT, WIDTH, Tick, grouped, heat, lanes, scale, share, stacked

COUNTS = st.integers(0, 10**9)


def test_bars_stand_on_each_other() -> None:
    chart = stacked(["a", "b"], [[3, 0], [1, 2]])
    first, second, third = chart.bars
    assert (first.series, first.value, second.series, second.value, third.series) == (0, 3, 1, 1, 1)
    assert first.x == second.x < third.x
    assert second.y + second.height == first.y
    assert first.y + first.height == third.y + third.height == chart.base


@given(st.lists(st.tuples(COUNTS, COUNTS), max_size=120))
def test_bars_stay_inside(values: list[tuple[int, int]]) -> None:
    labels = [str(i) for i in range(len(values))]
    chart = stacked(labels, [[each[0] for each in values], [each[1] for each in values]])
    assert len(chart.bars) == sum(value > 0 for each in values for value in each)
    for bar in chart.bars:
        assert 0 <= bar.x <= bar.x + bar.width <= WIDTH
        assert 0 <= bar.y <= bar.y + bar.height <= HEIGHT
    assert len(chart.under) <= 13


@given(COUNTS)
def test_a_scale_reaches_what_it_must_in_few_round_steps(most: int) -> None:
    steps = scale(most)
    assert steps[0] == 0
    assert steps[-1] >= most
    assert 2 <= len(steps) <= 6
    assert len({b - a for a, b in itertools.pairwise(steps)}) == 1


def test_shares_can_be_seen() -> None:
    assert (share(0, 10), share(1, 10**6), share(5, 10), share(1, 0)) == (0, 0.8, 50, 0)


@given(st.lists(st.integers(0, 1000), max_size=200))
def test_shades_follow_the_order_of_values(values: list[int]) -> None:
    shades = heat(values)
    assert all((shade == 0) == (value == 0) and shade <= HEAT for shade, value in zip(shades, values, strict=True))
    pairs = sorted(zip(values, shades, strict=True))
    assert [shade for _, shade in pairs] == sorted(shade for _, shade in pairs)


def test_counts_are_put_into_the_stretch_they_belong_to() -> None:
    assert grouped([10, 20, 30], [(5, 100), (10, 1), (19, 2), (20, 4), (99, 8)]) == [3, 4, 8]
    assert grouped([], [(5, 1)]) == []


def test_a_lane_for_each_layer() -> None:
    chart = lanes(
        ["dns", "tls"], [(0, "dns", 1, 0, "a"), (10, "tls", 64, 1, "b"), (5, "ip", 1, 0, "c")], [Tick(5, "x")]
    )
    first, second = chart.dots
    assert first.x < chart.under[0].at < second.x
    assert first.y < second.y
    assert first.radius < second.radius
    assert [tick.label for tick in chart.across] == ["dns", "tls"]


def test_one_moment_alone_has_a_place() -> None:
    chart = lanes(["dns"], [(7, "dns", 1, 0, "a")], [])
    assert chart.left <= chart.dots[0].x <= chart.right
    assert lanes([], [], []).dots == ()
