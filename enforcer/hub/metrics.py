"""The page that Prometheus reads: one registry, filled from one snapshot a scrape.

Every family and label value is a closed set and is there, at zero, before its first event; the one exception is the
gauge of the devices that tried most. The number of series does not follow the number of devices.
"""

import platform
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import CollectorRegistry, Metric
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    InfoMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from enforcer.attempts.block import Recorded
from enforcer.counters import LAYOUT, Family, word
from enforcer.devices.device import Source
from enforcer.policy.rules import Kind
from enforcer.policy.verdict import Layer

ALIVE_MS = 10_000
"""A worker whose last heartbeat is older than this is not up."""

WINDOWS = {"1h": 3_600_000, "24h": 86_400_000}
WORKER_KINDS = ("dns", "proxy", "gate", "gateway", "sinks", "console", "hub")
LOAD_RESULTS = ("ok", "invalid", "bad_signature", "shrunk", "self_test_failed", "unreadable")
EXEMPTION_STATES = ("active", "expired")
DEVICE_STATES = ("inventory", "connected_24h", "silent")


@dataclass(frozen=True, slots=True)
class PolicyFacts:
    """The policy in force. rules: by service and kind; exemptions: by service and state; paused: every realm."""

    ban: str
    ruleset: str
    mode: str
    loaded_ms: int
    services: tuple[str, ...]
    rules: Mapping[tuple[str, str], int]
    exemptions: Mapping[tuple[str, str], int]
    paused: Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that one scrape says. What is not known yet is None or empty.

    workers: the words of each worker's counters, by its name. upstreams: as configured, in order. up: processes by kind
    that the supervisor has running. spool: bytes and age of the oldest segment in seconds, by worker. attempts: by
    service, layer and action, with the id of the newest; identified: by source.
    device_attempts: None where devices must not be named. certificates: when each ends, by listener.
    """

    version: str
    revision: str
    now_ms: int
    policy: PolicyFacts | None
    loads: Mapping[str, int]
    workers: Mapping[str, Sequence[int]]
    upstreams: tuple[str, ...]
    restarts: Mapping[str, int]
    up: Mapping[str, int]
    spool: Mapping[str, tuple[int, float]]
    spool_max: int
    attempts: Mapping[tuple[str, str, str], int]
    newest: Mapping[tuple[str, str, str], tuple[str, int]]
    identified: Mapping[str, int]
    devices: Mapping[str, int]
    devices_attempting: Mapping[tuple[str, str], int]
    device_attempts: Mapping[tuple[str, str], int] | None
    log_sequence: int
    log_writable: bool
    index_lag: int
    certificates: Mapping[str, float]


class Page(Collector):
    """Turns a snapshot into families."""

    def __init__(self, snapshot: Callable[[], Snapshot], more: Callable[[], Iterable[Metric]] = tuple) -> None:
        self._snapshot, self._more = snapshot, more

    def describe(self) -> Iterable[Metric]:
        """Nothing: registering must not take a snapshot."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Every family, in the order of the reference."""
        now = self._snapshot()
        build = {"version": now.version, "revision": now.revision, "python": platform.python_version()}
        yield _info("build", "Version of Enforcer, short hash of its files, version of Python", **build)
        yield from _policy(now)
        for family in LAYOUT:
            if not family.name.startswith("worker_"):
                yield _counted(family, now)
        yield from _attempts(now)
        yield from _hub(now)
        yield from self._more()


def metrics_app(
    snapshot: Callable[[], Snapshot], health: Callable[[], str | None], more: Callable[[], Iterable[Metric]] = tuple
) -> Starlette:
    """The ASGI application: `/metrics`, and `/healthz`, which is 503 with the reason while `health` gives one.

    more: families beside those of the snapshot.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Page(snapshot, more))

    async def page(request: Request) -> Response:
        encoder, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encoder(registry), headers={"content-type": content_type})

    async def healthz(_: Request) -> Response:
        reason = health()
        return PlainTextResponse("ok\n" if reason is None else f"{reason}\n", 200 if reason is None else 503)

    return Starlette(routes=[Route("/metrics", page), Route("/healthz", healthz)])


def alive(words: Sequence[int], now_ms: int) -> bool:
    """Whether a worker's last heartbeat is recent."""
    return abs(now_ms - words[word("worker_heartbeat_milliseconds")]) <= ALIVE_MS


def kind_of(worker: str) -> str:
    """The kind of process that a worker's name begins with."""
    return worker.rpartition("-")[0] or worker


def _policy(now: Snapshot) -> Iterator[Metric]:
    policy = now.policy
    if policy is not None:
        labels = {"ban": policy.ban, "ruleset": policy.ruleset, "mode": policy.mode}
        yield _info("policy", "The policy in force: the ban, the short hash of the compiled rules, the mode", **labels)
        every = {(service, kind.value): 0 for service in policy.services for kind in Kind}
        yield _gauge("policy_rules", "Rules in force", ("service", "kind"), {**every, **policy.rules})
        every = {(service, state): 0 for service in policy.services for state in EXEMPTION_STATES}
        yield _gauge("policy_exemptions", "Exemptions", ("service", "state"), {**every, **policy.exemptions})
        yield _gauge(
            "policy_loaded_timestamp_seconds",
            "When the policy in force was loaded, in seconds since 1970",
            (),
            {(): policy.loaded_ms / 1000},
        )
        paused = {(realm,): value for realm, value in policy.paused.items()}
        yield _gauge("realm_paused", "1 while a realm is observed instead of enforced by a pause", ("realm",), paused)
    loads = {(result,): now.loads.get(result, 0) for result in LOAD_RESULTS}
    yield _counter("policy_loads", "Attempts to load a policy, by result", ("result",), loads)


def _attempts(now: Snapshot) -> Iterator[Metric]:
    services = now.policy.services if now.policy is not None else ()
    every = {(s, layer.value, action.value): 0 for s in services for layer in Layer for action in Recorded}
    attempts = CounterMetricFamily(
        "enforcer_attempts",
        "Attempts to reach something banned, those folded into a summary too",
        labels=("service", "layer", "action"),
    )
    for key, count in sorted({**every, **now.attempts}.items()):
        newest = now.newest.get(key)
        exemplar = None if newest is None else Exemplar({"attempt_id": newest[0]}, 1.0, newest[1] / 1000)
        attempts.add_metric(key, count, exemplar=exemplar)
    yield attempts
    identified = {(source.value,): now.identified.get(source.value, 0) for source in Source}
    yield _counter("attempts_identified", "Attempts by what told the device behind them", ("source",), identified)
    trying = {(service, window): 0 for service in services for window in WINDOWS}
    yield _gauge(
        "devices_attempting",
        "Different devices with an attempt within the window",
        ("service", "window"),
        {**trying, **now.devices_attempting},
    )
    if now.device_attempts is not None:
        yield _gauge(
            "device_attempts",
            "Attempts within 24 h of the devices with the most, and of all others together",
            ("device", "service"),
            now.device_attempts,
        )
    states = {(state,): now.devices.get(state, 0) for state in DEVICE_STATES}
    yield _gauge(
        "devices", "Devices: all, those seen on a network within 24 h, those not seen for days", ("state",), states
    )


def _hub(now: Snapshot) -> Iterator[Metric]:
    yield _gauge(
        "spool_bytes",
        "Bytes of spool segments that the hub is not past",
        ("worker",),
        {(worker,): size for worker, (size, _) in now.spool.items()},
    )
    yield _gauge("spool_capacity_bytes", "Bytes that all spools together may take", (), {(): now.spool_max})
    yield _gauge(
        "spool_oldest_seconds",
        "Age in seconds of the oldest spool segment",
        ("worker",),
        {(worker,): age for worker, (_, age) in now.spool.items()},
    )
    yield _gauge("log_sequence", "Number of the last line of the log", (), {(): now.log_sequence})
    yield _gauge("log_writable", "1 while the log can be written, 0 while attempts wait", (), {(): now.log_writable})
    yield _gauge("index_lag_records", "Lines of the log that the index does not have yet", (), {(): now.index_lag})
    yield _gauge(
        "certificate_expiry_timestamp_seconds",
        "When the certificate in a listener's file ends, in seconds since 1970; 0 where it cannot be read",
        ("listener",),
        {(listener,): moment for listener, moment in now.certificates.items()},
    )
    restarts = {(kind,): now.restarts.get(kind, 0) for kind in WORKER_KINDS}
    yield _counter("worker_restarts", "Processes that were started again after they had ended", ("kind",), restarts)
    living: Counter[str] = Counter()
    for worker, words in now.workers.items():
        living[kind_of(worker)] += alive(words, now.now_ms)
    up = {(kind,): living.get(kind, now.up.get(kind, 0)) for kind in WORKER_KINDS} | {("hub",): 1}
    text = "Processes that said within 10 s that they live; of kinds that do not, those that the supervisor has running"
    yield _gauge("worker_up", text, ("kind",), up)


def _counted(family: Family, now: Snapshot) -> Metric:
    """A family of the workers' counters: added up over all of them; a level over those that are alive."""
    labels = tuple(family.labels)
    series: dict[tuple[str, ...], tuple[int, ...]] = {}
    files = [words for words in now.workers.values() if not family.gauge or alive(words, now.now_ms)]
    combine = max if "upstream" in labels else sum
    for values in family.combinations():
        named = tuple(_label(name, value, now.upstreams) for name, value in zip(labels, values, strict=True))
        if None in named:
            continue
        first = word(family.name, *values)
        columns = zip(*(words[first : first + family.width] for words in files), strict=True)
        total = tuple((combine if family.gauge else sum)(column) for column in columns)
        series[tuple(str(name) for name in named)] = total or (0,) * family.width
    if family.buckets:
        return _histogram(family, labels, series)
    make = _gauge if family.gauge else _counter
    return make(family.name, family.help, labels, {key: value[0] for key, value in series.items()})


def _label(name: str, value: str, upstreams: tuple[str, ...]) -> str | None:
    """A label's value as published; None for an upstream number that is not in use."""
    if name != "upstream":
        return value
    return upstreams[int(value)] if int(value) < len(upstreams) else None


def _histogram(family: Family, labels: tuple[str, ...], series: Mapping[tuple[str, ...], tuple[int, ...]]) -> Metric:
    metric = HistogramMetricFamily(f"enforcer_{family.name}", family.help, labels=labels)
    bounds = [*(repr(bound) for bound in family.buckets), "+Inf"]
    for key, words in series.items():
        total = 0
        buckets: list[tuple[str, float]] = []
        for bound, count in zip(bounds, words, strict=False):
            total += count
            buckets.append((bound, total))
        metric.add_metric(key, buckets, sum_value=words[-1] / 1e9)
    return metric


def _info(name: str, text: str, **labels: str) -> Metric:
    metric = InfoMetricFamily(f"enforcer_{name}", text)
    metric.add_metric((), labels)
    return metric


def _counter[K: tuple[str, ...]](name: str, text: str, labels: tuple[str, ...], series: Mapping[K, float]) -> Metric:
    metric = CounterMetricFamily(f"enforcer_{name}", text, labels=labels)
    for key, value in series.items():
        metric.add_metric(key, value)
    return metric


def _gauge[K: tuple[str, ...]](name: str, text: str, labels: tuple[str, ...], series: Mapping[K, float]) -> Metric:
    metric = GaugeMetricFamily(f"enforcer_{name}", text, labels=labels)
    for key, value in series.items():
        metric.add_metric(key, value)
    return metric
