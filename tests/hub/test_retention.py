"""What is deleted and when, what stays, and what is said of it; the log verifies after each step."""

import asyncio
import json
import os
from collections.abc import Mapping
from pathlib import Path
from unittest import mock

import pytest

from enforcer.attempts.attempt import LINE_MAX
from enforcer.attempts.holds import held_path, hold_of, load_holds, prepare, prepared
from enforcer.attempts.log import BEGIN, Cursor, days
from enforcer.attempts.proofs import checkpoint_of, read_extract
from enforcer.errors import EnforcerError, Malformed, Unavailable
from enforcer.hub.retention import GRACE_DAYS, Retention
from tests.cli.site import attempt
from tests.hub.desk import DAY_MS, Desk
from tests.records import NOON_MS, whole

type Asked = Mapping[str, object]


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A log of five days, each with an attempt of two devices; today is the fifth. Records are kept for two days."""
    desk = Desk(tmp_path, settings={"retention_days": 2})
    for number in range(5):
        desk.now_ms = NOON_MS + number * DAY_MS
        entries = [attempt(number * 1440, ip) for ip in ("10.20.0.5", "10.20.0.6")]
        desk.log.append(entries, desk.clock())
    return desk


def part(desk: Desk, **cursors: Cursor) -> Retention:
    return Retention(desk.means, lambda: cursors)


def run(part: Retention) -> None:
    """One look."""
    with (
        mock.patch("enforcer.hub.retention.asyncio.sleep", side_effect=[None, asyncio.CancelledError]),
        pytest.raises(asyncio.CancelledError),
    ):
        asyncio.run(part.run())


def ask(part: Retention, op: str, **request: object) -> Asked:
    async def answer() -> Asked:
        return await part.operations[op]({"who": "alice", "reason": "a test", **request})

    return asyncio.run(answer())


def left(desk: Desk) -> list[int]:
    return [int(path.stem[-2:]) for path in days(desk.folders.log)]


def values(part: Retention) -> dict[str, float]:
    return {f"{s.name}{''.join(s.labels.values())}": s.value for family in part.metrics() for s in family.samples}


def test_days_older_than_they_may_be_are_deleted_with_a_proof(desk: Desk) -> None:
    forgotten: list[int] = []
    desk.means = type(desk.means)(desk.config, desk.folders, desk.clock, desk.record, desk.log, forgotten.append)
    before = whole(desk.folders.log)
    retention = part(desk)
    assert values(retention)["enforcer_log_purged_files_totalretention"] == 0
    run(retention)
    assert left(desk) == [25, 26, 27]
    assert forgotten == [NOON_MS - DAY_MS // 2 + DAY_MS * number for number in (1, 2)]
    report = whole(desk.folders.log)
    assert (report.purged, report.first) == (("2026-11-23", "2026-11-24"), 1)
    assert report.seq == before.seq + 2
    first, second = desk.events("purge")
    assert (first["day"], first["first"], first["lines"], first["held"], first["who"]) == (
        *("2026-11-23", 1, 3, 0, "retention"),
    )
    assert second["reason"] == "older than 2 days"
    assert desk.log.synced.seq == desk.log.seq
    assert list(retention.problems()) == []
    found = values(retention)
    assert found["enforcer_log_purged_files_totalretention"] == 2
    assert found["enforcer_log_oldest_timestamp_seconds"] == NOON_MS / 1000 - 43_200 + 2 * 86_400


def test_the_newest_day_is_never_deleted(desk: Desk) -> None:
    ask(part(desk), "purge", before="2099-01-01")
    assert left(desk) == [27]


def test_a_reload_changes_how_long_records_are_kept(desk: Desk) -> None:
    retention = part(desk)
    attempts = desk.config.attempts.model_copy(update={"retention_days": 4})
    retention.follow(desk.config.model_copy(update={"attempts": attempts}))
    run(retention)
    assert left(desk) == [23, 24, 25, 26, 27]


def test_a_day_that_a_sink_has_not_read_waits_and_it_is_said(desk: Desk) -> None:
    size = (desk.folders.log / "2026-11-23.ndjson").stat().st_size
    retention = part(desk, siem=Cursor("2026-11-23", size, 3), behind=Cursor("2026-11-23", size - 1, 2), new=BEGIN)
    run(retention)
    assert left(desk) == [23, 24, 25, 26, 27]
    first, second = retention.problems()
    assert "2026-11-23 is due and stays: not read yet by behind, new;" in first
    assert "2026-11-24 is due and stays: not read yet by siem, behind, new;" in second
    assert values(retention)["enforcer_log_overdue_filessink"] == 2


def test_a_sink_that_never_comes_is_passed_in_the_end_and_it_is_recorded(desk: Desk) -> None:
    desk.now_ms += (GRACE_DAYS - 1) * DAY_MS
    retention = part(desk, gone=BEGIN)
    run(retention)
    assert left(desk)[:4] == [24, 25, 26, 27]
    assert desk.events("purge")[0]["unread_by"] == ["gone"]


def test_a_hold_on_a_device_keeps_its_lines_and_nobody_elses(desk: Desk) -> None:
    retention = part(desk)
    line = (desk.folders.log / "2026-11-23.ndjson").read_bytes().splitlines()[0]
    ask(retention, "hold", name="case-1", device="dev-1", since="2026-11-20T00:00:00.000Z")
    assert desk.events("hold")[0]["state"] == "placed"
    run(retention)
    assert left(desk) == [25, 26, 27]
    found = read_extract(held_path(desk.folders.holds, "case-1", "2026-11-23"))
    assert [each.line for each in found.lines] == [line]
    assert found.checkpoint is not None
    assert found.lines[0].is_in(checkpoint_of(found.checkpoint))
    assert [event["held"] for event in desk.events("purge")] == [1, 1]
    assert list(retention.problems()) == []
    ask(retention, "release", name="case-1", reason="closed")
    assert load_holds(desk.folders.holds) == ()
    assert [(event["state"], event["reason"]) for event in desk.events("hold")] == [
        ("placed", "a test"),
        ("released", "closed"),
    ]
    whole(desk.folders.log)


@pytest.mark.parametrize("at", ["prepared", "told"])
def test_a_hold_whose_hub_was_killed_meanwhile_is_placed_and_recorded_at_the_next_look(desk: Desk, at: str) -> None:
    """Killed before its event was written, or before it was in force: then the event is there twice."""
    values = {"name": "case-1", "device": "dev-1", "since": None, "until": None, "reason": "a test", "who": "alice"}
    hold = hold_of({**values, "placed": "2026-11-27T12:00:00.000Z"})
    prepare(desk.folders.holds, hold)
    if at == "told":
        desk.record("hold", {"state": "placed", **hold.detail()})
    retention = part(desk)
    ask(retention, "purge", before="2026-11-24")
    assert load_holds(desk.folders.holds) == (hold,)
    assert prepared(desk.folders.holds) == ()
    assert desk.events("hold") == [{"state": "placed", **hold.detail()}] * (2 if at == "told" else 1)
    assert len(read_extract(held_path(desk.folders.holds, "case-1", "2026-11-23")).lines) == 1
    run(retention)
    assert len(desk.events("hold")) == (2 if at == "told" else 1)


def test_the_event_of_a_hold_is_on_the_disk_before_it_is_in_force(desk: Desk) -> None:
    retention = part(desk)
    with (
        mock.patch.object(desk.log, "sync", side_effect=OSError(5, "Input/output error")),
        pytest.raises(Unavailable, match="cannot be placed: Input/output error"),
    ):
        ask(retention, "hold", name="case-1", device="dev-1")
    assert load_holds(desk.folders.holds) == prepared(desk.folders.holds) == ()
    ask(retention, "hold", name="case-1", device="dev-1")
    assert [hold.name for hold in load_holds(desk.folders.holds)] == ["case-1"]


def test_a_hold_on_a_time_keeps_whole_days(desk: Desk) -> None:
    retention = part(desk)
    ask(retention, "hold", name="audit", since="2026-11-24T00:00:00.000Z", until="2026-11-24T12:00:00.000Z")
    run(retention)
    assert left(desk) == [24, 25, 26, 27]
    assert list(retention.problems()) == []
    assert values(retention)["enforcer_log_overdue_fileshold"] == 1
    assert values(retention)["enforcer_log_holds"] == 1
    ask(retention, "release", name="audit")
    run(retention)
    assert left(desk) == [25, 26, 27]
    whole(desk.folders.log)


def test_a_command_deletes_days_before_their_time(desk: Desk) -> None:
    retention = part(desk)
    dry = ask(retention, "purge", before="2026-11-26", dry=True)
    assert left(desk) == [23, 24, 25, 26, 27]
    done = ask(retention, "purge", before="2026-11-26")
    assert dry == done
    assert [each["day"] for each in done["days"]] == ["2026-11-23", "2026-11-24", "2026-11-25"]  # type: ignore[attr-defined]
    assert left(desk) == [26, 27]
    assert [(event["who"], event["reason"]) for event in desk.events("purge")] == [("alice", "a test")] * 3
    assert values(retention)["enforcer_log_purged_files_totalcommand"] == 3
    whole(desk.folders.log)


def test_a_day_without_its_last_checkpoint_stays(desk: Desk) -> None:
    path = desk.folders.log / "2026-11-23.ndjson"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:-1]))
    retention = part(desk)
    run(retention)
    assert left(desk) == [23, 25, 26, 27]
    assert "its last line is not the checkpoint that ends a day" in "".join(retention.problems())


def test_killed_between_the_proof_and_the_deletion_the_next_look_goes_on(desk: Desk) -> None:
    retention = part(desk)
    with mock.patch("enforcer.hub.retention._unlink", side_effect=OSError(5, "Input/output error")):
        run(retention)
    assert "retention: " in next(iter(retention.problems()))
    assert left(desk) == [23, 24, 25, 26, 27]
    whole(desk.folders.log)
    run(retention)
    assert left(desk) == [25, 26, 27]
    assert list(retention.problems()) == []
    whole(desk.folders.log)


def test_nothing_is_deleted_that_cannot_be_recorded(desk: Desk) -> None:
    retention = part(desk)
    real = os.write

    def full(fd: int, data: bytes) -> int:
        if b'"event":"purge"' in bytes(data):
            raise OSError(28, "No space left on device")
        return real(fd, data)

    with mock.patch.object(os, "write", full):
        run(retention)
    assert left(desk) == [23, 24, 25, 26, 27]
    assert "No space left" in "".join(retention.problems())
    whole(desk.folders.log)


def test_while_a_hold_cannot_be_read_nothing_is_deleted(desk: Desk) -> None:
    retention = part(desk)
    ask(retention, "hold", name="case-1", device="dev-1")
    (desk.folders.holds / "case-1" / "hold.json").write_text("{")
    run(retention)
    assert left(desk) == [23, 24, 25, 26, 27]
    assert "this hold cannot be read" in "".join(retention.problems())


@pytest.mark.parametrize(
    ("op", "request_", "error", "text"),
    [
        ("purge", {"before": "tomorrow"}, Malformed, '"before" is no day'),
        ("purge", {"before": "2026-11-26", "reason": ""}, Malformed, '"reason" is missing'),
        ("hold", {"name": "a/b", "device": "dev-1"}, Malformed, "is no name of a hold"),
        ("hold", {"name": "a"}, Malformed, "a hold on everything is no hold"),
        ("hold", {"name": "a", "device": "dev-1", "since": "noon"}, Malformed, "this is no hold"),
        ("hold", {"name": "a", "device": "dev-1", "who": ""}, Malformed, '"who" is missing'),
        ("release", {"name": "b"}, Malformed, '"b" is no hold'),
    ],
)
def test_a_request_that_makes_no_sense_changes_nothing(
    desk: Desk, op: str, request_: dict[str, object], error: type[EnforcerError], *, text: str
) -> None:
    with pytest.raises(error, match=text):
        ask(part(desk), op, **request_)
    assert left(desk) == [23, 24, 25, 26, 27]
    assert load_holds(desk.folders.holds) == ()


def test_the_event_of_a_hold_is_a_line_as_short_as_any_other(desk: Desk) -> None:
    ask(part(desk), "hold", name="case-1", device="d" * 200, reason="\u00e9" * 5000, who="w" * 5000)
    (line,) = desk.lines("event")
    assert len(json.dumps(line, separators=(",", ":"))) <= LINE_MAX


def test_a_full_disk_is_told(desk: Desk) -> None:
    retention = part(desk)
    ask(retention, "hold", name="case-1", device="dev-1")
    with mock.patch.object(os, "write", side_effect=OSError(28, "No space left on device")):
        for op, request in (
            ("hold", {"name": "case-2", "device": "dev-1"}),
            ("release", {"name": "case-1"}),
            ("purge", {"before": "2026-11-26"}),
        ):
            with pytest.raises(Unavailable, match="No space left"):
                ask(retention, op, **request)
    assert [hold.name for hold in load_holds(desk.folders.holds)] == ["case-1"]
    assert json.loads((desk.folders.holds / "case-1" / "hold.json").read_text())["device"] == "dev-1"
