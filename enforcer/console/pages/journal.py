"""The events of the chain, for auditors: who signed in, exported, marked, reloaded, paused; starts, losses, purges."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from enforcer.attempts.attempt import Event
from enforcer.attempts.index import Place
from enforcer.console.asked import read_filter, read_page
from enforcer.console.pages.attempts import SPANS
from enforcer.console.site import Ask

PAGE = 50
SINCE = "30d"


@dataclass(frozen=True, slots=True)
class Entry:
    """One event. detail: names and values as text."""

    seq: int
    event: Event
    detail: tuple[tuple[str, str], ...]

    @property
    def place(self) -> Place:
        """Where the line stands."""
        return Place(self.event.time_ms, self.seq)


def view(ask: Ask) -> Mapping[str, object]:
    """The facts of the page."""
    which = read_filter(ask.words, ask.now, SINCE)
    page = read_page(ask.words)
    kind = ask.words.get("event")
    with ask.site.index() as index:
        lines = list(
            index.events(
                () if kind is None else (kind,),
                PAGE + 1,
                since_ms=which.since_ms,
                until_ms=which.until_ms,
                older=page.older,
                newer=page.newer,
            )
        )
    more = len(lines) > PAGE
    lines = lines[-PAGE:] if page.newer is not None else lines[:PAGE]
    rows = [Entry(line.seq, line.entry, _detail(line.entry)) for line in lines if isinstance(line.entry, Event)]
    return {
        "here": "journal",
        "rows": rows,
        "older": rows[-1].place if rows and (more or page.newer is not None) else None,
        "newer": rows[0].place if rows and (page.older is not None or (page.newer is not None and more)) else None,
        "spans": SPANS,
        "since": ask.words.get("since", SINCE),
        "kind": kind or "",
        "kinds": KINDS,
    }


KINDS = (
    "start",
    "stop",
    "reload",
    "configuration",
    "pause",
    "resume",
    "fail_open",
    "visit",
    "access",
    "mark",
    "lost",
    "purge",
    "hold",
)
"""What the menu offers; others are shown all the same."""


def _detail(event: Event) -> tuple[tuple[str, str], ...]:
    return tuple(
        (key, value if isinstance(value, str) else json.dumps(value))
        for key, value in event.detail.items()
        if value not in ("", None)
    )
