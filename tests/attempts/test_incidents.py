from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from enforcer import console
from enforcer.attempts.attempt import Event
from enforcer.attempts.incidents import WITHIN_MS, incident, incidents, mark_detail, plain_incident, unexplained
from enforcer.attempts.index import Filter, Review, Seen, Subject
from enforcer.attempts.index.sqlite import SqliteWriter
from enforcer.policy.verdict import Layer
from tests.attempts.index.site import HOUR_MS, MINUTE_MS, Site, attempt
from tests.records import NOON_MS

PHONE, NOBODY = Subject("dev-1"), Subject(None, "lab", "192.0.2.1")


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site[SqliteWriter]]:
    site = Site(tmp_path, SqliteWriter)
    yield site
    site.close()


def test_attempts_of_one_device_at_one_service_are_one_incident(site: Site[SqliteWriter]) -> None:
    index = site.show(
        attempt(0, count=10, device="dev-1", part="media", evidence="web"),
        attempt(1, count=3, device="dev-1"),
        attempt(1, count=2, device="dev-1", layer=Layer.TLS, at_ms=NOON_MS + 2 * HOUR_MS),
        attempt(3, count=4, device="dev-1", service="bypass", part="doh"),
        attempt(2, device="dev-2", evidence="web"),
        attempt(4),
    )
    nobody, bypass, phone, other = incidents(index, Filter())
    assert (nobody.subject, nobody.group, nobody.bypass) == (NOBODY, None, 0)
    assert (phone.subject, phone.service, phone.group) == (PHONE, "chat", "team")
    assert (phone.first_ms, phone.last_ms) == (NOON_MS, NOON_MS + 2 * HOUR_MS + 5)
    assert (phone.attempts, phone.lines) == (15, 3)
    assert phone.by_layer == {"dns": 13, "tls": 2}
    assert phone.by_part == {"media": 10, "messaging": 5}
    assert phone.by_evidence == {"web": 10, "app": 5}
    assert phone.by_action == {"blocked": 15}
    assert (phone.direct, phone.bypass) == (2, 4), "the last DNS attempt was an hour before"
    assert (phone.strength, other.strength) == ("app", "web")
    assert (bypass.service, bypass.bypass) == ("bypass", 4)
    assert incident(index, PHONE, "chat") == phone
    assert incident(index, NOBODY, "chat") == nobody
    assert incident(index, PHONE, "none") is None
    assert incidents(index, Filter(service="chat"), limit=1, skip=1) == [phone]


def test_a_mark_is_an_event_and_stays_until_the_next(site: Site[SqliteWriter]) -> None:
    def mark(at_ms: int, state: Review) -> Event:
        return Event("mark", at_ms, "gw", mark_detail(PHONE, "chat", state, "a widget", "alice"))

    index = site.show(attempt(0, device="dev-1"), mark(NOON_MS + HOUR_MS, Review.EXPLAINED))
    (one,) = incidents(index, Filter())
    assert (one.state, one.seen_since_mark, one.mark and one.mark.note) == (Review.EXPLAINED, False, "a widget")
    site.show(attempt(2, device="dev-1"))
    (one,) = incidents(index, Filter(), [Review.EXPLAINED])
    assert one.seen_since_mark
    assert incidents(index, Filter(), [Review.OPEN]) == []
    site.index.rebuild()
    site.show(mark(NOON_MS + 3 * HOUR_MS, Review.CLOSED))
    assert [each.state for each in incidents(site.index, Filter())] == [Review.CLOSED]


def test_an_incident_without_a_mark_is_open(site: Site[SqliteWriter]) -> None:
    (one,) = incidents(site.show(attempt(0, device="dev-1")), Filter())
    assert (one.state, one.mark, one.seen_since_mark) == (Review.OPEN, None, False)


def test_as_plain_values_an_incident_has_the_keys_of_the_consoles_api(site: Site[SqliteWriter]) -> None:
    mark = Event("mark", NOON_MS + HOUR_MS, "gw", mark_detail(PHONE, "chat", Review.EXPLAINED, "a widget", "alice"))
    index = site.show(attempt(0, count=3, device="dev-1"), mark, attempt(90, device="dev-1", layer=Layer.TLS))
    (one,) = incidents(index, Filter())
    plain = plain_incident(one)
    described = yaml.safe_load((Path(console.__file__).parent / "openapi.yaml").read_text())
    schema = described["components"]["schemas"]["Incident"]
    assert list(plain) == schema["required"] == list(schema["properties"])
    assert plain["device"] == "dev-1"
    assert (plain["attempts"], plain["records"], plain["direct"]) == (4, 2, 1)
    assert (plain["layers"], plain["actions"]) == ({"dns": 3, "tls": 1}, {"blocked": 4})
    assert (plain["evidence"], plain["strength"]) == ({"app": 4}, "app")
    assert (plain["first"], plain["marked"]) == ("2026-11-23T12:00:00.000Z", "2026-11-23T13:00:00.000Z")
    assert (plain["state"], plain["note"], plain["marked_by"]) == ("explained", "a widget", "alice")
    assert plain["seen_since_mark"] is True


def seen(layer: str, minute: float, until: float | None = None, count: int = 1) -> Seen:
    return Seen(layer, round(minute * MINUTE_MS), round((minute if until is None else until) * MINUTE_MS), count)


@pytest.mark.parametrize(
    ("timeline", "direct"),
    [
        ([], 0),
        ([seen("dns", 0)], 0),
        ([seen("tls", 0, count=3)], 3),
        ([seen("dns", 0), seen("tls", 10)], 0),
        ([seen("dns", 0), seen("tls", 10.001)], 1),
        ([seen("dns", 0, until=5), seen("ip", 14), seen("quic", 16)], 1),
        ([seen("tls", 0), seen("dns", 1), seen("mmtls", 2)], 1),
        ([seen("dns", 0, until=9), seen("dns", 1), seen("http", 18)], 0),
    ],
)
def test_a_connection_is_direct_without_a_dns_attempt_in_the_ten_minutes_before(
    timeline: list[Seen], direct: int
) -> None:
    assert unexplained(timeline) == direct
    assert WITHIN_MS == 10 * MINUTE_MS


def test_a_note_has_its_bounds() -> None:
    detail = mark_detail(PHONE, "chat", Review.CLOSED, "n" * 5000, "w" * 5000)
    assert len(str(detail)) < 800
