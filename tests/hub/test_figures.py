from collections import Counter
from datetime import timedelta
from pathlib import Path

import pytest

from enforcer.attempts.spool import Spool, segments
from enforcer.config.policy import Exemption
from enforcer.counters import Counters, word
from enforcer.devices.inventory import Inventory
from enforcer.hub.compiler import Compiled
from enforcer.hub.figures import Process, by_kind, policy_facts, split, spool_figures, words_of, worker_problems
from enforcer.hub.loading import Loaded
from enforcer.hub.metrics import ALIVE_MS
from enforcer.orders import Pause
from tests.processes.site import Site
from tests.records import NOON_MS, moment, spooled

UP = {"dns-0": Process("dns", 4, 2, up=True)}


def test_attempts_are_told_by_kind_and_by_what_told_their_device() -> None:
    live = {("chat", "dns", "blocked", "radius"): 3, ("chat", "dns", "blocked", "lease"): 2}
    assert split(live) == (Counter({("chat", "dns", "blocked"): 5}), Counter({"radius": 3, "lease": 2}))


def test_processes_are_told_by_kind() -> None:
    restarts, up = by_kind([*UP.values(), Process("dns", None, 5, up=False)])
    assert (restarts, up) == ({"dns": 7}, {"dns": 1})


def test_a_spool_has_a_size_and_its_oldest_attempt_an_age(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "dns-0", window_ms=60_000, max_bytes=1 << 30)
    spool.open(spooled(), NOON_MS)
    ((_, path),) = segments(tmp_path / "dns-0")
    size = path.stat().st_size
    assert spool_figures(tmp_path, {"dns-0": NOON_MS}, NOON_MS + 2500) == {"dns-0": (size, 2.5)}
    assert spool_figures(tmp_path, {}, NOON_MS) == {"dns-0": (size, 0.0)}
    assert spool_figures(tmp_path, {"dns-0": NOON_MS}, NOON_MS - 1) == {"dns-0": (size, 0.0)}, "the clock went back"
    spool.close()


def test_what_is_in_force_with_its_exemptions_and_pauses(tmp_path: Path) -> None:
    now = moment(NOON_MS)
    config = Site(tmp_path).config
    exemptions = [
        Exemption(device="dev-1", services=("chat",), until=now + timedelta(days=days), reason="r", approved_by="a")
        for days in (1, -1)
    ]
    config = config.model_copy(update={"policy": config.policy.model_copy(update={"exemptions": tuple(exemptions)})})
    loaded = Loaded(config, Inventory(), Compiled("ab" * 32, ("chat",), {("chat", "suffix"): 3}), now)
    facts = policy_facts(loaded, [Pause("lab", now + timedelta(minutes=1))], now)
    assert (facts.ban, facts.ruleset, facts.loaded_ms) == ("ban-1", "ab" * 6, NOON_MS)
    assert facts.exemptions == {("chat", "active"): 1, ("chat", "expired"): 1}
    assert facts.paused == {"lab": True}
    assert policy_facts(loaded, [Pause("lab", now)], now).paused == {"lab": False}, "it is over"


@pytest.mark.parametrize(
    ("generation", "after_ms", "said"),
    [
        (1, 0, []),
        (2, 0, ["dns-0: follows older orders, of generation 1"]),
        (1, ALIVE_MS + 1, ["dns-0: no heartbeat"]),
    ],
)
def test_a_worker_that_does_not_follow_or_live_is_a_problem(
    tmp_path: Path, generation: int, after_ms: int, said: list[str]
) -> None:
    counters = Counters(tmp_path / "dns-0")
    counters.words[word("worker_generation")] = 1
    counters.words[word("worker_heartbeat_milliseconds")] = NOON_MS
    words = words_of(tmp_path)
    counters.close()
    assert list(worker_problems(words, UP, generation, NOON_MS + after_ms)) == said
    gone = {"dns-0": Process("dns", None, 2, up=False)}
    assert list(worker_problems(words, gone, 1, NOON_MS + ALIVE_MS + 1)) == [], "nobody says that it is up"
