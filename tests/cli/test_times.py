from datetime import UTC, datetime, timedelta

import click
import pytest

from enforcer.cli.times import moment_option, read_moment
from tests.records import NOON_MS, moment

NOW = moment(NOON_MS)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("90s", NOW - timedelta(seconds=90)),
        ("3d", NOW - timedelta(days=3)),
        ("2w", NOW - timedelta(weeks=2)),
        ("2026-11-01", datetime(2026, 11, 1, tzinfo=UTC)),
        ("2026-11-01T09:30-05:00", datetime(2026, 11, 1, 14, 30, tzinfo=UTC)),
        (None, None),
    ],
)
def test_times_are_read_as_people_write_them(text: str | None, expected: datetime | None) -> None:
    assert read_moment(text, NOW) == expected


@pytest.mark.parametrize("text", ["yesterday", "2026-11-23T12:00", "999999w", "1y", ""])
def test_what_is_no_time_is_told_with_an_example(text: str) -> None:
    with pytest.raises(click.BadParameter, match='is not a time; write one, as in "1h", "2026-11-01"'):
        read_moment(text, NOW)


def test_an_option_takes_a_time() -> None:
    @click.command()
    @moment_option("--since", "From then on.")
    def command(since: datetime | None) -> None:
        assert since == datetime(2026, 11, 1, tzinfo=UTC)

    command.main(["--since", "2026-11-01"], standalone_mode=False)
