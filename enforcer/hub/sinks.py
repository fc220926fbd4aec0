"""How the sinks are doing: what the process that feeds them writes down, as metrics and as problems."""

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from enforcer.attempts.log import BEGIN, Cursor
from enforcer.attempts.sinks.cursor import cursors
from enforcer.attempts.sinks.follow import Progress
from enforcer.attempts.sinks.status import Status, read_status
from enforcer.config.model import Config
from enforcer.part import Means, Part

STALE_MS = 10_000


class SinkWatch(Part):
    """Reads; the sinks themselves are in a process of their own."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._names = _names(means.config)

    def follow(self, config: Config) -> None:
        """See Part."""
        self._names = _names(config)

    def metrics(self) -> Iterable[Metric]:
        """See Part."""
        statuses, now_ms, last = self._statuses(), self._now_ms(), self._means.log.seq
        records = CounterMetricFamily("enforcer_sink_records", "Records handed over", labels=("sink",))
        failures = CounterMetricFamily(
            "enforcer_sink_failures", "Deliveries that failed, and are tried again", labels=("sink",)
        )
        refused = CounterMetricFamily(
            "enforcer_sink_refused", "Records that the receiver will not have", labels=("sink",)
        )
        missed = CounterMetricFamily("enforcer_sink_missed", "Records deleted before they were sent", labels=("sink",))
        behind = GaugeMetricFamily(
            "enforcer_sink_lag_records", "Lines of the log not surely handed over", labels=("sink",)
        )
        lag = GaugeMetricFamily("enforcer_sink_lag_seconds", "How long the oldest of them has waited", labels=("sink",))
        for name, status in statuses.items():
            progress = Progress() if status is None else status.progress
            records.add_metric((name,), progress.records)
            failures.add_metric((name,), progress.failures)
            refused.add_metric((name,), progress.refused)
            missed.add_metric((name,), progress.missed)
            behind.add_metric((name,), max(last - progress.seq, 0))
            lag.add_metric((name,), _lag_ms(status, now_ms) / 1000)
        return (records, failures, refused, missed, behind, lag)

    def problems(self) -> Iterator[str]:
        """See Part."""
        now_ms = self._now_ms()
        for name, status in self._statuses().items():
            if status is None or now_ms - status.at_ms > STALE_MS:
                yield f"sink {name}: the process that feeds it does not say that it lives"
            elif status.progress.trouble is not None:
                behind = max(self._means.log.seq - status.progress.seq, 0)
                yield f"sink {name}: {status.progress.trouble} ({behind} lines behind)"

    def cursors(self) -> Mapping[str, Cursor]:
        """How far each configured sink has got, for retention; a new one is at the beginning."""
        found = cursors(self._means.folders.sinks)
        return {name: found.get(name, BEGIN) for name in self._names}

    def _statuses(self) -> Mapping[str, Status | None]:
        folder = self._means.folders.sink_status
        return {name: read_status(folder / f"{name}.json") for name in self._names}

    def _now_ms(self) -> int:
        return int(self._means.clock().timestamp() * 1000)


def _names(config: Config) -> tuple[str, ...]:
    return tuple(sink.label for sink in config.attempts.sinks)


def _lag_ms(status: Status | None, now_ms: int) -> int:
    """Since when a line waits; where nobody looks any more, since somebody looked last."""
    if status is None:
        return 0
    since_ms = status.progress.waiting_ms
    if since_ms is None:
        if now_ms - status.at_ms <= STALE_MS:
            return 0
        since_ms = status.at_ms
    return max(now_ms - since_ms, 0)
