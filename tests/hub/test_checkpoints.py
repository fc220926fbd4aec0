import asyncio
import os
from pathlib import Path
from unittest import mock

import pytest

from enforcer.errors import Unavailable
from enforcer.hub.checkpoints import Checkpoints
from tests.hub.desk import NOTARY, Desk
from tests.records import NOON_MS, whole


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path, settings={"checkpoint_s": 60.0})
    desk.record("start", {})
    return desk


def run(part: Checkpoints, desk: Desk, *seconds: int) -> None:
    """Let the part look at its clock at these seconds after noon."""
    times = iter(seconds)

    async def look(_: float) -> None:
        try:
            desk.now_ms = NOON_MS + next(times) * 1000
        except StopIteration:
            raise asyncio.CancelledError from None

    with mock.patch("enforcer.hub.checkpoints.asyncio.sleep", look), pytest.raises(asyncio.CancelledError):
        asyncio.run(part.run())


def values(part: Checkpoints) -> dict[str, float]:
    return {f"{s.name}{''.join(s.labels.values())}": s.value for family in part.metrics() for s in family.samples}


def test_the_log_is_signed_at_once_and_at_the_interval(desk: Desk) -> None:
    run(Checkpoints(desk.means), desk, 1, 2, 60, 61, 62, 121)
    assert [line["time"] for line in desk.lines("checkpoint")] == [
        "2026-11-23T12:00:01.000Z",
        "2026-11-23T12:01:01.000Z",
        "2026-11-23T12:02:01.000Z",
    ]
    assert whole(desk.folders.log).unsigned == 0
    assert desk.log.synced.seq == 4


def test_a_clock_that_goes_back_does_not_put_it_off(desk: Desk) -> None:
    run(Checkpoints(desk.means), desk, 1000, 1001, 500, 501)
    assert len(desk.lines("checkpoint")) == 2


def test_a_reload_changes_the_interval(desk: Desk) -> None:
    part = Checkpoints(desk.means)
    attempts = desk.config.attempts.model_copy(update={"checkpoint_s": 10.0})
    part.follow(desk.config.model_copy(update={"attempts": attempts}))
    run(part, desk, 0, 9, 10)
    assert len(desk.lines("checkpoint")) == 2


def test_whoever_asks_gets_one_that_is_on_the_disk(desk: Desk) -> None:
    part = Checkpoints(desk.means)
    assert asyncio.run(part.operations["checkpoint"]({})) == {"seq": 2}  # type: ignore[arg-type]
    assert desk.log.synced.seq == 2
    assert desk.lines("checkpoint")[0]["key"] == NOTARY.name


def test_metrics_tell_how_old_the_signature_is(desk: Desk) -> None:
    part = Checkpoints(desk.means)
    assert values(part) == {
        "enforcer_log_checkpoint_timestamp_seconds": 0,
        "enforcer_log_unsigned_records": 1,
        "enforcer_log_checkpoints_totalok": 0,
        "enforcer_log_checkpoints_totalfailed": 0,
    }
    run(part, desk, 7)
    desk.record("reload", {})
    found = values(part)
    assert found["enforcer_log_checkpoint_timestamp_seconds"] == NOON_MS / 1000 + 7
    assert (found["enforcer_log_unsigned_records"], found["enforcer_log_checkpoints_totalok"]) == (1, 1)


def test_a_log_that_cannot_be_written_is_a_problem_until_it_can(desk: Desk) -> None:
    part = Checkpoints(desk.means)
    assert list(part.problems()) == []
    with mock.patch.object(os, "write", side_effect=OSError(28, "No space left on device")):
        run(part, desk, 1, 2)
        with pytest.raises(Unavailable, match="the log cannot be signed: No space left on device"):
            asyncio.run(part.operations["checkpoint"]({}))  # type: ignore[arg-type]
    assert list(part.problems()) == ["the log cannot be signed: No space left on device"]
    assert values(part)["enforcer_log_checkpoints_totalfailed"] == 3
    run(part, desk, 3)
    assert list(part.problems()) == []
    whole(desk.folders.log)


def test_a_part_that_does_not_get_to_run_is_a_problem(desk: Desk) -> None:
    part = Checkpoints(desk.means)
    desk.now_ms += 181_000
    assert "was not signed for long" in "".join(part.problems())
