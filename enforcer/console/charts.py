"""The geometry of the charts, in the units of their viewBox; templates/charts.html draws it. Pure."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 720, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 4, 10, 24
_LANE_LEFT = 56
_LABELS = 8  # what fits under the bars
HEAT = 5
"""Steps of the heat map beside nothing at all."""


@dataclass(frozen=True, slots=True)
class Bar:
    """One rectangle. series: which colour. label, value: what a pointer that rests on it is told."""

    x: float
    y: float
    width: float
    height: float
    series: int
    label: str
    value: int


@dataclass(frozen=True, slots=True)
class Tick:
    """A line across the chart, or a label under it."""

    at: float
    label: str
    value: int = 0


@dataclass(frozen=True, slots=True)
class Stacked:
    """Bars over time, one above the other by series."""

    bars: tuple[Bar, ...]
    across: tuple[Tick, ...]
    under: tuple[Tick, ...]
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    base: float = HEIGHT - _BOTTOM
    width: float = WIDTH
    height: float = HEIGHT


@dataclass(frozen=True, slots=True)
class Dot:
    """One line of the log in a lane. The radius grows with the count, slowly."""

    x: float
    y: float
    radius: float
    series: int
    label: str
    value: int


@dataclass(frozen=True, slots=True)
class Lanes:
    """Time from left to right, a lane for each layer."""

    dots: tuple[Dot, ...]
    across: tuple[Tick, ...]
    under: tuple[Tick, ...]
    base: float
    height: float
    left: float = _LANE_LEFT
    right: float = WIDTH - 4
    width: float = WIDTH


def stacked(labels: Sequence[str], series: Sequence[Sequence[int]]) -> Stacked:
    """A bar for each label. series: for each colour, its value for each label."""
    totals = [sum(values) for values in zip(*series, strict=True)] if series else []
    steps = scale(max(totals, default=0))
    top = steps[-1]
    base, room = HEIGHT - _BOTTOM, HEIGHT - _BOTTOM - _TOP
    each_width = (WIDTH - _LEFT - _RIGHT) / max(len(labels), 1)
    gap = min(each_width * 0.2, 4)
    bars = []
    for i, label in enumerate(labels):
        below = 0
        for number, values in enumerate(series):
            value = values[i]
            if value:
                low, high = (base - room * part / top for part in (below, below + value))
                x = _LEFT + i * each_width + gap / 2
                bars.append(
                    Bar(_near(x), _near(high), _near(each_width - gap), _near(low - high), number, label, value)
                )
                below += value
    across = tuple(Tick(_near(base - room * step / top), "", step) for step in steps)
    every = -(-len(labels) // _LABELS) or 1
    under = tuple(
        Tick(_near(_LEFT + (i + 0.5) * each_width), label) for i, label in enumerate(labels) if i % every == 0
    )
    return Stacked(tuple(bars), across, under)


def lanes(layers: Sequence[str], seen: Sequence[tuple[int, str, int, int, str]], ticks: Sequence[Tick]) -> Lanes:
    """Dots over time, a lane for each layer.

    seen: moment, layer, count, series and label of each. ticks: moments that are marked, by their label.
    """
    moments = [each[0] for each in seen] + [round(tick.at) for tick in ticks]
    first, last = min(moments, default=0), max(moments, default=1)
    width = WIDTH - _LANE_LEFT - 12

    def across(moment: float) -> float:
        return _near(_LANE_LEFT + 6 + width * (moment - first) / max(last - first, 1))

    lane = {layer: 20 + 30 * i for i, layer in enumerate(layers)}
    dots = tuple(
        Dot(across(moment), lane[layer], _near(min(3.5 + math.log2(count), 10)), series, label, count)
        for moment, layer, count, series, label in seen
        if layer in lane
    )
    base = 12 + 30 * len(layers)
    return Lanes(
        dots,
        tuple(Tick(y, layer) for layer, y in lane.items()),
        tuple(Tick(across(tick.at), tick.label) for tick in ticks),
        base,
        base + _BOTTOM,
    )


def scale(most: int) -> tuple[int, ...]:
    """Round numbers from 0 to the first that is not below `most`, three to six of them."""
    unit = 1
    while True:
        for factor in (1, 2, 5):
            step = unit * factor
            if step * 4 >= most:
                count = max(-(-most // step), 1)
                return tuple(step * i for i in range(count + 1))
        unit *= 10


def share(value: int, most: int) -> float:
    """How long a bar is, of 100; what is more than nothing can be seen."""
    return 0 if most <= 0 or value <= 0 else max(_near(100 * value / most), 0.8)


def heat(values: Sequence[int]) -> tuple[int, ...]:
    """For each value a step from 0, which is nothing, to HEAT: by the values' rank, so that one peak hides nothing."""
    ranked = sorted({value for value in values if value > 0})
    bounds = [ranked[(len(ranked) * step) // HEAT] for step in range(HEAT)] if ranked else []
    return tuple(0 if value <= 0 else max(sum(value >= bound for bound in bounds), 1) for value in values)


def grouped(starts: Sequence[int], counts: Iterable[tuple[int, int]]) -> list[int]:
    """Counts by moment put into stretches of time, each named by its start, in order; what is before is left out."""
    found = [0] * len(starts)
    for moment, count in counts:
        at = bisect_right(starts, moment) - 1
        if at >= 0:
            found[at] += count
    return found


def _near(value: float) -> float:
    return round(value, 2)
