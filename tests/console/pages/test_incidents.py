import re

from starlette.testclient import TestClient

from enforcer.attempts.incidents import Incident
from enforcer.attempts.index import Review, Subject
from enforcer.console.pages.common import incident_path
from enforcer.console.pages.incidents import reading, states_of
from tests.console.lab import Lab, attempt
from tests.console.signing import send

PAGE = "/incidents/device/dev-1/chat"


def paths(html: str) -> list[str]:
    return re.findall(r'<td data-label=""><a href="([^"]*)"', html)


def test_one_row_for_each_device_and_service(shared: TestClient) -> None:
    page = shared.get("/incidents?since=all").text
    assert paths(page) == ["/incidents/address/lab/192.0.2.1/chat", "/incidents/device/dev-2/talk", PAGE]
    assert paths(shared.get("/incidents?since=all&service=talk").text) == ["/incidents/device/dev-2/talk"]
    assert paths(shared.get("/incidents?since=all&state=closed").text) == []
    assert shared.get("/incidents?state=done").status_code == 400


def test_long_lists_have_pages(lab: Lab) -> None:
    lab.write(*(attempt(5, f"dev-{number}") for number in range(10, 40)))
    client = lab.client()
    first, second = (paths(client.get(f"/incidents?since=all&page={number}").text) for number in (1, 2))
    assert (len(first), len(second)) == (25, 8)
    assert not set(first) & set(second)


def test_a_mark_goes_into_the_chain_and_comes_back_from_it(lab: Lab) -> None:
    client = lab.client()
    answer = send(client, PAGE, PAGE, {"state": "explained", "note": "test phone\r\nof the laboratory"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PAGE}?marked=explained")
    assert lab.events("mark") == [
        {
            "device": "dev-1",
            "realm": None,
            "client_ip": None,
            "service": "chat",
            "state": "explained",
            "note": "test phone\nof the laboratory",
            "who": "local",
        }
    ]
    page = client.get(answer.headers["location"]).text
    assert "was put into the chain" in page
    assert "of the laboratory" in page
    assert "Nobody has marked" not in page
    assert paths(client.get("/incidents?since=all&state=explained").text) == [PAGE]


def test_attempts_after_a_mark_are_pointed_out(lab: Lab) -> None:
    client = lab.client()
    send(client, PAGE, PAGE, {"state": "closed", "note": "seen"})
    assert "after the last mark" not in client.get(PAGE).text
    lab.write(attempt(60))
    assert "after the last mark" in client.get(PAGE).text
    assert "again since" in client.get("/incidents?since=all").text


def test_marks_are_checked(lab: Lab) -> None:
    client = lab.client()
    assert send(client, PAGE, PAGE, {"state": "done", "note": "x"}).status_code == 400
    assert send(client, PAGE, PAGE, {"state": "open", "note": " "}).status_code == 400
    assert send(client, PAGE, PAGE, {"state": "open", "note": "x" * 501}).status_code == 400
    assert send(client, PAGE, PAGE, {"state": "open", "note": "🜁" * 400}).status_code == 400
    assert send(client, PAGE, "/incidents/device/dev-9/chat", {"state": "open", "note": "x"}).status_code == 404
    assert client.get("/incidents/device/dev-9/chat").status_code == 404
    assert lab.events("mark") == []


def test_an_incident_of_an_address(lab: Lab) -> None:
    client, page = lab.client(), "/incidents/address/lab/192.0.2.1/chat"
    assert send(client, page, page, {"state": "escalated", "note": "whose is it?"}).status_code == 303
    assert "whose is it?" in client.get(page).text
    assert "whose is it?" not in client.get(PAGE).text


def test_states_are_read_from_the_query() -> None:
    assert states_of({}) == frozenset()
    assert states_of({"state": "open,closed"}) == {Review.OPEN, Review.CLOSED}


def test_addresses_of_incidents_hold_any_name() -> None:
    assert incident_path(Subject("dev/1 ?"), "chat") == "/incidents/device/dev%2F1%20%3F/chat"
    assert incident_path(Subject(None, "lab", "2001:db8::1"), "chat") == "/incidents/address/lab/2001%3Adb8%3A%3A1/chat"


def test_the_strongest_evidence_is_said() -> None:
    def incident(direct: int = 0, **evidence: int) -> Incident:
        return Incident(Subject("d"), "chat", None, 0, 1, 1, 1, {}, {}, {}, evidence, direct, 0, None)

    assert reading(incident(app=1, web=5)) == "app"
    assert reading(incident(web=5, direct=2)) == "direct"
    assert reading(incident(shared=1, web=5)) == "shared"
    assert reading(incident(web=5)) == "web"
