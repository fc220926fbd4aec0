"""The live tail: new attempts as they are written to the log, as server-sent events."""

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response, StreamingResponse

from enforcer.attempts.attempt import Attempt, parse_line
from enforcer.attempts.index import Filter
from enforcer.attempts.log import BEGIN, Cursor, days, read
from enforcer.console.access import Visitor
from enforcer.console.asked import WORDS, read_filter
from enforcer.console.pages.attempts import Row
from enforcer.console.pages.common import titles_of
from enforcer.console.roles import Right
from enforcer.console.routes import answered, ask_of, refusal
from enforcer.console.site import Ask, Site
from enforcer.console.texts import stamp
from enforcer.errors import Corrupt, EnforcerError

MOST, MOST_EACH = 40, 4
POLL_S, QUIET_S, WHOLE_S = 0.5, 15.0, 900.0
_BURST = 100
"""Lines of one look; a flood is shown in part, and the page says so."""


class Streams:
    """How many tails are open, in all and for each person."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def take(self, name: str) -> bool:
        """Whether there is room for one more."""
        if self._open.total() >= MOST or self._open[name] >= MOST_EACH:
            return False
        self._open[name] += 1
        return True

    def give(self, name: str) -> None:
        """One has ended."""
        self._open[name] -= 1


@dataclass(slots=True)
class Tail:
    """Where a tail is in the log. What is older than its beginning is on the page of the attempts."""

    ask: Ask
    which: Filter
    cursor: Cursor
    titles: Mapping[str, str]

    def look(self) -> list[str]:
        """The events for what is new; a thread's work."""
        found: list[str] = []
        for line, day, offset in read(self.ask.site.log, self.cursor):
            self.cursor = Cursor(day, offset, 0)
            try:
                parsed = parse_line(line)
            except Corrupt:
                continue
            if isinstance(parsed.entry, Attempt) and matches(parsed.entry, self.which):
                row = Row(parsed.id, parsed.seq, parsed.entry)
                found.append(f"id: {parsed.seq}\ndata: {json.dumps(self._cells(row))}\n\n")
                if len(found) == _BURST:
                    break
        return found

    def _cells(self, row: Row) -> dict[str, object]:
        """What the page's script puts into a row, as text and addresses alone."""
        block, say = row.attempt.block, self.ask.say
        local = datetime.fromtimestamp(row.attempt.time_ms / 1000, UTC).astimezone(self.ask.site.zone)
        return {
            "id": row.id,
            "time": stamp(local),
            "device": row.device or row.attempt.client_ip or "–",
            "known": row.device is not None,
            "service": self.titles.get(block.service, block.service),
            "name": row.shown or "–",
            "layer": say(f"layer.{block.layer}"),
            "action": say(f"action.{block.action}"),
            "count": row.attempt.count,
        }


def page(ask: Ask) -> Mapping[str, object]:
    """The facts of the page with the tail. Raises Wrong."""
    read_filter(ask.words, ask.now)
    return {"here": "attempts", "narrowed": {key: ask.words[key] for key in WORDS if key in ask.words}}


async def _stream(request: Request, site: Site, visitor: Visitor) -> Response:
    if visitor.person is None or refusal(request, site, visitor, Right.VIEW) is not None:
        return PlainTextResponse("sign in first", 401)
    ask = ask_of(request, site, visitor)
    try:
        which = read_filter(ask.words, ask.now)
    except EnforcerError as error:
        return PlainTextResponse(str(error), 400)
    streams: Streams = request.app.state.streams
    name = f"{ask.person.name} {visitor.address}"
    if not streams.take(name):
        return PlainTextResponse("too many tails are open", 429)
    tail = Tail(ask, which, await run_in_threadpool(_end, site), await run_in_threadpool(titles_of, ask))
    return StreamingResponse(
        _events(request, tail, streams, name),
        media_type="text/event-stream",
        headers={"cache-control": "no-store", "x-accel-buffering": "no"},
    )


async def _events(request: Request, tail: Tail, streams: Streams, name: str) -> AsyncIterator[str]:
    """Until the browser goes, or a quarter of an hour has passed: it then comes back by itself, if it still may."""
    quiet = whole = 0.0
    try:
        yield f"retry: 2000\n: {tail.ask.now.isoformat()}\n\n"
        while whole < WHOLE_S and not await request.is_disconnected():
            found = await run_in_threadpool(tail.look)
            for event in found:
                yield event
            quiet = 0.0 if found else quiet + POLL_S
            if quiet >= QUIET_S:
                quiet = 0.0
                yield ": nothing new\n\n"
            whole += POLL_S
            await asyncio.sleep(POLL_S)
    finally:
        streams.give(name)


stream = answered(_stream)
"""The address that the page's script listens to."""


def matches(attempt: Attempt, which: Filter) -> bool:
    """Whether an attempt is one that a filter asks for; its times do not matter here."""
    block, owner = attempt.block, attempt.owner
    has = {
        "service": block.service,
        "part": block.part,
        "evidence": block.evidence,
        "layer": str(block.layer),
        "action": str(block.action),
        "realm": block.realm,
        "rule": block.rule,
        "device": owner.device,
        "group": owner.group,
        "client_ip": attempt.client_ip,
    }
    if any(getattr(which, key) not in {None, value} for key, value in has.items()):
        return False
    name = which.name
    return name is None or (block.name is not None and (block.name == name or block.name.endswith(f".{name}")))


def _end(site: Site) -> Cursor:
    files = days(site.log)
    return Cursor(files[-1].stem, files[-1].stat().st_size, 0) if files else BEGIN
