"""Calendar months in UTC, written `2026-11`: attempts are kept, and let go of, by the month."""

from functools import lru_cache

from enforcer.attempts.attempt import milliseconds, moment

_DAY_MS = 86_400_000


def month_of(ms: int) -> str:
    """The month of a moment."""
    return _month_of_day(ms // _DAY_MS)


def bounds(month: str) -> tuple[int, int]:
    """The first moment of a month, and that of the next one, in ms since 1970."""
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + number // 12:04d}-{number % 12 + 1:02d}"
    return milliseconds(f"{month}-01T00:00:00.000Z"), milliseconds(f"{following}-01T00:00:00.000Z")


@lru_cache(1024)
def _month_of_day(day: int) -> str:
    return moment(day * _DAY_MS)[:7]
