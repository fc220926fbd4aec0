"""Times as people write them in options."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta

import click

from enforcer.config.values import parse_until, quoted
from enforcer.processes.clock import utc_now

_AGO = re.compile(r"(\d{1,6})([smhdw])")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def read_moment(value: str | None, now: datetime) -> datetime | None:
    """Read `1h`, a date (00:00 UTC of that day), or a time with its zone. Raises click.BadParameter."""
    if value is None:
        return None
    ago = _AGO.fullmatch(value)
    try:
        if ago is not None:
            return now - timedelta(seconds=int(ago[1]) * _SECONDS[ago[2]])
        return parse_until(value)
    except (ValueError, OverflowError):
        example = '"1h", "2026-11-01" or "2026-11-01T09:30Z"'
        raise click.BadParameter(f"{quoted(value)} is not a time; write one, as in {example}") from None


def moment_option[F: Callable[..., object]](name: str, help: str, *, required: bool = False) -> Callable[[F], F]:  # noqa: A002
    """Add an option that takes a time."""

    def read(_: click.Context, __: click.Parameter, value: str | None) -> datetime | None:
        return read_moment(value, utc_now())

    return click.option(name, callback=read, metavar="TIME", help=help, required=required)
