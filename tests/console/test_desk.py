from collections.abc import Mapping

import pytest

from enforcer.attempts.index import Filter, Review, Subject
from enforcer.config.pages import Role
from enforcer.console.desk import Desk, Visit
from enforcer.console.roles import Person, Via
from enforcer.errors import EnforcerError, Unavailable

PERSON = Person("rev", frozenset({Role.REVIEWER}), Via.PASSWORD)
IN = Visit("sign_in", "rev", Via.PASSWORD, "192.0.2.1")
OUT = Visit("sign_out", "rev", Via.PASSWORD, "")
METRICS = '# TYPE a gauge\na 1\n# TYPE b counter\nb_total{sink="x"} 2\n'


class Hub:
    """Keeps what it is asked, unless it is away or refuses."""

    def __init__(self) -> None:
        self.asked: list[Mapping[str, object]] = []
        self.trouble: EnforcerError | None = None

    def ask(self, request: Mapping[str, object]) -> Mapping[str, object]:
        if self.trouble is not None:
            raise self.trouble
        self.asked.append(request)
        return {"answer": 1}


def test_marks_name_the_incident_and_who() -> None:
    hub = Hub()
    Desk(hub.ask, str).mark(Subject("dev-1"), "chat", Review.CLOSED, "a test", PERSON)
    assert hub.asked == [
        {
            "op": "mark",
            "device": "dev-1",
            "realm": None,
            "client_ip": None,
            "service": "chat",
            "state": "closed",
            "note": "a test",
            "who": "rev",
        }
    ]


def test_what_must_be_recorded_first_is_not_done_without_the_hub() -> None:
    hub = Hub()
    hub.trouble = Unavailable("away")
    with pytest.raises(Unavailable):
        Desk(hub.ask, str).export(PERSON, "attempts as csv", Filter())


def test_what_may_be_recorded_later_waits_in_order() -> None:
    hub = Hub()
    desk = Desk(hub.ask, str)
    hub.trouble = Unavailable("away")
    desk.visited(IN)
    desk.visited(OUT)
    hub.trouble = None
    desk.export(PERSON, "attempts as csv, device=dev-1", Filter(since_ms=0, device="dev-1"))
    assert [each.get("what") for each in hub.asked] == ["sign_in", "sign_out", None]
    assert hub.asked[0] == {"op": "visit", "what": "sign_in", "who": "rev", "via": "password", "from": "192.0.2.1"}
    assert hub.asked[1]["from"] == "?"
    assert hub.asked[2] == {
        "op": "access",
        "look": "export",
        "who": "rev",
        "reason": "console: attempts as csv, device=dev-1",
        "device": "dev-1",
        "since": "1970-01-01T00:00:00.000Z",
        "until": None,
        "records": None,
    }


def test_what_waits_is_bounded() -> None:
    hub = Hub()
    desk = Desk(hub.ask, str)
    hub.trouble = Unavailable("away")
    for _ in range(1000):
        desk.visited(IN)
    with pytest.raises(Unavailable, match="start the hub"):
        desk.visited(IN)


def test_what_the_hub_will_never_take_does_not_hold_up_the_rest() -> None:
    hub = Hub()
    desk = Desk(hub.ask, str)
    hub.trouble = EnforcerError("no")
    desk.visited(IN)
    hub.trouble = None
    desk.visited(IN)
    assert len(hub.asked) == 1


def test_metrics_are_read_sample_by_sample() -> None:
    figures = Desk(Hub().ask, lambda: METRICS).figures()
    assert [(each.name, dict(each.labels), each.value) for each in figures] == [
        ("a", {}, 1),
        ("b_total", {"sink": "x"}, 2),
    ]


def test_operations_carry_the_name_of_who_asks() -> None:
    hub = Hub()
    desk = Desk(hub.ask, str)
    desk.reload(PERSON)
    desk.pause("lab", 5, "a test", PERSON)
    desk.resume("lab", PERSON)
    assert desk.status() == {"answer": 1}
    assert [(each["op"], each.get("who")) for each in hub.asked[:3]] == [
        ("reload", "rev"),
        ("pause", "rev"),
        ("resume", "rev"),
    ]


def test_what_a_device_holds_is_read_with_what_is_missing() -> None:
    told: list[object] = [
        {
            "device": "dev-1",
            "group": "field",
            "realm": "lab",
            "addresses": ["10.20.0.5/32", "2001:db8::/64"],
            "since_ms": 1,
            "last_ms": 2,
            "state": "open",
            "source": "radius",
        },
        {"realm": "lab", "addresses": None, "since_ms": None, "state": "stale", "source": "lease"},
        "nonsense",
    ]
    session, lease = Desk(lambda _: {"sessions": told}, str).holdings("dev-1")
    assert (session.addresses, session.group, session.since_ms) == (("10.20.0.5/32", "2001:db8::/64"), "field", 1)
    assert (lease.addresses, lease.group, lease.last_ms, lease.state) == ((), None, None, "stale")
    assert Desk(lambda _: {}, str).holdings("dev-1") == []


def test_questions_about_devices_are_handed_on_as_the_commands_ask_them() -> None:
    asked: list[Mapping[str, object]] = []

    def ask(request: Mapping[str, object]) -> Mapping[str, object]:
        asked.append(request)
        return {}

    desk = Desk(ask, str)
    desk.sessions(None)
    desk.sessions("dev-1")
    desk.silent(7)
    assert asked == [{"op": "sessions"}, {"op": "sessions", "device": "dev-1"}, {"op": "silent", "days": 7}]
