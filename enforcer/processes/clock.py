"""The clock. Whoever else wants to know the time is told it."""

import time
from datetime import UTC, datetime

from enforcer.resolver.conduct import Clock


def wall_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000  # noqa: TID251 (the clock)


def utc_now() -> datetime:
    """The moment, in UTC."""
    return datetime.now(UTC)  # noqa: TID251 (the clock)


CLOCK = Clock(wall_ms, time.monotonic)  # noqa: TID251 (the clock)
