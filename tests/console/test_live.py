import asyncio
import json
from collections.abc import Mapping

from starlette.requests import Request

from enforcer.attempts.index import Filter
from enforcer.console import live
from enforcer.console.live import MOST, MOST_EACH, Streams, Tail, matches
from enforcer.console.pages.common import titles_of
from enforcer.console.routes import ask_of
from enforcer.policy.verdict import Layer
from tests.console.lab import Lab, attempt


def request_of(lab: Lab, query: str = "") -> Request:
    return Request(
        {
            "type": "http",
            "method": "GET",
            "path": "/live/stream",
            "query_string": query.encode(),
            "headers": [],
            "client": ("127.0.0.1", 5),
            "app": lab.app,
            "path_params": {},
        }
    )


def tail_of(lab: Lab, which: Filter | None = None) -> Tail:
    request = request_of(lab)
    ask = ask_of(request, lab.site, lab.site.access.visitor(request))
    return Tail(ask, which or Filter(), live._end(lab.site), titles_of(ask))


def told(event: str) -> Mapping[str, object]:
    found: Mapping[str, object] = json.loads(event.partition("data: ")[2])
    return found


def test_what_is_new_is_told_once_in_the_readers_words(lab: Lab) -> None:
    tail = tail_of(lab)
    assert tail.look() == []
    lab.write(attempt(5, count=3), attempt(6, None))
    first, second = tail.look()
    assert first.startswith("id: 6\ndata: ")
    assert first.endswith("\n\n")
    assert {**told(first), "id": None} == {
        "id": None,
        "time": "2026-11-23 12:05:00",
        "device": "dev-1",
        "known": True,
        "service": "Chat",
        "name": "a.chat.test",
        "layer": "DNS",
        "action": "blocked",
        "count": 3,
    }
    assert told(second)["known"] is False
    assert tail.look() == []


def test_a_filter_holds_for_the_tail_too(lab: Lab) -> None:
    tail = tail_of(lab, Filter(device="dev-2"))
    lab.write(attempt(5), attempt(6, "dev-2"))
    assert [told(event)["device"] for event in tail.look()] == ["dev-2"]


def test_a_flood_is_told_in_parts(lab: Lab) -> None:
    tail = tail_of(lab)
    lab.write(*(attempt(number) for number in range(10, 160)))
    assert [len(tail.look()), len(tail.look()), len(tail.look())] == [100, 50, 0]


def test_filters_match_as_the_index_does() -> None:
    one = attempt(1, layer=Layer.TLS)
    assert matches(one, Filter(service="chat", layer="tls", device="dev-1", group="field", realm="lab"))
    assert matches(one, Filter(name="chat.test"))
    assert matches(one, Filter(name="a.chat.test"))
    assert not matches(one, Filter(name="t.test"))
    assert not matches(one, Filter(layer="dns"))
    assert not matches(attempt(1, name=None), Filter(name="chat.test"))
    assert not matches(one, Filter(client_ip="10.20.0.6"))


def test_tails_are_bounded() -> None:
    streams = Streams()
    assert [streams.take("a") for _ in range(MOST_EACH + 1)] == [True] * MOST_EACH + [False]
    assert sum(streams.take(str(number)) for number in range(MOST)) == MOST - MOST_EACH
    streams.give("a")
    assert streams.take("b")


def test_the_stream_ends_with_its_browser_and_gives_its_place_back(lab: Lab) -> None:
    async def listen() -> list[str]:
        request = request_of(lab)
        gone = asyncio.Event()

        async def receive() -> dict[str, str]:
            await gone.wait()
            return {"type": "http.disconnect"}

        request._receive = receive
        streams = Streams()
        assert streams.take("a")
        tail = tail_of(lab)
        lab.write(attempt(5))
        found = []
        async for event in live._events(request, tail, streams, "a"):
            found.append(event)
            if "data:" in event:
                gone.set()
        assert streams._open["a"] == 0
        return found

    begin, event = asyncio.run(listen())
    assert begin.startswith("retry: 2000\n")
    assert told(event)["device"] == "dev-1"


def test_who_may_not_look_may_not_listen(lab: Lab) -> None:
    assert lab.client("10.0.0.1").get("/live/stream").status_code == 401
    assert lab.client().get("/live/stream?since=never").status_code == 400
    lab.app.state.streams._open["local 127.0.0.1"] = MOST_EACH
    assert lab.client().get("/live/stream").status_code == 429
