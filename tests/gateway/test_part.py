from pathlib import Path

from enforcer.gateway.drops import Taken, write_taken
from enforcer.gateway.part import GatewayPart
from enforcer.orders import Orders
from enforcer.part import Means
from tests.processes.site import Site
from tests.records import NOON_MS, moment


def series(part: GatewayPart) -> dict[tuple[str, str], float]:
    [family] = part.metrics()
    return {(sample.labels["service"], sample.labels["layer"]): sample.value for sample in family.samples}


def part_of(site: Site) -> GatewayPart:
    site.folders.run.mkdir(parents=True)
    means = Means(site.config, site.folders, lambda: moment(NOON_MS), lambda *_: None, None)  # type: ignore[arg-type]
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
