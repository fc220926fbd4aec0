"""What dashboards are made of: a panel is one line of meaning, in which unit, by which queries."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NODE = 'instance=~"$instance"'
SERVICE = 'service=~"$service"'
BOTH = f"{NODE}, {SERVICE}"
RATE = "$__rate_interval"
GREEN, ORANGE, RED = "green", "orange", "red"


@dataclass(frozen=True)
class Panel:
    """One panel. queries: by the legend of what they give. words: what values mean, beside any colour.

    steps: from which value on which colour. stacked: one upon the other. named: the legend instead of the value.
    """

    title: str
    text: str
    unit: str
    queries: Mapping[str, str]
    kind: str = "timeseries"
    width: int = 8
    height: int = 8
    words: Mapping[str, str] = field(default_factory=dict)
    steps: Sequence[tuple[float | None, str]] = ((None, GREEN),)
    stacked: bool = False
    named: bool = False


@dataclass(frozen=True)
class Dashboard:
    """Panels under the titles of their rows."""

    name: str
    title: str
    text: str
    rows: Mapping[str, Sequence[Panel]]


def stat(title: str, text: str, unit: str, queries: Mapping[str, str], **how: object) -> Panel:
    """One number, or a few beside each other."""
    return Panel(title, text, unit, queries, **{"kind": "stat", "width": 6, "height": 4} | how)  # type: ignore[arg-type]


def by(labels: str, metric: str, what: str = NODE) -> str:
    """The rate of a counter, added up by these labels."""
    return f"sum by ({labels}) (rate({metric}{{{what}}}[{RATE}]))"


def quantiles(metric: str, label: str, what: str = NODE) -> dict[str, str]:
    """The median and the 99th percentile of a histogram, by one label or by none."""
    groups, legend = (f"le, {label}", f"{{{{{label}}}}}, ") if label else ("le", "")
    return {
        f"{legend}{word}": f"histogram_quantile({share}, sum by ({groups}) (rate({metric}_bucket{{{what}}}[{RATE}])))"
        for word, share in (("median", 0.5), ("99 %", 0.99))
    }
