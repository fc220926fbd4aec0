from pathlib import Path

from enforcer.counters import Counters, word
from enforcer.gateway.drops import Taken, write_taken
from enforcer.gateway.part import GatewayPart
from enforcer.orders import Orders
from enforcer.part import Means
from tests.processes.site import Site
from tests.records import NOON_MS, moment


def series(part: GatewayPart) -> dict[tuple[str, str], float]:
    [family] = part.metrics()
    return {(sample.labels["service"], sample.labels["layer"]): sample.value for sample in family.samples}


def part_of(site: Site, events: list[tuple[str, object]] | None = None) -> GatewayPart:
    site.folders.run.mkdir(parents=True)
    said = [] if events is None else events
    means = Means(site.config, site.folders, lambda: moment(NOON_MS), lambda *each: said.append(each), None)  # type: ignore[arg-type]
    return GatewayPart(means)


def test_every_service_of_the_policy_has_its_series_before_the_first_drop(tmp_path: Path) -> None:
    site = Site(tmp_path)
    part = part_of(site)
    assert series(part) == {}
    site.order(Orders(1, site.compile()))
    assert series(part) == {("chat", "ip"): 0, ("chat", "mmtls"): 0}


def test_drops_are_what_was_taken_over_of_the_kernels_counts(tmp_path: Path) -> None:
    site = Site(tmp_path)
    part = part_of(site)
    write_taken(site.folders.drops, Taken("made_1", {}, {("chat", "ip"): 12}))
    assert series(part) == {("chat", "ip"): 12}


def test_what_is_failed_open_is_an_event_and_a_problem_until_it_closes_or_the_gateway_dies(tmp_path: Path) -> None:
    site = Site(tmp_path)
    events: list[tuple[str, object]] = []
    part = part_of(site, events)
    part.look()
    assert (events, list(part.problems())) == ([], [])
    counters = Counters(site.folders.counters / "gateway-0")
    words, heartbeat = counters.words, word("worker_heartbeat_milliseconds")
    for heartbeat_ms, open_now, expected in (
        (NOON_MS, 1, "opened"),
        (NOON_MS, 1, None),
        (NOON_MS, 0, "closed"),
        (NOON_MS, 1, "opened"),
        (NOON_MS - 11_000, 1, "closed"),
    ):
        words[heartbeat], words[word("gateway_open", "dns")] = heartbeat_ms, open_now
        events.clear()
        part.look()
        assert events == ([] if expected is None else [("fail_open", {"part": "dns", "state": expected})])
        assert len(list(part.problems())) == (expected != "closed")
    counters.close()
