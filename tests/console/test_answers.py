from starlette.testclient import TestClient

from tests.console.conftest import Open
from tests.console.lab import NOTARY, SESSIONS, STATUS, Lab


def test_attempts_page_by_page(shared: TestClient) -> None:
    first = shared.get("/api/v1/attempts?limit=3").json()
    assert [record["seq"] for record in first["attempts"]] == [5, 4, 3]
    second = shared.get(f"/api/v1/attempts?limit=3&older={first['older']}").json()
    assert [record["seq"] for record in second["attempts"]] == [2]
    assert second["older"] is None
    back = shared.get(f"/api/v1/attempts?limit=3&newer={second['newer']}").json()
    assert back["attempts"] == first["attempts"]


def test_one_attempt_is_the_record(shared: TestClient) -> None:
    record = shared.get("/api/v1/attempts?device=dev-2").json()["attempts"][0]
    assert shared.get(f"/api/v1/attempts/{record['id'].lower()}").json() == record
    missing = shared.get("/api/v1/attempts/01KARSJ8T0C2V6M0QF1W3X9Z4B")
    assert (missing.status_code, missing.headers["content-type"]) == (404, "application/problem+json")


def test_the_place_in_the_chain_and_its_signature(lab: Lab) -> None:
    client = lab.client()
    record = client.get("/api/v1/attempts?device=dev-2").json()["attempts"][0]
    path = f"/api/v1/attempts/{record['id']}/chain"
    unsigned = client.get(path).json()
    assert (unsigned["seq"], unsigned["found"], unsigned["before"]) == (4, "same", True)
    assert (unsigned["signed"], unsigned["checkpoint"]) == ("not_yet", None)
    lab.sign()
    signed = client.get(path).json()
    assert signed["prev"] == record["prev"]
    assert signed["checkpoint"] == {"seq": 6, "time": "2026-11-23T12:10:00.000Z", "key": NOTARY.name, "lines": 1}
    assert client.get("/api/v1/attempts/01KARSJ8T0C2V6M0QF1W3X9Z4B/chain").status_code == 404


def test_who_is_connected_and_who_is_silent_is_what_the_hub_says(lab: Lab) -> None:
    client = lab.client()
    assert client.get("/api/v1/sessions").json() == {"sessions": SESSIONS, "more": False}
    assert client.get("/api/v1/sessions?device=dev-9").json()["sessions"] == []
    assert client.get("/api/v1/silent?days=30").json()["silent"][0]["device"] == "dev-7"
    assert lab.asked[-1] == {"op": "silent", "days": 30}
    assert client.get("/api/v1/silent?days=0").status_code == 400
    assert client.get("/api/v1/devices/dev-1").json()["sessions"] == SESSIONS
    assert client.get("/api/v1/status").json() == {"hub": True, **STATUS}
    lab.away = True
    assert client.get("/api/v1/sessions").status_code == 503
    assert client.get("/api/v1/devices/dev-1").json()["sessions"] is None
    assert client.get("/api/v1/status").json() == {"hub": False, "error": "the hub does not answer"}


def test_counts_are_exact(shared: TestClient) -> None:
    counts = shared.get("/api/v1/stats?by=layer&service=chat").json()
    assert counts == {
        "by": "layer",
        "counts": [{"key": "tls", "attempts": 41, "lines": 1}, {"key": "dns", "attempts": 2, "lines": 2}],
    }


def test_incidents_and_devices(shared: TestClient) -> None:
    listed = shared.get("/api/v1/incidents?limit=2").json()
    assert len(listed["incidents"]) == 2
    assert listed["next"] == 2
    assert len(shared.get("/api/v1/incidents?limit=2&page=2").json()["incidents"]) == 1
    one = shared.get("/api/v1/incidents/device/dev-1/chat").json()
    assert one["attempts"] == 42
    assert shared.get("/api/v1/incidents/address/lab/192.0.2.1/chat").json()["client_ip"] == "192.0.2.1"
    device = shared.get("/api/v1/devices/dev-1").json()
    assert (device["group"], device["by_layer"]) == ("field", {"tls": 41, "dns": 1})
    assert shared.get("/api/v1/devices/dev-9").status_code == 404


def test_a_mark_is_an_event_in_the_chain(lab: Lab) -> None:
    path = "/api/v1/incidents/device/dev-1/chat/marks"
    answer = lab.client().post(path, json={"state": "escalated", "note": " to security "})
    assert answer.json() == {"state": "escalated", "note": "to security", "who": "local"}
    assert lab.events("mark")[0]["note"] == "to security"
    assert lab.client().get("/api/v1/incidents/device/dev-1/chat").json()["state"] == "escalated"


def test_policy_check_and_health(lab: Lab) -> None:
    client = lab.client()
    policy = client.get("/api/v1/policy").json()
    assert policy["enforced"] is True
    assert policy["lists"][0]["title"] == {"en": "Chat", "fr": "Clavardage"}
    assert policy["exemptions"][0]["days_left"] == 128
    check = client.get("/api/v1/policy/check", params={"target": "a.chat.test"}).json()
    assert (check["action"], check["rule"], check["line"]) == ("block", "chat/suffix/chat.test", 10)
    assert client.get("/api/v1/policy/check?target=canada.test").json()["action"] == "allow"
    assert client.get("/api/v1/policy/check?target=a..b").status_code == 400
    health = client.get("/api/v1/health").json()
    assert health["hub"] is True
    assert health["problems"] == ["dns-1: no heartbeat"]
    lab.away = True
    assert client.get("/api/v1/health").json()["hub"] is False


def test_events_are_for_auditors(opened: Open) -> None:
    assert opened(open_roles=["viewer", "reviewer"]).client().get("/api/v1/events").status_code == 403
    events = opened(open_roles=["auditor"]).client().get("/api/v1/events?event=start").json()["events"]
    assert [event["event"] for event in events] == ["start"]
