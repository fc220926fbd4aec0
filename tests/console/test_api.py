import json

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.specs.openapi.checks import ignored_auth
from starlette.testclient import TestClient

from enforcer.config.pages import Role
from enforcer.console.api import PREFIX, description, problem
from enforcer.console.users import User, hash_token, write_user
from tests.console.conftest import Open
from tests.console.lab import HOST, Lab


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


def test_marks_are_taken_as_json_from_our_own_pages_alone(lab: Lab) -> None:
    path, client = "/api/v1/incidents/device/dev-1/chat/marks", lab.client()
    assert client.post(path, data={"state": "open"}).status_code == 415
    assert client.post(path, json={"state": "open"}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    for body in (b"{", b"[]", b'{"state": 1}', b"[" * 50_000):
        answer = client.post(path, content=body, headers={"content-type": "application/json"})
        assert answer.status_code == 400
    assert client.post(path, json={"state": "done", "note": "x"}).status_code == 400
    assert (
        client.post("/api/v1/incidents/device/dev-9/chat/marks", json={"state": "open", "note": "x"}).status_code == 404
    )
    assert lab.events("mark") == []


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


def test_exports_need_the_right_and_are_recorded(opened: Open) -> None:
    assert opened(open_roles=["viewer"]).client().get("/api/v1/attempts/export").status_code == 403
    lab = opened()
    assert lab.client().get("/api/v1/attempts/export?format=json&since=2026-11-01").text.count("\n") == 4
    assert lab.events("access")[0]["look"] == "export"


def test_every_address_is_described_and_no_other(lab: Lab) -> None:
    routes = {
        (route.path.removeprefix(PREFIX), method.lower())  # type: ignore[attr-defined]
        for route in lab.app.routes
        for method in getattr(route, "methods", None) or ()
        if getattr(route, "path", "").startswith(f"{PREFIX}/") and method != "HEAD"
    }
    paths = description()["paths"]
    assert isinstance(paths, dict)
    described = {(path, method) for path, methods in paths.items() for method in methods}
    assert routes - {("/openapi.json", "get")} == described
    assert lab.client().get("/api/v1/openapi.json").json() == json.loads(json.dumps(description()))


def test_every_operation_is_summed_up_in_both_languages() -> None:
    paths = description()["paths"]
    assert isinstance(paths, dict)
    for methods in paths.values():
        for operation in methods.values():
            assert operation["summary"]
            assert operation["x-summary-fr"]


@pytest.mark.parametrize(("status", "header"), [(401, True), (403, False)])
def test_problems_say_what_is_missing(status: int, header: bool) -> None:
    assert ("www-authenticate" in problem(status, "x").headers) is header


def test_the_api_keeps_what_its_description_promises(opened: Open) -> None:
    """Requests made from the description, valid and not: answers have the status, type and form that it names."""
    lab = opened(auth="local")
    write_user(lab.site.access.users.path, User("test", frozenset(Role), hash_token("t0ken")))
    headers = {"authorization": "Bearer t0ken", "host": HOST}
    schema = schemathesis.openapi.from_asgi("/api/v1/openapi.json", lab.app, headers=headers)
    tried = 0
    for found in schema.get_all_operations():
        operation = found.ok()  # type: ignore[union-attr]  # what is no operation has no such method, and fails here

        @settings(
            max_examples=12, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(case=operation.as_strategy())
        def check(case: schemathesis.Case) -> None:  # type: ignore[type-arg]  # of whichever operation
            case.call_and_validate(headers=headers, excluded_checks=[ignored_auth])  # it sends our header again

        check()
        tried += 1
    assert tried == 14
