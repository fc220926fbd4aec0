"""How everything is: processes, the way of the records, sources of identity, probes, certificates, what is wrong."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from enforcer.console.asked import Wrong
from enforcer.console.desk import Figure
from enforcer.console.pages.common import standing
from enforcer.console.site import Ask
from enforcer.errors import EnforcerError

MINUTES = (5, 15, 30, 60, 120)
CERTIFICATE_DAYS = 14
PROBE_S = 180
_DAY_S = 86_400


@dataclass(frozen=True, slots=True)
class Process:
    """One process. up: None where nobody says."""

    name: str
    pid: int | None
    restarts: int
    up: bool | None
    generation: int | None


@dataclass(frozen=True, slots=True)
class Health:
    """What hub and metrics say. trouble: why the hub says nothing; the rest is then empty."""

    status: Mapping[str, object]
    figures: Sequence[Figure]
    trouble: str | None

    @property
    def problems(self) -> list[str]:
        """What the hub itself finds wrong."""
        found = self.status.get("problems")
        return [str(each) for each in found] if isinstance(found, list) else []

    @property
    def processes(self) -> list[Process]:
        """The hub's word on each, by name."""
        told, workers = _mapping(self.status.get("processes")), _mapping(self.status.get("workers"))
        found = []
        for name in sorted({*told, *workers}):
            process, worker = _mapping(told.get(name)), _mapping(workers.get(name))
            up = process.get("up", worker.get("alive"))
            if up and worker and not worker.get("alive"):
                up = False
            found.append(
                Process(
                    name=name,
                    pid=_whole(process.get("pid")),
                    restarts=_whole(process.get("restarts")) or 0,
                    up=up if isinstance(up, bool) else None,
                    generation=_whole(worker.get("generation")),
                )
            )
        return found

    def number(self, key: str) -> int | None:
        """A number of the status."""
        return _whole(self.status.get(key))

    def spool(self) -> list[tuple[str, int, int]]:
        """Worker, bytes that wait, and the age of the oldest in seconds."""
        found = _mapping(self.status.get("spool"))
        return [
            (name, _whole(_mapping(each).get("bytes")) or 0, _whole(_mapping(each).get("oldest_s")) or 0)
            for name, each in found.items()
        ]

    def by(self, name: str, label: str) -> dict[str, float]:
        """A metric's values by one of its labels, added up over the others."""
        found: dict[str, float] = {}
        for figure in self.figures:
            if figure.name == name and label in figure.labels:
                key = figure.labels[label]
                found[key] = found.get(key, 0) + figure.value
        return found

    def of(self, name: str) -> list[Figure]:
        """All samples of a metric."""
        return [figure for figure in self.figures if figure.name == name]

    def value(self, name: str) -> float | None:
        """A metric without labels, or the sum over all; None when there is none."""
        found = [figure.value for figure in self.figures if figure.name == name]
        return sum(found) if found else None


def gathered(ask: Ask) -> Health:
    """All that can be had, now."""
    trouble = None
    status: Mapping[str, object] = {}
    figures: Sequence[Figure] = ()
    try:
        status = ask.site.desk.status()
        figures = ask.site.desk.figures()
    except EnforcerError as error:
        trouble = str(error)
    return Health(status, figures, trouble)


def view(ask: Ask) -> Mapping[str, object]:
    """The facts of the page."""
    health = gathered(ask)
    now_s = ask.now.timestamp()
    probes = health.of("enforcer_probe_last_success_timestamp_seconds")
    return {
        "here": "health",
        "health": health,
        "standing": standing(ask.site),
        "minutes": MINUTES,
        "realms": [realm.name for realm in ask.site.config().realms],
        "probes": [(each.labels, now_s - each.value if each.value else None) for each in probes],
        "probe_s": PROBE_S,
        "certificates": [
            (each.labels.get("listener", ""), each.value, (each.value - now_s) / _DAY_S)
            for each in health.of("enforcer_certificate_expiry_timestamp_seconds")
        ],
        "certificate_days": CERTIFICATE_DAYS,
        "identified": _identified(health),
        "radius": health.of("enforcer_radius_last_packet_timestamp_seconds"),
        "sinks": _sinks(health),
        "now_s": now_s,
        "checkpoint_s": _age(health.value("enforcer_log_checkpoint_timestamp_seconds"), now_s),
    }


def reload(ask: Ask) -> str:
    """Put changed lists and configuration in force."""
    ask.site.desk.reload(ask.person)
    return "/health?done=reload"


def pause(ask: Ask) -> str:
    """Observe a realm for some minutes. Raises Wrong."""
    realm, reason, minutes = (ask.form.get(key, "").strip() for key in ("realm", "reason", "minutes"))
    if minutes not in {str(each) for each in MINUTES}:
        raise Wrong("minutes", minutes)
    if not reason:
        raise Wrong("reason", reason)
    ask.site.desk.pause(realm, int(minutes), reason, ask.person)
    return "/health?done=pause"


def resume(ask: Ask) -> str:
    """End a pause."""
    ask.site.desk.resume(ask.form.get("realm", ""), ask.person)
    return "/health?done=resume"


def _identified(health: Health) -> list[tuple[str, int]]:
    found = health.by("enforcer_attempts_identified_total", "source")
    return sorted(((source, round(value)) for source, value in found.items() if value), key=lambda each: -each[1])


def _sinks(health: Health) -> list[tuple[str, int, float, int]]:
    """Name, records behind, seconds behind, failures."""
    behind = health.by("enforcer_sink_lag_records", "sink")
    late = health.by("enforcer_sink_lag_seconds", "sink")
    failed = health.by("enforcer_sink_failures_total", "sink")
    names = sorted({*behind, *late})
    return [(name, round(behind.get(name, 0)), late.get(name, 0.0), round(failed.get(name, 0))) for name in names]


def _age(stamp: float | None, now_s: float) -> float | None:
    return None if not stamp else max(now_s - stamp, 0.0)


def _mapping(value: object) -> Mapping[str, object]:
    return value if isinstance(value, dict) else {}


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
