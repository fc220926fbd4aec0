from pathlib import Path

import pytest

from enforcer.attempts.log import BEGIN, Cursor
from enforcer.attempts.sinks.cursor import Mark, save_mark
from enforcer.attempts.sinks.follow import Progress
from enforcer.attempts.sinks.status import Status, write_status
from enforcer.config.sinks import Sink, SinkType
from enforcer.hub.sinks import STALE_MS, SinkWatch
from tests.hub.desk import Desk
from tests.records import NOON_MS

SINK = Sink(type=SinkType.FILE, name="soc", path=Path("x"))


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path, settings={"sinks": (SINK,)})
    desk.folders.sink_status.mkdir(parents=True)
    for _ in range(5):
        desk.record("start", {})
    return desk


def told(desk: Desk) -> dict[str, float]:
    return {
        sample.name.removeprefix("enforcer_sink_"): sample.value
        for family in SinkWatch(desk.means).metrics()
        for sample in family.samples
        if sample.labels == {"sink": "soc"}
    }


def write(desk: Desk, progress: Progress) -> None:
    write_status(desk.folders.sink_status / "soc.json", Status(NOON_MS, progress))


def test_a_sink_that_keeps_up(desk: Desk) -> None:
    write(desk, Progress(records=4, failures=1, refused=2, missed=3, seq=5))
    assert told(desk) == {
        "records_total": 4,
        "failures_total": 1,
        "refused_total": 2,
        "missed_total": 3,
        "lag_records": 0,
        "lag_seconds": 0,
    }
    assert list(SinkWatch(desk.means).problems()) == []


def test_a_sink_that_is_away(desk: Desk) -> None:
    write(desk, Progress(seq=2, waiting_ms=NOON_MS - 60_000, trouble="siem.test:6514: Connection refused"))
    assert (told(desk)["lag_records"], told(desk)["lag_seconds"]) == (3, 60)
    assert list(SinkWatch(desk.means).problems()) == ["sink soc: siem.test:6514: Connection refused (3 lines behind)"]


def test_a_process_that_is_gone(desk: Desk) -> None:
    assert told(desk)["lag_records"] == 5
    (said,) = SinkWatch(desk.means).problems()
    assert said == "sink soc: the process that feeds it does not say that it lives"
    write(desk, Progress(seq=5))
    desk.now_ms += STALE_MS + 5000
    assert told(desk)["lag_seconds"] == 15
    assert list(SinkWatch(desk.means).problems()) == [said]


def test_a_reload_changes_what_is_watched(desk: Desk) -> None:
    watch = SinkWatch(desk.means)
    attempts = desk.config.attempts.model_copy(update={"sinks": ()})
    watch.follow(desk.config.model_copy(update={"attempts": attempts}))
    assert [sample for family in watch.metrics() for sample in family.samples] == []


def test_retention_hears_how_far_each_configured_sink_is(desk: Desk) -> None:
    watch = SinkWatch(desk.means)
    assert watch.cursors() == {"soc": BEGIN}
    desk.folders.sinks.mkdir(parents=True)
    for name in ("soc", "gone"):
        save_mark(desk.folders.sinks / f"{name}.json", Mark(Cursor("2026-11-23", 7, 3), bytes(32)))
    assert watch.cursors() == {"soc": Cursor("2026-11-23", 7, 3)}
