from datetime import UTC

from enforcer.processes.clock import utc_now, wall_ms


def test_the_clock_is_in_utc_and_the_same_in_both_forms() -> None:
    before = wall_ms()
    now = utc_now()
    assert now.tzinfo is UTC
    assert before <= now.timestamp() * 1000 < before + 60_000
