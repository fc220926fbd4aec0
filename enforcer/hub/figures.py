"""What the hub tells of workers, spool and policy: figures for its metrics page and its status, from where they are."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from enforcer.attempts.spool import segments
from enforcer.counters import read_counters, word
from enforcer.hub.loading import Loaded
from enforcer.hub.metrics import PolicyFacts, alive
from enforcer.hub.rows import Total
from enforcer.orders import Pause

type Words = Mapping[str, tuple[int, ...]]
"""Of each worker, its counters."""


@dataclass(frozen=True, slots=True)
class Process:
    """What the supervisor says of a process."""

    kind: str
    pid: int | None
    restarts: int
    up: bool


def words_of(folder: Path) -> Words:
    """What every worker has counted so far."""
    found = ((path.name, read_counters(path)) for path in sorted(folder.iterdir()))
    return {name: words for name, words in found if words is not None}


def split(live: Mapping[Total, int]) -> tuple[Counter[tuple[str, str, str]], Counter[str]]:
    """Attempts by service, layer and action, and by source of identity."""
    attempts: Counter[tuple[str, str, str]] = Counter()
    identified: Counter[str] = Counter()
    for (service, layer, action, source), count in live.items():
        attempts[service, layer, action] += count
        identified[source] += count
    return attempts, identified


def by_kind(processes: Iterable[Process]) -> tuple[Counter[str], Counter[str]]:
    """Restarts of processes, and how many are up."""
    restarts: Counter[str] = Counter()
    up: Counter[str] = Counter()
    for process in processes:
        restarts[process.kind] += process.restarts
        up[process.kind] += process.up
    return restarts, up


def spool_figures(spool: Path, oldest: Mapping[str, int], now_ms: int) -> dict[str, tuple[int, float]]:
    """Of each worker, the octets of its segments, and the age in s of its oldest attempt that is in no line yet."""
    figures = {}
    for folder in sorted(spool.glob("*/")):
        size = sum(_size(path) for _, path in segments(folder))
        since = oldest.get(folder.name)
        figures[folder.name] = (size, 0.0 if since is None else max(now_ms - since, 0) / 1000)
    return figures


def policy_facts(loaded: Loaded, pauses: Iterable[Pause], now: datetime) -> PolicyFacts:
    """What is in force."""
    policy, compiled = loaded.config.policy, loaded.compiled
    exemptions: Counter[tuple[str, str]] = Counter()
    for exemption in policy.exemptions:
        for service in exemption.services:
            exemptions[service, "active" if now < exemption.until else "expired"] += 1
    paused = {pause.realm for pause in pauses if now < pause.until}
    return PolicyFacts(
        ban=policy.ban,
        ruleset=compiled.ruleset,
        mode=policy.mode.value,
        loaded_ms=int(loaded.at.timestamp() * 1000),
        services=compiled.services,
        rules=compiled.rules,
        exemptions=exemptions,
        paused={realm.name: realm.name in paused for realm in loaded.config.realms},
    )


def worker_problems(words: Words, processes: Mapping[str, Process], generation: int, now_ms: int) -> Iterator[str]:
    """Who does not follow the orders of a generation, or does not say that it lives."""
    for name, each in words.items():
        process = processes.get(name)
        if alive(each, now_ms):
            if each[word("worker_generation")] != generation:
                yield f"{name}: follows older orders, of generation {each[word('worker_generation')]}"
        elif process is not None and process.up:
            yield f"{name}: no heartbeat"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # deleted meanwhile
        return 0
