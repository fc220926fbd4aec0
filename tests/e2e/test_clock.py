"""Clocks that are set while the service runs: pauses and exemptions end by the clock, the record goes on."""

import json
from datetime import UTC, datetime, timedelta

from tests.e2e.lan import LAB, PAUSED, Service, Step, assert_whole, exemption, total, wait_for


def test_a_pause_observes_and_ends_by_itself(timed: Service, clock: tuple[dict[str, str], Step]) -> None:
    timed.start()
    assert timed.dig("pause.blocked.test", source=PAUSED).status == "NXDOMAIN"
    timed.enforcer("pause", "--realm", "pausable", "--minutes", "10", "--reason", "ticket 4711")
    wait_for(lambda: timed.dig("pause.blocked.test", source=PAUSED).status == "NOERROR", "the pause holds")
    assert timed.dig("pause.blocked.test").status == "NXDOMAIN"  # another realm
    timed.recorded(1, realm="pausable", action="observed")
    [pause] = timed.events("pause")
    assert (pause["realm"], pause["reason"], pause["minutes"]) == ("pausable", "ticket 4711", 10)
    clock[1](9 * 60)
    assert timed.dig("pause.blocked.test", source=PAUSED).status == "NOERROR"
    clock[1](10 * 60 + 1)
    wait_for(lambda: timed.dig("pause.blocked.test", source=PAUSED).status == "NXDOMAIN", "the pause has ended")
    wait_for(lambda: timed.events("resume"), "the end is recorded")
    assert timed.dig("pause.blocked.test", source=PAUSED).ede == "15 (Blocked)"


def test_a_pause_can_be_ended(service: Service) -> None:
    service.enforcer("pause", "--realm", "pausable", "--minutes", "1", "--reason", "ticket 4712")
    wait_for(lambda: service.dig("ended.blocked.test", source=PAUSED).status == "NOERROR", "the pause holds")
    service.enforcer("resume", "--realm", "pausable")
    wait_for(lambda: service.dig("ended.blocked.test", source=PAUSED).status == "NXDOMAIN", "the pause has ended")


def test_an_exemption_ends_at_its_second(timed: Service, clock: tuple[dict[str, str], Step]) -> None:
    until = datetime.now(UTC) + timedelta(hours=1)
    timed.change(**{"policy.exemptions": [exemption("lab", until.isoformat(timespec="seconds"))]})
    timed.start()
    assert timed.dig("until.blocked.test", source=LAB).status == "NOERROR"
    clock[1](3601)
    wait_for(lambda: timed.dig("until.blocked.test", source=LAB).status == "NXDOMAIN", "it has ended")
    timed.recorded(1, name="until.blocked.test", device="lab")


def test_a_clock_that_goes_back_costs_no_attempt(timed: Service, clock: tuple[dict[str, str], Step]) -> None:
    timed.start()
    for steps, seconds in enumerate((0, -3600, -7200)):
        clock[1](seconds)
        for number in range(5):
            assert timed.dig(f"step{number}.blocked.test").status == "NXDOMAIN"
        wait_for(lambda: len(timed.events("clock_step")) == steps, "the hub has seen it")  # noqa: B023 (at once)
    timed.recorded(15)
    assert total(timed.attempts()) == 15
    assert all(3_500_000 < step["back_ms"] < 3_700_000 for step in timed.events("clock_step"))
    assert timed.stop() == 0
    assert total(timed.attempts()) == timed.counted("dns_responses", outcome="blocked") == 15
    assert_whole(timed)


def test_midnight_ends_the_day_with_a_signature(timed: Service, clock: tuple[dict[str, str], Step]) -> None:
    timed.start()
    timed.dig("eve.blocked.test")
    timed.recorded(1, name="eve.blocked.test")
    clock[1](86_400)
    timed.dig("day.blocked.test")
    timed.recorded(1, name="day.blocked.test")
    [step] = wait_for(lambda: timed.events("clock_step"), "the step is in the chain")
    assert 86_000_000 < step["forward_ms"] < 87_000_000
    first, second = sorted((timed.data / "log").glob("*.ndjson"))
    last = json.loads(first.read_text().splitlines()[-1])
    assert (last["type"], last["day"], last["closes"]) == ("checkpoint", first.stem, "day")
    assert json.loads(second.read_text().splitlines()[0])["seq"] == last["seq"] + 1
    assert timed.stop() == 0
    assert_whole(timed)
